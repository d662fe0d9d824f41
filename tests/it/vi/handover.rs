//! What a fit hands on, at the edges: few draws, zero densities, one weight above all; what families refuse; and that steps allocate nothing.

use allocation_counter::measure;
use ndarray::{Array2, array};
use posterity::autodiff::Real;
use posterity::draws::Draws;
use posterity::mcmc::Start;
use posterity::model::zoo::analytic::Gaussian;
use posterity::model::{Density, Evaluator, FromFn, LogDensityGradient, LogP, Model, Space, Target, Variable, WithGradient};
use posterity::rng::Stream;
use posterity::smc::sampler::SmcSampler;
use posterity::vi::{
    Approximation, Beta, BoundGradient, Dirichlet, Estimator, Family, Fit, FullRank, Gamma, LowRank, MeanField, Mixture,
    NormalizingFlow, Objective, Product, Reparameterisation, StudentT, Warning, normal,
};
use posterity::{DensityError, Error};

fn standard(dim: usize) -> Box<dyn Approximation> {
    normal(&vec![0.0; dim], Array2::eye(dim).view()).unwrap()
}

fn line() -> WithGradient<Gaussian> {
    WithGradient(Gaussian::new(array![0.3], &array![[1.2]]).unwrap())
}

/// A number of draws that says nothing is warned of.
#[test]
fn few_draws_are_warned_of() {
    for n_draws in [1, 2, 20] {
        let fit = Fit::from_approximation(&line(), standard(1), n_draws, 1).unwrap();
        assert_eq!(fit.warnings(), [Warning::NoParetoK { n_draws }]);
        assert_eq!(fit.elbo_mcse() == f64::INFINITY, n_draws == 1);
        assert!(fit.elbo().is_finite());
    }
    assert!(Fit::from_approximation(&line(), standard(1), 1000, 1).unwrap().warnings().is_empty());
}

/// No density below 0.
struct Half;

impl Density for Half {
    fn dim(&self) -> usize {
        1
    }

    fn log_density_gradient(&self, q: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
        g[0] = -q[0];
        Ok(if q[0] < 0.0 { f64::NEG_INFINITY } else { -0.5 * q[0] * q[0] })
    }
}

#[test]
fn zero_densities_have_a_warning_of_their_own() {
    let fit = Fit::from_approximation(&WithGradient(Half), standard(1), 1000, 1).unwrap();
    let n_zero = fit.positions().iter().filter(|x| **x < 0.0).count();
    let warnings = fit.warnings();
    assert!(warnings.contains(&Warning::ZeroDensityDraws { n_zero, n_draws: 1000 }), "{warnings:?}");
    assert!(!warnings.iter().any(|w| matches!(w, Warning::UnusableDraws { .. } | Warning::FailedDraws { .. })));
    assert_eq!((fit.elbo(), fit.elbo_mcse()), (f64::NEG_INFINITY, f64::INFINITY));
    let text = fit.summary().to_string();
    assert!(text.contains(&format!("the density is zero at {n_zero} of the 1000 final draws")), "{text}");
    // Half of the chains would start without a density, were their start points any draws.
    let Start::Positions(points) = fit.start(400) else { panic!("not positions") };
    assert!(points.iter().all(|point| point[0] >= 0.0));
}

/// A target whose evaluator returns what it must not.
struct Careless(f64);

struct CarelessEvaluator(f64);

impl LogDensityGradient for CarelessEvaluator {
    fn dim(&self) -> usize {
        1
    }

    fn log_density(&mut self, q: &[f64]) -> Result<f64, DensityError> {
        self.log_density_gradient(q, &mut [0.0])
    }

    fn log_density_gradient(&mut self, q: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
        g[0] = -q[0];
        Ok(if q[0] > 1.0 { self.0 } else { -0.5 * q[0] * q[0] })
    }
}

impl Evaluator for CarelessEvaluator {
    fn log_density_parts(&mut self, _: &[f64]) -> Result<posterity::model::LogDensityParts, DensityError> {
        Err(DensityError::NotANumber)
    }

    fn tempered_gradient(&mut self, _: &[f64], _: f64, _: &mut [f64]) -> Result<posterity::model::LogDensityParts, DensityError> {
        Err(DensityError::NotANumber)
    }

    fn hessian_vector(&mut self, _: &[f64], _: &[f64], _: &mut [f64]) -> Result<(), DensityError> {
        Err(DensityError::NotANumber)
    }

    fn log_likelihood_terms(&mut self, _: &[f64], _: &mut Vec<f64>) -> Result<(), DensityError> {
        Err(DensityError::NotANumber)
    }

    fn minibatch_gradient(&mut self, _: &[f64], _: &[usize], _: &mut [f64]) -> Result<f64, DensityError> {
        Err(DensityError::NotANumber)
    }
}

impl Target for Careless {
    fn dim(&self) -> Result<usize, Error> {
        Ok(1)
    }

    fn evaluator(&self) -> Result<Box<dyn Evaluator + '_>, Error> {
        Ok(Box::new(CarelessEvaluator(self.0)))
    }

    fn variables(&self) -> Result<Vec<Variable>, Error> {
        line().variables()
    }

    fn constrain(&self, position: &[f64], out: &mut Vec<f64>) -> Result<(), Error> {
        out.extend_from_slice(position);
        Ok(())
    }

    fn unconstrain(&self, values: &posterity::model::Values) -> Result<Vec<f64>, Error> {
        line().unconstrain(values)
    }
}

#[test]
fn values_that_are_no_log_density_count_as_failures() {
    for value in [f64::INFINITY, f64::NAN] {
        let fit = Fit::from_approximation(&Careless(value), standard(1), 500, 1).unwrap();
        let n_failed = fit.positions().iter().filter(|x| **x > 1.0).count();
        assert!(fit.warnings().contains(&Warning::UnusableDraws { n_failed, n_draws: 500 }), "{:?}", fit.warnings());
        assert!(fit.elbo().is_finite() && fit.log_evidence().is_finite());
    }
}

/// A posterior so far away and narrow that one draw has all the weight: with replacement, all chains would start there.
#[test]
fn chains_start_apart_even_where_one_weight_is_all() {
    let target = WithGradient(Gaussian::new(array![6.0], &array![[1e-4]]).unwrap());
    let fit = Fit::from_approximation(&target, standard(1), 200, 1).unwrap();
    assert!(fit.psis().ess() < 1.001);
    let Start::Positions(points) = fit.start(5) else { panic!("not positions") };
    let mut order: Vec<f64> = fit.positions().iter().copied().collect();
    order.sort_unstable_by(|a, b| b.total_cmp(a));
    let found: Vec<f64> = points.iter().map(|point| point[0]).collect();
    assert_eq!(found, order[..5]);
    // More chains than draws.
    let Start::Positions(points) = fit.start(usize::MAX) else { panic!("not positions") };
    assert_eq!(points.len(), 1 << 16);
    let Start::Positions(points) = fit.start(0) else { panic!("not positions") };
    assert!(points.is_empty());
}

#[test]
fn resampled_draws_carry_no_weights() {
    let fit = Fit::from_approximation(&line(), standard(1), 300, 1).unwrap();
    let names = |draws: Draws| draws.sample_stats().float("log_weight").is_some();
    assert!(names(fit.draws().unwrap()) && !names(fit.importance_draws(10, 1).unwrap()));
}

/// A probability whose logit is near 800 under q: its constrained value is 1, and the logit of that is infinite.
struct Coin;

impl Model for Coin {
    type Parameters<T: Real> = T;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> T {
        space.probability("p")
    }

    fn log_prior<T: Real>(&self, p: &T, lp: &mut LogP<T>) {
        lp.beta(p, &2.0, &2.0);
    }

    fn log_likelihood<T: Real>(&self, _: &T, _: &mut LogP<T>) {}
}

/// Of q, a mixture, a quarter is where the constrained values round to 1. The evidence is 1.
#[test]
fn bridges_carry_positions_that_constrained_values_lose() {
    let components = vec![normal(&[0.0], array![[2.0]].view()).unwrap(), normal(&[800.0], array![[1.0]].view()).unwrap()];
    let q = Mixture::fixed(components, vec![3.0, 1.0]).unwrap();
    let bridge = posterity::vi::Bridge::new(&Coin, q).unwrap();
    let result = SmcSampler::tempering().n_particles(2000).sample(&bridge, 1).unwrap();
    assert!(result.log_evidence.abs() < 4.0 * result.log_evidence_se.unwrap(), "{}", result.log_evidence);
    // What is drawn depends on the stream alone, and comes back to the bit.
    let draw = |seed| bridge.sample_prior(&mut Stream::new(seed)).unwrap().unwrap();
    let first = draw(1);
    draw(2);
    assert_eq!(first, draw(1));
    assert_eq!(bridge.unconstrain(&first).unwrap(), first.get("bridge position").unwrap());
}

#[test]
fn sizes_beyond_memory_are_errors() {
    let refused = |family: &dyn Family, dim: usize, name: &str| {
        let found = family.start(dim, 1.0, &mut Stream::new(1)).map(|_| ());
        assert!(matches!(found, Err(Error::InvalidSetting { setting, .. }) if setting == name), "{name}: {found:?}");
    };
    let huge = usize::MAX;
    refused(&NormalizingFlow::planar(huge), 2, "number of layers");
    refused(&NormalizingFlow::planar(huge).then(NormalizingFlow::radial(huge)), 2, "number of layers");
    refused(&NormalizingFlow::real_nvp(2).hidden(huge), 2, "hidden");
    refused(&NormalizingFlow::real_nvp(2).n_hidden(huge), 2, "n_hidden");
    refused(&NormalizingFlow::real_nvp(65_536).hidden(65_536).n_hidden(1024), 2, "number of layers");
    refused(&Mixture::new(MeanField, huge), 2, "number of components");
    refused(&StudentT::multivariate(), 1_000_000, "dimension of a multivariate t");
    refused(&FullRank, 1_000_000, "dimension of a full-rank normal");
    refused(&LowRank::default().rank(0), 3, "rank");
    refused(&LowRank::default().rank(4), 3, "rank");
    for n_draws in [1 << 45, huge] {
        let found = Fit::from_approximation(&line(), standard(1), n_draws, 1);
        assert!(matches!(found, Err(Error::InvalidSetting { setting: "n_draws", .. })));
    }
    let fit = Fit::from_approximation(&line(), standard(1), 100, 1).unwrap();
    assert!(matches!(fit.importance_draws(huge, 1), Err(Error::InvalidSetting { setting: "n_draws", .. })));
}

#[test]
fn covariances_are_symmetric() {
    let found = normal(&[0.0, 0.0], array![[1.0, 0.5], [0.4, 1.0]].view());
    assert!(matches!(found, Err(Error::NotSymmetric { what: "covariance", .. })));
    assert!(normal(&[0.0, 0.0], array![[1.0, 0.5], [0.5 + 1e-12, 1.0]].view()).is_ok());
}

/// All families, in `dim` dimensions.
fn families() -> Vec<Box<dyn Family>> {
    let rejection = Reparameterisation::AcceptanceRejection { augmentation: 1 };
    vec![
        Box::new(MeanField),
        Box::new(FullRank),
        Box::new(LowRank::default().rank(2)),
        Box::new(StudentT::mean_field()),
        Box::new(StudentT::multivariate()),
        Box::new(Gamma::default()),
        Box::new(Gamma::default().reparameterisation(rejection)),
        Box::new(Beta::default()),
        Box::new(Dirichlet::default()),
        Box::new(NormalizingFlow::planar(2)),
        Box::new(NormalizingFlow::real_nvp(2).hidden(4)),
        Box::new(Product::new(MeanField).block([1, 2], FullRank).block([3], Gamma::default())),
        Box::new(Mixture::new(Gamma::default(), 3)),
        Box::new(Mixture::new(Product::new(MeanField).block([1], Beta::default()), 2)),
    ]
}

#[test]
fn gradients_of_another_length_are_refused() {
    for family in families() {
        let mut q = family.start(4, 0.5, &mut Stream::new(1)).unwrap();
        for n in [0, 3, 5] {
            let found = q.log_density_gradient(&[0.1; 4], &mut vec![0.0; n]);
            let dimension = matches!(found, Err(Error::Dimension { what: "gradient", expected: 4, found }) if found == n);
            assert!(dimension, "{}: {found:?}", family.name());
        }
    }
}

/// Mixtures of these keep the support of their components: they take every estimator, and no two start alike.
#[test]
fn mixtures_of_families_without_maps_start_as_members() {
    for family in [Mixture::new(Gamma::default(), 2), Mixture::new(Beta::default(), 2), Mixture::new(Dirichlet::default(), 2)] {
        let q = family.start(3, 1.0, &mut Stream::new(1)).unwrap();
        assert!(q.has_parameter_scores());
        let components = &q.parameters()[2..];
        assert_ne!(components[..components.len() / 2], components[components.len() / 2..]);
        // A mixture of members with the same parameters is a member: nothing but the parameters sets the components apart.
        let mut same = q.parameters().to_vec();
        let n = (same.len() - 2) / 2;
        same.copy_within(2..2 + n, 2 + n);
        let mut mixture = q.clone_box();
        mixture.set_parameters(&same).unwrap();
        let single = Mixture::fixed(vec![member(&family, &same[2..2 + n])], vec![1.0]);
        let at = |q: &mut dyn Approximation| q.log_density_gradient(&[0.3, -0.2, 0.7], &mut [0.0; 3]).unwrap();
        assert!((at(mixture.as_mut()) - at(single.unwrap().as_mut())).abs() < 1e-12);
    }
}

fn member(family: &Mixture, parameters: &[f64]) -> Box<dyn Approximation> {
    let name = family.name();
    let mut rng = Stream::new(1);
    let start = |family: &dyn Family, rng: &mut Stream| family.start(3, 1.0, rng).unwrap();
    let mut q = match name.rsplit(' ').next().unwrap() {
        "gamma" => start(&Gamma::default(), &mut rng),
        "beta" => start(&Beta::default(), &mut rng),
        _ => start(&Dirichlet::default(), &mut rng),
    };
    q.set_parameters(parameters).unwrap();
    q
}

#[test]
fn a_step_of_any_family_allocates_nothing() {
    for family in families() {
        let start = family.start(4, 0.5, &mut Stream::new(1)).unwrap();
        for estimator in [Estimator::DoublyReparameterised, Estimator::Total, Estimator::LeaveOneOut] {
            let mut q = start.clone();
            let mut bound = BoundGradient::new(Objective::elbo(8).estimator(estimator), q.as_ref()).unwrap();
            let mut target = FromFn::new(4, |z: &[f64], gradient: &mut [f64]| {
                gradient.iter_mut().zip(z).for_each(|(g, z)| *g = -z);
                Ok(-0.5 * z.iter().map(|z| z * z).sum::<f64>())
            });
            let mut parameters = q.parameters().to_vec();
            let (mut gradient, mut of_position) = (vec![0.0; parameters.len()], [0.0; 4]);
            let mut step = |seed: u64| {
                bound.estimate(q.as_mut(), &mut target, &mut Stream::new(seed), &mut gradient).unwrap();
                parameters.iter_mut().zip(&gradient).for_each(|(x, g)| *x += 1e-3 * g);
                q.set_parameters(&parameters).unwrap();
                q.parameter_scores_at(&[0.2; 8], &[0.5, 1.0], &mut gradient);
                q.log_density_gradient(&[0.1; 4], &mut of_position).unwrap();
            };
            step(0);
            let info = measure(|| (1..10).for_each(&mut step));
            assert_eq!(info.count_total, 0, "{}, {estimator:?}", family.name());
        }
    }
}
