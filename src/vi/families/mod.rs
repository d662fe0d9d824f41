//! Families of distributions, one per file.

mod bernoulli;
#[cfg(test)]
pub(crate) mod check;
mod dirichlet;
mod full_rank;
mod gamma;
mod gamma_draw;
mod low_rank;
mod mean_field;
mod mixture;
mod product;
mod student_t;

pub use bernoulli::Bernoulli;
pub use dirichlet::{Beta, Dirichlet};
pub(crate) use full_rank::Normal;
pub use full_rank::{FullRank, normal};
pub use gamma::Gamma;
pub use gamma_draw::{GammaDraw, Reparameterisation};
pub use low_rank::LowRank;
pub(crate) use mean_field::HALF_LOG_TWO_PI;
pub use mean_field::MeanField;
pub use mixture::Mixture;
pub use product::Product;
pub use student_t::StudentT;

use crate::error::Error;
use crate::vi::approximation::check_position;

/// Checks what a log density with its gradient is asked for: a finite position, and as much room for the gradient.
pub(in crate::vi) fn check_evaluation(dim: usize, position: &[f64], gradient: &[f64]) -> Result<(), Error> {
    check_position(dim, position)?;
    if gradient.len() != dim {
        return Err(Error::Dimension { what: "gradient", expected: dim, found: gradient.len() });
    }
    Ok(())
}

/// Checks that so many numbers, `None` for more than can be counted, fit into memory, which the value of a setting decides.
pub(in crate::vi) fn check_memory(setting: &'static str, value: usize, n_numbers: Option<usize>) -> Result<(), Error> {
    let fits = n_numbers.is_some_and(|n| Vec::<f64>::new().try_reserve_exact(n).is_ok());
    crate::error::check::in_range(setting, value as f64, fits, "so small that the numbers fit into memory")
}
