//! A ring.

use super::Planar;
use crate::error::DensityError;
use crate::model::Density;
use crate::model::density::check_dimension;
use crate::rng::Stream;

const RADIUS: f64 = 2.5;
const THICKNESS: f64 = 0.5;
const LOG_NORMALISER: f64 = 2.9799591616205587;

/// A ring: log π = -(r - 5/2)² / (2 · ½²) - log Z with r the distance from the origin.
///
/// ```text
/// Z = 2π (σ² exp(-m²/2σ²) + m σ √(2π) Φ(m/σ)),    m = 5/2, σ = 1/2
/// ```
/// At the origin itself, a cusp, the gradient written is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Donut;

impl Density for Donut {
    fn dim(&self) -> usize {
        2
    }

    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        check_dimension(2, position)?;
        let r = position[0].hypot(position[1]);
        let from_ring = (r - RADIUS) / (THICKNESS * THICKNESS);
        for (g, x) in gradient.iter_mut().zip(position) {
            *g = if r > 0.0 { -from_ring * x / r } else { 0.0 };
        }
        Ok(-0.5 * from_ring * (r - RADIUS) - LOG_NORMALISER)
    }
}

impl Planar for Donut {
    fn name(&self) -> &'static str {
        "donut"
    }

    /// By rejection: u ≤ exp(u - 1) with u = r/m bounds the density of r, which is r exp(-(r - m)²/2σ²), by a normal one of mean m + σ²/m. About
    /// one proposal in fifty is lost.
    fn sample(&self, rng: &mut Stream) -> [f64; 2] {
        let r = loop {
            let r = RADIUS + THICKNESS * THICKNESS / RADIUS + THICKNESS * rng.normal();
            let u = r / RADIUS;
            if rng.uniform() < u * (1.0 - u).exp() {
                break r;
            }
        };
        let (sin, cos) = (std::f64::consts::TAU * rng.uniform()).sin_cos();
        [r * cos, r * sin]
    }
}
