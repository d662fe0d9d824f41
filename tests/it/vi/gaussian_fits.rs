//! Batch and match, score matching, Laplace, Pathfinder: against exact posteriors, and where nothing is to be found.

use ndarray::{Array1, Array2, ArrayView1, array};
use posterity::linalg;
use posterity::mcmc::{Nuts, Run, Sampler, Start};
use posterity::model::zoo::analytic::Gaussian;
use posterity::model::zoo::{EightSchools, EightSchoolsNoncentered};
use posterity::model::{Density, Target, WithGradient};
use posterity::parallel::Threads;
use posterity::rng::Stream;
use posterity::vi::{
    Bam, BamSchedule, FamilyStart, Fit, FullRank, Gsm, Laplace, MeanField, NaturalGradient, Objective, Pathfinder, Vi, Warning,
};
use posterity::{DensityError, Error};

/// A density from a closure.
pub(super) struct Closure<F>(usize, F);

impl<F: Fn(&[f64], &mut [f64]) -> Result<f64, DensityError> + Sync> Density for Closure<F> {
    fn dim(&self) -> usize {
        self.0
    }
    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        (self.1)(position, gradient)
    }
}

pub(super) fn target<F: Fn(&[f64], &mut [f64]) -> Result<f64, DensityError> + Sync>(
    dim: usize,
    f: F,
) -> WithGradient<Closure<F>> {
    WithGradient(Closure(dim, f))
}

/// Linear regression with known noise: y ~ N(X β, σ²), β ~ N(0, τ²), all constants included.
pub(super) struct Regression {
    x: Array2<f64>,
    y: Array1<f64>,
}

const SIGMA: f64 = 0.7;
const TAU: f64 = 2.0;
const LN_2PI: f64 = 1.837_877_066_409_345_5;

impl Regression {
    /// Columns of different scales, correlated.
    pub(super) fn new() -> Self {
        let mut rng = Stream::new(5);
        let scales = [1.0, 0.3, 3.0, 1.0];
        let mut x = Array2::from_shape_fn((40, 4), |(_, j)| if j == 0 { 1.0 } else { scales[j] * rng.normal() });
        for mut row in x.rows_mut() {
            row[3] += 0.8 * row[2];
        }
        let y = x.dot(&array![1.0, -2.0, 0.5, 3.0]).mapv(|mean| mean + SIGMA * rng.normal());
        Self { x, y }
    }

    /// Mean and covariance of the posterior by the normal equations, and the log evidence as the density of y.
    pub(super) fn exact(&self) -> (Array1<f64>, Array2<f64>, f64) {
        let precision = self.x.t().dot(&self.x) / SIGMA.powi(2) + Array2::<f64>::eye(4) / TAU.powi(2);
        let mean = linalg::solve(precision.view(), (self.x.t().dot(&self.y) / SIGMA.powi(2)).view()).unwrap();
        let columns = (0..4).map(|j| linalg::solve(precision.view(), Array2::<f64>::eye(4).row(j)).unwrap());
        let covariance = Array2::from_shape_vec((4, 4), columns.flat_map(Array1::into_iter).collect()).unwrap();
        let marginal = self.x.dot(&self.x.t()) * TAU.powi(2) + Array2::<f64>::eye(40) * SIGMA.powi(2);
        let quadratic = self.y.dot(&linalg::solve(marginal.view(), self.y.view()).unwrap());
        let log_determinant: f64 = linalg::cholesky(marginal.view()).unwrap().diag().iter().map(|l| 2.0 * l.ln()).sum();
        (mean, covariance, -0.5 * (quadratic + log_determinant + 40.0 * LN_2PI))
    }
}

impl Density for Regression {
    fn dim(&self) -> usize {
        4
    }
    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let beta = ArrayView1::from(position);
        let residuals = &self.y - &self.x.dot(&beta);
        let slope = self.x.t().dot(&residuals) / SIGMA.powi(2) - &beta / TAU.powi(2);
        gradient.iter_mut().zip(&slope).for_each(|(g, s)| *g = *s);
        let constant = -0.5 * 44.0 * LN_2PI - 40.0 * SIGMA.ln() - 4.0 * TAU.ln();
        Ok(constant - 0.5 * residuals.dot(&residuals) / SIGMA.powi(2) - 0.5 * beta.dot(&beta) / TAU.powi(2))
    }
}

/// Largest error of a mean in standard deviations, and of a covariance relative to the standard deviations.
pub(super) fn errors(fit: &Fit, mean: &Array1<f64>, covariance: &Array2<f64>) -> (f64, f64) {
    let q = fit.approximation();
    let sd = covariance.diag().mapv(f64::sqrt);
    let (m, c) = (q.mean().unwrap(), q.covariance().unwrap());
    let of_mean = (0..m.len()).map(|i| (m[i] - mean[i]).abs() / sd[i]).fold(0.0, f64::max);
    let of_covariance = c.indexed_iter().map(|((i, j), x)| (x - covariance[[i, j]]).abs() / (sd[i] * sd[j]));
    (of_mean, of_covariance.fold(0.0, f64::max))
}

#[test]
fn a_conjugate_regression_is_fitted_exactly() {
    let model = Regression::new();
    let (mean, covariance, log_evidence) = model.exact();
    let target = WithGradient(model);
    let fits = [
        Vi::new(FullRank).n_iterations(4000).objective(Objective::elbo(4)).fit(&target, 1),
        Bam::default().fit(&target, 1),
        Gsm::default().tolerance(1e-4).fit(&target, 1),
        NaturalGradient::default().fit(&target, 1),
        Laplace::default().fit(&target, 1),
        Pathfinder::default().fit(&target, 1),
        Pathfinder::default().n_paths(1).fit(&target, 1),
    ];
    for fit in fits {
        let fit = fit.unwrap();
        let (of_mean, of_covariance) = errors(&fit, &mean, &covariance);
        // Largest of 60 seeds: mean 3.1e-4 and bound 2.0e-5, of GSM; covariance 8.6e-4, of Pathfinder's four paths.
        assert!(of_mean < 1e-3 && of_covariance < 0.01, "{}: {of_mean} {of_covariance}", fit.method());
        // The divergence of normals this near is at most about d (1e-3² + 0.01²) / 2.
        assert!((fit.elbo() - log_evidence).abs() < 1e-3, "{}: {} {log_evidence}", fit.method(), fit.elbo());
        assert!((fit.log_evidence() - log_evidence).abs() < 1e-3);
    }
}

/// A normal distribution in ten dimensions whose eigenvalues spread over a factor of 29, away from the origin.
pub(super) fn ten_dimensions() -> Gaussian {
    let mut rng = Stream::new(1);
    let basis = linalg::qr(Array2::from_shape_simple_fn((10, 10), || rng.normal()).view()).unwrap().q;
    let eigenvalues = Array1::from_shape_fn(10, |i| 0.2 * 29_f64.powf(i as f64 / 9.0));
    let covariance = basis.dot(&Array2::from_diag(&eigenvalues)).dot(&basis.t());
    Gaussian::new(Array1::from_shape_simple_fn(10, || rng.normal()), &covariance).unwrap()
}

/// KL(q ‖ p) of the fit of a normal target.
pub(super) fn divergence(fit: &Fit, target: &Gaussian) -> f64 {
    let dim = target.mean().len();
    let (mean, covariance) = (fit.approximation().mean().unwrap(), fit.approximation().covariance().unwrap());
    let away = Array1::from_vec(mean) - target.mean();
    let solved = |b: ArrayView1<'_, f64>| linalg::solve(target.covariance().view(), b).unwrap();
    let trace: f64 = covariance.columns().into_iter().enumerate().map(|(j, column)| solved(column)[j]).sum();
    let log_determinant = |c: &Array2<f64>| linalg::cholesky(c.view()).unwrap().diag().iter().map(|l| 2.0 * l.ln()).sum::<f64>();
    0.5 * (trace - dim as f64 + away.dot(&solved(away.view())) + log_determinant(target.covariance())
        - log_determinant(&covariance))
}

/// Over 60 random regressions in each of 1, 2, 4, 6, 8, 10, 15, 20 and 30 dimensions, one mean was off by more than 1e-3 standard deviations, by 0.027, and three covariances by more than
/// 1 %, at most 2.3 %. With line searches to 0.9 of the slope, 44 of 60 covariances of the regression above were.
#[test]
fn pathfinder_matches_a_normal_target() {
    let exact = ten_dimensions();
    for seed in 0..20 {
        let fit = Pathfinder::default().n_paths(1).n_draws(100).fit(&WithGradient(exact.clone()), seed).unwrap();
        let (of_mean, of_covariance) = errors(&fit, exact.mean(), exact.covariance());
        assert!(of_mean < 1e-3 && of_covariance < 0.01, "{seed}: {of_mean} {of_covariance}");
        assert!(fit.n_gradient_evaluations() < 60, "{}", fit.n_gradient_evaluations());
    }
}

/// The mean is a Newton step beyond the iterate. From here the first trial step leaves 5 % of the slope, which ends the line search 0.05 standard deviations short of the mode; it tells the curvature.
#[test]
fn one_step_finds_a_normal_in_one_dimension() {
    let exact = Gaussian::new(array![3.0], &array![[0.25]]).unwrap();
    let start = Start::Positions(vec![vec![3.0 - (0.25_f64 / 0.95).sqrt()]]);
    let fit = Pathfinder::default().n_paths(1).n_iterations(1).start(start).fit(&WithGradient(exact.clone()), 1).unwrap();
    let (of_mean, of_covariance) = errors(&fit, exact.mean(), exact.covariance());
    assert!(of_mean < 1e-9 && of_covariance < 1e-9, "{of_mean} {of_covariance}");
}

/// The same iterates, and bounds by draws of each path's own.
#[test]
fn paths_from_one_start_have_their_own_draws() {
    let model = EightSchoolsNoncentered::rubin();
    let start = Start::Positions(vec![vec![0.5; 10]]);
    let fit = Pathfinder::default().n_paths(2).start(start).n_draws(100).fit(&model, 1).unwrap();
    let (first, second) = fit.bounds().split_at(fit.bounds().len() / 2);
    assert!(first.len() == second.len() && first.iter().zip(second).all(|(a, b)| a != b), "{first:?} {second:?}");
}

/// Normal components of mass 0.9 and 0.1 at ±10, which a path each finds exactly: a fifth of the mixture is spread evenly, the rest goes by mass.
#[test]
fn paths_to_several_modes_share_by_their_mass() {
    let modes = target(1, |q, g| {
        let log = [0.9_f64.ln() - 0.5 * (q[0] - 10.0).powi(2), 0.1_f64.ln() - 0.5 * (q[0] + 10.0).powi(2)];
        let total = log[0].max(log[1]) + (-(log[0] - log[1]).abs()).exp().ln_1p();
        g[0] = (log[0] - total).exp() * (10.0 - q[0]) + (log[1] - total).exp() * (-10.0 - q[0]);
        Ok(total)
    });
    let start = Start::Positions(vec![vec![9.0], vec![-9.0]]);
    let fit = Pathfinder::default().n_paths(2).start(start).fit(&modes, 1).unwrap();
    let share = 0.8 * 0.9 + 0.1;
    assert!((fit.approximation().mean().unwrap()[0] - 10.0 * (2.0 * share - 1.0)).abs() < 1e-6);
}

/// Three variables with skewed densities exp(aᵢ yᵢ - exp(yᵢ)), mixed by a matrix and moved by a shift, and mean and covariance of the best normal distribution: that of y has the variances 1/aᵢ and
/// the means ln aᵢ - 1/(2aᵢ).
pub(super) fn log_gammas(shift: f64) -> (WithGradient<impl Density>, Array1<f64>, Array2<f64>) {
    let a = array![1.0, 2.0, 4.0];
    let mixing = array![[1.0, 0.0, 0.0], [0.8, 2.0, 0.0], [-0.5, 0.3, 0.1]];
    let mean = mixing.dot(&a.mapv(|a: f64| a.ln() - 0.5 / a)) + shift;
    let covariance = (&mixing / &a).dot(&mixing.t());
    let of_position = target(3, move |q, g| {
        let x = ArrayView1::from(q).mapv(|x| x - shift);
        let y = array![x[0], (x[1] - 0.8 * x[0]) / 2.0, 0.0];
        let y2 = (x[2] + 0.5 * x[0] - 0.3 * y[1]) / 0.1;
        let y = array![y[0], y[1], y2];
        let slopes = &a - &y.mapv(f64::exp);
        // By back substitution with the transposed matrix.
        g[2] = slopes[2] / 0.1;
        g[1] = (slopes[1] - 0.3 * g[2]) / 2.0;
        g[0] = slopes[0] - 0.8 * g[1] + 0.5 * g[2];
        Ok((&a * &y - y.mapv(f64::exp)).sum())
    });
    (of_position, mean, covariance)
}

fn not_settled(fit: &Fit) -> Option<f64> {
    let warnings = fit.warnings();
    warnings.iter().find_map(|w| if let Warning::NotSettled { divergence, .. } = w { Some(*divergence) } else { None })
}

/// The distribution handed over is the mean of those of the last iterations, in both halves.
#[test]
fn the_last_iterations_are_averaged() {
    let model = EightSchoolsNoncentered::rubin();
    let bam = Bam::default().batch_size(10).schedule(BamSchedule::Constant).start(FamilyStart::Origin).tolerance(0.0).n_draws(1);
    let moments = |n: usize, share: f64| {
        let fit = bam.clone().n_iterations(n).averaged_share(share).fit(&model, 1).unwrap();
        (Array1::from_vec(fit.approximation().mean().unwrap()), fit.approximation().covariance().unwrap())
    };
    let ((mean, covariance), last) = (moments(6, 0.5), [4, 5, 6].map(|n| moments(n, 0.0)));
    let expected_mean = (&last[0].0 + &last[1].0 + &last[2].0) / 3.0;
    let expected_covariance = (&last[0].1 + &last[1].1 + &last[2].1) / 3.0;
    assert!((mean - expected_mean).iter().all(|x| x.abs() < 1e-12));
    assert!((covariance - expected_covariance).iter().all(|x| x.abs() < 1e-12));
}

/// From far away: cut short, every fit is warned of; with all their iterations none of these is. Over 60 seeds, of fits cut after 1, 2 or 5 iterations all are warned of but two of
/// GSM after 5, one of which is an error, and of these whole ones none. Others are: 4 of 58 of the eight schools by natural gradients, and 14 of 58 of the skewed target by BaM, which have not arrived.
#[test]
fn iterations_that_run_out_before_the_fit_rests_are_warned_of() {
    let (skewed, ..) = log_gammas(20.0);
    let eight_schools = EightSchoolsNoncentered::rubin();
    for seed in 0..3 {
        let fits = |n: usize, start: FamilyStart, of: &dyn Target| {
            let (bam, gsm, natural) = (Bam::default(), Gsm::default(), NaturalGradient::default());
            let n_of = |default: usize| if n == 0 { default } else { n };
            [
                bam.n_iterations(n_of(100)).start(start.clone()).tolerance(0.0).fit(of, seed).unwrap(),
                gsm.n_iterations(n_of(1000)).start(start.clone()).tolerance(0.0).fit(of, seed).unwrap(),
                natural.n_iterations(n_of(100)).start(start).tolerance(0.0).fit(of, seed).unwrap(),
            ]
        };
        for n in [1, 2, 5] {
            for fit in fits(n, FamilyStart::Origin, &skewed) {
                assert!(not_settled(&fit).is_some(), "{n} {seed} {}", fit.method());
            }
        }
        let [_, _, natural] = fits(0, FamilyStart::Pathfinder, &skewed);
        let [bam, gsm, _] = fits(0, FamilyStart::Pathfinder, &eight_schools);
        for fit in [bam, gsm, natural] {
            assert_eq!(not_settled(&fit), None, "{} {seed}", fit.method());
        }
    }
}

/// Gradient evaluations until the divergence is below 1e-3, of 20 seeds in ascending order.
pub(super) fn evaluations_needed(target: &Gaussian, fit: impl Fn(usize, u64) -> Fit) -> Vec<u64> {
    let needed = |seed| {
        let fits = (1..300).map(|n_iterations| fit(n_iterations, seed));
        fits.map(|fit| (divergence(&fit, target), fit)).find(|(kl, _)| *kl < 1e-3).unwrap().1.n_gradient_evaluations()
    };
    let mut all: Vec<u64> = (0..20).map(needed).collect();
    all.sort_unstable();
    all
}

#[test]
fn tens_of_gradients_suffice_for_a_normal_target() {
    let exact = ten_dimensions();
    let target = WithGradient(exact.clone());
    let bam = |schedule, batch_size| {
        let fit = Bam::default().schedule(schedule).batch_size(batch_size).start(FamilyStart::Origin);
        let fit = fit.averaged_share(0.0).tolerance(0.0).n_draws(1);
        evaluations_needed(&exact, |n, seed| fit.clone().n_iterations(n).fit(&target, seed).unwrap())[10]
    };
    let gsm = Gsm::default().start(FamilyStart::Origin).averaged_share(0.0).tolerance(0.0).n_draws(1);
    let gsm = evaluations_needed(&exact, |n, seed| gsm.clone().n_iterations(n).fit(&target, seed).unwrap())[10];
    let found = [bam(BamSchedule::Constant, 20), bam(BamSchedule::Decaying, 10), gsm];
    assert!(found[0] <= 60 && found[1] <= 60 && found[2] <= 228, "{found:?}");
}

#[test]
fn one_dimension_and_a_far_place_are_no_special_cases() {
    let far = target(1, |q, g| {
        g[0] = (1e4 - q[0]) / 1e-4;
        Ok(-0.5 * (q[0] - 1e4).powi(2) / 1e-4)
    });
    let fits = [
        Bam::default().fit(&far, 1),
        Gsm::default().fit(&far, 1),
        NaturalGradient::default().fit(&far, 1),
        Laplace::default().fit(&far, 1),
        Pathfinder::default().n_paths(1).fit(&far, 1),
        Vi::new(MeanField).n_iterations(1000).fit(&far, 1),
    ];
    for fit in fits {
        let fit = fit.unwrap();
        let (mean, variance) = (fit.approximation().mean().unwrap()[0], fit.approximation().covariance().unwrap()[[0, 0]]);
        assert!((mean - 1e4).abs() < 1e-3 && (variance / 1e-4 - 1.0).abs() < 0.05, "{}: {mean} {variance}", fit.method());
    }
}

#[test]
fn pathfinder_needs_no_square_matrix_in_five_thousand_dimensions() {
    let dim = 5000;
    let sd = |i: usize| 10_f64.powi((i % 3) as i32 - 1);
    let target = target(dim, move |q, g| {
        let mut value = 0.0;
        for i in 0..dim {
            let z = (q[i] - 1.0) / sd(i);
            g[i] = -z / sd(i);
            value -= 0.5 * z * z;
        }
        Ok(value)
    });
    let fit = Pathfinder::default().n_paths(1).n_bound_draws(5).n_draws(50).fit(&target, 1).unwrap();
    let mean = fit.approximation().mean().unwrap();
    let worst = (0..dim).map(|i| (mean[i] - 1.0).abs() / sd(i)).fold(0.0, f64::max);
    assert!(worst < 0.1, "{worst}");
}

/// The update of low rank: 32 draws in 100 dimensions.
#[test]
fn batches_smaller_than_the_dimension_find_all_correlations() {
    let exact = Gaussian::autoregressive(100, 0.5).unwrap();
    let fit = Bam::default().n_draws(50).fit(&WithGradient(exact.clone()), 1).unwrap();
    let (of_mean, of_covariance) = errors(&fit, exact.mean(), exact.covariance());
    assert!(of_mean < 0.01 && of_covariance < 0.01, "{of_mean} {of_covariance}");
}

/// A normal distribution without its left half, where the density is NaN, or zero.
fn half(failure: Result<f64, DensityError>) -> WithGradient<impl Density> {
    target(2, move |q, g| {
        g.copy_from_slice(&[-(q[0] - 1.0), -q[1]]);
        if q[0] < 0.0 { failure.clone() } else { Ok(-0.5 * (q[0] - 1.0).powi(2) - 0.5 * q[1] * q[1]) }
    })
}

#[test]
fn draws_without_a_gradient_are_dropped_and_counted() {
    for failure in [Err(DensityError::NotANumber), Ok(f64::NEG_INFINITY)] {
        let target = half(failure);
        let gsm = Gsm::default().batch_size(32).fit(&target, 1);
        let natural = NaturalGradient::default().batch_size(32).fit(&target, 1);
        for fit in [Bam::default().fit(&target, 1), gsm, natural] {
            let fit = fit.unwrap();
            assert!(fit.n_failed() > 0, "{}", fit.method());
            assert!(fit.warnings().iter().any(|w| matches!(w, Warning::FailedDraws { .. })));
            assert!((fit.approximation().mean().unwrap()[0] - 1.0).abs() < 0.01);
        }
        assert!(Pathfinder::default().fit(&target, 1).is_ok());
        assert!(Laplace::default().fit(&target, 1).is_ok());
    }
}

#[test]
fn a_target_without_any_density_is_an_error_with_a_name() {
    for failure in [Err(DensityError::NotANumber), Ok(f64::NEG_INFINITY)] {
        let target = target(2, move |_, _| failure.clone());
        assert!(matches!(Pathfinder::default().fit(&target, 1), Err(Error::NoStartPoint { .. })));
        assert!(matches!(Laplace::default().fit(&target, 1), Err(Error::NoStartPoint { .. })));
        let results =
            [Bam::default().fit(&target, 1), Gsm::default().fit(&target, 1), NaturalGradient::default().fit(&target, 1)];
        for result in results {
            let Err(Error::Iteration { iteration: 1, source }) = result else { panic!("{result:?}") };
            assert!(matches!(*source, Error::NoUsableDraw { .. }));
        }
    }
    let fatal = target(1, |_, _| Err(DensityError::Data { distribution: "normal", index: 0, value: f64::NAN }));
    let fatal_at = |q: &[f64], g: &mut [f64]| {
        g[0] = -q[0];
        if q[0].abs() > 0.01 { Ok(-0.5 * q[0] * q[0]) } else { Err(DensityError::Panicked { message: "broken".to_owned() }) }
    };
    assert!(matches!(Pathfinder::default().fit(&fatal, 1), Err(Error::Density(DensityError::Data { .. }))));
    assert!(matches!(Pathfinder::default().fit(&target(1, fatal_at), 1), Err(Error::Density(DensityError::Panicked { .. }))));
    let empty = target(0, |_, _| Ok(0.0));
    let results = [Pathfinder::default().fit(&empty, 1), Laplace::default().fit(&empty, 1), Bam::default().fit(&empty, 1)];
    assert!(results.iter().all(|result| matches!(result, Err(Error::NoParameters))));
    assert!(matches!(NaturalGradient::default().fit(&empty, 1), Err(Error::NoParameters)));
    let Err(Error::Iteration { iteration: 1, source }) = NaturalGradient::default().start(FamilyStart::Origin).fit(&fatal, 1)
    else {
        panic!("a fatal error was passed over")
    };
    assert!(matches!(*source, Error::Density(DensityError::Data { .. })));
}

#[test]
fn a_start_without_density_fails_its_path_and_no_other() {
    let target = half(Ok(f64::NEG_INFINITY));
    let start = Start::Positions(vec![vec![1.0, 3.0], vec![-5.0, 0.0], vec![2.0, -1.0]]);
    let fit = Pathfinder::default().n_paths(3).start(start).fit(&target, 1).unwrap();
    assert!(fit.warnings().contains(&Warning::FailedPaths { n_failed: 1, n_paths: 3 }));
    let outside = Start::Positions(vec![vec![-5.0, 0.0]]);
    assert!(matches!(Pathfinder::default().start(outside.clone()).fit(&target, 1), Err(Error::NoStartPoint { .. })));
    assert!(matches!(Laplace::default().start(outside).fit(&target, 1), Err(Error::NoStartPoint { .. })));
}

#[test]
fn densities_without_a_maximum_or_with_a_flat_direction_are_found_out() {
    let rising = target(2, |q, g| {
        g.copy_from_slice(&[1.0, -q[1]]);
        Ok(q[0] - 0.5 * q[1] * q[1])
    });
    assert!(matches!(Pathfinder::default().fit(&rising, 1), Err(Error::Unbounded { .. })));
    assert!(matches!(Laplace::default().fit(&rising, 1), Err(Error::Unbounded { .. })));
    for fit in [Bam::default().fit(&rising, 1), Gsm::default().fit(&rising, 1), NaturalGradient::default().fit(&rising, 1)] {
        match fit {
            Ok(fit) => assert!(not_settled(&fit).is_some(), "{}", fit.method()),
            Err(error) => assert!(matches!(error, Error::Iteration { .. }), "{error}"),
        }
    }
    let along = [0.6, 0.8];
    let flat = target(2, move |q, g| {
        let t = along[0] * q[0] + along[1] * q[1];
        g.copy_from_slice(&[-along[0] * t, -along[1] * t]);
        Ok(-0.5 * t * t)
    });
    let laplace = Laplace::default().fit(&flat, 1);
    assert!(matches!(laplace, Err(Error::NotPositiveDefinite { pivot: 1, .. })), "{laplace:?}");
    // A normal distribution of any width has too light tails. Of 60 seeds, k-hat is 0.47 to 0.7 for three of Pathfinder and four of natural gradients, and above for all others.
    let found_out = |fit: &dyn Fn(u64) -> Result<Fit, Error>| {
        (0..10).filter(|&seed| fit(seed).unwrap().pareto_k().is_none_or(|k| k > 0.7)).count()
    };
    let n_found_out = [
        found_out(&|seed| Pathfinder::default().fit(&flat, seed)),
        found_out(&|seed| Bam::default().fit(&flat, seed)),
        found_out(&|seed| NaturalGradient::default().fit(&flat, seed)),
    ];
    assert!(n_found_out.iter().all(|&n| n >= 7), "{n_found_out:?}");
}

#[test]
fn a_saddle_is_no_mode() {
    // Two modes at (±1, 0), and a start on the ridge between them: the gradient there points to the saddle.
    let saddle = target(2, |q, g| {
        g.copy_from_slice(&[q[0] - q[0].powi(3), -q[1]]);
        Ok(0.5 * q[0] * q[0] - 0.25 * q[0].powi(4) - 0.5 * q[1] * q[1])
    });
    let fit = Laplace::default().start(Start::Positions(vec![vec![0.0, 1.0]])).fit(&saddle, 1);
    assert!(matches!(fit, Err(Error::NotPositiveDefinite { pivot: 0, .. })), "{fit:?}");
    // Curvature 2 at the mode.
    let fit = Laplace::default().fit(&saddle, 1).unwrap();
    assert!((fit.approximation().covariance().unwrap()[[0, 0]] - 0.5).abs() < 1e-6);
}

#[test]
fn paths_have_the_same_bits_on_any_number_of_threads() {
    let model = EightSchoolsNoncentered::rubin();
    let fit = |n| Pathfinder::default().threads(Threads::new(n).unwrap()).n_draws(300).fit(&model, 7).unwrap();
    let serial = fit(1);
    for n in [2, 4] {
        let parallel = fit(n);
        assert_eq!(serial.positions(), parallel.positions());
        assert_eq!(serial.log_approximations(), parallel.log_approximations());
        assert_eq!(serial.n_gradient_evaluations(), parallel.n_gradient_evaluations());
    }
}

/// The density of the centred form has no maximum, yet the best normal distribution on the way to the pole is a distribution of sensible size.
#[test]
fn a_pole_is_passed_on_the_way() {
    let model = EightSchools::rubin();
    for seed in 0..5 {
        let fit = Pathfinder::default().fit(&model, seed).unwrap();
        let mu = fit.summary().row("mu").unwrap().raw_mean;
        // Reference: mean 4.4, standard deviation 3.3.
        assert!((mu - 4.4).abs() < 6.6, "{mu}");
    }
}

/// Starts from a fit serve chains as well as those found by search. They do not save warm-up: the search also learns the scales of the coordinates.
#[test]
fn chains_start_from_pathfinder() {
    let model = EightSchoolsNoncentered::rubin();
    let fit = Pathfinder::default().fit(&model, 1).unwrap();
    let draws = Nuts::default().sample(&model, Run::new(1).chains(4).warmup(300).draws(300).start(fit.start(4))).unwrap();
    let summary = draws.summary();
    let mu = summary.row("mu").unwrap();
    assert!(mu.r_hat.is_some_and(|r_hat| r_hat < 1.05));
    // Reference: mean 4.41, standard deviation 3.32; 1200 draws of at least 400 effective ones, five standard errors.
    assert!((mu.mean - 4.41).abs() < 0.83, "{}", mu.mean);
}

/// The default start of a family finds data far from the origin, in units of its own.
#[test]
fn families_start_where_pathfinder_has_been() {
    let far = target(2, |q, g| {
        let z = [(q[0] - 500.0) / 20.0, (q[1] + 3.0) / 1e-3 - 0.5 * (q[0] - 500.0) / 20.0];
        g.copy_from_slice(&[(-z[0] + 0.5 * z[1]) / 20.0, -z[1] / 1e-3]);
        Ok(-0.5 * (z[0] * z[0] + z[1] * z[1]))
    });
    let fit = |start| Vi::new(FullRank).n_iterations(1500).start(start).fit(&far, 1).unwrap();
    let mean = fit(FamilyStart::Pathfinder).approximation().mean().unwrap();
    assert!((mean[0] - 500.0).abs() < 0.2 && (mean[1] + 3.0).abs() < 1e-5, "{mean:?}");
    // Around the origin the first coordinate is hundreds of steps away.
    assert!(fit(FamilyStart::Origin).pareto_k().is_none_or(|k| k > 0.7));
}
