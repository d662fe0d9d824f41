//! Resampling schemes (placeholder until the branch with all of them is merged).
#![allow(missing_docs)]
use crate::parallel::Threads;
use crate::rng::Stream;
use serde::{Deserialize, Serialize};
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Scheme {
    Multinomial,
    Residual,
    Stratified,
    #[default]
    Systematic,
    Ssp,
    Killing,
}
impl Scheme {
    pub const ALL: [Self; 6] = [Self::Multinomial, Self::Residual, Self::Stratified, Self::Systematic, Self::Ssp, Self::Killing];
}
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResampleError {
    #[error("empty")]
    Empty,
}
#[derive(Debug, Clone, Default)]
pub struct Resampler {}
impl Resampler {
    pub fn resample(
        &mut self,
        _scheme: Scheme,
        weights: &[f64],
        ancestors: &mut [u32],
        rng: &mut Stream,
        _threads: &Threads,
    ) -> Result<(), ResampleError> {
        let n = ancestors.len();
        let total: f64 = weights.iter().sum();
        let u = rng.uniform();
        let (mut c, mut j) = (weights[0], 0);
        for (i, a) in ancestors.iter_mut().enumerate() {
            while (i as f64 + u) / n as f64 * total > c && j + 1 < weights.len() {
                j += 1;
                c += weights[j];
            }
            *a = j as u32;
        }
        Ok(())
    }
    pub fn resample_conditional(
        &mut self,
        _scheme: Scheme,
        weights: &[f64],
        parent: u32,
        ancestors: &mut [u32],
        rng: &mut Stream,
        threads: &Threads,
    ) -> Result<u32, ResampleError> {
        self.resample(Scheme::Multinomial, weights, ancestors, rng, threads)?;
        ancestors[0] = parent;
        Ok(0)
    }
}
