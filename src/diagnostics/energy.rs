//! E-BFMI: does the momentum refreshment of Hamiltonian Monte Carlo reach the energies that the posterior has?
//!
//! ```text
//! E-BFMI = mean (Eᵢ₊₁ - Eᵢ)² / var E
//! ```
//! Below 0.3 the chain walks through the energies so slowly that heavy tails may be missed. Betancourt (2016),
//! <https://arxiv.org/abs/1604.00695>.

use ndarray::ArrayView2;

use super::chains::{Chains, mean, variance};

/// Estimated Bayesian fraction of missing information of each chain, from the energies of shape (chain, draw).
///
/// An element is `None` if that chain has a value that is not finite, fewer than 4 draws, or always the same energy.
///
/// ```
/// use posterity::diagnostics::bfmi;
/// let slow = ndarray::Array2::from_shape_fn((1, 100), |(_, i)| i as f64);
/// assert!(bfmi(slow.view())[0].unwrap() < 0.3);
/// ```
#[must_use]
pub fn bfmi(energy: ArrayView2<'_, f64>) -> Vec<Option<f64>> {
    energy
        .rows()
        .into_iter()
        .map(|chain| {
            let chain = chain.to_vec();
            if chain.len() < Chains::LEAST_DRAWS {
                return None;
            }
            let steps: Vec<f64> = chain.windows(2).map(|e| (e[1] - e[0]).powi(2)).collect();
            let ratio = mean(&steps) / variance(&chain);
            ratio.is_finite().then_some(ratio)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn by_hand() {
        // Steps 1, 4, 1: mean 2; energies 0, 1, 3, 2: variance 5/3.
        assert!((bfmi(array![[0.0, 1.0, 3.0, 2.0]].view())[0].unwrap() - 1.2).abs() < 1e-15);
    }

    #[test]
    fn each_chain_stands_for_itself() {
        let energy = array![[1.0, 1.0, 1.0, 1.0], [0.0, f64::NAN, 1.0, 2.0], [0.0, 1.0, 0.0, 1.0]];
        let found = bfmi(energy.view());
        assert_eq!(&found[..2], [None, None]);
        assert!(found[2].is_some());
        assert_eq!(bfmi(Array2::zeros((2, 3)).view()), [None, None]);
        assert_eq!(bfmi(Array2::zeros((0, 3)).view()), []);
    }
}
