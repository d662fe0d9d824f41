//! Expected gradients of every estimator, exactly: the noise of k draws runs over a grid in place of being drawn.
//!
//! The trapezoidal rule on a grid of step h converges as exp(-2πw/h) for integrands analytic in a strip of width w. Here h = 1/8
//! for k = 2, and 1/4 for k = 3.

use ndarray::Array2;
use posterity::model::{FromFn, LogDensityGradient};
use posterity::rng::Stream;
use posterity::vi::{Approximation, BoundGradient, Estimator, Objective};
use posterity::{DensityError, Error};

const HALF_LOG_TWO_PI: f64 = 0.918_938_533_204_672_8;
const PARAMETERS: [f64; 3] = [0.3, -0.4, 0.2];

/// z = μ + e^ω ε on the line, ε ~ N(β, 1): q = N(μ + e^ω β, e^2ω). β is a parameter only of families whose noise depends on
/// parameters, 0 for the others. The noise is what `next` says.
#[derive(Debug, Clone)]
struct Scripted {
    parameters: Vec<f64>,
    next: Vec<f64>,
    /// +1; -1 is a planted mistake.
    sign_of_parameter_scores: f64,
    /// Whether the noise scores are left out, a planted mistake.
    forgets_noise: bool,
}

impl Scripted {
    fn new(n_parameters: usize) -> Self {
        let parameters = PARAMETERS[..n_parameters].to_vec();
        Self { parameters, next: Vec::new(), sign_of_parameter_scores: 1.0, forgets_noise: false }
    }

    fn shift(&self) -> f64 {
        self.parameters.get(2).copied().unwrap_or(0.0)
    }

    fn sd(&self) -> f64 {
        self.parameters[1].exp()
    }
}

impl Approximation for Scripted {
    fn dim(&self) -> usize {
        1
    }

    fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        self.parameters.copy_from_slice(parameters);
        Ok(())
    }

    fn sample(&mut self, _: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        for ((z, log_density), noise) in draws.iter_mut().zip(log_densities).zip(&self.next) {
            *z = self.parameters[0] + self.sd() * noise;
            *log_density = -0.5 * (noise - self.shift()).powi(2) - self.parameters[1] - HALF_LOG_TWO_PI;
        }
    }

    fn scores(&mut self, out: &mut [f64]) {
        out.iter_mut().zip(&self.next).for_each(|(s, noise)| *s = -(noise - self.shift()) / self.sd());
    }

    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]) {
        for (c, noise) in cotangents.iter().zip(&self.next) {
            out[0] += c;
            out[1] += c * self.sd() * noise;
        }
    }

    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        for (c, noise) in coefficients.iter().zip(&self.next) {
            let (c, u) = (self.sign_of_parameter_scores * c, noise - self.shift());
            out[0] += c * u / self.sd();
            out[1] += c * (u * noise - 1.0);
            if let Some(shift) = out.get_mut(2) {
                *shift += c * u;
            }
        }
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        let u = (position[0] - self.parameters[0]) / self.sd() - self.shift();
        gradient[0] = -u / self.sd();
        Ok(-0.5 * u * u - self.parameters[1] - HALF_LOG_TWO_PI)
    }

    fn has_noise_scores(&self) -> bool {
        self.parameters.len() == 3
    }

    fn noise_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        if !self.forgets_noise {
            out[2] += coefficients.iter().zip(&self.next).map(|(c, noise)| c * (noise - self.shift())).sum::<f64>();
        }
    }

    fn entropy(&self) -> Option<f64> {
        Some(self.parameters[1] + HALF_LOG_TWO_PI + 0.5)
    }

    fn entropy_gradient(&self, coefficient: f64, out: &mut [f64]) -> bool {
        out[1] += coefficient;
        true
    }

    fn covariance(&self) -> Option<Array2<f64>> {
        None
    }

    fn clone_box(&self) -> Box<dyn Approximation> {
        Box::new(self.clone())
    }
}

/// The logarithm of a gamma variable of shape 2, and a constant: skewed.
fn log_target(z: f64) -> f64 {
    2.0 * z - z.exp() + 0.7
}

fn target() -> impl LogDensityGradient {
    FromFn::new(1, |z: &[f64], g: &mut [f64]| -> Result<f64, DensityError> {
        g[0] = 2.0 - z[0].exp();
        Ok(log_target(z[0]))
    })
}

/// Grid for the noise, in ascending order, and its step.
fn grid(k: usize) -> (Vec<f64>, f64) {
    let (n, step) = if k == 2 { (64, 0.125) } else { (30, 0.25) };
    ((-n..=n).map(|i| f64::from(i) * step).collect(), step)
}

/// Calls `f` with every multiset of k points of the grid and its weight under N(β, 1)ᵏ.
fn integrate(k: usize, shift: f64, mut f: impl FnMut(&[f64], f64)) {
    let (points, step) = grid(k);
    let density: Vec<f64> = points.iter().map(|x| step * (-0.5 * (x - shift).powi(2) - HALF_LOG_TWO_PI).exp()).collect();
    let mut indices = vec![0; k];
    loop {
        let (mut multiplicity, mut run) = ((1..=k).product::<usize>() as f64, 1.0);
        for i in 1..k {
            run = if indices[i] == indices[i - 1] { run + 1.0 } else { 1.0 };
            multiplicity /= run;
        }
        let noise: Vec<f64> = indices.iter().map(|&i| points[i]).collect();
        f(&noise, multiplicity * indices.iter().map(|&i| density[i]).product::<f64>());
        let Some(last) = (0..k).rev().find(|&i| indices[i] + 1 < points.len()) else { return };
        let next = indices[last] + 1;
        indices[last..].fill(next);
    }
}

/// The bound of one set of draws, without the library's code.
fn bound(alpha: f64, parameters: &[f64], noise: &[f64]) -> f64 {
    let shift = parameters.get(2).copied().unwrap_or(0.0);
    let ratio = |e: f64| {
        log_target(parameters[0] + parameters[1].exp() * e) + 0.5 * (e - shift).powi(2) + parameters[1] + HALF_LOG_TWO_PI
    };
    let k = noise.len() as f64;
    if alpha == 1.0 {
        return noise.iter().map(|&e| ratio(e)).sum::<f64>() / k;
    }
    let largest = noise.iter().map(|&e| (1.0 - alpha) * ratio(e)).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = noise.iter().map(|&e| ((1.0 - alpha) * ratio(e) - largest).exp()).sum();
    (largest + (sum / k).ln()) / (1.0 - alpha)
}

fn expected_bound(alpha: f64, k: usize, parameters: &[f64]) -> f64 {
    let mut total = 0.0;
    integrate(k, parameters.get(2).copied().unwrap_or(0.0), |noise, weight| total += weight * bound(alpha, parameters, noise));
    total
}

/// By differences of fourth order.
fn expected_gradient(alpha: f64, k: usize, parameters: &[f64]) -> Vec<f64> {
    const H: f64 = 2e-3;
    let at = |i: usize, steps: f64| {
        let mut moved = parameters.to_vec();
        moved[i] += steps * H;
        expected_bound(alpha, k, &moved)
    };
    (0..parameters.len()).map(|i| (8.0 * (at(i, 1.0) - at(i, -1.0)) - (at(i, 2.0) - at(i, -2.0))) / (12.0 * H)).collect()
}

/// Expected bound and gradient of the library's estimator.
fn estimated(objective: Objective, k: usize, q: &mut Scripted) -> (f64, Vec<f64>) {
    let mut estimator = BoundGradient::new(objective, q).unwrap();
    let (mut target, mut rng) = (target(), Stream::new(1));
    let mut gradient = vec![0.0; q.parameters.len()];
    let (mut expected, mut value) = (gradient.clone(), 0.0);
    integrate(k, q.shift(), |noise, weight| {
        q.next.clear();
        q.next.extend_from_slice(noise);
        let estimate = estimator.estimate(q, &mut target, &mut rng, &mut gradient).unwrap();
        value += weight * estimate.bound;
        expected.iter_mut().zip(&gradient).for_each(|(sum, g)| *sum += weight * g);
    });
    (value, expected)
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

const UNBIASED: [Estimator; 3] = [Estimator::Total, Estimator::DoublyReparameterised, Estimator::LeaveOneOut];

fn objective(alpha: f64, k: usize, estimator: Estimator) -> Objective {
    Objective::renyi(alpha, k).estimator(estimator)
}

/// The largest difference between an expected gradient and that of the expected bound, under planted mistakes of the family too.
fn bias(alpha: f64, k: usize, estimator: Estimator, mut q: Scripted) -> f64 {
    let exact = expected_gradient(alpha, k, &q.parameters);
    largest_difference(&estimated(objective(alpha, k, estimator), k, &mut q).1, &exact)
}

/// All orders, all unbiased estimators, k = 2. Measured: at most 8e-11 for gradients, which is what the differences leave, and 0
/// for bounds.
#[test]
fn gradients_are_unbiased_for_every_order() {
    for alpha in [0.0, 0.5, 1.0, 2.0] {
        let exact = expected_gradient(alpha, 2, &PARAMETERS[..2]);
        let exact_bound = expected_bound(alpha, 2, &PARAMETERS[..2]);
        let closed = (alpha == 1.0).then_some([Estimator::ClosedEntropy, Estimator::StickingTheLanding]);
        for estimator in UNBIASED.into_iter().chain(closed.into_iter().flatten()) {
            let (bound, gradient) = estimated(objective(alpha, 2, estimator), 2, &mut Scripted::new(2));
            let error = largest_difference(&gradient, &exact);
            println!("alpha {alpha} {estimator:?}: gradient {error:.1e}, bound {:.1e}", bound - exact_bound);
            assert!(error < 1e-8, "alpha {alpha}, {estimator:?}: {gradient:?} instead of {exact:?}");
            // A mean of exponentials that forgets its k is off by ln 2 / (1 - α).
            assert!((bound - exact_bound).abs() < 1e-10, "alpha {alpha}, {estimator:?}: {bound} instead of {exact_bound}");
        }
    }
}

/// k = 3: leave-one-out has two others to predict from. Measured: at most 8e-11.
#[test]
fn gradients_of_three_draws_are_unbiased() {
    for (alpha, estimator) in [
        (0.0, Estimator::DoublyReparameterised),
        (0.5, Estimator::DoublyReparameterised),
        (0.0, Estimator::LeaveOneOut),
        (1.0, Estimator::LeaveOneOut),
    ] {
        let error = bias(alpha, 3, estimator, Scripted::new(2));
        println!("alpha {alpha} {estimator:?}: {error:.1e}");
        assert!(error < 1e-8, "alpha {alpha}, {estimator:?}: {error}");
    }
}

/// Noise whose distribution has a parameter: the score of the noise is part of the gradient.
#[test]
fn gradients_through_noise_that_depends_on_parameters() {
    let cases = [
        (0.0, Estimator::Total),
        (0.5, Estimator::Total),
        (1.0, Estimator::Total),
        (1.0, Estimator::DoublyReparameterised),
        (1.0, Estimator::ClosedEntropy),
        (0.0, Estimator::LeaveOneOut),
        (1.0, Estimator::LeaveOneOut),
    ];
    for (alpha, estimator) in cases {
        let error = bias(alpha, 2, estimator, Scripted::new(3));
        println!("alpha {alpha} {estimator:?}: {error:.1e}");
        assert!(error < 1e-8, "alpha {alpha}, {estimator:?}: {error}");
        if estimator != Estimator::LeaveOneOut {
            let forgotten = bias(alpha, 2, estimator, Scripted { forgets_noise: true, ..Scripted::new(3) });
            assert!(forgotten > 1e-2, "planted: alpha {alpha}, {estimator:?}: {forgotten}");
        }
    }
    // Where the square of the weights would need the gradient of the noise's score too.
    for alpha in [0.0, 0.5, 2.0] {
        let refused = BoundGradient::new(Objective::renyi(alpha, 2), &Scripted::new(3));
        assert!(matches!(refused, Err(Error::NotAvailable { .. })));
    }
}

/// w in place of w² is sticking the landing, whose bias is what the square removes. A parameter score of the wrong sign shows for
/// every estimator that has one.
#[test]
fn planted_mistakes_are_seen() {
    for alpha in [0.0, 0.5, 2.0] {
        let error = bias(alpha, 2, Estimator::StickingTheLanding, Scripted::new(2));
        println!("w in place of w², alpha {alpha}: {error:.3}");
        assert!(error > 1e-2, "alpha {alpha}: {error}");
        for estimator in [Estimator::Total, Estimator::LeaveOneOut] {
            let error = bias(alpha, 2, estimator, Scripted { sign_of_parameter_scores: -1.0, ..Scripted::new(2) });
            println!("sign of the scores, alpha {alpha}, {estimator:?}: {error:.3}");
            assert!(error > 1e-2, "alpha {alpha}, {estimator:?}: {error}");
        }
    }
}

/// The wake phase: E Σ wᵢ ∇φ log q(zᵢ), by the same quadrature without the library.
#[test]
fn the_wake_phase_is_the_weighted_score() {
    let mut q = Scripted::new(2);
    let gradient = estimated(objective(0.0, 2, Estimator::WakePhase), 2, &mut q).1;
    let (mu, sd) = (PARAMETERS[0], PARAMETERS[1].exp());
    let mut exact = [0.0; 2];
    integrate(2, 0.0, |noise, weight| {
        let ratios = [0, 1].map(|i| (log_target(mu + sd * noise[i]) + 0.5 * noise[i] * noise[i]).exp());
        for i in 0..2 {
            let w = weight * ratios[i] / (ratios[0] + ratios[1]);
            exact[0] += w * noise[i] / sd;
            exact[1] += w * (noise[i] * noise[i] - 1.0);
        }
    });
    assert!(largest_difference(&gradient, &exact) < 1e-10, "{gradient:?} instead of {exact:?}");
}

/// E exp(L) of the importance-weighted bound is the evidence, however many draws have zero density, as long as those keep their
/// place among the k: for p(z) = z⁴ e^(-z) on z > 0, of integral 24. Dropping them instead gives far more.
#[test]
fn the_importance_weighted_bound_is_unbiased_for_the_evidence_where_the_density_is_zero() {
    let mut q = Scripted::new(2);
    q.parameters.copy_from_slice(&[2.0, 1.2]);
    let mut estimator = BoundGradient::new(Objective::iwelbo(2), &q).unwrap();
    let mut target = FromFn::new(1, |z: &[f64], g: &mut [f64]| {
        g[0] = 4.0 / z[0] - 1.0;
        Ok(if z[0] > 0.0 { 4.0 * z[0].ln() - z[0] } else { f64::NEG_INFINITY })
    });
    let (mut gradient, mut rng) = (vec![0.0; 2], Stream::new(1));
    let (mut evidence, mut dropped) = (0.0, 0.0);
    integrate(2, 0.0, |noise, weight| {
        q.next.clear();
        q.next.extend_from_slice(noise);
        match estimator.estimate(&mut q, &mut target, &mut rng, &mut gradient) {
            Ok(estimate) => {
                assert_eq!(estimate.n_failed, 0);
                evidence += weight * estimate.bound.exp();
                let n = estimator.log_ratios().iter().filter(|a| a.is_finite()).count() as f64;
                dropped += weight * estimate.bound.exp() * 2.0 / n;
                assert!(gradient.iter().all(|g| g.is_finite()));
            }
            Err(Error::NoUsableDraw { n_draws: 2, .. }) => {}
            Err(error) => panic!("{error}"),
        }
    });
    println!("evidence {evidence:.6}, {dropped:.3} if they are dropped");
    assert!((evidence / 24.0 - 1.0).abs() < 1e-4, "{evidence}");
    assert!(dropped > 25.0, "{dropped}");
}
