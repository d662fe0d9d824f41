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
    // All texts, in order, as they were after the step before.
    let mut slots: Vec<usize> = (0..n_texts).collect();
    open.retain(|(_, text)| !text.is_finished());
    while !open.is_empty() {
        let to_score = search.is_scored.then_some(finished.as_slice());
        let Some(children) = run.extend(step + 1, &open, greedy, to_score)? else { break };
        step += 1;
        let (done, rest) = children.into_iter().partition(|(_, text): &(_, Prefix)| text.is_finished());
        finished.extend::<Vec<_>>(done);
        open = rest;
        let mut all: Vec<&(usize, Prefix)> = finished.iter().chain(&open).collect();
        all.sort_by_key(|(slot, _)| *slot);
        let place = |slot: &usize| slots.binary_search(slot).map_or(0, |place| place as u32);
        let ancestors = all.iter().map(|(slot, _)| place(slot)).collect();
        let texts: Vec<Prefix> = all.iter().map(|(_, text)| text.clone()).collect();
        let scores = vec![f64::NAN; texts.len()];
        slots = all.into_iter().map(|(slot, _)| *slot).collect();
        run.record(step, false, ancestors, texts, scores);
    }
    finished.sort_by_key(|(slot, _)| *slot);
    let unscored = |(slot, prefix): (usize, Prefix)| (slot, Particle { prefix, scores: Arc::new([]), log_psi: f64::NAN });
    let scored = if search.is_scored { run.score(step, &finished)? } else { None };
    let mut texts: Vec<(usize, Particle)> = scored.unwrap_or_else(|| finished.into_iter().map(unscored).collect());
    texts.extend(open.into_iter().map(unscored));
    texts.sort_by_key(|(slot, _)| *slot);
    Ok(run.finish(texts.into_iter().map(|(_, text)| text).collect()))
}
