//! A hidden Markov model of two states: the states are summed out, since gradients know nothing of discrete parameters.
//!
//! ```text
//! cargo run --release --example hidden_markov [-- --seed 1]
//!
//! theta1, theta2 flat on the simplex    0 < mu[0] < mu[1]    mu[0] ~ N(3, 1)    mu[1] ~ N(10, 1)
//! state[t] ~ Categorical(theta_state[t-1])                   y[t] ~ N(mu[state[t]], 1)
//! ```
//! What to look at:
//!
//! - `space.positive_ordered` keeps the states from changing names between chains;
//! - `lp.recursion` runs the forward algorithm on forward-mode numbers, so that the tape holds one node with six edges, not one per operation
//!   and time step; each time step's term goes to its observation, ln p(y[t] | y[0..t]);
//! - `generated` computes, from each draw, how long the states last, and which of them an observation between the two means
//!   comes from, given the series up to there.
//!
//! Data and reference are posteriordb's `hmm_example-hmm_example`, data rounded to four digits: 10 chains of Stan, 10,000 draws that are
//! nearly
//! independent.

mod reference;

use posterity::prelude::*;
use reference::{Known, compare};

struct HiddenMarkov {
    y: Vec<f64>,
}

struct Parameters<T> {
    theta1: Vec<T>,
    theta2: Vec<T>,
    mu: Vec<T>,
}

/// The forward algorithm: hands ln p(y[t] | y[0..t]) to `term`, and returns the probabilities of the states after the last observation.
fn forward_algorithm<T: Real>(y: &[f64], theta: [[T; 2]; 2], mu: [T; 2], mut term: impl FnMut(usize, T)) -> [T; 2] {
    let log_density = |mu: T, y: f64| (mu - y).square() * -0.5 - 0.5 * (2.0 * std::f64::consts::PI).ln();
    // The first state has no distribution of its own in this model: both count in full.
    let mut predicted = [T::constant(1.0), T::constant(1.0)];
    let mut filtered = predicted;
    for (t, &y) in y.iter().enumerate() {
        let log_densities = mu.map(|mu| log_density(mu, y));
        let largest = log_densities[0].max(log_densities[1]);
        let joint = [0, 1].map(|k| predicted[k] * (log_densities[k] - largest).exp());
        let total = joint[0] + joint[1];
        term(t, total.ln() + largest);
        filtered = joint.map(|p| p / total);
        predicted = [0, 1].map(|k| filtered[0] * theta[0][k] + filtered[1] * theta[1][k]);
    }
    filtered
}

impl Model for HiddenMarkov {
    type Parameters<T: Real> = Parameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> Parameters<T> {
        Parameters { theta1: space.simplex("theta1", 2), theta2: space.simplex("theta2", 2), mu: space.positive_ordered("mu", 2) }
    }

    fn log_prior<T: Real>(&self, p: &Parameters<T>, lp: &mut LogP<T>) {
        lp.normal(&p.mu, &[3.0, 10.0], &1.0);
    }

    fn log_likelihood<T: Real>(&self, p: &Parameters<T>, lp: &mut LogP<T>) {
        let inputs = [p.theta1[0], p.theta1[1], p.theta2[0], p.theta2[1], p.mu[0], p.mu[1]];
        lp.recursion(inputs, |[a, b, c, d, mu1, mu2], terms| {
            forward_algorithm(&self.y, [[a, b], [c, d]], [mu1, mu2], |t, term| terms.add(t, term));
        });
    }

    fn generated(&self, p: &Parameters<Value>, _: &mut Stream, out: &mut Values) {
        // A state that is left with probability q in each step lasts 1/q steps on average.
        out.set_vector("duration", &[p.theta1[1].recip(), p.theta2[0].recip()]);
        let theta = [[p.theta1[0], p.theta1[1]], [p.theta2[0], p.theta2[1]]];
        let [_, second] = forward_algorithm(&self.y[..=UNCLEAR], theta, [p.mu[0], p.mu[1]], |_, _| ());
        out.set("unclear_is_second", second);
    }
}

fn main() -> Result<(), posterity::Error> {
    let model = HiddenMarkov { y: Y.to_vec() };
    let draws = Nuts::default().sample(&model, Run::new(reference::seed(1)?))?;
    println!("{}", draws.summary());
    let posteriordb = [
        ("theta1[0]", 0.66665, 0.10123),
        ("theta2[0]", 0.07313, 0.02844),
        ("mu[0]", 3.02152, 0.22445),
        ("mu[1]", 8.82728, 0.11058),
    ];
    compare(&draws, &posteriordb.map(|(element, mean, sd)| Known::from_draws(element, mean, sd, 10_000.0)))
}

/// Index of an observation between the two means: 6.5627.
const UNCLEAR: usize = 56;

#[rustfmt::skip]
const Y: [f64; 100] = [
    3.8024, 8.2317, 9.3897, 7.1501, 8.0526, 8.353, 9.9353, 8.8371, 10.8034, 7.9654, 3.962, 3.9877, 3.1219, 8.9277, 8.8618,
    7.9434, 7.7404, 9.5302, 8.4996, 8.5525, 1.3494, 3.6028, 4.4149, 1.6536, 2.2491, 2.194, 8.1743, 9.0458, 10.8475, 8.561,
    2.6567, 2.9272, 4.4368, 7.252, 9.4169, 7.8789, 8.5179, 10.3104, 8.7857, 7.8455, 8.63, 9.5686, 3.4451, 9.6155, 8.9775,
    8.9692, 9.171, 9.1291, 8.0372, 8.6588, 9.5636, 8.8879, 7.3524, 9.06, 8.9667, 8.7564, 6.5627, 8.8459, 7.6965, 9.1093, 2.2916,
    2.887, 3.0926, 2.3561, 3.039, 9.9234, 9.5235, 9.0138, 7.7393, 9.6931, 7.1772, 9.1599, 9.388, 10.141, 8.3254, 7.8061, 9.6034,
    8.9114, 8.4652, 8.744, 7.955, 10.4303, 10.6963, 10.0252, 9.1283, 8.6551, 8.2629, 8.7665, 9.255, 8.6173, 10.2756, 8.0568,
    9.2704, 10.1874, 7.4332, 9.7235, 7.2418, 7.3398, 9.9456, 7.8939,
];
