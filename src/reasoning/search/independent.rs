//! Texts that know nothing of each other.

use std::sync::Arc;

use super::Search;
use super::run::Run;
use crate::reasoning::{Decoded, Models, Particle, Prefix, ReasoningError};

/// Samples texts in one batch per step, and scores those that finished in one batch at the end.
pub(super) fn sample(
    search: &Search,
    models: &mut Models<'_>,
    prompt: &Prefix,
    n_texts: usize,
    greedy: bool,
) -> Result<Decoded, ReasoningError> {
    let mut run = Run::new(search, models, prompt);
    let mut open: Vec<(usize, Prefix)> = (0..n_texts).map(|slot| (slot, prompt.clone())).collect();
    let mut finished = Vec::new();
    let mut step = 0;
    open.retain(|(_, text)| !text.is_finished());
    while !open.is_empty() && run.covers(open.len(), if search.is_scored { open.len() + finished.len() } else { 0 }) {
        step += 1;
        let (done, rest) = run.extend(step, &open, greedy)?.into_iter().partition(|(_, text): &(_, Prefix)| text.is_finished());
        finished.extend::<Vec<_>>(done);
        open = rest;
    }
    finished.sort_by_key(|(slot, _)| *slot);
    let unscored = |(slot, prefix): (usize, Prefix)| (slot, Particle { prefix, scores: Arc::new([]), log_psi: 0.0 });
    let mut texts: Vec<(usize, Particle)> =
        if search.is_scored { run.score(step, &finished)? } else { finished.into_iter().map(unscored).collect() };
    texts.extend(open.into_iter().map(unscored));
    texts.sort_by_key(|(slot, _)| *slot);
    Ok(run.finish(texts.into_iter().map(|(_, text)| text).collect()))
}
