//! State-space models with known answers or long use: a linear Gaussian one, stochastic volatility, and two tracking problems.
//!
//! A NaN in the data marks a missing observation in all of them. They serve examples, tests and benchmarks, and show how block methods are
//! written.

mod ar1;
mod bearings;
mod stochastic_volatility;
mod track;

pub use ar1::Ar1;
pub use bearings::Bearings;
pub use stochastic_volatility::StochasticVolatility;
pub use track::Track2d;

/// log √(2π).
const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_7;

fn log_normal(x: f64, mean: f64, sd: f64) -> f64 {
    let z = (x - mean) / sd;
    -0.5 * z * z - sd.ln() - LN_SQRT_2PI
}
