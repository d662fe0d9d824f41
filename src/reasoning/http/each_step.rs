//! What reward models share that ask once per step.

use std::collections::HashMap;

use crate::reasoning::{CallError, Prefix, PrefixKey, ScoreRequest, StepScores};

use super::error::HttpError;

/// Scores and their tokens that were paid for in requests that failed, until they are asked for again.
#[derive(Debug, Default)]
pub(super) struct Paid(HashMap<PrefixKey, (f64, u64)>);

impl Paid {
    /// Most scores that are kept; the ones after are asked for again.
    const MOST: usize = 1 << 16;

    fn keep(&mut self, key: PrefixKey, score: (f64, u64)) {
        if self.0.len() < Self::MOST {
            self.0.insert(key, score);
        }
    }
}

/// Scores every prefix that the requests name by `score`, which gives each one's score and tokens, and gathers them by request.
///
/// A request fails with the first of its prefixes that failed; the scores of its others are kept for the next time.
pub(super) fn score_each<'a>(
    requests: &[ScoreRequest<'a>],
    paid: &mut Paid,
    score: impl FnOnce(&[&'a Prefix]) -> Vec<Result<(f64, u64), HttpError>>,
) -> Vec<Result<StepScores, CallError>> {
    let prefixes: Vec<Vec<_>> = requests.iter().map(ScoreRequest::prefixes).collect();
    let known: Vec<Vec<_>> =
        prefixes.iter().map(|prefixes| prefixes.iter().map(|prefix| paid.0.remove(&prefix.key())).collect()).collect();
    let all = prefixes.iter().flatten().zip(known.iter().flatten());
    let wanted: Vec<_> = all.filter(|(_, known)| known.is_none()).map(|(prefix, _)| *prefix).collect();
    let mut scored = if wanted.is_empty() { Vec::new() } else { score(&wanted) }.into_iter();
    let gather = |(prefixes, known): (Vec<&Prefix>, Vec<Option<_>>)| {
        // All of a request's replies are taken, so that an early error does not shift those of the next one.
        let replies: Vec<_> = known.into_iter().filter_map(|known| known.map(Ok).or_else(|| scored.next())).collect();
        if replies.iter().any(Result::is_err) {
            for (prefix, reply) in prefixes.iter().zip(&replies) {
                if let Ok(score) = reply {
                    paid.keep(prefix.key(), *score);
                }
            }
        }
        let mut scores = StepScores { scores: Vec::new(), calls: replies.len() as u64, tokens: 0 };
        for reply in replies {
            let (score, tokens) = reply?;
            scores.scores.push(score);
            scores.tokens += tokens;
        }
        Ok(scores)
    };
    prefixes.into_iter().zip(known).map(gather).collect()
}
