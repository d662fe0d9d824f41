//! Searches that score every step and let the best go on.

use std::collections::HashSet;

use super::Search;
use super::run::Run;
use crate::math::softmax_in_place;
use crate::reasoning::{Decoded, Models, Particle, Prefix, ReasoningError};

/// How the continuations of a step are shared out among the texts that could go on.
pub(super) trait Allocation {
    /// Parents of the next candidates: `n_candidates` at most, counted with the `n_finished` texts where those take places.
    fn parents(&self, unfinished: Vec<Particle>, n_candidates: usize, n_finished: usize) -> Vec<Prefix>;
}

/// The N/M best get M each; what finished texts leave free goes to the best, too.
pub(super) struct Beam {
    pub(super) width: usize,
}

impl Allocation for Beam {
    fn parents(&self, mut unfinished: Vec<Particle>, n_candidates: usize, _n_finished: usize) -> Vec<Prefix> {
        unfinished.truncate(n_candidates / self.width);
        unfinished
            .iter()
            .cycle()
            .take(if unfinished.is_empty() { 0 } else { n_candidates })
            .map(|text| text.prefix.clone())
            .collect()
    }
}

/// Shares by softmax, rounded up from the best on.
pub(super) struct Rebase {
    pub(super) temperature: f64,
}

impl Allocation for Rebase {
    fn parents(&self, unfinished: Vec<Particle>, n_candidates: usize, n_finished: usize) -> Vec<Prefix> {
        let mut left = n_candidates.saturating_sub(n_finished);
        let mut shares: Vec<f64> = unfinished.iter().map(|text| text.log_psi / self.temperature).collect();
        softmax_in_place(&mut shares);
        let n_all = left as f64;
        let mut parents = Vec::with_capacity(left);
        for (text, share) in unfinished.iter().zip(shares) {
            // Round-off must not add one.
            let n = ((n_all * share - 1e-9).ceil().max(0.0) as usize).min(left);
            parents.extend(std::iter::repeat_n(text.prefix.clone(), n));
            left -= n;
        }
        parents
    }
}

/// One pool of candidates in which all texts compete.
pub(super) fn search(
    search: &Search,
    models: &mut Models<'_>,
    prompt: &Prefix,
    n_candidates: usize,
    allocation: &dyn Allocation,
) -> Result<Decoded, ReasoningError> {
    let mut run = Run::new(search, models, prompt);
    let mut finished: Vec<Particle> = Vec::new();
    let mut unfinished: Vec<Particle> = Vec::new();
    let mut parents = if prompt.is_finished() { Vec::new() } else { vec![prompt.clone(); n_candidates] };
    let mut step = 0;
    while !parents.is_empty() && finished.len() < n_candidates && run.covers(parents.len(), parents.len()) {
        step += 1;
        let slots: Vec<_> = parents.into_iter().enumerate().collect();
        let children = run.extend(step, &slots, false)?;
        let candidates = run.score(step, &children)?.into_iter().map(|(_, text)| text);
        let (done, mut rest): (Vec<_>, Vec<_>) = candidates.partition(|text| text.prefix.is_finished());
        finished.extend(done);
        best_first(&mut rest);
        if search.removes_duplicates {
            let mut seen = HashSet::new();
            rest.retain(|text| seen.insert(text.prefix.key()));
        }
        parents = allocation.parents(rest.clone(), n_candidates, finished.len());
        unfinished = rest;
    }
    best_first(&mut finished);
    finished.truncate(n_candidates);
    // Texts that a full pool left behind are no result; those that a budget stopped are.
    if run.is_over_budget() {
        finished.extend(unfinished);
    }
    Ok(run.finish(finished))
}

/// Trees that do not compete: in each the best of `width` candidates goes on.
pub(super) fn search_apart(
    search: &Search,
    models: &mut Models<'_>,
    prompt: &Prefix,
    n_trees: usize,
    width: usize,
) -> Result<Decoded, ReasoningError> {
    let mut run = Run::new(search, models, prompt);
    let mut open: Vec<(usize, Option<Particle>)> = Vec::new();
    if !prompt.is_finished() {
        open.extend((0..n_trees).map(|tree| (tree, None)));
    }
    let mut finished: Vec<(usize, Particle)> = Vec::new();
    let mut step = 0;
    while !open.is_empty() && run.covers(open.len() * width, open.len() * width) {
        step += 1;
        let slots: Vec<_> = open
            .iter()
            .flat_map(|(tree, text)| {
                let parent = text.as_ref().map_or(prompt, |text| &text.prefix);
                (0..width).map(move |i| (tree * width + i, parent.clone()))
            })
            .collect();
        let children = run.extend(step, &slots, false)?;
        let candidates = run.score(step, &children)?;
        open.clear();
        for family in candidates.chunk_by(|a, b| a.0 / width == b.0 / width) {
            let tree = family[0].0 / width;
            let mut family: Vec<Particle> = family.iter().map(|(_, text)| text.clone()).collect();
            best_first(&mut family);
            if family[0].prefix.is_finished() {
                finished.extend(family.into_iter().filter(|text| text.prefix.is_finished()).map(|text| (tree, text)));
            } else {
                open.push((tree, family.into_iter().next()));
            }
        }
    }
    finished.extend(open.into_iter().filter_map(|(tree, text)| text.map(|text| (tree, text))));
    finished.sort_by_key(|(tree, _)| *tree);
    Ok(run.finish(finished.into_iter().map(|(_, text)| text).collect()))
}

/// Sorts by ψ, the largest first; of equal ones the one that was there first.
fn best_first(texts: &mut [Particle]) {
    texts.sort_by(|a, b| b.log_psi.total_cmp(&a.log_psi));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn shares_are_rounded_up_from_the_best_on() {
        let texts: Vec<Particle> = [0.5_f64, 0.3, 0.2]
            .iter()
            .map(|psi| Particle { prefix: Prefix::prompt(psi.to_string()), scores: Arc::new([]), log_psi: psi.ln() })
            .collect();
        let shares = |allocation: &dyn Allocation, n_candidates, n_finished| {
            let parents = allocation.parents(texts.clone(), n_candidates, n_finished);
            [0, 1, 2].map(|i: usize| parents.iter().filter(|parent| **parent == texts[i].prefix).count())
        };
        assert_eq!(shares(&Rebase { temperature: 1.0 }, 10, 0), [5, 3, 2]);
        assert_eq!(shares(&Rebase { temperature: 1.0 }, 10, 3), [4, 3, 0]);
        assert_eq!(shares(&Rebase { temperature: 0.01 }, 10, 0), [10, 0, 0]);
        assert_eq!(shares(&Beam { width: 4 }, 8, 3), [4, 4, 0]);
        assert_eq!(shares(&Beam { width: 8 }, 8, 0), [8, 0, 0]);
    }
}
