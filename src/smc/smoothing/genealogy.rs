//! Paths read off the genealogy of a run.

use super::error::SmoothingError;
use super::guide_table::GuideTable;
use super::paths::Paths;
use super::{BLOCK, stream};
use crate::error::check;
use crate::smc::{FeynmanKac, History, Smc};

/// Draws paths by tracing particles of the last step back to their ancestors.
///
/// ```text
/// a_{T-1} ~ W_{T-1}      a_t = the parent of a_{t+1}
/// ```
/// Costs `n_paths` · T lookups, needs no transition density, and works for every model over a `Vec`. For the last steps it is as good as any
/// smoother; further back all paths are the same one ([`Paths::coalesced_before`]), after about 2 N
/// resamplings of equal weights, and sooner the more the weights vary. Source: G. Kitagawa 1996, doi:10.1080/10618600.1996.10474692.
///
/// # Errors
/// [`SmoothingError::NotStarted`], [`SmoothingError::NoHistory`], [`SmoothingError::HistoryTruncated`], or [`SmoothingError::Setting`] for
/// `n_paths` = 0.
pub fn genealogy<M, X>(smc: &Smc<M>, n_paths: usize, seed: u64) -> Result<Paths<X>, SmoothingError>
where
    M: FeynmanKac<Population = Vec<X>>,
    X: Copy + Default + Send,
{
    let history = complete_history(smc)?;
    check::at_least("n_paths", n_paths, 1, "at least 1")?;
    let mut slots = vec![0; n_paths];
    draw_last(history, seed, &mut slots)?;
    let n_steps = history.len();
    let mut states = vec![X::default(); n_paths * n_steps];
    let mut coalesced_before = None;
    for (t, generation) in history.generations().enumerate().rev() {
        let row = &mut states[t * n_paths..][..n_paths];
        for (state, &slot) in row.iter_mut().zip(&slots) {
            *state = generation.population[slot as usize];
        }
        if coalesced_before.is_none() && n_paths > 1 && all_equal(&slots) {
            coalesced_before = Some(t + 1);
        }
        for slot in &mut slots {
            *slot = generation.parent(*slot as usize).unwrap_or(0) as u32;
        }
    }
    Ok(Paths { first_step: 0, n_paths, states, coalesced_before })
}

/// The history, if it holds every step.
pub(super) fn complete_history<M: FeynmanKac>(smc: &Smc<M>) -> Result<&History<M::Population>, SmoothingError> {
    let history = smc.history();
    if smc.summary().n_steps == 0 {
        return Err(SmoothingError::NotStarted);
    }
    if history.is_empty() {
        return Err(SmoothingError::NoHistory);
    }
    match history.first_step() {
        0 => Ok(history),
        first_step => Err(SmoothingError::HistoryTruncated { first_step }),
    }
}

/// Independent draws of slots of the last step.
pub(super) fn draw_last<P>(history: &History<P>, seed: u64, slots: &mut [u32]) -> Result<(), SmoothingError> {
    let newest = history.generations().next_back().ok_or(SmoothingError::NoHistory)?;
    let mut table = GuideTable::default();
    table.build(&newest.log_weights);
    for (block, slots) in slots.chunks_mut(BLOCK).enumerate() {
        let mut rng = stream(seed, history.len() - 1, block);
        for slot in slots {
            *slot = table.slot(rng.uniform()) as u32;
        }
    }
    Ok(())
}

pub(super) fn all_equal(slots: &[u32]) -> bool {
    slots.windows(2).all(|pair| pair[0] == pair[1])
}
