//! What reward models share that ask once per step.

use crate::reasoning::{CallError, Prefix, ScoreRequest, StepScores};

use super::error::HttpError;

/// Scores every prefix that the requests name by `score`, which gives each one's score and tokens, and gathers them by request.
///
/// A request fails with the first of its prefixes that failed.
pub(super) fn score_each<'a>(
    requests: &[ScoreRequest<'a>],
    score: impl FnOnce(&[&'a Prefix]) -> Vec<Result<(f64, u64), HttpError>>,
) -> Vec<Result<StepScores, CallError>> {
    let prefixes: Vec<Vec<_>> = requests.iter().map(ScoreRequest::prefixes).collect();
    let mut scored = score(&prefixes.concat()).into_iter();
    let gather = |prefixes: Vec<&Prefix>| {
        // All of a request's replies are taken, so that an early error does not shift those of the next one.
        let replies: Vec<_> = scored.by_ref().take(prefixes.len()).collect();
        let mut scores = StepScores { scores: Vec::new(), calls: replies.len() as u64, tokens: 0 };
        for reply in replies {
            let (score, tokens) = reply?;
            scores.scores.push(score);
            scores.tokens += tokens;
        }
        Ok(scores)
    };
    prefixes.into_iter().map(gather).collect()
}
