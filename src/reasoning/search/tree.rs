//! Searches that score every step and let the best go on.

use std::collections::HashSet;

use super::Search;
use super::run::{Candidate, Parent, Run};
use crate::math::softmax_in_place;
use crate::reasoning::{Decoded, Models, Particle, Prefix, ReasoningError};

/// How the continuations of a step are shared out among the texts that could go on.
pub(super) trait Allocation {
    /// Places of the next candidates' parents among `unfinished`, the best of which come first: `n_candidates` at most, counted with the
    /// `n_finished` texts where those take places.
    fn parents(&self, unfinished: &[Candidate], n_candidates: usize, n_finished: usize) -> Vec<usize>;
}

/// The N/M best get M each; what finished texts leave free goes to the best, too.
pub(super) struct Beam {
    pub(super) width: usize,
}

impl Allocation for Beam {
    fn parents(&self, unfinished: &[Candidate], n_candidates: usize, _n_finished: usize) -> Vec<usize> {
        let n_kept = unfinished.len().min(n_candidates / self.width);
        (0..if n_kept == 0 { 0 } else { n_candidates }).map(|i| i % n_kept).collect()
    }
}

/// Shares by softmax, rounded up from the best on.
pub(super) struct Rebase {
    pub(super) temperature: f64,
}

impl Allocation for Rebase {
    fn parents(&self, unfinished: &[Candidate], n_candidates: usize, n_finished: usize) -> Vec<usize> {
        let mut left = n_candidates.saturating_sub(n_finished);
        // Relative to the best, which comes first: a small temperature must not make all of them 0.
        let best = unfinished.first().map_or(f64::NEG_INFINITY, |candidate| candidate.text.log_psi);
        if best == f64::NEG_INFINITY {
            return Vec::new();
        }
        let mut shares: Vec<f64> =
            unfinished.iter().map(|candidate| (candidate.text.log_psi - best) / self.temperature).collect();
        softmax_in_place(&mut shares);
        let n_all = left as f64;
        let mut parents = Vec::with_capacity(left);
        for (place, share) in shares.into_iter().enumerate() {
            // Round-off must not add one.
            let n = ((n_all * share - 1e-9).ceil().max(0.0) as usize).min(left);
            parents.extend(std::iter::repeat_n(place, n));
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
    let mut finished: Vec<Candidate> = Vec::new();
    let mut unfinished: Vec<Candidate> = Vec::new();
    let n_start = if prompt.is_finished() { 0 } else { n_candidates };
    let mut parents: Vec<Parent> = (0..n_start).map(|slot| Parent::prompt(slot, prompt)).collect();
    let mut step = 0;
    while !parents.is_empty() && finished.len() < n_candidates {
        let Some(candidates) = run.expand(step + 1, &parents)? else { break };
        step += 1;
        let (done, mut rest): (Vec<_>, Vec<_>) = candidates.into_iter().partition(Candidate::is_finished);
        finished.extend(done);
        best_first(&mut rest);
        if search.removes_duplicates {
            let mut seen = HashSet::new();
            rest.retain(|candidate| seen.insert(candidate.text.prefix.key()));
        }
        let places = allocation.parents(&rest, n_candidates, finished.len());
        if places.is_empty() && finished.is_empty() && !rest.is_empty() {
            return Err(ReasoningError::Degenerate { step, log_evidence: f64::NAN });
        }
        parents = places.into_iter().enumerate().map(|(slot, place)| rest[place].parent(slot)).collect();
        unfinished = rest;
    }
    best_first(&mut finished);
    finished.truncate(n_candidates);
    // Texts that a full pool left behind are no result; those that a budget stopped are.
    if run.is_over_budget() {
        finished.extend(unfinished);
    }
    Ok(run.finish(finished.into_iter().map(|candidate| candidate.text).collect()))
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
    let n_start = if prompt.is_finished() { 0 } else { n_trees * width };
    let mut parents: Vec<Parent> = (0..n_start).map(|slot| Parent::prompt(slot, prompt)).collect();
    let mut open: Vec<(usize, Particle)> = Vec::new();
    let mut finished: Vec<(usize, Particle)> = Vec::new();
    let mut step = 0;
    while !parents.is_empty() {
        let Some(candidates) = run.expand(step + 1, &parents)? else { break };
        step += 1;
        parents.clear();
        open.clear();
        for family in candidates.chunk_by(|a, b| a.slot / width == b.slot / width) {
            let mut family = family.to_vec();
            let tree = family[0].slot / width;
            best_first(&mut family);
            if family[0].is_finished() {
                finished.extend(family.into_iter().filter(Candidate::is_finished).map(|candidate| (tree, candidate.text)));
            } else {
                parents.extend((tree * width..(tree + 1) * width).map(|slot| family[0].parent(slot)));
                open.push((tree, family[0].text.clone()));
            }
        }
    }
    finished.append(&mut open);
    finished.sort_by_key(|(tree, _)| *tree);
    Ok(run.finish(finished.into_iter().map(|(_, text)| text).collect()))
}

/// Sorts by ψ, the largest first; of equal ones the one that was there first.
fn best_first(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| b.text.log_psi.total_cmp(&a.text.log_psi));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn shares_are_rounded_up_from_the_best_on() {
        let candidate = |psi: &f64| Candidate {
            slot: 0,
            place: 0,
            text: Particle { prefix: Prefix::prompt(""), scores: Arc::new([]), log_psi: psi.ln() },
        };
        let candidates: Vec<Candidate> = [0.5, 0.3, 0.2].iter().map(candidate).collect();
        let shares = |allocation: &dyn Allocation, n_candidates, n_finished| {
            let parents = allocation.parents(&candidates, n_candidates, n_finished);
            [0, 1, 2].map(|i: usize| parents.iter().filter(|parent| **parent == i).count())
        };
        assert_eq!(shares(&Rebase { temperature: 1.0 }, 10, 0), [5, 3, 2]);
        assert_eq!(shares(&Rebase { temperature: 1.0 }, 10, 3), [4, 3, 0]);
        assert_eq!(shares(&Rebase { temperature: 0.01 }, 10, 0), [10, 0, 0]);
        assert_eq!(shares(&Beam { width: 4 }, 8, 3), [4, 4, 0]);
        assert_eq!(shares(&Beam { width: 8 }, 8, 0), [8, 0, 0]);
    }
}
