//! Step rules and flows of particles.

mod em;
mod flows;
mod golden;
mod ica;
mod kernels;
mod ksdd;
mod lawgd;
mod metrics;
mod mirrored;
mod regression;
mod runs;
mod slow;
mod step_rules;
mod thinning;
mod toy_gates;
mod toys;

use posterity::DensityError;
use posterity::model::Density;

/// N((-1, 1), P⁻¹) with P = [[3, -½], [-½, 1]], the target of the golden traces.
struct Golden;

impl Density for Golden {
    fn dim(&self) -> usize {
        2
    }

    fn log_density_gradient(&self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let (a, b) = (x[0] + 1.0, x[1] - 1.0);
        gradient[0] = -(3.0 * a - 0.5 * b);
        gradient[1] = -(-0.5 * a + b);
        Ok(0.5 * (a * gradient[0] + b * gradient[1]))
    }
}
