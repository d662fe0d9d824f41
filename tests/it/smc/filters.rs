//! Particle filters against the Kalman filter: every adapter, scheme and resampling rule. `examples/validate_filters.rs` is the long form.

use ndarray::Array2;
use posterity::model::zoo::Ar1;
use posterity::model::{LookAhead, StateSpaceModel, TransitionDensity};
use posterity::parallel::Threads;
use posterity::rng::Stream;
use posterity::smc::exact::LinearGaussian;
use posterity::smc::{Ahead, Auxiliary, Bootstrap, FeynmanKac, Guided, Move, Moved, Plan, Smc, SmcConfig, Streams, View};
use posterity::weights::Scheme;

use crate::data;

fn simulated(n_steps: usize) -> Ar1 {
    let mut rng = Stream::new(5);
    let mut x = 2.0 * rng.normal();
    let mut y = Vec::new();
    for t in 0..n_steps {
        y.push(if t == 3 { f64::NAN } else { x + 0.6 * rng.normal() });
        x = 0.9 * x + rng.normal();
    }
    Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 0.6, y }
}

fn exact(model: &Ar1) -> f64 {
    let y = Array2::from_shape_vec((model.y.len(), 1), model.y.clone()).unwrap();
    LinearGaussian::ar1(model.rho, model.sigma_x, model.sigma_y).unwrap().filter(y.view()).unwrap().log_evidence()
}

/// (mean of Ẑ/Z - 1) / its error.
fn score<M: FeynmanKac>(model: M, config: &SmcConfig, n_runs: u64, exact: f64) -> f64 {
    let mut smc = Smc::new(model, config.clone().threads(Threads::serial())).unwrap();
    let (mut sum, mut squares) = (0.0, 0.0);
    for seed in 0..n_runs {
        smc.restart(seed);
        let ratio = (smc.run().unwrap().log_evidence - exact).exp();
        sum += ratio;
        squares += ratio * ratio;
    }
    let n = n_runs as f64;
    let mean = sum / n;
    (mean - 1.0) / ((squares / n - mean * mean) / n).sqrt()
}

/// |z| <= 4 in 72 cells: a false alarm rate of 0.5 % over the choice of seeds, none at these. One observation is missing.
#[test]
fn the_evidence_is_unbiased_under_every_scheme_rule_and_adapter() {
    let model = simulated(10);
    let z = exact(&model);
    for scheme in Scheme::ALL {
        for threshold in [0.5, 2.0, 0.0] {
            let config = SmcConfig::new(40, 0).scheme(scheme).ess_threshold(threshold);
            for (name, score) in [
                ("bootstrap", score(Bootstrap(&model), &config, 500, z)),
                ("guided", score(Guided(&model), &config, 500, z)),
                ("auxiliary", score(Auxiliary(Bootstrap(&model)), &config, 500, z)),
                ("auxiliary guided", score(Auxiliary(Guided(&model)), &config, 500, z)),
            ] {
                assert!(score.abs() <= 4.0, "{name}, {scheme}, {threshold}: {score}");
            }
        }
    }
}

/// An auxiliary filter that forgets to divide the look-ahead out again.
struct Uncorrected<M>(Bootstrap<M>);

impl<M: LookAhead> FeynmanKac for Uncorrected<M> {
    type Population = Vec<M::State>;
    type Error = std::convert::Infallible;

    fn init(&mut self, to: Moved<'_, Vec<M::State>>, streams: Streams, threads: &Threads) -> Result<(), Self::Error> {
        self.0.init(to, streams, threads)
    }

    fn plan(&mut self, t: usize, view: View<'_, Vec<M::State>>, mut ahead: Ahead<'_>) -> Result<Plan, Self::Error> {
        if t < self.0.0.n_steps() {
            for (increment, x) in ahead.log_increments().iter_mut().zip(view.population) {
                *increment = self.0.0.log_look_ahead(t, x);
            }
        }
        Ok(Plan { stop: t >= self.0.0.n_steps(), ..Plan::default() })
    }

    fn step(&mut self, from: Move<'_, Vec<M::State>>, to: Moved<'_, Vec<M::State>>) -> Result<(), Self::Error> {
        self.0.step(from, to)
    }
}

#[test]
fn planted_errors_are_found_at_the_same_size() {
    let model = simulated(10);
    let z = exact(&model);
    let config = SmcConfig::new(40, 0);
    let uncorrected = score(Uncorrected(Bootstrap(&model)), &config, 500, z);
    assert!(uncorrected.abs() > 6.0, "{uncorrected}");
    // A proposal whose weight ignores the proposal's density.
    let forgotten = score(Guided(Forgetful(&model)), &config, 500, z);
    assert!(forgotten.abs() > 6.0, "{forgotten}");
}

struct Forgetful<'a>(&'a Ar1);

impl StateSpaceModel for Forgetful<'_> {
    type State = f64;

    fn n_steps(&self) -> usize {
        self.0.n_steps()
    }

    fn initial(&self, rng: &mut Stream) -> f64 {
        self.0.initial(rng)
    }

    fn transition(&self, t: usize, x: &f64, rng: &mut Stream) -> f64 {
        self.0.transition(t, x, rng)
    }

    fn log_observation(&self, t: usize, x: &f64) -> f64 {
        self.0.log_observation(t, x)
    }
}

impl TransitionDensity for Forgetful<'_> {
    fn log_initial(&self, x: &f64) -> f64 {
        self.0.log_initial(x)
    }

    fn log_transition(&self, t: usize, from: &f64, to: &f64) -> f64 {
        self.0.log_transition(t, from, to)
    }
}

impl posterity::model::Proposal for Forgetful<'_> {
    fn propose_initial(&self, rng: &mut Stream) -> f64 {
        posterity::model::Proposal::propose_initial(self.0, rng)
    }

    fn log_proposal_initial(&self, x: &f64) -> f64 {
        self.0.log_proposal_initial(x)
    }

    fn propose(&self, t: usize, from: &f64, rng: &mut Stream) -> f64 {
        posterity::model::Proposal::propose(self.0, t, from, rng)
    }

    fn log_proposal(&self, _t: usize, _from: &f64, _to: &f64) -> f64 {
        0.0
    }
}

/// The long form takes N = 1e5 and 100 runs; here the errors allow for 5000 particles (variance about 0.3 / 5) and 20 runs.
#[test]
fn the_log_evidence_of_a_thousand_steps_is_the_kalman_filters() {
    let Some(path) = data::path("smc/lg1d_T1000.csv") else { return };
    let mut reader = csv::Reader::from_path(path).unwrap();
    let y = reader.records().map(|r| r.unwrap()[1].parse().unwrap()).collect();
    let model = Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 1.0, y };
    assert!((exact(&model) + 1895.1943331019).abs() < 1e-8);
    let mut smc = Smc::new(Auxiliary(Guided(&model)), SmcConfig::new(1000, 0).threads(Threads::serial())).unwrap();
    let values: Vec<f64> = (0..20)
        .map(|seed| {
            smc.restart(seed);
            smc.run().unwrap().log_evidence
        })
        .collect();
    let mean = values.iter().sum::<f64>() / 20.0;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 19.0;
    // E log Ẑ = log Z - variance / 2 for a normal log Ẑ; four errors of mean and variance.
    let link = mean + 1895.1943331019 + 0.5 * variance;
    let error = (variance / 20.0 + variance * variance * 0.5 / 19.0).sqrt();
    assert!(link.abs() < 4.0 * error, "{link} ± {error}, variance {variance}");
    assert!(variance < 0.5, "{variance}");
}
