//! What each family is for: targets that it fits and a normal with independent coordinates does not.

use posterity::model::{Density, Target, WithGradient};
use posterity::rng::Stream;
use posterity::vi::{
    Bernoulli, Estimator, Family, FamilyStart, Fit, FullRank, LowRank, MeanField, Mixture, Objective, StudentT, Vi,
};
use posterity::{DensityError, Error};

/// A density from a closure that writes its gradient, normalised unless said otherwise.
struct Closure<F>(usize, F);

impl<F: Fn(&[f64], &mut [f64]) -> f64 + Sync> Density for Closure<F> {
    fn dim(&self) -> usize {
        self.0
    }

    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        Ok((self.1)(position, gradient))
    }
}

fn target(dim: usize, density: impl Fn(&[f64], &mut [f64]) -> f64 + Sync) -> impl Target {
    WithGradient(Closure(dim, density))
}

fn fit(family: impl Family + 'static, target: &impl Target, seed: u64) -> Fit {
    Vi::new(family).n_iterations(3000).fit(target, seed).unwrap()
}

/// The multivariate t density with 4 degrees of freedom in the plane, around (1, -2), with scale matrix [[1, 0.8], [0.8, 1]].
fn heavy_tailed() -> impl Target {
    target(2, |z, gradient| {
        let (x, y) = (z[0] - 1.0, z[1] + 2.0);
        let (by_x, by_y) = ((x - 0.8 * y) / 0.36, (y - 0.8 * x) / 0.36);
        let square = x * by_x + y * by_y;
        (gradient[0], gradient[1]) = (-6.0 * by_x / (4.0 + square), -6.0 * by_y / (4.0 + square));
        -3.0 * (square / 4.0).ln_1p() - std::f64::consts::TAU.ln() - 0.5 * 0.36_f64.ln()
    })
}

/// A t with fewer degrees of freedom than the posterior has bounded weights. Over 50 seeds k̂ of the normal was 1.3 to 2.3, of the t
/// -0.9 to -0.4. With 5 degrees of freedom, more than the posterior's, it was 0.3 to 2.1 at 4000 draws, though the weights' tail has
/// k = 0.2: all weights are nearly equal, and those of the centre stand in the tail that is fitted. Where no weight is twice the
/// average, [`Psis::reliability`](posterity::diagnostics::Psis::reliability) is good whatever k̂ is, and no warning is given.
#[test]
fn heavy_tails_need_heavy_tails() {
    let posterior = heavy_tailed();
    let (normal, student) = (fit(FullRank, &posterior, 1), fit(StudentT::multivariate().degrees_of_freedom(3.0), &posterior, 1));
    assert!(normal.pareto_k().unwrap() > 1.0 && !normal.warnings().is_empty());
    assert!(student.pareto_k().unwrap() < 0.0 && student.warnings().is_empty());
    assert!(student.elbo() > -0.02 && normal.elbo() < -0.03, "{} {}", student.elbo(), normal.elbo());
}

/// 0.3 N((-3, 0), diag(½², 1)) + 0.7 N((2, 1), diag(1, 0.6²)).
fn two_modes() -> impl Target {
    let component = |z: &[f64], weight: f64, mean: [f64; 2], sd: [f64; 2]| {
        let u = [(z[0] - mean[0]) / sd[0], (z[1] - mean[1]) / sd[1]];
        let density = weight * (-0.5 * (u[0] * u[0] + u[1] * u[1])).exp() / (std::f64::consts::TAU * sd[0] * sd[1]);
        (density, [-u[0] / sd[0] * density, -u[1] / sd[1] * density])
    };
    target(2, move |z, gradient| {
        let first = component(z, 0.3, [-3.0, 0.0], [0.5, 1.0]);
        let second = component(z, 0.7, [2.0, 1.0], [1.0, 0.6]);
        let density = first.0 + second.0;
        for i in 0..2 {
            gradient[i] = (first.1[i] + second.1[i]) / density;
        }
        density.ln()
    })
}

/// The family holds the posterior, and so the fit is exact where it finds both modes: all of 50 seeds do. With all components at the
/// first mode 9 do, and from the origin, spread by 3, 35. A normal loses log 0.7.
#[test]
fn a_mixture_finds_two_modes_and_their_weights() {
    let posterior = two_modes();
    let fits = (1..=6).map(|seed| fit(Mixture::new(MeanField, 2), &posterior, seed));
    let found: Vec<Fit> = fits.filter(|fit| fit.elbo().abs() < 1e-6).collect();
    assert!(found.len() >= 4, "{}", found.len());
    for fit in found {
        let mean = fit.approximation().mean().unwrap();
        assert!((mean[0] - 0.5).abs() < 1e-4 && (mean[1] - 0.7).abs() < 1e-4, "{mean:?}");
    }
    assert!(fit(MeanField, &posterior, 1).elbo() < -0.3);
}

/// 0.2 N((1, …), I) + 0.8 N((1 + 8/√5, …), I) in five dimensions: 8 standard deviations apart, and the larger mode far from the origin.
/// All of 50 seeds find both; none did with all components at the first mode.
#[test]
fn a_mixture_finds_a_mode_that_is_far_away() {
    let posterior = target(5, |z, gradient| {
        let means = [1.0, 1.0 + 8.0 / 5.0_f64.sqrt()];
        let square = means.map(|mean| z.iter().map(|z| (z - mean).powi(2)).sum::<f64>());
        let densities = [0.2 * (-0.5 * square[0]).exp(), 0.8 * (-0.5 * square[1]).exp()];
        let total = densities[0] + densities[1];
        for (g, z) in gradient.iter_mut().zip(z) {
            *g = (densities[0] * (means[0] - z) + densities[1] * (means[1] - z)) / total;
        }
        total.ln() - 2.5 * std::f64::consts::TAU.ln()
    });
    let n_found = (1..=6).filter(|&seed| fit(Mixture::new(MeanField, 2), &posterior, seed).elbo().abs() < 1e-5).count();
    assert!(n_found >= 4, "{n_found}");
}

#[test]
#[ignore = "a sweep over 50 seeds"]
fn mixtures_over_seeds() {
    let posterior = two_modes();
    let elbo = |vi: &Vi, seed| vi.fit(&posterior, seed).unwrap().elbo();
    let vi = Vi::new(Mixture::new(MeanField, 2)).n_iterations(3000);
    for (name, vi) in [("default", vi.clone()), ("origin", vi.start(FamilyStart::Origin).initial_scale(3.0))] {
        println!("{name}: {} of 50", (1..=50).filter(|&seed| elbo(&vi, seed).abs() < 1e-6).count());
    }
}

/// N(0, D² + B B') in 20 dimensions with two columns.
fn correlated() -> impl Target {
    let mut q = LowRank::default().rank(2).start(20, 1.0, &mut Stream::new(1)).unwrap();
    let parameters: Vec<f64> =
        (0..80).map(|i| if i < 40 { 0.3 * (1.7 * f64::from(i)).sin() } else { (2.3 * f64::from(i)).sin() }).collect();
    q.set_parameters(&parameters).unwrap();
    target(20, move |z, gradient| q.clone().log_density_gradient(z, gradient).unwrap())
}

/// Over 50 seeds the bound was off by 8e-6 at most.
#[test]
fn a_few_directions_carry_the_correlation() {
    let posterior = correlated();
    let low_rank = fit(LowRank::default().rank(2), &posterior, 1);
    assert!(low_rank.elbo().abs() < 1e-4, "{}", low_rank.elbo());
    assert!(fit(MeanField, &posterior, 1).elbo() < -1.0);
}

/// An Ising pair on {0, 1}²: the fit is a fixed point of coordinate ascent, θ₁ = 0.5 - 1.2 p₂, θ₂ = -0.8 - 1.2 p₁. Over 50 seeds it was
/// off by 0.0042 at most.
#[test]
fn binary_coordinates_are_fitted_without_gradients() {
    let posterior = target(2, |z, gradient| {
        gradient.fill(0.0);
        0.5 * z[0] - 0.8 * z[1] - 1.2 * z[0] * z[1]
    });
    let objective = Objective::elbo(10).estimator(Estimator::LeaveOneOut);
    let found =
        Vi::new(Bernoulli).objective(objective).n_iterations(4000).fit(&posterior, 1).unwrap().approximation().mean().unwrap();
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut p = [0.5, 0.5];
    for _ in 0..100 {
        p[0] = logistic(0.5 - 1.2 * p[1]);
        p[1] = logistic(-0.8 - 1.2 * p[0]);
    }
    assert!((found[0] - p[0]).abs() < 0.01 && (found[1] - p[1]).abs() < 0.01, "{found:?}");
    let gradients = Vi::new(Bernoulli).fit(&posterior, 1);
    assert!(matches!(gradients, Err(Error::NotAvailable { .. })));
}
