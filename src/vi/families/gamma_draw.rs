//! Draws of the standard gamma distribution that can be differentiated by its shape.

use crate::error::{Error, check};
use crate::math::{digamma, gamma_log_quantile_derivative};
use crate::rng::Stream;

/// How a gamma draw z depends on its shape a.
///
/// ```text
/// implicit                 d ln z/da = -(∂F(z; a)/∂a) / (z q(z; a)): the draw moves along its quantile, and nothing else depends on a
/// acceptance-rejection     z = h(ε; a + B) Π uᵢ^(1/(a + i)),   h(ε; a) = (a - 1/3) (1 + ε / √(9 a - 3))³,   i = 0 .. B-1
/// ```
/// ε is what Marsaglia and Tsang's sampler accepts, so its distribution π(ε; a + B) depends on the shape, and gradients of E f(z) need the term f(z) ∇ log π beside the
/// path's: [`GammaDraw::noise_score`]. Uniform draws lift the shape by B, the *augmentation*, which makes that term small. Implicit derivatives have none, a smaller variance on everything measured here
/// (`docs/validation/variational/rsvi.md`), and are the default; acceptance-rejection is cheaper per derivative for small B, and stays near the paper.
///
/// ```
/// use posterity::rng::Stream;
/// use posterity::vi::Reparameterisation;
/// let mut rng = Stream::new(1);
/// // E ln z = ψ(a), whose derivative is ψ'(a): the mean of d ln z/da.
/// let n = 20_000;
/// let total: f64 = (0..n).map(|_| Reparameterisation::Implicit.draw(2.0, &mut rng).log_derivative()).sum();
/// assert!((total / f64::from(n) - posterity::math::trigamma(2.0)).abs() < 0.01);
/// ```
///
/// References: Figurnov, Mohamed & Mnih 2018, <https://arxiv.org/abs/1805.08498>; Naesseth, Ruiz, Linderman & Blei 2017, <https://arxiv.org/abs/1610.05683>; Marsaglia & Tsang 2000,
/// <https://doi.org/10.1145/358407.358414>.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reparameterisation {
    /// Along the quantile. The default.
    #[default]
    Implicit,
    /// Through the noise that the rejection sampler accepted.
    AcceptanceRejection {
        /// B, the number of uniform draws that lift the shape; at most 1000. A shape below 1 is lifted once even with 0, for the sampler needs a shape of at least 1.
        augmentation: usize,
    },
}

/// A draw of Gamma(shape, 1): its logarithm, since at small shapes the draw itself is below the range of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GammaDraw {
    shape: f64,
    log_value: f64,
    /// NaN where it is that of the quantile.
    log_derivative: f64,
    noise_score: f64,
}

impl GammaDraw {
    /// ln z.
    #[must_use]
    pub fn log_value(&self) -> f64 {
        self.log_value
    }

    /// d ln z/da by the shape, the noise held fixed.
    #[must_use]
    pub fn log_derivative(&self) -> f64 {
        if self.log_derivative.is_nan() {
            return gamma_log_quantile_derivative(self.shape, self.log_value);
        }
        self.log_derivative
    }

    /// d log π/da, the score of the accepted noise; 0 for implicit derivatives.
    #[must_use]
    pub fn noise_score(&self) -> f64 {
        self.noise_score
    }
}

impl Reparameterisation {
    /// A draw of Gamma(shape, 1); NaN unless the shape is positive and finite.
    #[must_use]
    pub fn draw(self, shape: f64, rng: &mut Stream) -> GammaDraw {
        if !(shape > 0.0 && shape.is_finite()) {
            return GammaDraw { shape, log_value: f64::NAN, log_derivative: f64::NAN, noise_score: f64::NAN };
        }
        let augmentation = self.augmentation().max(usize::from(shape < 1.0));
        let (mut log_lift, mut lift_derivative) = (0.0, 0.0);
        for i in 0..augmentation {
            let (log_uniform, shape) = (rng.uniform_positive().ln(), shape + i as f64);
            log_lift += log_uniform / shape;
            lift_derivative -= log_uniform / (shape * shape);
        }
        let accepted = Accepted::draw(shape + augmentation as f64, rng);
        let log_value = accepted.log_value() + log_lift;
        if self == Self::Implicit {
            return GammaDraw { shape, log_value, log_derivative: f64::NAN, noise_score: 0.0 };
        }
        let (log_derivative, noise_score) = accepted.derivatives();
        GammaDraw { shape, log_value, log_derivative: log_derivative + lift_derivative, noise_score }
    }

    fn augmentation(self) -> usize {
        match self {
            Self::Implicit => 0,
            Self::AcceptanceRejection { augmentation } => augmentation,
        }
    }

    /// Whether the noise depends on the shape.
    pub(super) fn has_noise_scores(self) -> bool {
        self != Self::Implicit
    }

    pub(super) fn validate(self) -> Result<(), Error> {
        check::in_range("augmentation", self.augmentation() as f64, self.augmentation() <= 1000, "at most 1000")
    }

    /// Name, to follow that of a family.
    pub(super) fn name(self) -> String {
        match self {
            Self::Implicit => String::new(),
            Self::AcceptanceRejection { augmentation } => format!(" by acceptance-rejection, B = {augmentation}"),
        }
    }
}

/// Shapes that approximations may have: beyond these the range of numbers is near.
const SHAPES: (f64, f64) = (1e-12, 1e10);

/// Checks shapes given by their logarithms.
pub(super) fn check_shapes(log_shapes: &[f64]) -> Result<(), Error> {
    log_shapes.iter().map(|log_shape| log_shape.exp()).try_for_each(|shape| {
        let holds = shape >= 0.999 * SHAPES.0 && shape <= 1.001 * SHAPES.1;
        check::in_range("shape of the approximation", shape, holds, "between 1e-12 and 1e10")
    })
}

/// The shape with this variance, a decreasing function of the shape; the smallest or largest one that is allowed, if none has it.
pub(super) fn shape_of(variance: f64, of_shape: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (SHAPES.0.ln(), SHAPES.1.ln());
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        *(if of_shape(middle.exp()) > variance { &mut low } else { &mut high }) = middle;
    }
    (0.5 * (low + high)).exp()
}

/// Noise that Marsaglia and Tsang's sampler accepted for a shape of at least 1.
#[derive(Debug, Clone, Copy)]
struct Accepted {
    shape: f64,
    noise: f64,
    /// 1 + ε / √(9 a - 3)
    root: f64,
}

impl Accepted {
    fn new(shape: f64, noise: f64) -> Self {
        Self { shape, noise, root: 1.0 + noise / (9.0 * shape - 3.0).sqrt() }
    }

    fn draw(shape: f64, rng: &mut Stream) -> Self {
        let scale = shape - 1.0 / 3.0;
        loop {
            let candidate = Self::new(shape, rng.normal());
            if candidate.root <= 0.0 {
                continue;
            }
            let (square, uniform) = (candidate.noise * candidate.noise, rng.uniform_positive());
            // The first test accepts nearly all, and what it accepts passes the second one.
            if uniform < 1.0 - 0.0331 * square * square {
                return candidate;
            }
            let cube = candidate.root.powi(3);
            if uniform.ln() < 0.5 * square + scale * (1.0 - cube + cube.ln()) {
                return candidate;
            }
        }
    }

    /// ln h
    fn log_value(&self) -> f64 {
        (self.shape - 1.0 / 3.0).ln() + 3.0 * self.root.ln()
    }

    /// d ln h/da and d log π/da, where log π = a ln h - h - ln Γ(a) + ln (3 c/v), c = 1/√(9 b), v = 1 + c ε, b = a - 1/3.
    fn derivatives(&self) -> (f64, f64) {
        let half_rate = 0.5 / (self.shape - 1.0 / 3.0);
        // v'/v
        let root = -half_rate * (self.root - 1.0) / self.root;
        let log_derivative = 2.0 * half_rate + 3.0 * root;
        let log_value = self.log_value();
        let noise_score = log_value - digamma(self.shape) + (self.shape - log_value.exp()) * log_derivative - half_rate - root;
        (log_derivative, noise_score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{ln_gamma, trigamma};

    #[test]
    fn derivatives_of_the_rejection_sampler_agree_with_differences() {
        const H: f64 = 1e-5;
        let log_noise_density = |shape: f64, noise: f64| {
            let at = Accepted::new(shape, noise);
            shape * at.log_value() - at.log_value().exp() - ln_gamma(shape) - at.root.ln() - 0.5 * (shape - 1.0 / 3.0).ln()
        };
        for shape in [1.0, 1.3, 5.0, 40.0] {
            for noise in [-2.0, -0.4, 0.0, 0.7, 3.0] {
                if Accepted::new(shape, noise).root <= 0.0 {
                    continue;
                }
                let (log_derivative, noise_score) = Accepted::new(shape, noise).derivatives();
                // Shape 1 is the edge of what the sampler serves, not of the formulas.
                let (above, below) = (Accepted::new(shape + H, noise), Accepted::new(shape - H, noise));
                let difference = (above.log_value() - below.log_value()) / (2.0 * H);
                assert!((log_derivative - difference).abs() < 1e-8, "{shape} {noise}: {log_derivative} and {difference}");
                let difference = (log_noise_density(shape + H, noise) - log_noise_density(shape - H, noise)) / (2.0 * H);
                assert!((noise_score - difference).abs() < 1e-7, "{shape} {noise}: {noise_score} and {difference}");
            }
        }
    }

    /// A draw follows the gamma distribution: mean and variance of ln z are ψ(a) and ψ'(a). Over 200 seeds the largest |z| of the 12 comparisons passed 4.5 in none.
    #[test]
    fn draws_have_the_moments_of_the_logarithm() {
        let n = 20_000;
        let mut rng = Stream::new(3);
        for kind in [Reparameterisation::Implicit, Reparameterisation::AcceptanceRejection { augmentation: 3 }] {
            for shape in [0.02, 0.9, 6.0] {
                let logs: Vec<f64> = (0..n).map(|_| kind.draw(shape, &mut rng).log_value()).collect();
                for (power, expected) in [(1, digamma(shape)), (2, trigamma(shape))] {
                    let values: Vec<f64> =
                        logs.iter().map(|x| if power == 1 { *x } else { (x - digamma(shape)).powi(2) }).collect();
                    let mean = values.iter().sum::<f64>() / f64::from(n);
                    let square = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
                    let error = square.sqrt() / f64::from(n);
                    assert!((mean - expected).abs() < 4.5 * error, "{kind:?} {shape}: {mean} instead of {expected} ± {error}");
                }
            }
        }
    }

    #[test]
    fn tiny_shapes_do_not_underflow() {
        let mut rng = Stream::new(1);
        for kind in [Reparameterisation::Implicit, Reparameterisation::AcceptanceRejection { augmentation: 0 }] {
            for shape in [1e-12, 1e-3] {
                let draw = kind.draw(shape, &mut rng);
                assert!(draw.log_value().is_finite() && draw.log_value() < 0.0);
                assert!(draw.log_derivative().is_finite() && draw.log_derivative() > 0.0 && draw.noise_score().is_finite());
            }
            assert!(kind.draw(f64::NAN, &mut rng).log_value().is_nan() && kind.draw(0.0, &mut rng).log_value().is_nan());
        }
    }
}
