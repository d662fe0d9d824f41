//! Eve indices: which first-generation particle each slot descends from.

use serde::{Deserialize, Serialize};

use crate::math::blocks::BLOCK;
use crate::parallel::Threads;

/// The first ancestors of all slots, and the variance estimate that follows from them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Genealogy {
    eve: Vec<u32>,
    n_start: usize,
    n_resampled: usize,
    /// log Π N/(N-1) over the start and all resamplings.
    log_factor: f64,
    #[serde(skip)]
    next: Vec<u32>,
}

impl Genealogy {
    pub(super) fn start(&mut self, n: usize) {
        self.eve.clear();
        self.eve.extend(0..n as u32);
        self.n_start = n;
        self.n_resampled = 0;
        self.log_factor = log_factor(n);
    }

    pub(super) fn resampled(&mut self, ancestors: &[u32], copies: usize, threads: &Threads) {
        let n_children = ancestors.len() * copies;
        self.next.resize(n_children, 0);
        let eve = &self.eve;
        if copies == 1 {
            let data = (self.next.as_mut_slice(), ancestors);
            threads.for_each_block(data, BLOCK, |_, (next, ancestors)| {
                for (next, &a) in next.iter_mut().zip(ancestors) {
                    *next = eve[a as usize];
                }
            });
        } else {
            for (family, &a) in self.next.chunks_exact_mut(copies).zip(ancestors) {
                family.fill(eve[a as usize]);
            }
        }
        std::mem::swap(&mut self.eve, &mut self.next);
        self.n_resampled += 1;
        self.log_factor += log_factor(ancestors.len());
    }

    /// Index in the first cloud of each slot's first ancestor.
    #[must_use]
    pub fn eve(&self) -> &[u32] {
        &self.eve
    }

    /// Number of resamplings so far.
    #[must_use]
    pub fn n_resampled(&self) -> usize {
        self.n_resampled
    }

    /// Number of first-generation particles with descendants: 1 means that the genealogy has coalesced.
    #[must_use]
    pub fn n_families(&self) -> usize {
        let mut seen = vec![false; self.n_start];
        self.eve.iter().filter(|&&e| !std::mem::replace(&mut seen[e as usize], true)).count()
    }

    /// Estimate of Var(Ẑ/Z) from the final weights (any scale) of one run:
    /// `1 - Πₜ N/(N-1) · (1 - Σₑ Wₑ²)`, with Wₑ the normalised weight of the descendants of first particle e and the product over the
    /// start and every resampling.
    ///
    /// Unbiased and consistent under multinomial resampling; too small under the schemes of lower variance, which keep families apart: for
    /// systematic resampling in every step it is mostly negative. Once the genealogy has coalesced it is 1 and says nothing. Source: A. Lee and N. Whiteley 2018, arXiv:1509.00394.
    #[must_use]
    pub fn relative_variance(&self, weights: &[f64]) -> f64 {
        let mut families = vec![0.0; self.n_start];
        for (&e, w) in self.eve.iter().zip(weights) {
            families[e as usize] += w;
        }
        let total: f64 = families.iter().sum();
        if families.iter().filter(|w| **w > 0.0).count() == 1 {
            return 1.0;
        }
        let together: f64 = families.iter().map(|w| (w / total).powi(2)).sum();
        1.0 - self.log_factor.exp() * (1.0 - together)
    }
}

/// log N/(N-1); for a single particle there is no pair to compare, and the factor is left out.
fn log_factor(n: usize) -> f64 {
    if n > 1 { -(-1.0 / n as f64).ln_1p() } else { 0.0 }
}
