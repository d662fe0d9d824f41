//! Each block preserves its target: drawn from the exact law on a model small enough to enumerate, one step must leave that law. Planted
//! bugs must be rejected by the same test at the same size.

use std::collections::BTreeMap;

use posterity::model::{ModelFamily, StateSpaceModel, TransitionDensity};
use posterity::rng::Stream;
use posterity::smc::blocks::{
    Block, Compose, Each, Exact, FilterEvidence, Metropolis, Mix, Product, PseudoMarginal, Pullback, RandomLogWeight, Redraw,
    Repeat, Resample, Reweight, Weighted, WeightedCloud, WeightedPoint, resample_move, temper,
};
use posterity::smc::{Bootstrap, SmcConfig};
use posterity::weights::{Resample as When, Scheme, WeightConfig};
use posterity::{DensityError, Error};

/// A chain of two states seen through potentials; θ, one of three values, says how it moves and how sharp the potentials are.
#[derive(Debug, Clone, Copy)]
struct Chain {
    initial: f64,
    /// Probability of state 1 after each state.
    to_one: [f64; 2],
    potentials: [[f64; 2]; 2],
}

/// Prior of θ, up to a constant.
const PRIOR: [f64; 3] = [0.5, 0.2, 0.3];

fn chain(theta: usize) -> Chain {
    let sharp = [0.3, 0.6, 0.9][theta];
    Chain {
        initial: [0.3, 0.5, 0.8][theta],
        to_one: [[0.2, 0.7], [0.5, 0.6], [0.1, 0.9]][theta],
        potentials: [[1.0, 1.0 - sharp], [0.4 * (1.0 - sharp), 1.2]],
    }
}

fn bernoulli(p: f64, x: u8) -> f64 {
    if x == 1 { p } else { 1.0 - p }
}

impl StateSpaceModel for Chain {
    type State = u8;
    fn n_steps(&self) -> usize {
        2
    }
    fn initial(&self, rng: &mut Stream) -> u8 {
        u8::from(rng.uniform() < self.initial)
    }
    fn transition(&self, _t: usize, x: &u8, rng: &mut Stream) -> u8 {
        u8::from(rng.uniform() < self.to_one[usize::from(*x)])
    }
    fn log_observation(&self, t: usize, x: &u8) -> f64 {
        self.potentials[t][usize::from(*x)].ln()
    }
}

impl TransitionDensity for Chain {
    fn log_initial(&self, x: &u8) -> f64 {
        bernoulli(self.initial, *x).ln()
    }
    fn log_transition(&self, _t: usize, from: &u8, to: &u8) -> f64 {
        bernoulli(self.to_one[usize::from(*from)], *to).ln()
    }
}

struct Family;

impl ModelFamily for Family {
    type Model = Bootstrap<Chain>;
    fn at(&self, parameters: &[f64]) -> Result<Self::Model, DensityError> {
        Ok(Bootstrap(chain(parameters[0] as usize)))
    }
}

/// Filters of two particles, resampled in every step.
fn config() -> SmcConfig {
    SmcConfig::new(2, 0).scheme(Scheme::Multinomial).ess_threshold(2.0)
}

type LogPrior = fn(&usize) -> Result<f64, DensityError>;
type ToParameters = fn(&usize, &mut Vec<f64>) -> Result<(), DensityError>;
type Weight = Product<Exact<LogPrior>, Pullback<ToParameters, FilterEvidence<'static, Family>>>;
type State = WeightedPoint<usize, (Weighted<()>, Weighted<Vec<u8>>)>;

fn weight() -> Weight {
    let prior: LogPrior = |theta| Ok(PRIOR[*theta].ln());
    let parameters: ToParameters = |theta, out| {
        out.push(*theta as f64);
        Ok(())
    };
    Product(Exact(prior), Pullback::new(parameters, FilterEvidence::new(&Family, config()).unwrap()))
}

/// What tells states apart: θ, the path, and the weight.
type Key = (usize, Vec<u8>, i64);

fn key(state: &State) -> Key {
    (state.point, state.auxiliary.1.auxiliary.clone(), (state.log_weight * 1e6).round() as i64)
}

/// The exact law p(θ) Ẑ(u) M_θ(u) P(path | u), by multiplying out everything that a filter of two particles can do. Nothing of the library
/// is called.
fn exact_law() -> Vec<(State, f64)> {
    let mut law: BTreeMap<Key, (State, f64)> = BTreeMap::new();
    let bits = || [0_u8, 1];
    for theta in 0..3 {
        let model = chain(theta);
        for (a, b) in bits().into_iter().flat_map(|a| bits().map(|b| (a, b))) {
            let first = [a, b];
            let g0 = first.map(|x| model.potentials[0][usize::from(x)]);
            let w0 = g0.map(|g| g / (g0[0] + g0[1]));
            for (i, j) in (0..2).flat_map(|i| (0..2).map(move |j| (i, j))) {
                for (c, d) in bits().into_iter().flat_map(|c| bits().map(|d| (c, d))) {
                    let (ancestors, second) = ([i, j], [c, d]);
                    let mut probability: f64 = first.iter().map(|x| bernoulli(model.initial, *x)).product();
                    for k in 0..2 {
                        probability *= w0[ancestors[k]];
                        probability *= bernoulli(model.to_one[usize::from(first[ancestors[k]])], second[k]);
                    }
                    let g1 = second.map(|x| model.potentials[1][usize::from(x)]);
                    let evidence = 0.25 * (g0[0] + g0[1]) * (g1[0] + g1[1]);
                    for k in 0..2 {
                        let mass = PRIOR[theta] * evidence * probability * g1[k] / (g1[0] + g1[1]);
                        let path = vec![first[ancestors[k]], second[k]];
                        let prior = Weighted { log_weight: PRIOR[theta].ln(), auxiliary: () };
                        let likelihood = Weighted { log_weight: evidence.ln(), auxiliary: path };
                        let log_weight = prior.log_weight + likelihood.log_weight;
                        let state = WeightedPoint { point: theta, log_weight, auxiliary: (prior, likelihood) };
                        law.entry(key(&state)).or_insert((state, 0.0)).1 += mass;
                    }
                }
            }
        }
    }
    let total: f64 = law.values().map(|(_, mass)| mass).sum();
    law.into_values().map(|(state, mass)| (state, mass / total)).collect()
}

fn draw<'a>(law: &'a [(State, f64)], rng: &mut Stream) -> &'a State {
    let mut rest = rng.uniform();
    for (state, probability) in law {
        if rest < *probability {
            return state;
        }
        rest -= probability;
    }
    &law[law.len() - 1].0
}

/// The chi-square statistic of states one step after the exact law, as a normal score (Wilson & Hilferty); states outside the law's
/// support make it infinite.
fn score(block: &mut dyn FnMut(&mut State, &mut Stream) -> Result<(), Error>, n: usize, seed: u64) -> f64 {
    let law = exact_law();
    let mut rng = Stream::new(seed);
    let mut counts: BTreeMap<Key, f64> = law.iter().map(|(state, _)| (key(state), 0.0)).collect();
    for _ in 0..n {
        let mut state = draw(&law, &mut rng).clone();
        block(&mut state, &mut rng).unwrap();
        match counts.get_mut(&key(&state)) {
            Some(count) => *count += 1.0,
            None => return f64::INFINITY,
        }
    }
    // Cells expected less than ten times are one cell.
    let (mut chi_square, mut n_cells, mut rare) = (0.0, 0.0, (0.0, 0.0));
    for (state, probability) in &law {
        let (expected, found) = (probability * n as f64, counts[&key(state)]);
        if expected < 10.0 {
            rare = (rare.0 + expected, rare.1 + found);
        } else {
            chi_square += (found - expected).powi(2) / expected;
            n_cells += 1.0;
        }
    }
    if rare.0 > 10.0 {
        chi_square += (rare.1 - rare.0).powi(2) / rare.0;
        n_cells += 1.0;
    }
    let df: f64 = n_cells - 1.0;
    let cube_root = (chi_square / df).cbrt();
    (cube_root - (1.0 - 2.0 / (9.0 * df))) / (2.0 / (9.0 * df)).sqrt()
}

/// Up with probability 0.7, down with 0.3, around a circle of three: not symmetric.
fn turn(theta: &usize, rng: &mut Stream) -> (usize, f64) {
    let up: f64 = 0.7;
    if rng.uniform() < up { ((theta + 1) % 3, ((1.0 - up) / up).ln()) } else { ((theta + 2) % 3, (up / (1.0 - up)).ln()) }
}

/// Replicates per test.
const N: usize = 40_000;

// Scores are standard normal if the block is right. Limit 4. Sweep of 160 seeds, 800 scores: mean
// -0.01, variance 0.98, none above the limit; the least score of a planted bug in 30 seeds each was 24.
const LIMIT: f64 = 4.0;

fn score_of<B: Block<State>>(block: &mut B, seed: u64) -> f64 {
    score(&mut |state, rng| block.step(state, rng).map(|_| ()), N, seed)
}

#[test]
fn the_exact_law_has_the_exact_posterior_as_its_margin() {
    // p(θ, x | y) itself: the whole construction rests on this identity.
    let mut exact = BTreeMap::new();
    for theta in 0..3 {
        let m = chain(theta);
        for (a, b) in [(0_u8, 0_u8), (0, 1), (1, 0), (1, 1)] {
            let g = m.potentials[0][usize::from(a)] * m.potentials[1][usize::from(b)];
            let p = PRIOR[theta] * bernoulli(m.initial, a) * bernoulli(m.to_one[usize::from(a)], b) * g;
            exact.insert((theta, vec![a, b]), p);
        }
    }
    let total: f64 = exact.values().sum();
    let mut margin: BTreeMap<(usize, Vec<u8>), f64> = BTreeMap::new();
    for (state, probability) in exact_law() {
        *margin.entry((state.point, state.auxiliary.1.auxiliary)).or_default() += probability;
    }
    for (cell, p) in exact {
        // A hundred terms of rounding 1e-16.
        assert!((margin[&cell] - p / total).abs() < 1e-14, "{cell:?}");
    }
}

#[test]
fn blocks_on_points_leave_the_exact_law() {
    let metropolis = || PseudoMarginal::new(turn, weight());
    let found = [
        ("pseudo-marginal", score_of(&mut metropolis(), 1)),
        ("redraw", score_of(&mut Redraw(weight()), 2)),
        ("compose", score_of(&mut Compose(Redraw(weight()), metropolis()), 3)),
        ("mix", score_of(&mut Mix::new(metropolis(), Redraw(weight()), 0.4).unwrap(), 4)),
        ("repeat", score_of(&mut Repeat(metropolis(), 3), 5)),
    ];
    for (block, score) in found {
        assert!(score.abs() < LIMIT, "{block}: {score}");
    }
}

/// One step of Metropolis-Hastings with a bug.
fn planted(bug: &str, state: &mut State, weight: &mut Weight, rng: &mut Stream) -> Result<(), Error> {
    let (theta, log_ratio) = turn(&state.point, rng);
    let proposed = WeightedPoint::draw(theta, weight, rng)?.unwrap();
    if bug == "fresh weight of the current point" {
        state.log_weight = WeightedPoint::draw(state.point, weight, rng)?.unwrap().log_weight;
    }
    let log_acceptance = match bug {
        "flipped acceptance" => state.log_weight - proposed.log_weight + log_ratio,
        "forgotten proposal ratio" => proposed.log_weight - state.log_weight,
        _ => proposed.log_weight - state.log_weight + log_ratio,
    };
    if rng.uniform() < log_acceptance.exp() {
        *state = proposed;
    }
    Ok(())
}

#[test]
fn planted_bugs_are_rejected() {
    for bug in ["none", "fresh weight of the current point", "flipped acceptance", "forgotten proposal ratio"] {
        let mut weight = weight();
        let score = score(&mut |state, rng| planted(bug, state, &mut weight, rng), N, 6);
        assert_eq!(score.abs() < LIMIT, bug == "none", "{bug}: {score}");
    }
    // A redraw that is not conditional on the path.
    let mut weight = weight();
    let fresh = &mut |state: &mut State, rng: &mut Stream| {
        *state = WeightedPoint::draw(state.point, &mut weight, rng)?.unwrap();
        Ok(())
    };
    let score = score(fresh, N, 7);
    assert!(score > LIMIT, "{score}");
}

/// Prior of a point among three, and the likelihood that tempering brings in.
const START: [f64; 3] = [0.6, 0.3, 0.1];
const LIKELIHOOD: [f64; 3] = [0.2, 0.5, 3.0];

fn draw_start(rng: &mut Stream) -> usize {
    let u = rng.uniform();
    usize::from(u > START[0]) + usize::from(u > START[0] + START[1])
}

/// z-scores of exp(log-evidence) Σ Wⁱ 1{xⁱ = k} over independent clouds of three particles, against the measure that they are to stand for.
fn cloud_scores(run: &mut dyn FnMut(&mut WeightedCloud<usize>, &mut Stream), measure: [f64; 3], seed: u64) -> [f64; 3] {
    let (n, mut rng) = (20_000, Stream::new(seed));
    let config = WeightConfig { ess_threshold: 0.8, ..WeightConfig::default() };
    let (mut sums, mut squares) = ([0.0; 3], [0.0; 3]);
    for _ in 0..n {
        let mut cloud = WeightedCloud::draw(3, config, &mut rng, draw_start).unwrap();
        run(&mut cloud, &mut rng);
        for k in 0..3 {
            let mass = cloud.log_evidence().exp() * cloud.expectation(|x| f64::from(u8::from(*x == k)));
            sums[k] += mass;
            squares[k] += mass * mass;
        }
    }
    std::array::from_fn(|k| {
        let mean = sums[k] / f64::from(n);
        (mean - measure[k]) / ((squares[k] / f64::from(n) - mean * mean) / f64::from(n)).sqrt()
    })
}

fn to_power(exponent: f64) -> [f64; 3] {
    std::array::from_fn(|k| START[k] * LIKELIHOOD[k].powf(exponent))
}

#[test]
fn a_proposal_ratio_that_is_not_a_number_is_never_accepted() {
    let propose = |x: &usize, _: &mut Stream| ((x + 1) % 3, f64::NAN);
    let mut block = PseudoMarginal::new(propose, Exact(|_: &usize| Ok(0.0)));
    let mut state = WeightedPoint::draw(0, block.weight_mut(), &mut Stream::new(1)).unwrap().unwrap();
    let info = block.step(&mut state, &mut Stream::new(1)).unwrap();
    assert_eq!((info.acceptance_rate, info.outcome, state.point), (0.0, posterity::smc::blocks::Outcome::Failed, 0));
}

/// A weight with two values around the likelihood.
struct Noisy;

impl RandomLogWeight<usize> for Noisy {
    type Auxiliary = ();
    fn draw(&mut self, x: &usize, rng: &mut Stream) -> Result<Option<Weighted<()>>, DensityError> {
        // 0 with probability 1/3, else 3/2.
        let factor: f64 = if rng.uniform() < 1.0 / 3.0 { return Ok(None) } else { 1.5 };
        Ok(Some(Weighted { log_weight: (factor * LIKELIHOOD[*x]).ln(), auxiliary: () }))
    }
}

fn kernel(exponent: f64) -> impl Block<usize> {
    Metropolis::new(turn, move |x: &usize| Ok(to_power(exponent)[*x].ln()))
}

fn exact_weight(power: f64) -> Exact<impl FnMut(&usize) -> Result<f64, DensityError>> {
    Exact(move |x: &usize| Ok(power * LIKELIHOOD[*x].ln()))
}

type Run<'a> = &'a mut dyn FnMut(&mut WeightedCloud<usize>, &mut Stream);

#[test]
fn clouds_stand_for_the_measure_that_they_should() {
    let runs: [(&str, [f64; 3], Run<'_>); 5] = [
        ("reweight", to_power(1.0), &mut |cloud, rng| {
            Reweight(exact_weight(1.0)).step(cloud, rng).unwrap();
        }),
        ("random weights", to_power(2.0), &mut |cloud, rng| {
            Reweight(exact_weight(1.0)).step(cloud, rng).unwrap();
            // A cloud that loses all weight stands for nothing: counted as such by weight 0 of its evidence below.
            if Reweight(Noisy).step(cloud, rng).is_err() {
                *cloud = lost(rng);
            }
        }),
        ("resample", to_power(1.0), &mut |cloud, rng| {
            let mut block = Compose(Reweight(exact_weight(1.0)), Resample(When::Always));
            block.step(cloud, rng).unwrap();
        }),
        ("resample-move", to_power(1.5), &mut |cloud, rng| {
            resample_move(exact_weight(0.5), kernel(0.5)).step(cloud, rng).unwrap();
            resample_move(exact_weight(1.0), kernel(1.5)).step(cloud, rng).unwrap();
        }),
        ("tempering", to_power(1.0), &mut |cloud, rng| {
            temper(cloud, &[0.2, 0.6, 1.0], |x| Ok(LIKELIHOOD[*x].ln()), kernel, rng).unwrap();
        }),
    ];
    for (name, measure, run) in runs {
        for score in cloud_scores(run, measure, 11) {
            // Fifteen scores: one false alarm in 1,000 seeds at 4, by the skewness of the masses.
            assert!(score.abs() < 4.0, "{name}: {score}");
        }
    }
}

/// A cloud of next to no mass.
fn lost(rng: &mut Stream) -> WeightedCloud<usize> {
    let mut cloud = WeightedCloud::draw(3, WeightConfig::default(), rng, draw_start).unwrap();
    Reweight(Exact(|_: &usize| Ok(-600.0))).step(&mut cloud, rng).unwrap();
    cloud
}

#[test]
fn planted_bugs_of_clouds_are_rejected() {
    let worst = |measure, run: Run<'_>| cloud_scores(run, measure, 12).into_iter().fold(0.0_f64, |worst, z| worst.max(z.abs()));
    // The moves are for the exponent before.
    let stale = worst(to_power(1.0), &mut |cloud, rng| {
        resample_move(exact_weight(1.0), kernel(0.5)).step(cloud, rng).unwrap();
    });
    // The weight before resampling is forgotten: a cloud of the same particles, started anew.
    let forgotten = worst(to_power(2.0), &mut |cloud, rng| {
        Compose(Reweight(exact_weight(1.0)), Resample(When::Always)).step(cloud, rng).unwrap();
        let mut particles = cloud.particles().to_vec().into_iter();
        *cloud = WeightedCloud::draw(3, WeightConfig::default(), rng, |_| particles.next().unwrap()).unwrap();
        Reweight(exact_weight(1.0)).step(cloud, rng).unwrap();
    });
    // Weights kept although the particles were resampled by them.
    let twice = worst(to_power(1.0), &mut |cloud, rng| {
        Compose(Reweight(exact_weight(1.0)), Resample(When::Always)).step(cloud, rng).unwrap();
        Reweight(exact_weight(1.0)).step(cloud, rng).unwrap();
    });
    for (bug, score) in [("stale kernel", stale), ("forgotten weight", forgotten), ("weight used twice", twice)] {
        assert!(score > 6.0, "{bug}: {score}");
    }
}

#[test]
fn settings_and_errors() {
    let mut rng = Stream::new(1);
    assert!(matches!(Mix::new((), (), f64::NAN), Err(Error::InvalidSetting { setting: "probability", .. })));
    assert!(matches!(
        WeightedCloud::draw(0, WeightConfig::default(), &mut rng, draw_start),
        Err(Error::InvalidSetting { setting: "n_particles", .. })
    ));
    let mut cloud = WeightedCloud::draw(3, WeightConfig::default(), &mut rng, draw_start).unwrap();
    let falling = temper(&mut cloud, &[0.5, 0.5], |x| Ok(LIKELIHOOD[*x].ln()), kernel, &mut rng);
    assert!(matches!(falling, Err(Error::InvalidSetting { setting: "exponent", .. })));
    let none = Reweight(Exact(|_: &usize| Ok(f64::NEG_INFINITY))).step(&mut cloud, &mut rng);
    assert!(matches!(none, Err(Error::Sampling { .. })));
    let fatal =
        Each(Metropolis::new(turn, |_: &usize| Err(DensityError::NoData { distribution: "normal" }))).step(&mut cloud, &mut rng);
    assert!(matches!(fatal, Err(Error::Density(DensityError::NoData { .. }))));
    // A path of another length than the model's.
    let mut state = draw(&exact_law(), &mut rng).clone();
    state.auxiliary.1.auxiliary.push(0);
    let length = Redraw(weight()).step(&mut state, &mut rng);
    assert!(matches!(length, Err(Error::Density(DensityError::Length { expected: 2, found: 3, .. }))));
}
