//! Smoothing: against exact smoothers, planted bugs, error paths and the genealogy.

mod finite_chain;
mod linear_gaussian;

use posterity::model::zoo::Ar1;
use posterity::model::{StateSpaceModel, TransitionDensity};
use posterity::parallel::Threads;
use posterity::rng::Stream;
use posterity::smc::smoothing::{BackwardSampling, FixedLagSmoother, SmoothingError, backward_sample, genealogy};
use posterity::smc::{Bootstrap, Keep, Smc, SmcConfig};

const METHODS: [BackwardSampling; 4] = [
    BackwardSampling::Exact,
    BackwardSampling::Rejection { max_tries: 3 },
    BackwardSampling::Rejection { max_tries: 0 },
    BackwardSampling::Mcmc { n_steps: 2 },
];

fn wave(n_steps: usize) -> Ar1 {
    let y = (0..n_steps).map(|t| 2.0 * (0.3 * t as f64).sin()).collect();
    Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 1.0, y }
}

fn filtered<M: StateSpaceModel>(model: M, config: SmcConfig) -> Smc<Bootstrap<M>> {
    let mut smc = Smc::new(Bootstrap(model), config).unwrap();
    smc.run().unwrap();
    smc
}

#[test]
fn a_history_that_cannot_be_smoothed_is_named() {
    let config = SmcConfig::new(20, 1);
    let fresh = Smc::new(Bootstrap(wave(9)), config.clone().keep(Keep::All)).unwrap();
    let none = filtered(wave(9), config.clone());
    let short = filtered(wave(9), config.clone().keep(Keep::Last(4)));
    let whole = filtered(wave(9), config.keep(Keep::All));
    let both = |smc: &Smc<Bootstrap<Ar1>>, n_paths| {
        let method = BackwardSampling::default();
        [backward_sample(smc, n_paths, method, 1).unwrap_err(), genealogy(smc, n_paths, 1).unwrap_err()]
    };
    for error in both(&fresh, 5) {
        assert!(matches!(error, SmoothingError::NotStarted), "{error}");
    }
    for error in both(&none, 5) {
        assert!(matches!(error, SmoothingError::NoHistory), "{error}");
    }
    for error in both(&short, 5) {
        assert!(matches!(error, SmoothingError::HistoryTruncated { first_step: 5 }), "{error}");
    }
    for error in both(&whole, 0) {
        assert!(matches!(error, SmoothingError::Setting(posterity::Error::InvalidSetting { setting: "n_paths", .. })), "{error}");
    }
    let error = backward_sample(&whole, 5, BackwardSampling::Mcmc { n_steps: 0 }, 1).unwrap_err();
    assert!(matches!(error, SmoothingError::Setting(posterity::Error::InvalidSetting { setting: "n_steps", .. })), "{error}");
    let error: posterity::Error = backward_sample(&none, 5, BackwardSampling::Exact, 1).unwrap_err().into();
    assert!(matches!(error, posterity::Error::Sampling { .. }));
}

/// An autoregression whose density says what it is told to.
#[derive(Debug)]
struct Lying {
    truth: Ar1,
    bound: Option<f64>,
    /// What the density of the move into step 3 is instead.
    value: Option<f64>,
}

impl StateSpaceModel for Lying {
    type State = f64;

    fn n_steps(&self) -> usize {
        self.truth.n_steps()
    }

    fn initial(&self, rng: &mut Stream) -> f64 {
        self.truth.initial(rng)
    }

    fn transition(&self, t: usize, x: &f64, rng: &mut Stream) -> f64 {
        self.truth.transition(t, x, rng)
    }

    fn log_observation(&self, t: usize, x: &f64) -> f64 {
        self.truth.log_observation(t, x)
    }
}

impl TransitionDensity for Lying {
    fn log_initial(&self, x: &f64) -> f64 {
        self.truth.log_initial(x)
    }

    fn log_transition(&self, t: usize, from: &f64, to: &f64) -> f64 {
        self.value.filter(|_| t == 3).unwrap_or_else(|| self.truth.log_transition(t, from, to))
    }

    fn log_transition_bound(&self, _t: usize) -> Option<f64> {
        self.bound
    }
}

#[test]
fn a_transition_density_that_does_not_fit_is_an_error_with_its_step() {
    let error = |bound, value, method| {
        let smc = filtered(Lying { truth: wave(6), bound, value }, SmcConfig::new(300, 1).keep(Keep::All));
        backward_sample(&smc, 300, method, 1).unwrap_err()
    };
    let rejection = BackwardSampling::Rejection { max_tries: 5 };
    assert!(matches!(error(None, None, rejection), SmoothingError::NoBound { step: 5 }));
    let low = error(Some(-1.5), None, rejection);
    assert!(matches!(low, SmoothingError::BoundExceeded { step: 5, log_density, bound: -1.5 } if log_density > -1.5), "{low}");
    for method in METHODS {
        let nan = error(Some(0.0), Some(f64::NAN), method);
        assert!(matches!(nan, SmoothingError::NotFinite { step: 3, value } if value.is_nan()), "{method:?}: {nan}");
        let infinite = error(Some(0.0), Some(f64::INFINITY), method);
        assert!(matches!(infinite, SmoothingError::NotFinite { step: 3, value: f64::INFINITY }), "{method:?}: {infinite}");
        let zero = error(Some(0.0), Some(f64::NEG_INFINITY), method);
        assert!(matches!(zero, SmoothingError::Unreachable { step: 3 }), "{method:?}: {zero}");
    }
}

#[test]
fn paths_are_the_same_on_any_number_of_threads() {
    for method in METHODS {
        let paths = |threads: Threads| {
            let smc = filtered(wave(12), SmcConfig::new(300, 4).keep(Keep::All).threads(threads));
            backward_sample(&smc, 12_000, method, 5).unwrap()
        };
        let expected = paths(Threads::serial());
        for n in [2, 3, 8] {
            assert!(paths(Threads::new(n).unwrap()) == expected, "{method:?} on {n} threads");
        }
    }
}

#[test]
fn the_genealogy_says_where_it_has_coalesced() {
    let smc = filtered(wave(300), SmcConfig::new(50, 2).keep(Keep::All));
    let history = smc.history();
    let paths = genealogy(&smc, 50, 3).unwrap();
    let before = paths.coalesced_before().unwrap();
    let distinct = |row: &[f64]| {
        let mut row: Vec<u64> = row.iter().map(|x| x.to_bits()).collect();
        row.sort_unstable();
        row.dedup();
        row.len()
    };
    for (t, row) in paths.steps().enumerate() {
        assert_eq!(distinct(row) == 1, t < before, "step {t}");
        assert!(distinct(row) <= history.n_distinct_ancestors(t).unwrap());
    }
    // By the slots themselves, for all particles of the last step.
    for t in [0, 150, 290, 299] {
        let mut slots: Vec<usize> = (0..50).map(|slot| history.lineage(slot)[t]).collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(history.n_distinct_ancestors(t), Some(slots.len()));
    }
    assert_eq!(history.n_distinct_ancestors(300), None);
    assert!(paths.to_string().contains(&format!("before step {before} they are one")), "{paths}");
    let renewed = backward_sample(&smc, 50, BackwardSampling::Exact, 3).unwrap();
    assert_eq!((renewed.coalesced_before(), renewed.to_string().as_str()), (None, "50 paths over steps 0 to 299"));
}

#[test]
fn paths_can_be_read_by_step_and_by_path() {
    let smc = filtered(wave(7), SmcConfig::new(40, 2).keep(Keep::All));
    let paths = backward_sample(&smc, 9, BackwardSampling::Exact, 3).unwrap();
    assert_eq!((paths.n_paths(), paths.n_steps(), paths.first_step()), (9, 7, 0));
    for (i, path) in paths.paths().enumerate() {
        assert_eq!(path.len(), 7);
        for (t, x) in path.enumerate() {
            assert_eq!(paths.at(t).unwrap()[i], *x);
        }
    }
    assert_eq!((paths.at(7), paths.path(9).len()), (None, 0));
    let row = paths.at(4).unwrap();
    let mean = row.iter().sum::<f64>() / 9.0;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 8.0;
    // Sums of nine terms below 10.
    assert!((paths.mean(|x| *x)[4] - mean).abs() < 1e-13 && (paths.variance(|x| *x)[4] - variance).abs() < 1e-13);
    // One particle, one path, one step.
    let smc = filtered(wave(1), SmcConfig::new(1, 2).keep(Keep::All));
    for method in METHODS {
        assert_eq!(backward_sample(&smc, 1, method, 3).unwrap().at(0).unwrap(), smc.view().population.as_slice());
    }
}

#[test]
fn fixed_lag_moments_are_those_of_the_ancestors() {
    let (n_steps, lag) = (25, 4);
    // Some steps resample and some do not.
    let config = SmcConfig::new(60, 8).keep(Keep::All).ess_threshold(0.6);
    let mut smoother = FixedLagSmoother::new(lag, |x: &f64| [*x, x * x]);
    let mut whole = FixedLagSmoother::new(1000, |x: &f64| [*x]);
    let mut smc = Smc::new(Bootstrap(wave(n_steps)), config.clone()).unwrap();
    let summary = smc
        .run_with(
            &mut (&mut |s: &posterity::smc::Snapshot<'_, Vec<f64>>| {
                use posterity::smc::Collector;
                smoother.collect(s);
                whole.collect(s);
            }),
        )
        .unwrap();
    assert!(summary.n_resampled > 5 && summary.n_resampled < n_steps - 5);
    // The oracle: the weights of step min(t + lag, T - 1) on the lineages of its particles.
    let oracle = |t: usize, lag: usize, f: fn(f64) -> f64| {
        let until = (t + lag).min(n_steps - 1);
        let smc = filtered(Ar1 { y: wave(n_steps).y[..=until].to_vec(), ..wave(n_steps) }, config.clone());
        let states = &smc.history().generation(t).unwrap().population;
        let value = |(slot, w): (usize, f64)| w * f(states[smc.history().lineage(slot)[t]]);
        smc.view().weights.normalised().enumerate().map(value).sum::<f64>()
    };
    for t in 0..n_steps {
        let (mean, second) = (oracle(t, lag, |x| x), oracle(t, lag, |x| x * x));
        let (found, variance) = smoother.moments()[t];
        // Sums of 60 terms below 20.
        assert!((found[0] - mean).abs() < 1e-12 && (found[1] - second).abs() < 1e-11);
        assert!((variance[0] - (second - mean * mean)).abs() < 1e-11);
        assert!((whole.moments()[t].0[0] - oracle(t, 1000, |x| x)).abs() < 1e-12);
    }
}
