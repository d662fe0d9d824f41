//! Hidden Markov models of two states, the states summed out by the forward algorithm.

use super::{check_data, check_length, check_positive};
use crate::autodiff::{Jet, Real, Value};
use crate::error::{Error, check};
use crate::model::{LogP, Model, RowTerms, Space, Values};
use crate::rng::Stream;

const HALF_LN_2PI: f64 = 0.918_938_533_204_672_8;

/// The forward algorithm: adds ln p(y\[t\] | y\[0..t\]) for every t.
///
/// ```text
/// w'[k] = Σⱼ w[j] theta[j][k] · p(y[t] | k)        term = ln Σₖ w'[k]        w = w' / Σ w'
/// ```
/// The first observation enters without initial-state weights, w'[k] = p(y\[0\] | k). The densities of the two states are divided by the
/// larger one, so that nothing underflows and one exponential per observation is enough.
#[inline(always)]
fn forward_algorithm<T: Real>(
    n: usize,
    [theta1, theta2]: [[T; 2]; 2],
    log_emission: impl Fn(usize) -> [T; 2],
    terms: &mut RowTerms<'_, T>,
) {
    let mut predicted = [T::constant(1.0), T::constant(1.0)];
    for t in 0..n {
        let [first, second] = log_emission(t);
        let difference = second - first;
        let (largest, w1, w2) = if difference.value() <= 0.0 {
            (first, predicted[0], predicted[1] * difference.exp())
        } else {
            (second, predicted[0] * (-difference).exp(), predicted[1])
        };
        let total = w1 + w2;
        terms.add(t, total.ln() + largest);
        let scale = total.recip();
        let (w1, w2) = (w1 * scale, w2 * scale);
        predicted = [w1 * theta1[0] + w2 * theta2[0], w1 * theta1[1] + w2 * theta2[1]];
    }
}

/// Simulates states: the first from weights ½ each, the others by the transition probabilities.
fn simulate_states(n: usize, theta1: &[Value], theta2: &[Value], rng: &mut Stream) -> Vec<usize> {
    let mut state = usize::from(rng.coin());
    let mut states = vec![state; n];
    for later in states.iter_mut().skip(1) {
        let stay_first = if state == 0 { theta1[0] } else { theta2[0] };
        state = usize::from(!(rng.uniform() < stay_first.value()));
        *later = state;
    }
    states
}

/// Two ordered positive numbers from N(first, 1) and N(second, 1), restricted to their support by rejection.
fn positive_ordered_pair(rng: &mut Stream, first: f64, second: f64) -> [f64; 2] {
    loop {
        let (a, b) = (first + rng.normal(), second + rng.normal());
        if 0.0 < a && a < b {
            return [a, b];
        }
    }
}

/// Two-state hidden Markov model with normal observations of standard deviation 1.
///
/// ```text
/// theta1, theta2 flat on the simplex    0 < mu[0] < mu[1]    mu[0] ~ N(3, 1)    mu[1] ~ N(10, 1)    y[t] ~ N(mu[state[t]], 1)
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HmmGaussian {
    y: Vec<f64>,
}

/// Parameters of [`HmmGaussian`].
#[derive(Debug, Clone)]
pub struct HmmGaussianParameters<T> {
    /// Probabilities of the next state from the first one.
    pub theta1: Vec<T>,
    /// Probabilities of the next state from the second one.
    pub theta2: Vec<T>,
    /// Means of the observations.
    pub mu: Vec<T>,
}

impl HmmGaussian {
    /// The model of the series `y`.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`].
    pub fn new(y: Vec<f64>) -> Result<Self, Error> {
        check_data("y", &y)?;
        Ok(Self { y })
    }

    /// The series.
    #[must_use]
    pub fn series(&self) -> &[f64] {
        &self.y
    }
}

impl Model for HmmGaussian {
    type Parameters<T: Real> = HmmGaussianParameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> HmmGaussianParameters<T> {
        HmmGaussianParameters {
            theta1: space.simplex("theta1", 2),
            theta2: space.simplex("theta2", 2),
            mu: space.positive_ordered("mu", 2),
        }
    }

    fn log_prior<T: Real>(&self, p: &HmmGaussianParameters<T>, lp: &mut LogP<T>) {
        lp.normal(&p.mu, &[3.0, 10.0], &1.0);
    }

    fn log_likelihood<T: Real>(&self, p: &HmmGaussianParameters<T>, lp: &mut LogP<T>) {
        let inputs = [p.theta1[0], p.theta1[1], p.theta2[0], p.theta2[1], p.mu[0], p.mu[1]];
        lp.recursion(inputs, |[a, b, c, d, mu1, mu2], terms| {
            let log_density = |mu: Jet<T::Element, 6>, y: f64| (mu - y).square() * -0.5 - HALF_LN_2PI;
            let log_emission = |t: usize| [log_density(mu1, self.y[t]), log_density(mu2, self.y[t])];
            forward_algorithm(self.y.len(), [[a, b], [c, d]], log_emission, terms);
        });
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    fn predict(&self, p: &HmmGaussianParameters<Value>, rng: &mut Stream, out: &mut Values) {
        let states = simulate_states(self.y.len(), &p.theta1, &p.theta2, rng);
        let y: Vec<f64> = states.iter().map(|&k| p.mu[k].value() + rng.normal()).collect();
        out.set_vector("y", &y);
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        for name in ["theta1", "theta2"] {
            let p = rng.uniform_positive();
            out.set_vector(name, &[p, 1.0 - p]);
        }
        out.set_vector("mu", &positive_ordered_pair(rng, 3.0, 10.0));
        true
    }
}

/// Two-state hidden Markov model of pairs of exponential observations, as for drives in basketball.
///
/// ```text
/// theta_k ~ Dirichlet(alpha_k)    u[t] ~ Exponential(phi[state[t]])    v[t] ~ Exponential(lambda[state[t]])
/// 0 < phi[0] < phi[1], 0 < lambda[0] < lambda[1]: the first ~ N(0, 1), the second ~ N(3, 1)
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HmmExponential {
    u: Vec<f64>,
    v: Vec<f64>,
    alpha: [[f64; 2]; 2],
}

/// Parameters of [`HmmExponential`].
#[derive(Debug, Clone)]
pub struct HmmExponentialParameters<T> {
    /// Probabilities of the next state from the first one.
    pub theta1: Vec<T>,
    /// Probabilities of the next state from the second one.
    pub theta2: Vec<T>,
    /// Rates of the first observation.
    pub phi: Vec<T>,
    /// Rates of the second observation.
    pub lambda: Vec<T>,
}

impl HmmExponential {
    /// The model of the series `u` and `v`; `alpha[k]` are the prior weights of the transitions from state k.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`], [`Error::Dimension`] for unequal lengths, [`Error::OutsideSupport`] for an observation that
    /// is not positive, [`Error::InvalidSetting`] for a weight that is not.
    pub fn new(u: Vec<f64>, v: Vec<f64>, alpha: [[f64; 2]; 2]) -> Result<Self, Error> {
        check_positive("u", &u)?;
        check_length("v", u.len(), v.len())?;
        check_positive("v", &v)?;
        alpha.iter().flatten().try_for_each(|&weight| check::positive("alpha", weight))?;
        Ok(Self { u, v, alpha })
    }
}

impl Model for HmmExponential {
    type Parameters<T: Real> = HmmExponentialParameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> HmmExponentialParameters<T> {
        HmmExponentialParameters {
            theta1: space.simplex("theta1", 2),
            theta2: space.simplex("theta2", 2),
            phi: space.positive_ordered("phi", 2),
            lambda: space.positive_ordered("lambda", 2),
        }
    }

    fn log_prior<T: Real>(&self, p: &HmmExponentialParameters<T>, lp: &mut LogP<T>) {
        lp.dirichlet(&p.theta1, &self.alpha[0]);
        lp.dirichlet(&p.theta2, &self.alpha[1]);
        lp.normal(&p.phi, &[0.0, 3.0], &1.0);
        lp.normal(&p.lambda, &[0.0, 3.0], &1.0);
    }

    fn log_likelihood<T: Real>(&self, p: &HmmExponentialParameters<T>, lp: &mut LogP<T>) {
        let inputs = [p.theta1[0], p.theta1[1], p.theta2[0], p.theta2[1], p.phi[0], p.phi[1], p.lambda[0], p.lambda[1]];
        lp.recursion(inputs, |[a, b, c, d, phi1, phi2, lambda1, lambda2], terms| {
            let constants = [phi1.ln() + lambda1.ln(), phi2.ln() + lambda2.ln()];
            let log_emission = |t: usize| {
                let (u, v) = (self.u[t], self.v[t]);
                [constants[0] - phi1 * u - lambda1 * v, constants[1] - phi2 * u - lambda2 * v]
            };
            forward_algorithm(self.u.len(), [[a, b], [c, d]], log_emission, terms);
        });
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.u.len())
    }

    fn predict(&self, p: &HmmExponentialParameters<Value>, rng: &mut Stream, out: &mut Values) {
        let states = simulate_states(self.u.len(), &p.theta1, &p.theta2, rng);
        for (name, rates) in [("u", &p.phi), ("v", &p.lambda)] {
            let draws: Vec<f64> = states.iter().map(|&k| -rng.uniform_positive().ln() / rates[k].value()).collect();
            out.set_vector(name, &draws);
        }
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        for (name, [a, b]) in ["theta1", "theta2"].into_iter().zip(self.alpha) {
            let Ok(beta) = rand_distr::Beta::new(a, b) else { return false };
            let p: f64 = rand_distr::Distribution::sample(&beta, rng);
            out.set_vector(name, &[p, 1.0 - p]);
        }
        out.set_vector("phi", &positive_ordered_pair(rng, 0.0, 3.0));
        out.set_vector("lambda", &positive_ordered_pair(rng, 0.0, 3.0));
        true
    }
}
