//! The bivariate normal distribution, which most planar targets are made of.

use crate::rng::Stream;

/// log 2π.
pub(super) const LN_2PI: f64 = 1.837_877_066_409_345_5;

/// N(mean, [[a, b], [b, c]]).
pub(super) struct Bivariate {
    pub(super) mean: [f64; 2],
    /// a, b, c.
    pub(super) covariance: [f64; 3],
}

impl Bivariate {
    /// Log density and gradient.
    pub(super) fn log_density_gradient(&self, [x, y]: [f64; 2]) -> (f64, [f64; 2]) {
        let [a, b, c] = self.covariance;
        let determinant = a * c - b * b;
        let (x, y) = (x - self.mean[0], y - self.mean[1]);
        let gradient = [-(c * x - b * y) / determinant, -(a * y - b * x) / determinant];
        let log_density = 0.5 * (x * gradient[0] + y * gradient[1]) - LN_2PI - 0.5 * determinant.ln();
        (log_density, gradient)
    }

    pub(super) fn sample(&self, rng: &mut Stream) -> [f64; 2] {
        let [a, b, c] = self.covariance;
        let (z, w) = (rng.normal(), rng.normal());
        let sd = a.sqrt();
        [self.mean[0] + sd * z, self.mean[1] + b / sd * z + (c - b * b / a).sqrt() * w]
    }
}
