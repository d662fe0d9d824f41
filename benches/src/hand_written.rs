//! Log densities with gradients as a careful programmer writes them by hand: plain loops, no allocation per call.
//!
//! They take the unconstrained position and include priors and Jacobians, so that they are equal to the models of the zoo.

use std::f64::consts::{LN_2, PI};

const HALF_LN_2PI: f64 = 0.918_938_533_204_672_8;

/// A log density with a gradient; scratch memory is the implementor's.
pub trait HandWritten {
    /// The log density; its gradient is written to `gradient`.
    fn gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> f64;
}

fn inv_logit(u: f64) -> f64 {
    1.0 / (1.0 + (-u).exp())
}

/// A dot product with four partial sums, which the compiler vectorises.
#[must_use]
pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a, b) = (x.chunks_exact(4), y.chunks_exact(4));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a.zip(b) {
        for k in 0..4 {
            sums[k] += a[k] * b[k];
        }
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3]) + rest
}

fn log_normal_density(x: f64, sd: f64) -> f64 {
    -0.5 * (x / sd).powi(2) - sd.ln() - HALF_LN_2PI
}

/// Logistic regression with N(0, 1) coefficients; `x` row by row.
#[derive(Debug)]
pub struct Logistic {
    /// Design matrix, row by row.
    pub x: Vec<f64>,
    /// Responses.
    pub y: Vec<bool>,
}

impl HandWritten for Logistic {
    fn gradient(&mut self, beta: &[f64], gradient: &mut [f64]) -> f64 {
        let mut total = -HALF_LN_2PI * beta.len() as f64;
        for (g, b) in gradient.iter_mut().zip(beta) {
            *g = -b;
            total -= 0.5 * b * b;
        }
        for (row, &y) in self.x.chunks_exact(beta.len()).zip(&self.y) {
            let eta = dot(row, beta);
            let e = (-eta.abs()).exp();
            let p = if eta >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) };
            total -= e.ln_1p() + if y { (-eta).max(0.0) } else { eta.max(0.0) };
            let residual = f64::from(u8::from(y)) - p;
            for (g, x) in gradient.iter_mut().zip(row) {
                *g += residual * x;
            }
        }
        total
    }
}

/// Linear regression with flat priors; `x` row by row.
#[derive(Debug)]
pub struct Linear {
    /// Design matrix, row by row.
    pub x: Vec<f64>,
    /// Responses.
    pub y: Vec<f64>,
}

impl HandWritten for Linear {
    fn gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> f64 {
        let d = position.len() - 1;
        let (beta, log_sigma) = (&position[..d], position[d]);
        let precision = (-2.0 * log_sigma).exp();
        gradient.fill(0.0);
        let mut squares = 0.0;
        for (row, y) in self.x.chunks_exact(d).zip(&self.y) {
            let residual = y - dot(row, beta);
            squares += residual * residual;
            for (g, x) in gradient.iter_mut().zip(row) {
                *g += residual * x;
            }
        }
        let n = self.y.len() as f64;
        gradient[..d].iter_mut().for_each(|g| *g *= precision);
        gradient[d] = squares * precision - n + 1.0;
        -0.5 * squares * precision - n * (log_sigma + HALF_LN_2PI) + log_sigma
    }
}

/// GARCH(1, 1) with flat priors, differentiated in reverse.
#[derive(Debug)]
pub struct Garch {
    /// The series.
    pub y: Vec<f64>,
    /// Standard deviation of its first value.
    pub sigma1: f64,
    /// Scratch.
    pub variances: Vec<f64>,
}

impl HandWritten for Garch {
    fn gradient(&mut self, q: &[f64], gradient: &mut [f64]) -> f64 {
        let (mu, alpha0) = (q[0], q[1].exp());
        let (alpha1, share) = (inv_logit(q[2]), inv_logit(q[3]));
        let beta1 = (1.0 - alpha1) * share;
        let n = self.y.len();
        self.variances.clear();
        let mut variance = self.sigma1 * self.sigma1;
        let mut total = 0.0;
        for &y in &self.y {
            self.variances.push(variance);
            let square = (y - mu) * (y - mu);
            total -= variance.ln() + square / variance;
            variance = alpha0 + alpha1 * square + beta1 * variance;
        }
        let (mut by_mu, mut by_alpha0, mut by_alpha1, mut by_beta1) = (0.0, 0.0, 0.0, 0.0);
        let mut adjoint = 0.0;
        for t in (0..n).rev() {
            let (deviation, variance) = (self.y[t] - mu, self.variances[t]);
            let inverse = 1.0 / variance;
            // `adjoint` is the derivative by the variance of t + 1, which this step feeds.
            by_mu += deviation * inverse - adjoint * alpha1 * 2.0 * deviation;
            by_alpha0 += adjoint;
            by_alpha1 += adjoint * deviation * deviation;
            by_beta1 += adjoint * variance;
            adjoint = beta1 * adjoint - 0.5 * inverse * (1.0 - deviation * deviation * inverse);
        }
        gradient[0] = by_mu;
        gradient[1] = by_alpha0 * alpha0 + 1.0;
        let width = 1.0 - alpha1;
        gradient[2] = (by_alpha1 - by_beta1 * share - 1.0 / width) * alpha1 * width + 1.0 - 2.0 * alpha1;
        gradient[3] = by_beta1 * width * share * (1.0 - share) + 1.0 - 2.0 * share;
        0.5 * total - n as f64 * HALF_LN_2PI + q[1] + (alpha1 * width).ln() + width.ln() + (share * (1.0 - share)).ln()
    }
}

/// ARMA(1, 1), differentiated in reverse.
#[derive(Debug)]
pub struct Arma {
    /// The series.
    pub y: Vec<f64>,
    /// Scratch.
    pub errors: Vec<f64>,
}

impl HandWritten for Arma {
    fn gradient(&mut self, q: &[f64], gradient: &mut [f64]) -> f64 {
        let (mu, phi, theta, sigma) = (q[0], q[1], q[2], q[3].exp());
        let n = self.y.len();
        self.errors.clear();
        let (mut nu, mut squares) = (mu + phi * mu, 0.0);
        for &y in &self.y {
            let error = y - nu;
            self.errors.push(error);
            squares += error * error;
            nu = mu + phi * y + theta * error;
        }
        let precision = 1.0 / (sigma * sigma);
        let (mut by_mu, mut by_phi, mut by_theta, mut adjoint) = (0.0, 0.0, 0.0, 0.0);
        for t in (1..n).rev() {
            adjoint = -self.errors[t] * precision - theta * adjoint;
            by_mu -= adjoint;
            by_phi -= adjoint * self.y[t - 1];
            by_theta -= adjoint * self.errors[t - 1];
        }
        adjoint = -self.errors[0] * precision - theta * adjoint;
        by_mu -= adjoint * (1.0 + phi);
        by_phi -= adjoint * mu;
        let ratio = sigma / 2.5;
        gradient[0] = by_mu - mu / 100.0;
        gradient[1] = by_phi - phi / 4.0;
        gradient[2] = by_theta - theta / 4.0;
        gradient[3] = squares * precision - n as f64 + 1.0 - 2.0 * ratio * ratio / (1.0 + ratio * ratio);
        let prior = log_normal_density(mu, 10.0) + log_normal_density(phi, 2.0) + log_normal_density(theta, 2.0)
            - (ratio * ratio).ln_1p()
            + LN_2
            - (PI * 2.5).ln();
        -0.5 * squares * precision - n as f64 * (q[3] + HALF_LN_2PI) + q[3] + prior
    }
}

/// Two-state hidden Markov model with normal observations: forward and backward recursions.
#[derive(Debug)]
pub struct Hmm {
    /// The series.
    pub y: Vec<f64>,
    /// Scratch: filtered weights and emissions over the total, per observation.
    pub steps: Vec<[f64; 4]>,
}

impl HandWritten for Hmm {
    fn gradient(&mut self, q: &[f64], gradient: &mut [f64]) -> f64 {
        let (a, b) = (inv_logit(q[0]), inv_logit(q[1]));
        let (step1, step2) = (q[2].exp(), q[3].exp());
        let (mu1, mu2) = (step1, step1 + step2);
        self.steps.clear();
        let (mut total, mut p1, mut p2) = (0.0, 1.0, 1.0);
        for &y in &self.y {
            let (l1, l2) = (-0.5 * (y - mu1) * (y - mu1), -0.5 * (y - mu2) * (y - mu2));
            let largest = l1.max(l2);
            let e = (-(l1 - l2).abs()).exp();
            let (e1, e2) = if l1 >= l2 { (1.0, e) } else { (e, 1.0) };
            let sum = p1 * e1 + p2 * e2;
            total += largest + sum.ln();
            let inverse = 1.0 / sum;
            let (w1, w2) = (p1 * e1 * inverse, p2 * e2 * inverse);
            self.steps.push([w1, w2, e1 * inverse, e2 * inverse]);
            (p1, p2) = (w1 * a + w2 * b, w1 * (1.0 - a) + w2 * (1.0 - b));
        }
        let (mut by_mu1, mut by_mu2) = (0.0, 0.0);
        let mut by_theta = [0.0; 4];
        let (mut back1, mut back2) = (1.0, 1.0);
        let mut later: Option<[f64; 2]> = None;
        for (&[w1, w2, e1, e2], &y) in self.steps.iter().zip(&self.y).rev() {
            if let Some([m1, m2]) = later {
                by_theta[0] += w1 * m1;
                by_theta[1] += w1 * m2;
                by_theta[2] += w2 * m1;
                by_theta[3] += w2 * m2;
                (back1, back2) = (a * m1 + (1.0 - a) * m2, b * m1 + (1.0 - b) * m2);
            }
            by_mu1 += w1 * back1 * (y - mu1);
            by_mu2 += w2 * back2 * (y - mu2);
            later = Some([e1 * back1, e2 * back2]);
        }
        by_mu1 += 3.0 - mu1;
        by_mu2 += 10.0 - mu2;
        gradient[0] = (by_theta[0] - by_theta[1]) * a * (1.0 - a) + 1.0 - 2.0 * a;
        gradient[1] = (by_theta[2] - by_theta[3]) * b * (1.0 - b) + 1.0 - 2.0 * b;
        gradient[2] = (by_mu1 + by_mu2) * step1 + 1.0;
        gradient[3] = by_mu2 * step2 + 1.0;
        total - self.y.len() as f64 * HALF_LN_2PI
            + (a * (1.0 - a)).ln()
            + (b * (1.0 - b)).ln()
            + q[2]
            + q[3]
            + log_normal_density(mu1 - 3.0, 1.0)
            + log_normal_density(mu2 - 10.0, 1.0)
    }
}

/// Eight schools, noncentered.
#[derive(Debug)]
pub struct Schools {
    /// Effects.
    pub y: [f64; 8],
    /// Their standard errors.
    pub sigma: [f64; 8],
}

impl HandWritten for Schools {
    fn gradient(&mut self, q: &[f64], gradient: &mut [f64]) -> f64 {
        let (mu, tau) = (q[8], q[9].exp());
        let ratio = tau / 5.0;
        let mut total = log_normal_density(mu, 5.0) - (ratio * ratio).ln_1p() + LN_2 - (PI * 5.0).ln() + q[9];
        let (mut by_mu, mut by_tau) = (-mu / 25.0, 0.0);
        for j in 0..8 {
            let residual = (self.y[j] - mu - tau * q[j]) / self.sigma[j];
            let slope = residual / self.sigma[j];
            total -= 0.5 * residual * residual + self.sigma[j].ln() + 0.5 * q[j] * q[j] + 2.0 * HALF_LN_2PI;
            by_mu += slope;
            by_tau += slope * q[j];
            gradient[j] = slope * tau - q[j];
        }
        gradient[8] = by_mu;
        gradient[9] = by_tau * tau + 1.0 - 2.0 * ratio * ratio / (1.0 + ratio * ratio);
        total
    }
}

/// A mixture of two normals.
#[derive(Debug)]
pub struct Mixture {
    /// The sample.
    pub y: Vec<f64>,
}

impl HandWritten for Mixture {
    fn gradient(&mut self, q: &[f64], gradient: &mut [f64]) -> f64 {
        let step = q[1].exp();
        let (mu1, mu2) = (q[0], q[0] + step);
        let (sigma1, sigma2, theta) = (q[2].exp(), q[3].exp(), inv_logit(q[4]));
        let (r1, r2) = (1.0 / sigma1, 1.0 / sigma2);
        let (c1, c2) = (theta.ln() - q[2] - HALF_LN_2PI, (1.0 - theta).ln() - q[3] - HALF_LN_2PI);
        let mut total = 0.0;
        let (mut weight1, mut first1, mut second1, mut first2, mut second2) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &y in &self.y {
            let (z1, z2) = ((y - mu1) * r1, (y - mu2) * r2);
            let (a, b) = (c1 - 0.5 * z1 * z1, c2 - 0.5 * z2 * z2);
            let e = (-(a - b).abs()).exp();
            total += a.max(b) + e.ln_1p();
            let larger = 1.0 / (1.0 + e);
            let (w1, w2) = if a >= b { (larger, 1.0 - larger) } else { (1.0 - larger, larger) };
            weight1 += w1;
            first1 += w1 * z1;
            second1 += w1 * z1 * z1;
            first2 += w2 * z2;
            second2 += w2 * z2 * z2;
        }
        let n = self.y.len() as f64;
        let weight2 = n - weight1;
        let (by_mu1, by_mu2) = (first1 * r1 - mu1 / 4.0, first2 * r2 - mu2 / 4.0);
        gradient[0] = by_mu1 + by_mu2;
        gradient[1] = by_mu2 * step + 1.0;
        gradient[2] = second1 - weight1 - sigma1 * sigma1 / 4.0 + 1.0;
        gradient[3] = second2 - weight2 - sigma2 * sigma2 / 4.0 + 1.0;
        let by_theta = (weight1 + 4.0) / theta - (weight2 + 4.0) / (1.0 - theta);
        gradient[4] = by_theta * theta * (1.0 - theta) + 1.0 - 2.0 * theta;
        // B(5, 5) = 1/630
        let prior = log_normal_density(mu1, 2.0)
            + log_normal_density(mu2, 2.0)
            + log_normal_density(sigma1, 2.0)
            + log_normal_density(sigma2, 2.0)
            + 2.0 * LN_2
            + 4.0 * (theta * (1.0 - theta)).ln()
            + 630.0_f64.ln();
        total + prior + q[1] + q[2] + q[3] + (theta * (1.0 - theta)).ln()
    }
}
