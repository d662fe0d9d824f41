//! Numerical ground: log-space sums, special functions, running moments, reproducible reductions and vectorised `exp` and `ln`.
//!
//! Nothing here knows of probability models. Every function is total: a value outside a function's domain gives NaN, as in [`f64`]'s own
//! methods, and the callers that face users turn it into a typed error.

pub mod blocks;
mod gamma_quantile;
pub mod log_space;
pub mod moments;
mod polygamma;
pub mod special;
pub mod vectorised;

pub use gamma_quantile::gamma_log_quantile_derivative;
pub use log_space::{
    inv_logit, log_add_exp, log_diff_exp, log_inv_logit, log_sum_exp, log1m_exp, log1p_exp, logit, softmax_in_place,
};
pub use moments::{RunningCovariance, RunningMoments, RunningVectorMoments};
pub use polygamma::polygamma;
pub use special::{digamma, ln_beta, ln_choose, ln_factorial, ln_gamma, normal_cdf, trigamma};

/// 1/√(2π), the standard normal density at 0.
pub const FRAC_1_SQRT_2PI: f64 = 0.398_942_280_401_432_7;
