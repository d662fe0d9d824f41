//! Models, data and settings that are wrong: typed errors that say what is wrong, or draws with warnings; never a hang or a panic.

use std::sync::atomic::{AtomicUsize, Ordering};

use posterity::adaptation::MetricForm;
use posterity::autodiff::{Real, Value};
use posterity::diagnostics::Warning;
use posterity::draws::Draws;
use posterity::kernels::{HmcConfig, TrajectoryLength};
use posterity::mcmc::{AdaptationConfig, Hmc, Mala, Nuts, RandomWalk, Run, Sampler, Start, prior_draws};
use posterity::model::{Labels, LogP, Model, Space, Target, Values, Variable};
use posterity::rng::Stream;
use posterity::{DensityError, Error, Result, StartFailure};

use super::harness::{Hand, normal, skewed};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Case {
    Fine,
    NanData,
    InfiniteData,
    EmptyData,
    UnequalLengths,
    NegativeScale,
    DuplicateName,
    /// Declares one more parameter from its second declaration on.
    GrowingParameters,
    /// Declares another shape with as many coordinates after some evaluations.
    ChangingShape,
    RejectsEverything,
    PanicInParameters,
    PanicInPrior,
    PanicLater,
    /// An interval that is empty where mu > 0.5.
    EmptyInterval,
    NoStatements,
    WrongCoordinates,
    GeneratedPanics,
    GeneratedNan,
    GeneratedChangesShape,
    GeneratedOnlySometimes,
    GeneratedHasAParametersName,
    GeneratedHasOtherCoordinates,
    PriorDrawOutsideSupport,
    PriorDrawIncomplete,
    PriorDrawPanics,
}

/// mu ~ N(0, 1), sigma ~ Exponential(1), y ~ N(mu, sigma), with one thing wrong.
struct Odd {
    case: Case,
    declarations: AtomicUsize,
    generated: AtomicUsize,
    y: Vec<f64>,
}

impl Odd {
    fn new(case: Case) -> Self {
        let y = match case {
            Case::NanData => vec![0.3, f64::NAN, 1.0],
            Case::InfiniteData => vec![0.3, 1.0, f64::NEG_INFINITY],
            Case::EmptyData => vec![],
            Case::Fine => (0..20).map(|i| 0.1 * f64::from(i) - 0.7).collect(),
            _ => vec![0.3, -0.4, 1.1],
        };
        Self { case, declarations: AtomicUsize::new(0), generated: AtomicUsize::new(0), y }
    }
}

impl Model for Odd {
    /// mu and sigma.
    type Parameters<T: Real> = (T, T);

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> (T, T) {
        let declarations = self.declarations.fetch_add(1, Ordering::Relaxed);
        assert!(self.case != Case::PanicInParameters, "no parameters today");
        if self.case == Case::ChangingShape && declarations > 1000 {
            let simplex = space.simplex("mu", 2);
            return (simplex[0], space.positive("sigma"));
        }
        let mu = space.real("mu");
        let sigma = match self.case {
            Case::EmptyInterval => space.interval("sigma", mu, 0.5),
            Case::DuplicateName => space.positive("mu"),
            _ => space.positive("sigma"),
        };
        if self.case == Case::GrowingParameters && declarations > 20 {
            space.real("more");
        }
        (mu, sigma)
    }

    fn log_prior<T: Real>(&self, &(mu, sigma): &(T, T), lp: &mut LogP<T>) {
        match self.case {
            Case::NoStatements => return,
            Case::PanicInPrior => panic!("no prior for {}", mu.value()),
            Case::RejectsEverything => lp.reject(DensityError::Rejected { reason: "never" }),
            Case::PanicLater => assert!(self.declarations.load(Ordering::Relaxed) < 2000, "enough of this"),
            _ => {}
        }
        lp.normal(&mu, &0.0, &1.0);
        if self.case != Case::EmptyInterval {
            lp.exponential(&sigma, &1.0);
        }
    }

    fn log_likelihood<T: Real>(&self, &(mu, sigma): &(T, T), lp: &mut LogP<T>) {
        match self.case {
            Case::NoStatements | Case::EmptyInterval => {}
            Case::UnequalLengths => lp.normal(&self.y, &mu, &[1.0, 2.0]),
            Case::NegativeScale => lp.normal(&self.y, &mu, &-sigma),
            _ => lp.normal(&self.y, &mu, &sigma),
        }
    }

    fn labels(&self, labels: &mut Labels) {
        if self.case == Case::WrongCoordinates {
            labels.dims("mu", &[]).dims("sigma", &["row"]);
        }
        if self.case == Case::GeneratedHasOtherCoordinates {
            labels.dims("z", &["row"]).coords("row", &["a", "b"]);
        }
    }

    fn generated(&self, &(mu, _): &(Value, Value), _: &mut Stream, out: &mut Values) {
        let n = self.generated.fetch_add(1, Ordering::Relaxed);
        let mu = mu.value();
        match self.case {
            Case::GeneratedPanics => assert!(n < 10, "tenth quantity"),
            Case::GeneratedNan => drop(out.set("z", if n % 10 == 3 { f64::NAN } else { mu })),
            Case::GeneratedChangesShape if n % 10 == 3 => drop(out.set_vector("z", &[mu])),
            Case::GeneratedChangesShape => drop(out.set_vector("z", &[mu, mu])),
            Case::GeneratedOnlySometimes if mu > 0.0 => drop(out.set("z", mu)),
            Case::GeneratedHasAParametersName => drop(out.set("mu", mu)),
            Case::GeneratedHasOtherCoordinates => drop(out.set_vector("z", &[mu, mu, mu])),
            _ => {}
        }
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        match self.case {
            Case::PriorDrawOutsideSupport => drop(out.set("mu", rng.normal()).set("sigma", -1.0)),
            Case::PriorDrawIncomplete => drop(out.set("mu", rng.normal())),
            Case::PriorDrawPanics => panic!("no draw"),
            _ => return false,
        }
        true
    }
}

fn short() -> Run {
    Run::new(3).chains(2).warmup(100).draws(100)
}

fn failure(case: Case) -> Error {
    let result = Nuts::default().sample(&Odd::new(case), short());
    result.map(|draws| draws.n_draws()).expect_err("this model cannot be sampled")
}

fn density_failure(case: Case) -> DensityError {
    match failure(case) {
        Error::Density(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_model_is_fine_where_nothing_is_wrong() {
    let draws = Nuts::default().sample(&Odd::new(Case::Fine), Run::new(3)).unwrap();
    assert!(draws.summary().is_trustworthy(), "{}", draws.summary());
}

#[test]
fn bad_data_end_the_run_and_are_named() {
    let nan = density_failure(Case::NanData);
    assert!(matches!(nan, DensityError::Data { index: 1, value, .. } if value.is_nan()), "{nan:?}");
    // Infinity is a value that a normal distribution never takes.
    assert!(matches!(failure(Case::InfiniteData), Error::NoStartPoint { cause: StartFailure::ZeroDensity, .. }));
    let empty = density_failure(Case::EmptyData);
    assert!(matches!(empty, DensityError::NoData { .. }), "{empty:?}");
    let unequal = density_failure(Case::UnequalLengths);
    assert!(matches!(unequal, DensityError::Length { expected: 3, found: 2, .. }), "{unequal:?}");
    assert_eq!(unequal.to_string(), "normal: expected length 3, found 2");
}

#[test]
fn a_model_that_fails_everywhere_has_no_start_point() {
    match failure(Case::NegativeScale) {
        Error::NoStartPoint {
            attempts: 100,
            cause: StartFailure::Failed(DensityError::Parameter { parameter, value, .. }),
            ..
        } => {
            assert!(parameter == "sd" && value < 0.0);
        }
        other => panic!("{other:?}"),
    }
    let error = failure(Case::RejectsEverything);
    assert!(error.to_string().ends_with("the model rejected the point: never"), "{error}");
}

#[test]
fn zero_density_everywhere_names_the_parameter_that_decides() {
    let variables = || vec![Variable::new("a", &[]), Variable::new("b", &[2])];
    let needle = Hand::named(variables(), |q: &[f64], g: &mut [f64]| {
        g.fill(0.0);
        Ok(if q[2] == 0.0 { 0.0 } else { f64::NEG_INFINITY })
    });
    let error = Nuts::default().sample(&needle, short()).unwrap_err();
    match &error {
        Error::NoStartPoint { attempts: 100, parameter, value, cause: StartFailure::ZeroDensity } => {
            assert_eq!(parameter, "b[1]");
            // The hundredth attempt lies in the box of half width 2/2⁹.
            assert!(*value != 0.0 && value.abs() < 0.004);
        }
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().contains("b[1] = "), "{error}");
    // Where there is no density at all, the first parameter is shown.
    let nowhere = Hand::named(variables(), |_: &[f64], _: &mut [f64]| Ok(f64::NEG_INFINITY));
    let error = RandomWalk::default().sample(&nowhere, short()).unwrap_err();
    assert!(matches!(error, Error::NoStartPoint { ref parameter, .. } if parameter == "a"), "{error:?}");
}

#[test]
fn a_model_that_declares_its_parameters_wrongly_is_refused() {
    assert!(matches!(failure(Case::DuplicateName), Error::DuplicateVariable { name } if name == "mu"));
    let error = density_failure(Case::GrowingParameters);
    assert!(matches!(error, DensityError::Dimension { expected: 3, found: 2 }), "{error:?}");
    match failure(Case::ChangingShape) {
        Error::Chain { source, .. } => assert!(matches!(*source, Error::Dimension { expected: 2, found: 3, .. }), "{source:?}"),
        other => panic!("{other:?}"),
    }
    let twice = Hand::named(vec![Variable::new("a", &[]), Variable::new("a", &[])], normal(1.0));
    let error = Nuts::default().sample(&twice, short()).unwrap_err();
    assert!(matches!(error, Error::DuplicateVariable { name } if name == "a"));
    assert_eq!(twice.0.take_calls(), 0, "found before any work is done");
    let nothing = Hand::target(0, normal(1.0));
    assert!(matches!(Nuts::default().sample(&nothing, short()), Err(Error::NoParameters)));
    assert!(matches!(prior_draws(&nothing, short()), Err(Error::NoParameters)));
}

#[test]
fn a_panic_is_an_error_with_its_message() {
    let message = |error: DensityError| match error {
        DensityError::Panicked { message } => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(message(density_failure(Case::PanicInParameters)), "no parameters today");
    assert!(message(density_failure(Case::PanicInPrior)).starts_with("no prior for "));
    match failure(Case::PanicLater) {
        Error::Chain { source, .. } => match *source {
            Error::Density(error) => assert_eq!(message(error), "enough of this"),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Chains that would take hours end when one of them fails.
#[test]
fn a_panic_in_one_chain_ends_the_others() {
    let in_third = AtomicUsize::new(0);
    let target = Hand::target(1, |q: &[f64], g: &mut [f64]| {
        let centre = if q[0] > 500.0 { 1000.0 } else { 0.0 };
        let panics = centre > 0.0 && in_third.fetch_add(1, Ordering::Relaxed) >= 300;
        assert!(!panics, "too far out");
        g[0] = centre - q[0];
        Ok(-0.5 * g[0] * g[0])
    });
    let starts = [0.0, 0.1, 1000.0, 0.2].map(|q| vec![q]).to_vec();
    let run = Run::new(1).threads(4).warmup(100).draws(50_000_000).start(Start::Positions(starts));
    match Nuts::default().sample(&target, run).map(|_| ()) {
        Err(Error::Chain { chain: 2, iteration, source }) => {
            assert!(iteration > 0 && iteration < 300);
            assert!(matches!(*source, Error::Density(DensityError::Panicked { ref message }) if message == "too far out"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fatal_error_of_the_users_own_comes_back_whole() {
    let target = Hand::target(1, |q: &[f64], g: &mut [f64]| {
        if q[0] > 1.5 {
            let source = std::sync::Arc::new(std::io::Error::other("the simulator is gone"));
            return Err(DensityError::Model { recoverable: false, source });
        }
        normal(1.0)(q, g)
    });
    let error = Nuts::default().sample(&target, short().start(Start::Positions(vec![vec![0.0]]))).unwrap_err();
    let fits = match &error {
        Error::Chain { source, .. } => matches!(**source, Error::Density(DensityError::Model { recoverable: false, .. })),
        // Already met in the search for a step size.
        other => matches!(other, Error::Density(DensityError::Model { recoverable: false, .. })),
    };
    assert!(fits, "{error:?}");
    assert!(error.to_string().ends_with("the model failed: the simulator is gone"), "{error}");
}

/// A normal density that is not defined above 1.
fn half_broken(sampler: impl Sampler, broken: fn() -> Result<f64, DensityError>) {
    let target = Hand::target(2, move |q: &[f64], g: &mut [f64]| if q[0] > 1.0 { broken() } else { normal(1.0)(q, g) });
    let draws = sampler.sample(&target, Run::new(2).chains(4).warmup(300).draws(300)).unwrap();
    assert!(draws.posterior().values().iter().all(|x| x.is_finite()));
    assert!(draws.element("q[0]").unwrap().iter().all(|&x| x <= 1.0));
    let n_divergences: usize = draws.divergences().unwrap().iter().sum();
    assert!(n_divergences > 20, "{}: {n_divergences}", sampler.name());
    let warned =
        draws.summary().warnings().iter().any(|w| matches!(w, Warning::Divergences { count, .. } if *count == n_divergences));
    assert!(warned, "{}", draws.summary());
}

#[test]
fn a_region_without_a_density_is_counted_as_divergences() {
    let broken: [fn() -> Result<f64, DensityError>; 4] = [
        || Ok(f64::NAN),
        || Ok(f64::INFINITY),
        || Err(DensityError::Rejected { reason: "above 1" }),
        || Err(DensityError::NotPositiveDefinite { what: "covariance", pivot: 1 }),
    ];
    for broken in broken {
        half_broken(Nuts::default(), broken);
        half_broken(Hmc::default(), broken);
        half_broken(Mala::default(), broken);
        half_broken(RandomWalk::default(), broken);
    }
}

#[test]
fn an_interval_whose_ends_cross_is_avoided() {
    let draws = Nuts::default().sample(&Odd::new(Case::EmptyInterval), Run::new(1).chains(2)).unwrap();
    let (mu, sigma) = (draws.element("mu").unwrap(), draws.element("sigma").unwrap());
    for (&mu, &sigma) in mu.iter().zip(&sigma) {
        assert!(mu < 0.5 && sigma > mu && sigma < 0.5);
    }
}

#[test]
fn ten_thousand_dimensions_take_seconds() {
    struct Wide;
    impl Model for Wide {
        type Parameters<T: Real> = Vec<T>;
        fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Vec<T> {
            space.vector("x", 10_000)
        }
        fn log_prior<T: Real>(&self, x: &Vec<T>, lp: &mut LogP<T>) {
            lp.normal(x, &1.0, &2.0);
        }
        fn log_likelihood<T: Real>(&self, _: &Vec<T>, _: &mut LogP<T>) {}
    }
    let run = || Run::new(1).chains(1).warmup(30).draws(20);
    let check = |draws: Draws, name: &str, (mean, sd): (f64, f64)| {
        assert_eq!(draws.variable(name).unwrap().shape(), [1, 20, 10_000]);
        // Averages over 10,000 independent coordinates of each draw: relative standard error 1 %, times five.
        let last: Vec<f64> = draws.variable(name).unwrap().iter().skip(190_000).copied().collect();
        let found = last.iter().sum::<f64>() / 1e4;
        assert!((found - mean).abs() < 0.05 * sd, "{found}");
        let found = (last.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1e4).sqrt();
        assert!((found / sd - 1.0).abs() < 0.05, "{found}");
        assert_eq!(draws.summary().rows().len(), 10_000);
    };
    check(Nuts::default().sample(&Hand::target(10_000, normal(0.5)), run()).unwrap(), "q", (0.0, 0.5));
    check(Nuts::default().sample(&Wide, run()).unwrap(), "x", (1.0, 2.0));
}

fn setting(result: Result<Draws>) -> &'static str {
    match result {
        Err(Error::InvalidSetting { setting, .. }) => setting,
        other => panic!("{:?}", other.map(|_| "accepted")),
    }
}

#[test]
fn every_setting_of_a_run_is_checked() {
    let target = Hand::target(1, normal(1.0));
    let of = |run: Run| setting(Nuts::default().sample(&target, run));
    assert_eq!(of(short().chains(0)), "chains");
    assert_eq!(of(short().draws(0)), "draws");
    assert_eq!(of(short().threads(0)), "threads");
    for n in [usize::MAX, 1 << 32] {
        assert_eq!(of(short().warmup(n)), "warmup");
        assert_eq!(of(short().draws(n)), "draws");
        assert_eq!(of(short().chains(n)), "chains");
    }
    assert_eq!(setting(prior_draws(&target, short().draws(0))), "draws");
    assert_eq!(target.0.take_calls(), 0);
}

#[test]
fn every_setting_of_a_sampler_is_checked() {
    let target = Hand::target(1, normal(1.0));
    for bad in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
        assert_eq!(setting(Nuts::default().target_acceptance(bad).sample(&target, short())), "target_acceptance");
        assert_eq!(setting(Hmc::default().target_acceptance(bad).sample(&target, short())), "target_acceptance");
        assert_eq!(setting(Mala::default().target_acceptance(bad).sample(&target, short())), "target_acceptance");
        assert_eq!(setting(RandomWalk::default().target_acceptance(bad).sample(&target, short())), "target_acceptance");
    }
    assert_eq!(setting(Nuts::default().max_tree_depth(0).sample(&target, short())), "max_tree_depth");
    assert_eq!(setting(Nuts::default().max_tree_depth(25).sample(&target, short())), "max_tree_depth");
    assert_eq!(
        setting(Nuts::default().target_acceptance(f64::NAN).warm_up(&target, short()).map(|_| unreachable!())),
        "target_acceptance"
    );

    type Edit = fn(&mut AdaptationConfig, f64);
    let edits: [(&str, Edit, &[f64]); 6] = [
        ("gamma", |c, x| c.step_size.gamma = x, &[0.0, -1.0, f64::NAN, f64::INFINITY]),
        ("t0", |c, x| c.step_size.t0 = x, &[-1.0, f64::NAN, f64::INFINITY]),
        ("kappa", |c, x| c.step_size.kappa = x, &[0.5, 1.01, f64::NAN]),
        ("pull", |c, x| c.step_size.pull = x, &[0.0, f64::NAN]),
        ("cutoff", |c, x| c.metric.cutoff = x, &[0.9, f64::NAN, f64::INFINITY]),
        ("max_target_acceptance", |c, x| c.max_target_acceptance = x, &[0.0, 1.0, f64::NAN]),
    ];
    for (name, edit, values) in edits {
        for &value in values {
            let mut config = AdaptationConfig::with_target_acceptance(0.8);
            edit(&mut config, value);
            assert_eq!(setting(Nuts::default().adaptation(config).sample(&target, short())), name, "{value}");
        }
    }
    let mut config = AdaptationConfig::with_target_acceptance(0.8);
    config.metric.max_rank = 0;
    assert_eq!(setting(Nuts::default().adaptation(config).sample(&target, short())), "max_rank");

    let hmc = |edit: fn(&mut HmcConfig)| {
        let mut config = HmcConfig::default();
        edit(&mut config);
        setting(Hmc::default().trajectory(config).sample(&target, short()))
    };
    assert_eq!(hmc(|c| c.length = TrajectoryLength::Steps(0)), "length in steps");
    assert_eq!(hmc(|c| c.length = TrajectoryLength::Time(0.0)), "length in time");
    assert_eq!(hmc(|c| c.length = TrajectoryLength::Time(f64::NAN)), "length in time");
    assert_eq!(hmc(|c| c.jitter = 1.1), "jitter");
    assert_eq!(hmc(|c| c.jitter = f64::NAN), "jitter");
    assert_eq!(hmc(|c| c.max_steps = 0), "max_steps");
    assert_eq!(hmc(|c| c.max_energy_error = f64::NAN), "max_energy_error");
    assert_eq!(target.0.take_calls(), 0);
}

#[test]
fn start_points_are_checked() {
    let model = Odd::new(Case::Fine);
    let error = |start: Start, chains: usize| Nuts::default().sample(&model, short().chains(chains).start(start)).unwrap_err();
    let values = |mu: f64, sigma: f64| {
        let mut values = Values::new();
        values.set("mu", mu).set("sigma", sigma);
        values
    };
    for (given, chains) in [(0, 2), (2, 3), (3, 2), (2, 1)] {
        let all = vec![values(0.0, 1.0); given];
        let found = error(Start::Values(all), chains);
        assert!(matches!(found, Error::Dimension { expected, found, .. } if (expected, found) == (chains, given)), "{found:?}");
        let found = error(Start::Positions(vec![vec![0.0, 0.0]; given]), chains);
        assert!(matches!(found, Error::Dimension { expected, found, .. } if (expected, found) == (chains, given)), "{found:?}");
    }
    for bad in [-1.0, 0.0, f64::NAN, f64::INFINITY] {
        match error(Start::Values(vec![values(0.0, bad)]), 2) {
            Error::OutsideSupport { variable, value, .. } => assert!(variable == "sigma" && value.to_bits() == bad.to_bits()),
            other => panic!("{other:?}"),
        }
    }
    let mut partial = Values::new();
    partial.set("mu", 0.0);
    assert!(matches!(error(Start::Values(vec![partial]), 2), Error::MissingVariable { name } if name == "sigma"));
    let mut wrong_shape = values(0.0, 1.0);
    wrong_shape.set_vector("sigma", &[1.0, 2.0]);
    assert!(
        matches!(error(Start::Values(vec![wrong_shape]), 2), Error::OutsideSupport { variable, .. } if variable.starts_with("sigma"))
    );
    assert!(matches!(
        error(Start::Positions(vec![vec![0.0]]), 2),
        Error::Density(DensityError::Dimension { expected: 2, found: 1 })
    ));
    let error = error(Start::Positions(vec![vec![0.0, f64::NAN]]), 2);
    assert!(matches!(error, Error::NotFinite { index: 1, .. }), "{error:?}");

    // Inside the support of the parameters, but of zero density.
    let target = Hand::target(2, |q: &[f64], g: &mut [f64]| if q[1] > 3.0 { Ok(f64::NEG_INFINITY) } else { normal(1.0)(q, g) });
    match Nuts::default().sample(&target, short().start(Start::Positions(vec![vec![0.5, 4.0]]))) {
        Err(Error::NoStartPoint { attempts: 1, parameter, value, cause: StartFailure::ZeroDensity }) => {
            assert_eq!((parameter.as_str(), value), ("q[1]", 4.0));
        }
        other => panic!("{:?}", other.map(|_| ())),
    }
    // Extra values do no harm: those of another run's summary may be handed in whole.
    let mut more = values(0.1, 0.5);
    more.set("theta", 3.0);
    Nuts::default().sample(&model, short().start(Start::Values(vec![more]))).unwrap();
}

#[test]
fn very_short_runs_say_what_cannot_be_known() {
    let target = Hand::target(2, skewed);
    for (chains, warmup, draws) in [(1, 0, 1), (1, 1, 1), (1, 0, 2), (2, 3, 3), (1, 9, 4), (4, 10, 1), (1, 11, 5), (3, 20, 2)] {
        let run = Run::new(1).chains(chains).warmup(warmup).draws(draws);
        let found = Nuts::default().sample(&target, run).unwrap();
        let summary = found.summary();
        assert!(!summary.is_trustworthy());
        assert!(summary.warnings().contains(&Warning::FewChains { n_chains: chains }) || chains == 4);
        assert!(summary.warnings().contains(&Warning::TooFewDraws { n_draws: draws }) || draws >= 4, "{summary}");
        for row in summary.rows() {
            assert!(row.mean.is_finite());
            assert_eq!(row.sd.is_nan(), chains * draws < 2);
            let all = [row.mcse_mean, row.mcse_sd, row.ess_bulk, row.ess_tail];
            assert!(all.into_iter().flatten().all(f64::is_finite), "{row:?}");
            // Infinite if each half chain stands still.
            assert!(!row.r_hat.is_some_and(f64::is_nan), "{row:?}");
            assert!(draws >= 4 || row.r_hat.is_none());
        }
        assert!(summary.to_string().contains("Do not trust these draws yet"));
    }
}

#[test]
fn every_sampler_runs_without_a_warm_up() {
    fn check(sampler: impl Sampler) {
        let draws = sampler.sample(&Hand::target(2, skewed), Run::new(1).warmup(0).draws(200)).unwrap();
        assert!(draws.warmup_stats().is_none());
        assert!(draws.posterior().values().iter().all(|x| x.is_finite()));
        let accepted = draws.sample_stats().float("acceptance_rate").unwrap().mean().unwrap();
        assert!(accepted > 0.05, "{}: {accepted}", sampler.name());
    }
    check(Nuts::default());
    check(Hmc::default());
    check(Mala::default());
    check(RandomWalk::default());
}

#[test]
fn generated_quantities_that_go_wrong() {
    match failure(Case::GeneratedPanics) {
        Error::Chain { iteration, source, .. } => {
            assert!(iteration >= 100);
            assert!(matches!(*source, Error::Density(DensityError::Panicked { ref message }) if message == "tenth quantity"));
        }
        other => panic!("{other:?}"),
    }
    for (case, names) in [
        (Case::GeneratedNan, vec!["z"]),
        (Case::GeneratedChangesShape, vec!["z[0]", "z[1]"]),
        (Case::GeneratedOnlySometimes, vec!["z"]),
    ] {
        let draws = Nuts::default().sample(&Odd::new(case), short().threads(1)).unwrap();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        assert!(draws.summary().warnings().contains(&Warning::NonFinite { names: names.clone() }), "{}", draws.summary());
        // What is there stands beside its own draw.
        let (mu, z) = (draws.element("mu").unwrap(), draws.element(&names[0]).unwrap());
        let (mut n_there, mut n_missing) = (0, 0);
        for (&mu, &z) in mu.iter().zip(&z) {
            assert!(z.is_nan() || z == mu, "{case:?}: {z} beside {mu}");
            n_there += usize::from(!z.is_nan());
            n_missing += usize::from(z.is_nan());
        }
        assert!(n_there > 50 && n_missing >= 20, "{case:?}: {n_there} and {n_missing}");
    }
    for (case, iteration) in [(Case::GeneratedHasAParametersName, 100), (Case::GeneratedHasOtherCoordinates, 100)] {
        match failure(case) {
            Error::Chain { iteration: at, source, .. } => {
                assert_eq!(at, iteration, "found at the first draw");
                let fits = match case {
                    Case::GeneratedHasAParametersName => matches!(*source, Error::DuplicateVariable { ref name } if name == "mu"),
                    _ => matches!(*source, Error::Dimension { expected: 3, found: 2, .. }),
                };
                assert!(fits, "{source:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn prior_draws_that_go_wrong() {
    let error = |case| prior_draws(&Odd::new(case), short()).unwrap_err();
    assert!(
        matches!(error(Case::PriorDrawOutsideSupport), Error::OutsideSupport { variable, value: -1.0, .. } if variable == "sigma")
    );
    assert!(matches!(error(Case::PriorDrawIncomplete), Error::MissingVariable { name } if name == "sigma"));
    assert!(matches!(error(Case::PriorDrawPanics), Error::Density(DensityError::Panicked { .. })));
}

#[test]
fn a_posterior_that_is_no_distribution_ends_with_a_warning() {
    fn check<T: Target>(sampler: impl Sampler, target: &T) {
        let draws = sampler.sample(target, Run::new(1).chains(4).warmup(60).draws(60)).unwrap();
        assert!(!draws.summary().is_trustworthy(), "{}: {}", sampler.name(), draws.summary());
    }
    let flat = Hand::target(2, |_: &[f64], g: &mut [f64]| {
        g.fill(0.0);
        Ok(0.0)
    });
    check(Nuts::default().max_tree_depth(6), &flat);
    check(Hmc::default(), &flat);
    check(Mala::default(), &flat);
    check(RandomWalk::default(), &flat);
    check(Nuts::default().max_tree_depth(6), &Odd::new(Case::NoStatements));
    let rising = Hand::target(1, |q: &[f64], g: &mut [f64]| {
        g[0] = 1.0;
        Ok(q[0])
    });
    check(Nuts::default().max_tree_depth(6), &rising);
}

/// Right, or with a warning, or a typed error: never wrong in silence.
#[test]
fn scales_at_the_ends_of_the_floating_point_range() {
    for sd in [1e-150, 1e-60, 1e-12, 1e12, 1e60, 1e150] {
        for form in [MetricForm::Automatic, MetricForm::Diagonal] {
            let target = Hand::target(2, normal(sd));
            let run = Run::new(1).chains(4).warmup(200).draws(100);
            let Ok(draws) = Nuts::default().max_tree_depth(6).metric(form).sample(&target, run) else { continue };
            let summary = draws.summary();
            if summary.is_trustworthy() {
                for row in summary.rows() {
                    assert!(row.sd > 0.8 * sd && row.sd < 1.25 * sd, "{sd:e}: {summary}");
                }
            }
        }
    }
}

#[test]
fn scales_of_practice_are_learnt() {
    for sd in [1e-6, 1e-3, 1e3, 1e6] {
        let draws = Nuts::default().sample(&Hand::target(2, normal(sd)), Run::new(1)).unwrap();
        let summary = draws.summary();
        assert!(summary.is_trustworthy(), "{sd:e}: {summary}");
        for row in summary.rows() {
            assert!((row.sd / sd - 1.0).abs() < 5.0 * row.mcse_sd.unwrap() / sd, "{sd:e}: {summary}");
        }
    }
}
