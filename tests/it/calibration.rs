//! Calibration by simulation: exact samplers pass, wrong ones do not, and what a test cannot see it does not claim to see.

use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, Array3, Axis, array, s};
use posterity::Error;
use posterity::autodiff::{Real, Value};
use posterity::diagnostics::{
    CalibrationProblem, CalibrationRun, CalibrationWarning, Deviation, ModelProblem, Sbc, SbcReport, Simulations, Tarp,
    TarpReport,
};
use posterity::model::zoo::analytic;
use posterity::model::{LogP, Model, Space, Values, WithGradient};
use posterity::parallel::Threads;
use posterity::rng::{Purpose, Stream};
use posterity::vi::{Family, Fit, FullRank, MeanField, Objective, Vi};

/// theta ~ N(0, I), x ~ N(theta, I). The posterior is N(x/2, I/2).
struct Gaussian {
    dim: usize,
}

impl CalibrationProblem for Gaussian {
    type Data = Vec<f64>;

    fn parameter_names(&self) -> Vec<String> {
        (0..self.dim).map(|k| format!("theta[{k}]")).collect()
    }

    fn simulate(&self, rng: &mut Stream) -> Result<(Vec<f64>, Vec<f64>), Error> {
        let theta = standard_normal(self.dim, rng);
        let data = theta.iter().map(|theta| theta + rng.normal()).collect();
        Ok((theta, data))
    }

    fn log_likelihood(&self, parameters: &[f64], data: &Vec<f64>) -> Result<Option<f64>, Error> {
        Ok(Some(-0.5 * parameters.iter().zip(data).map(|(theta, x)| (x - theta).powi(2)).sum::<f64>()))
    }
}

fn standard_normal(n: usize, rng: &mut Stream) -> Vec<f64> {
    (0..n).map(|_| rng.normal()).collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Sampler {
    Exact,
    /// 0.7 of the standard deviation.
    Narrow,
    /// 1.4 of it.
    Wide,
    /// Half a standard deviation too high.
    Shifted,
    /// The prior, whatever the data.
    Prior,
    /// Right margins, all correlations 0.9.
    Correlated,
}

const WRONG: [Sampler; 5] = [Sampler::Narrow, Sampler::Wide, Sampler::Shifted, Sampler::Prior, Sampler::Correlated];

impl Sampler {
    fn draws(self, data: &[f64], n: usize, seed: u64) -> Array2<f64> {
        let rng = &mut Stream::new(seed);
        let sd = 0.5_f64.sqrt();
        let mut draws = Array2::zeros((n, data.len()));
        for mut draw in draws.rows_mut() {
            let common = rng.normal();
            for (entry, x) in draw.iter_mut().zip(data) {
                let z = rng.normal();
                *entry = match self {
                    Self::Exact => x / 2.0 + sd * z,
                    Self::Narrow => x / 2.0 + 0.7 * sd * z,
                    Self::Wide => x / 2.0 + 1.4 * sd * z,
                    Self::Shifted => x / 2.0 + sd * (z + 0.5),
                    Self::Prior => z,
                    Self::Correlated => x / 2.0 + sd * (0.9_f64.sqrt() * common + 0.1_f64.sqrt() * z),
                };
            }
        }
        draws
    }

    fn simulations(self, dim: usize, n: usize, n_draws: usize, seed: u64) -> Simulations<Vec<f64>> {
        let run = CalibrationRun::new(seed).simulations(n).draws(n_draws);
        run.run(&Gaussian { dim }, |data: &Vec<f64>, seed| Ok(self.draws(data, n_draws, seed))).unwrap()
    }

    fn tests(self, dim: usize, n: usize, n_draws: usize, seed: u64) -> (SbcReport, TarpReport) {
        let (problem, simulations) = (Gaussian { dim }, self.simulations(dim, n, n_draws, seed));
        (Sbc::new().test(&problem, &simulations).unwrap(), Tarp::new().test(&problem, &simulations).unwrap())
    }
}

/// What an exact sampler has to stay above: some twenty p-values of this file. With 60 other seeds none of the tests here failed.
const CHANCE: f64 = 1e-4;

/// p-values of coordinates, log-likelihood and TARP: the products are left out, so that each of these three has to do its part.
fn restricted(sbc: &SbcReport, tarp: &TarpReport) -> [f64; 3] {
    let least = |of_likelihood: bool| {
        let rows = sbc.rows().iter().filter(|row| !row.name.contains('*') && (row.name == "log likelihood") == of_likelihood);
        let (least, n) = rows.fold((1.0_f64, 0), |(least, n), row| (row.p_value.min(least), n + 1));
        (f64::from(n) * least).min(1.0)
    };
    [least(false), least(true), tarp.p_value()]
}

#[test]
fn the_exact_sampler_passes_and_five_wrong_ones_do_not() {
    for (dim, n) in [(2, 1000), (10, 250)] {
        let (sbc, tarp) = Sampler::Exact.tests(dim, n, 99, 1);
        assert!(sbc.p_value() > CHANCE && tarp.p_value() > CHANCE, "{sbc}{tarp}");
        for wrong in WRONG {
            let (sbc, tarp) = wrong.tests(dim, n, 99, 1);
            let restricted = restricted(&sbc, &tarp);
            assert!(restricted.iter().any(|&p| p < 1e-3), "{wrong:?} in {dim} dimensions: {restricted:?}\n{sbc}{tarp}");
            assert!(sbc.p_value() < 1e-6, "{wrong:?} in {dim} dimensions\n{sbc}");
        }
    }
}

#[test]
fn the_report_says_what_is_wrong() {
    let deviation = |wrong: Sampler| {
        let (sbc, _) = wrong.tests(2, 600, 99, 2);
        let row = sbc.row("theta[1]").unwrap();
        assert!(row.p_adjusted < 1e-3 && sbc.rejected(1e-3).any(|rejected| rejected == row), "{sbc}");
        let text = sbc.to_string();
        assert!(text.lines().any(|line| line.starts_with("theta[1]") && line.ends_with(&row.deviation.to_string())), "{text}");
        row.deviation
    };
    assert_eq!(deviation(Sampler::Narrow), Deviation::TooNarrow);
    assert_eq!(deviation(Sampler::Wide), Deviation::TooWide);
    assert_eq!(deviation(Sampler::Shifted), Deviation::TooHigh);
    // Central intervals of 80 % cover too little: 0.7 · 1.28 standard deviations hold 63 %; standard error 0.02.
    let (sbc, _) = Sampler::Narrow.tests(2, 600, 99, 2);
    let coverage = sbc.rows()[0].coverage(0.8);
    assert!((coverage - 0.63).abs() < 0.1, "{coverage}");
}

/// A sampler that ignores the data: every test that looks at parameters alone is passed, as is TARP with references that know
/// nothing of the data, be they independent or the sampler's own draws.
#[test]
fn only_what_knows_the_data_sees_a_sampler_of_the_prior() {
    let (problem, simulations) = (Gaussian { dim: 2 }, Sampler::Prior.simulations(2, 300, 99, 3));
    let sbc = Sbc::new().test(&problem, &simulations).unwrap();
    for row in sbc.rows() {
        assert_eq!(row.name == "log likelihood", row.p_value < CHANCE, "{sbc}");
    }
    assert!(sbc.row("log likelihood").unwrap().p_value < 1e-20, "{sbc}");
    let p = |tarp: Tarp<'_, Vec<f64>>| tarp.test(&problem, &simulations).unwrap().p_value();
    assert!(p(Tarp::new().references(|_, rng| standard_normal(2, rng))) > CHANCE);
    assert!(p(Tarp::new().held_out_references()) > CHANCE);
    assert!(p(Tarp::new()) < 1e-10);
    assert!(p(Tarp::new().references(|x: &Vec<f64>, rng| x.iter().map(|x| x + rng.normal()).collect())) < 1e-10);
}

/// Without a likelihood the reports say what they cannot see.
#[test]
fn a_missing_likelihood_is_pointed_out() {
    struct Blind(Gaussian);
    impl CalibrationProblem for Blind {
        type Data = Vec<f64>;
        fn parameter_names(&self) -> Vec<String> {
            self.0.parameter_names()
        }
        fn simulate(&self, rng: &mut Stream) -> Result<(Vec<f64>, Vec<f64>), Error> {
            self.0.simulate(rng)
        }
    }
    let (problem, simulations) = (Blind(Gaussian { dim: 2 }), Sampler::Prior.simulations(2, 100, 99, 4));
    let (sbc, tarp) = (Sbc::new().test(&problem, &simulations).unwrap(), Tarp::new().test(&problem, &simulations).unwrap());
    assert!(sbc.row("log likelihood").is_none() && sbc.p_value() > CHANCE && tarp.p_value() > CHANCE);
    assert_eq!(sbc.warnings(), [CalibrationWarning::NoLogLikelihood]);
    assert_eq!(tarp.warnings(), [CalibrationWarning::HeldOutReferences]);
    assert_eq!(tarp.n_draws(), 98);
    assert!(tarp.to_string().contains("if it ignores the data, so do they"), "{tarp}");
}

/// p-values of an exact sampler: TARP's is uniform, those of SBC are at most so, the global one is conservative.
#[test]
fn false_alarms_are_as_rare_as_promised() {
    const REPEATS: usize = 120;
    let mut counts = [0; 4];
    for seed in 0..REPEATS as u64 {
        let (sbc, tarp) = Sampler::Exact.tests(2, 60, 39, 100 + seed);
        let row = sbc.row("log likelihood").unwrap();
        counts[0] += usize::from(tarp.p_value() <= 0.25);
        counts[1] += usize::from(row.p_ecdf <= 0.25);
        counts[2] += usize::from(row.p_chi_squared <= 0.25);
        counts[3] += usize::from(sbc.p_value() <= 0.25);
    }
    // Binomial: 30 ± 4.7. Four standard errors above, and for the continuous statistic below; the global p-value has room to
    // spare.
    assert!((11..=49).contains(&counts[0]), "{counts:?}");
    assert!(counts[1..].iter().all(|&n| n <= 49), "{counts:?}");
}

/// theta ~ Exp(1), x ~ Poisson(theta): the posterior is Gamma(1 + x, 2), skewed. `mirrored` about its mean it has the same mean
/// and variance.
struct Counts;

impl CalibrationProblem for Counts {
    type Data = u32;

    fn parameter_names(&self) -> Vec<String> {
        vec!["theta".to_owned()]
    }

    fn simulate(&self, rng: &mut Stream) -> Result<(Vec<f64>, u32), Error> {
        let theta = -rng.uniform_positive().ln();
        // Arrivals of a Poisson process before theta.
        let (mut time, mut count) = (-rng.uniform_positive().ln(), 0);
        while time < theta {
            time -= rng.uniform_positive().ln();
            count += 1;
        }
        Ok((vec![theta], count))
    }

    fn log_likelihood(&self, parameters: &[f64], data: &u32) -> Result<Option<f64>, Error> {
        let log_rate = if *data == 0 { 0.0 } else { parameters[0].max(0.0).ln() };
        Ok(Some(f64::from(*data) * log_rate - parameters[0]))
    }
}

#[test]
fn a_mirrored_posterior_is_seen_on_a_skewed_target() {
    let tests = |mirrored: bool| {
        let run = CalibrationRun::new(5).simulations(500);
        let sampler = |x: &u32, seed: u64| {
            let rng = &mut Stream::new(seed);
            let mean = f64::from(x + 1) / 2.0;
            Ok(Array2::from_shape_simple_fn((99, 1), || {
                let draw = -0.5 * (0..=*x).map(|_| rng.uniform_positive().ln()).sum::<f64>();
                if mirrored { 2.0 * mean - draw } else { draw }
            }))
        };
        let simulations = run.run(&Counts, sampler).unwrap();
        (Sbc::new().pairs(0).test(&Counts, &simulations).unwrap(), Tarp::new().test(&Counts, &simulations).unwrap())
    };
    let (sbc, tarp) = tests(false);
    assert!(sbc.p_value() > CHANCE && tarp.p_value() > CHANCE, "{sbc}{tarp}");
    let (sbc, _) = tests(true);
    assert!(sbc.row("theta").unwrap().p_value < 1e-6, "{sbc}");
}

/// A parameter with two values: all ranks are ties.
#[test]
fn ties_do_not_reject_an_exact_sampler() {
    struct Switch;
    impl CalibrationProblem for Switch {
        type Data = f64;
        fn parameter_names(&self) -> Vec<String> {
            vec!["on".to_owned()]
        }
        fn simulate(&self, rng: &mut Stream) -> Result<(Vec<f64>, f64), Error> {
            let on = f64::from(u8::from(rng.coin()));
            Ok((vec![on], on + rng.normal()))
        }
        fn log_likelihood(&self, parameters: &[f64], data: &f64) -> Result<Option<f64>, Error> {
            Ok(Some(-0.5 * (data - parameters[0]).powi(2)))
        }
    }
    let p_values = |factor: f64| {
        let sampler = |x: &f64, seed: u64| {
            let rng = &mut Stream::new(seed);
            let probability = 1.0 / (1.0 + (factor * (0.5 - x)).exp());
            Ok(Array2::from_shape_simple_fn((99, 1), || f64::from(u8::from(rng.uniform() < probability))))
        };
        let simulations = CalibrationRun::new(6).simulations(800).run(&Switch, sampler).unwrap();
        let sbc = Sbc::new().test(&Switch, &simulations).unwrap();
        (sbc.p_value(), Tarp::new().test(&Switch, &simulations).unwrap().p_value())
    };
    let (sbc, tarp) = p_values(1.0);
    assert!(sbc > CHANCE && tarp > CHANCE, "{sbc} {tarp}");
    // Overconfident: the log odds count three times.
    let (sbc, _) = p_values(3.0);
    assert!(sbc < 1e-6, "{sbc}");
}

/// A stationary autoregression within each posterior: right margins, draws that are not independent.
fn autoregressive(data: &[f64], n: usize, seed: u64) -> Array2<f64> {
    const PERSISTENCE: f64 = 0.95;
    let rng = &mut Stream::new(seed);
    let mut z = standard_normal(data.len(), rng);
    let mut draws = Array2::zeros((n, data.len()));
    for mut draw in draws.rows_mut() {
        for ((entry, z), x) in draw.iter_mut().zip(&mut z).zip(data) {
            *z = PERSISTENCE * *z + (1.0 - PERSISTENCE * PERSISTENCE).sqrt() * rng.normal();
            *entry = x / 2.0 + 0.5_f64.sqrt() * *z;
        }
    }
    draws
}

#[test]
fn correlated_draws_are_rejected_until_they_are_thinned() {
    let problem = Gaussian { dim: 1 };
    let run = CalibrationRun::new(7).simulations(500);
    let dense = run.run(&problem, |x: &Vec<f64>, seed| Ok(autoregressive(x, 99, seed))).unwrap();
    let sbc = Sbc::new().test(&problem, &dense).unwrap();
    assert!(sbc.p_value() < 1e-6 && sbc.rows()[0].deviation == Deviation::TooNarrow, "{sbc}");
    let CalibrationWarning::Correlated { name, ess_per_draw } = &sbc.warnings()[0] else { panic!("{sbc}") };
    assert!(name == "theta[0]" && *ess_per_draw < 0.3, "{sbc}");
    let thinned = run.thin().run(&problem, |x: &Vec<f64>, seed| Ok(autoregressive(x, 99 * 80, seed))).unwrap();
    let sbc = Sbc::new().test(&problem, &thinned).unwrap();
    assert!(sbc.p_value() > CHANCE && sbc.warnings().is_empty(), "{sbc}");
}

/// theta ~ N(0, I) and a regression with XᵀX = [[4, 3], [3, 4]] and unit noise, of which Xᵀy is kept. The posterior has precision
/// [[5, 3], [3, 5]]: correlation -0.6, and standard deviations 1.25 times those of the best normal with independent coordinates, whose weights have
/// k = 1 - 2/5.
struct CorrelatedColumns;

impl CalibrationProblem for CorrelatedColumns {
    type Data = [f64; 2];

    fn parameter_names(&self) -> Vec<String> {
        vec!["theta[0]".to_owned(), "theta[1]".to_owned()]
    }

    fn simulate(&self, rng: &mut Stream) -> Result<(Vec<f64>, [f64; 2]), Error> {
        let theta = standard_normal(2, rng);
        let common = 3.0_f64.sqrt() * rng.normal();
        let data = [4.0 * theta[0] + 3.0 * theta[1], 3.0 * theta[0] + 4.0 * theta[1]];
        Ok((theta, data.map(|mean| mean + common + rng.normal())))
    }

    fn log_likelihood(&self, theta: &[f64], data: &[f64; 2]) -> Result<Option<f64>, Error> {
        let square = 4.0 * (theta[0] * theta[0] + theta[1] * theta[1]) + 6.0 * theta[0] * theta[1];
        Ok(Some(theta[0] * data[0] + theta[1] * data[1] - 0.5 * square))
    }
}

fn fit_of_columns(family: impl Family + 'static, data: &[f64; 2], seed: u64) -> Result<Fit, Error> {
    let mean = array![5.0 * data[0] - 3.0 * data[1], 5.0 * data[1] - 3.0 * data[0]] / 16.0;
    let posterior = analytic::Gaussian::new(mean, &(array![[5.0, -3.0], [-3.0, 5.0]] / 16.0))?;
    let vi = Vi::new(family).objective(Objective::elbo(4)).n_iterations(300).n_draws(2000).threads(Threads::serial());
    vi.fit(&WithGradient(posterior), seed)
}

/// Over 50 seeds none of this fails; the largest p-value of the raw draws was 1.4e-9.
#[test]
fn a_fit_without_correlations_is_rejected_unless_its_draws_are_weighted() {
    let p_values = |is_full: bool, is_weighted: bool| {
        let sampler = |data: &[f64; 2], seed: u64| {
            let fit = if is_full { fit_of_columns(FullRank, data, seed) } else { fit_of_columns(MeanField, data, seed) }?;
            Ok(match is_weighted {
                true => fit.positions().select(Axis(0), &fit.psis().resample(99, &mut Stream::new(seed))),
                false => fit.positions().slice(s![..99, ..]).to_owned(),
            })
        };
        let simulations = CalibrationRun::new(12).simulations(200).run(&CorrelatedColumns, sampler).unwrap();
        let sbc = Sbc::new().test(&CorrelatedColumns, &simulations).unwrap();
        (sbc.p_value(), Tarp::new().test(&CorrelatedColumns, &simulations).unwrap().p_value())
    };
    let (sbc, _) = p_values(false, false);
    assert!(sbc < 1e-6, "{sbc}");
    for (is_full, is_weighted) in [(true, false), (true, true), (false, true)] {
        let (sbc, tarp) = p_values(is_full, is_weighted);
        assert!(sbc > CHANCE && tarp > CHANCE, "full rank: {is_full}, weighted: {is_weighted}: {sbc} {tarp}");
    }
}

#[test]
fn thinning_keeps_evenly_spaced_draws() {
    let sampler = |_: &Vec<f64>, _| Ok(Array2::from_shape_fn((10, 1), |(i, _)| i as f64));
    let simulations = CalibrationRun::new(1).simulations(20).draws(4).thin().run(&Gaussian { dim: 1 }, sampler).unwrap();
    assert_eq!(simulations.draws(19).unwrap().column(0).to_vec(), [1.0, 3.0, 6.0, 8.0]);
    assert!(simulations.draws(20).is_none() && simulations.parameters(20).is_none() && simulations.data(20).is_none());
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let reports = |threads: usize| {
        let problem = Gaussian { dim: 3 };
        let run = CalibrationRun::new(8).simulations(130).draws(19).threads(threads);
        let simulations = run.run(&problem, |x: &Vec<f64>, seed| Ok(Sampler::Exact.draws(x, 19, seed))).unwrap();
        let product = Sbc::new().function("sum of squares", |theta, x: &Vec<f64>| theta.iter().zip(x).map(|(t, x)| t * x).sum());
        let sbc = product.test(&problem, &simulations).unwrap();
        (
            sbc,
            Tarp::new().test(&problem, &simulations).unwrap(),
            Tarp::new().held_out_references().test(&problem, &simulations).unwrap(),
        )
    };
    let one = reports(1);
    assert_eq!(one.0.rows().len(), 3 + 1 + 3 + 1);
    for threads in [2, 4] {
        assert!(one == reports(threads), "{threads} threads");
    }
}

#[test]
fn failures_are_counted_and_not_dropped_in_silence() {
    let problem = Gaussian { dim: 2 };
    let run = CalibrationRun::new(9).simulations(100).draws(19);
    let all = run.run(&problem, |x: &Vec<f64>, seed| Ok(Sampler::Exact.draws(x, 19, seed))).unwrap();
    let failing = |x: &Vec<f64>, seed: u64| match x == all.data(7).unwrap() {
        true => Err(Error::Stopped { iterations: 3 }),
        false => Ok(Sampler::Exact.draws(x, 19, seed)),
    };
    let error = run.run(&problem, failing).unwrap_err();
    let Error::TooManyFailures { failed: 1, allowed: 0, simulation: 7, source } = error else { panic!("{error}") };
    assert!(matches!(*source, Error::Stopped { .. }));

    let some = run.clone().allow_failures(0.01).run(&problem, failing).unwrap();
    assert_eq!((some.n_simulations(), some.failures().len(), some.failures()[0].simulation), (99, 1, 7));
    let of_all = Sbc::new().test(&problem, &all).unwrap();
    let of_some = Sbc::new().test(&problem, &some).unwrap();
    assert_eq!(of_some.warnings()[0], CalibrationWarning::Failures { failed: 1, total: 100 });
    // The other simulations are what they were.
    for (a, b) in of_all.rows().iter().zip(of_some.rows()) {
        assert!(a.ranks[..7] == b.ranks[..7] && a.ranks[8..] == b.ranks[7..]);
    }

    // A hopeless sampler is given up early.
    let calls = AtomicUsize::new(0);
    let hopeless = |_: &Vec<f64>, _| {
        calls.fetch_add(1, Ordering::Relaxed);
        Ok(Array2::from_elem((19, 2), f64::NAN))
    };
    let error = run.simulations(1000).run(&problem, hopeless).unwrap_err();
    let Error::TooManyFailures { simulation: 0, source, .. } = error else { panic!("{error}") };
    assert!(matches!(*source, Error::NotFinite { what: "draws", .. }));
    assert!(calls.into_inner() < 100);
}

/// p ~ Beta(1, 1/20), y ~ N(p, 1): a draw of p, 1 - U²⁰, rounds to 1 with probability 2^(-54/20) = 0.15.
#[derive(Debug)]
struct NearOne {
    y: f64,
}

impl Model for NearOne {
    type Parameters<T: Real> = T;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> T {
        space.probability("p")
    }

    fn log_prior<T: Real>(&self, p: &T, lp: &mut LogP<T>) {
        lp.beta(p, &1.0, &0.05);
    }

    fn log_likelihood<T: Real>(&self, p: &T, lp: &mut LogP<T>) {
        lp.normal(&self.y, p, &1.0);
    }

    fn predict(&self, p: &Value, rng: &mut Stream, out: &mut Values) {
        out.set("y", p.value() + rng.normal());
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        out.set("p", 1.0 - rng.uniform_positive().powi(20));
        true
    }
}

/// Draws from the prior that are no parameters count as failures: were they drawn anew, or the truths moved off the bound, nothing would tell that
/// truths are of another prior than the sampler's.
#[test]
fn prior_draws_on_a_bound_are_failures_of_their_own_kind() {
    let with_data = |values: &Values| Ok(NearOne { y: values.get("y").map_or(f64::NAN, |y| y[0]) });
    let problem = ModelProblem::new(NearOne { y: 0.0 }, with_data).unwrap();
    let draws = |seed| Array2::from_shape_vec((19, 1), standard_normal(19, &mut Stream::new(seed))).unwrap();
    let run = CalibrationRun::new(12).simulations(200).draws(19);
    // The prior's draw is the first number of a simulation's stream.
    let rounds = |i: &usize| {
        let p = 1.0 - Stream::keyed(12, Purpose::Calibration, 0, *i as u64).uniform_positive().powi(20);
        p.to_bits() == 1.0_f64.to_bits()
    };
    let expected: Vec<usize> = (0..200).filter(rounds).collect();
    // 31 ± 5.1
    assert!((10..=52).contains(&expected.len()), "{expected:?}");

    let error = run.run(&problem, |_, seed| Ok(draws(seed))).unwrap_err();
    let Error::TooManyFailures { allowed: 0, simulation, source, .. } = error else { panic!("{error}") };
    assert_eq!(simulation, expected[0]);
    let Error::PriorDraw { source } = *source else { panic!("{source}") };
    assert!(matches!(*source, Error::OutsideSupport { value: 1.0, .. }), "{source}");

    let run = run.allow_failures(0.4);
    let simulations = run.run(&problem, |_, seed| Ok(draws(seed))).unwrap();
    assert_eq!(simulations.failures().iter().map(|failure| failure.simulation).collect::<Vec<_>>(), expected);
    assert!(simulations.failures().iter().all(|failure| matches!(failure.error, Error::PriorDraw { .. })));
    let warning = CalibrationWarning::PriorDraws { failed: expected.len(), total: 200 };
    for (warnings, text) in [
        Sbc::new().test(&problem, &simulations).map(|sbc| (sbc.warnings().to_vec(), sbc.to_string())).unwrap(),
        // Some of its candidates round to 1 as well.
        Tarp::new().test(&problem, &simulations).map(|tarp| (tarp.warnings().to_vec(), tarp.to_string())).unwrap(),
    ] {
        assert_eq!(warnings[0], warning);
        assert!(!text.contains("The sampler failed") && text.contains("of 200 draws from the prior round to a bound"), "{text}");
    }

    // Beside failures of the sampler.
    let failing = |data: &NearOne, seed| match data.y > 2.0 {
        true => Err(Error::Stopped { iterations: 3 }),
        false => Ok(draws(seed)),
    };
    let simulations = run.run(&problem, failing).unwrap();
    let failed = simulations.failures().len() - expected.len();
    let warnings = Sbc::new().test(&problem, &simulations).unwrap().warnings().to_vec();
    assert!(failed > 0);
    assert_eq!(warnings[..2], [CalibrationWarning::Failures { failed, total: 200 }, warning]);
}

/// The likelihoods of all draws of a simulation, and of all candidates, come from one call each.
#[test]
fn likelihoods_of_the_same_data_are_asked_for_together() {
    struct Counted(Gaussian, AtomicUsize, usize);
    impl CalibrationProblem for Counted {
        type Data = Vec<f64>;
        fn parameter_names(&self) -> Vec<String> {
            self.0.parameter_names()
        }
        fn simulate(&self, rng: &mut Stream) -> Result<(Vec<f64>, Vec<f64>), Error> {
            self.0.simulate(rng)
        }
        fn log_likelihood(&self, parameters: &[f64], data: &Vec<f64>) -> Result<Option<f64>, Error> {
            self.0.log_likelihood(parameters, data)
        }
        fn log_likelihoods(&self, parameters: &[&[f64]], data: &Vec<f64>) -> Result<Option<Vec<f64>>, Error> {
            self.1.fetch_add(1, Ordering::Relaxed);
            let all = self.0.log_likelihoods(parameters, data)?;
            Ok(all.map(|all| all[self.2..].to_vec()))
        }
    }
    let simulations = Sampler::Exact.simulations(2, 30, 19, 13);
    let problem = Counted(Gaussian { dim: 2 }, AtomicUsize::new(0), 0);
    let sbc = Sbc::new().test(&problem, &simulations).unwrap();
    assert_eq!(problem.1.swap(0, Ordering::Relaxed), 30);
    let tarp = Tarp::new().test(&problem, &simulations).unwrap();
    assert_eq!(problem.1.into_inner(), 30);
    let plain = Gaussian { dim: 2 };
    assert!(sbc == Sbc::new().test(&plain, &simulations).unwrap() && tarp == Tarp::new().test(&plain, &simulations).unwrap());
    // Too few of them.
    let short = Counted(Gaussian { dim: 2 }, AtomicUsize::new(0), 1);
    for error in [Sbc::new().test(&short, &simulations).unwrap_err(), Tarp::new().test(&short, &simulations).unwrap_err()] {
        assert!(matches!(inner(error), Error::Dimension { what: "log-likelihoods", .. }));
    }
}

fn inner(error: Error) -> Error {
    match error {
        Error::Simulation { source, .. } => *source,
        other => panic!("{other}"),
    }
}

#[test]
fn wrong_input_is_a_typed_error() {
    let problem = Gaussian { dim: 2 };
    let exact = |x: &Vec<f64>, seed| Ok(Sampler::Exact.draws(x, 19, seed));
    let run = CalibrationRun::new(10).simulations(20).draws(19);
    for (bad, setting) in [
        (run.clone().simulations(19), "simulations"),
        (run.clone().draws(0), "draws"),
        (run.clone().allow_failures(f64::NAN), "share of failures"),
        (run.clone().allow_failures(0.5), "share of failures"),
    ] {
        let error = bad.run(&problem, exact).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { setting: found, .. } if found == setting), "{error}");
    }
    assert!(matches!(run.run(&Gaussian { dim: 0 }, exact), Err(Error::NoParameters)));
    // Another number of draws, also with thinning, and of parameters: allowed failures do not cover them.
    let lenient = run.clone().allow_failures(0.4);
    for (run, shape) in
        [(lenient.clone(), (18, 2)), (lenient.clone(), (20, 2)), (lenient.clone().thin(), (18, 2)), (lenient, (19, 3))]
    {
        let error = run.run(&problem, |_, _| Ok(Array2::zeros(shape))).unwrap_err();
        assert!(matches!(inner(error), Error::Dimension { .. }));
    }

    let simulations = run.run(&problem, exact).unwrap();
    let sbc = |sbc: Sbc<'_, Vec<f64>>| sbc.test(&problem, &simulations).unwrap_err();
    assert!(matches!(sbc(Sbc::new().cells(7)), Error::InvalidSetting { setting: "cells", .. }));
    assert!(matches!(sbc(Sbc::new().band(1.0)), Error::InvalidSetting { setting: "level of the band", .. }));
    let nan = inner(sbc(Sbc::new().function("root", |theta, _| theta[0].sqrt())));
    assert!(matches!(nan, Error::TestFunction { name } if name == "root"));
    let tarp = |tarp: Tarp<'_, Vec<f64>>| tarp.test(&problem, &simulations).unwrap_err();
    assert!(matches!(tarp(Tarp::new().candidates(0)), Error::InvalidSetting { setting: "candidates", .. }));
    assert!(matches!(tarp(Tarp::new().bootstrap(1)), Error::InvalidSetting { setting: "bootstrap samples", .. }));
    assert!(matches!(tarp(Tarp::new().band(f64::NAN)), Error::InvalidSetting { setting: "level of the band", .. }));
    assert!(matches!(inner(tarp(Tarp::new().references(|_, _| vec![0.0]))), Error::Dimension { expected: 2, found: 1, .. }));
    assert!(matches!(inner(tarp(Tarp::new().references(|_, _| vec![0.0, f64::INFINITY]))), Error::NotFinite { index: 1, .. }));
}

/// Draws made elsewhere; infinite values of a function are ordered like others.
#[test]
fn simulations_from_elsewhere() {
    let from = Sampler::Exact.simulations(2, 40, 19, 11);
    let parameters = Array2::from_shape_fn((40, 2), |(i, k)| from.parameters(i).unwrap()[k]);
    let draws = Array3::from_shape_fn((40, 19, 2), |(i, l, k)| from.draws(i).unwrap()[[l, k]]);
    let data: Vec<Vec<f64>> = (0..40).map(|i| from.data(i).unwrap().clone()).collect();
    let names = || vec!["theta[0]".to_owned(), "theta[1]".to_owned()];
    let problem = Gaussian { dim: 2 };
    let copy = Simulations::new(11, names(), parameters.view(), data.clone(), &draws).unwrap();
    assert!(Sbc::new().test(&problem, &copy).unwrap() == Sbc::new().test(&problem, &from).unwrap());
    let infinite = Sbc::new().function("log", |theta, _| theta[0].max(0.0).ln()).test(&problem, &copy).unwrap();
    assert!(infinite.row("log").unwrap().p_value > CHANCE);
    assert!(infinite.warnings().contains(&CalibrationWarning::FewSimulations { n_simulations: 40 }));

    let short = Simulations::new(11, names(), parameters.view(), data[1..].to_vec(), &draws);
    assert!(matches!(short, Err(Error::Dimension { expected: 40, found: 39, .. })));
    let mut broken = draws.clone();
    broken[[3, 2, 1]] = f64::NEG_INFINITY;
    let broken = Simulations::new(11, names(), parameters.view(), data, &broken);
    assert!(matches!(broken, Err(Error::NotFinite { what: "draws", index: 119, .. })));
}
