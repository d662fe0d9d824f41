//! Four energies in the plane that flows are tried on, with their log normalising constants.

use super::Energy::{Fork, Ring, Step, Wave};
use crate::error::DensityError;
use crate::math::{inv_logit, log_add_exp};
use crate::model::Density;
use crate::model::density::check_dimension;

/// log √(2π)
const HALF_LN_2PI: f64 = 0.918_938_533_204_672_8;
/// The wall: half of its distance, and its softness.
const WALL: f64 = 4.0;
const WALL_SCALE: f64 = 0.3;

/// The energies U₁ to U₄ of Rezende & Mohamed 2015, <https://arxiv.org/abs/1505.05770>: unnormalised densities π = exp(-U) in the plane.
///
/// ```text
/// Ring  U = ½((|z| - 2)/0.4)² - log(n(z₁ - 2, 0.6) + n(z₁ + 2, 0.6))
/// Wave  U = ½((z₂ - w₁)/0.4)² + wall
/// Fork  U = -log(n(z₂ - w₁, 0.35) + n(z₂ - w₁ + w₂, 0.35)) + wall
/// Step  U = -log(n(z₂ - w₁, 0.4) + n(z₂ - w₁ + w₃, 0.35)) + wall
///
/// n(x, s) = exp(-½(x/s)²)      w₁ = sin(πz₁/2)   w₂ = 3 n(z₁ - 1, 0.6)   w₃ = 3 / (1 + exp(-(z₁ - 1)/0.3))
/// wall = ½((|z₁| - 4)₊/0.3)²
/// ```
/// The last three, as published, have no end in z₁: the wall gives them one.
///
/// ```
/// use posterity::model::{Target, WithGradient};
/// use posterity::model::zoo::toy::Energy;
/// assert_eq!(WithGradient(Energy::Ring).dim()?, 2);
/// assert!((Energy::Wave.log_normaliser() - 2.1719).abs() < 1e-4);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Energy {
    /// U₁: a ring that two bumps make into two modes.
    Ring,
    /// U₂: one period of a sine after the other.
    Wave,
    /// U₃: the wave and, where it splits, a second one.
    Fork,
    /// U₄: the wave and a second one that has stepped down.
    Step,
}

impl Energy {
    /// U₁ to U₄.
    pub const ALL: [Self; 4] = [Ring, Wave, Fork, Step];

    /// log ∫ exp(-U): a quadrature for the first one, in closed form for the others.
    #[must_use]
    pub fn log_normaliser(self) -> f64 {
        // Across: what the coordinate z₂ integrates to. Along: the floor between the walls, and two halves of a normal density.
        let across: f64 = match self {
            Ring => return RING_LOG_NORMALISER,
            Wave => 0.4,
            Fork => 0.35 + 0.35,
            Step => 0.4 + 0.35,
        };
        let along = 2.0 * WALL + WALL_SCALE * HALF_LN_2PI.exp();
        across.ln() + HALF_LN_2PI + along.ln()
    }
}

/// The trapezoidal rule on [-6, 6]² with steps of 1/200.
const RING_LOG_NORMALISER: f64 = 1.877_501_626_109_706;

/// log n(x, s) and its derivative.
fn bump(x: f64, scale: f64) -> (f64, f64) {
    let standardised = x / scale;
    (-0.5 * standardised * standardised, -standardised / scale)
}

/// log(eᵃ + eᵇ) and the share of the first.
fn sum(a: f64, b: f64) -> (f64, f64) {
    (log_add_exp(a, b), inv_logit(a - b))
}

impl Density for Energy {
    fn dim(&self) -> usize {
        2
    }

    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        check_dimension(2, position)?;
        let (x, y) = (position[0], position[1]);
        if *self == Ring {
            let r = x.hypot(y);
            let (radial, slope) = bump(r - 2.0, 0.4);
            let ((right, right_slope), (left, left_slope)) = (bump(x - 2.0, 0.6), bump(x + 2.0, 0.6));
            let (bumps, share) = sum(right, left);
            // A cusp at the origin.
            let per_radius = if r > 0.0 { slope / r } else { 0.0 };
            gradient[0] = per_radius * x + share * right_slope + (1.0 - share) * left_slope;
            gradient[1] = per_radius * y;
            return Ok(radial + bumps);
        }
        let phase = std::f64::consts::FRAC_PI_2 * x;
        let (wave, wave_slope) = (phase.sin(), std::f64::consts::FRAC_PI_2 * phase.cos());
        let (width, second) = match self {
            Ring | Wave => (0.4, None),
            Fork => {
                let (log_bump, slope) = bump(x - 1.0, 0.6);
                let offset = 3.0 * log_bump.exp();
                (0.35, Some((offset, offset * slope)))
            }
            Step => {
                let share = inv_logit((x - 1.0) / 0.3);
                (0.4, Some((3.0 * share, 3.0 * share * (1.0 - share) / 0.3)))
            }
        };
        let (first, slope) = bump(y - wave, width);
        let (mut log_density, mut dx, mut dy) = (first, -slope * wave_slope, slope);
        if let Some((offset, offset_slope)) = second {
            let (second, second_slope) = bump(y - wave + offset, 0.35);
            let (both, share) = sum(first, second);
            log_density = both;
            dx = share * dx + (1.0 - share) * second_slope * (offset_slope - wave_slope);
            dy = share * slope + (1.0 - share) * second_slope;
        }
        let beyond = (x.abs() - WALL).max(0.0) / WALL_SCALE;
        gradient[0] = dx - beyond / WALL_SCALE * x.signum();
        gradient[1] = dy;
        Ok(log_density - 0.5 * beyond * beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn gradients_agree_with_differences() {
        let mut rng = Stream::new(1);
        for energy in Energy::ALL {
            for _ in 0..50 {
                let at = [3.0 * rng.normal(), 2.0 * rng.normal()];
                let mut gradient = [0.0; 2];
                energy.log_density_gradient(&at, &mut gradient).unwrap();
                for i in 0..2 {
                    let value = |step: f64| {
                        let mut moved = at;
                        moved[i] += step;
                        energy.log_density_gradient(&moved, &mut [0.0; 2]).unwrap()
                    };
                    let difference = (value(1e-5) - value(-1e-5)) / 2e-5;
                    assert!((gradient[i] - difference).abs() < 1e-6 * (1.0 + difference.abs()), "{energy:?} at {at:?}");
                }
            }
        }
    }

    /// The trapezoidal rule, which is exact to rounding for densities that are smooth and die out, but for the ring's cusp and the second derivative at the wall.
    #[test]
    fn normalisers_are_those_of_a_grid() {
        let step = 0.02;
        for energy in Energy::ALL {
            let mut total = 0.0;
            for i in -325..=325 {
                for j in -400..=300 {
                    let at = [f64::from(i) * step, f64::from(j) * step];
                    total += energy.log_density_gradient(&at, &mut [0.0; 2]).unwrap().exp();
                }
            }
            let found = (total * step * step).ln();
            assert!((found - energy.log_normaliser()).abs() < 2e-6, "{energy:?}: {found}, not {}", energy.log_normaliser());
        }
    }
}
