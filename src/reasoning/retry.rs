//! Batches of calls, made again for the slots that failed for now.

use super::error::{CallError, ReasoningError, Severity};
use super::generator::{ContinuationRequest, ContinuationScore};
use super::models::{Draw, Models, Scores};
use super::prefix::Prefix;

/// One step after each prefix. A slot whose error is transient is asked for again, with the same seed, at most `max_attempts` times in all;
/// `note` is told of each such failure and its slot. With a new seed, what is drawn would be conditional on not failing.
pub(super) fn extend(
    models: &mut Models<'_>,
    draws: &[Draw<'_>],
    max_attempts: u32,
    note: impl FnMut(usize, CallError),
) -> Result<Vec<Result<Prefix, CallError>>, ReasoningError> {
    repeat(draws, max_attempts, note, |draws| models.extend(draws))
}

/// Scores of each prefix, as [`extend`].
pub(super) fn score(
    models: &mut Models<'_>,
    prefixes: &[&Prefix],
    max_attempts: u32,
    note: impl FnMut(usize, CallError),
) -> Result<Vec<Result<Scores, CallError>>, ReasoningError> {
    repeat(prefixes, max_attempts, note, |prefixes| models.score(prefixes))
}

/// Log-probabilities of given steps, as [`extend`].
pub(super) fn score_steps(
    models: &mut Models<'_>,
    requests: &[ContinuationRequest<'_>],
    max_attempts: u32,
    note: impl FnMut(usize, CallError),
) -> Result<Vec<Result<ContinuationScore, CallError>>, ReasoningError> {
    repeat(requests, max_attempts, note, |requests| models.score_steps(requests))
}

/// Replies of one kind, per slot.
type Replies<T> = Vec<Result<T, CallError>>;

fn repeat<Q: Copy, T>(
    requests: &[Q],
    max_attempts: u32,
    mut note: impl FnMut(usize, CallError),
    mut call: impl FnMut(&[Q]) -> Result<Replies<T>, ReasoningError>,
) -> Result<Replies<T>, ReasoningError> {
    let mut replies = call(requests)?;
    for _ in 1..max_attempts {
        let is_waiting = |reply: &Result<T, CallError>| matches!(reply, Err(error) if error.severity() == Severity::Transient);
        let waiting: Vec<usize> = (0..replies.len()).filter(|&i| is_waiting(&replies[i])).collect();
        if waiting.is_empty() {
            break;
        }
        let again: Vec<Q> = waiting.iter().map(|&i| requests[i]).collect();
        for (i, reply) in waiting.into_iter().zip(call(&again)?) {
            if let Err(error) = std::mem::replace(&mut replies[i], reply) {
                note(i, error);
            }
        }
    }
    Ok(replies)
}
