//! The exact value of a prefix: the probability that a given generator solves the problem from there.

use super::line::{Line, is_answer};
use super::problem::Problem;
use super::solver::Solver;
use crate::error::Error;
use crate::reasoning::error::{CallError, Severity};
use crate::reasoning::generator::{ContinuationRequest, ContinuationScore, StepGenerator};
use crate::reasoning::prefix::{Finish, Prefix, Step};
use crate::reasoning::reward::{RewardModel, RewardScale, ScoreRequest, StepScores};

/// The perfect reward model of a generator on this task:
///
/// ```text
/// V(prefix) = Σ over solutions s that begin with the prefix of p(rest of s | prefix)
/// ```
///
/// under the generator's sampling prior, so that with it as a potential a particle filter samples the posterior of right solutions. All
/// solutions are enumerated and scored, some hundred to some thousand texts per prefix: use it to measure a learned reward model, not in
/// its place.
///
/// Solutions whose lines state the other numbers in another order are right, but not counted: a model of the task's format gives them
/// almost no probability, and the value is low by that much.
#[derive(Debug)]
pub struct ExactValue<G> {
    generator: G,
    solver: Solver,
}

/// A generator under which every solution is impossible, since it would go on after it.
#[derive(Debug, thiserror::Error)]
#[error("the generator does not end a text at an answer: it needs `answer_when(is_answer)`")]
struct NoAnswer;

/// What is known of a prefix before the generator is asked.
enum Draft {
    Known(f64),
    Failed(CallError),
    /// Its solutions, as ranges of the list of all.
    Solutions(std::ops::Range<usize>),
}

impl<G: StepGenerator> ExactValue<G> {
    /// The value under a generator of lines that can score, and that ends an answer where [`is_answer`] says so.
    ///
    /// # Errors
    /// [`Error::Sampling`] if it cannot.
    pub fn new(generator: G) -> Result<Self, Error> {
        if generator.can_score() {
            Ok(Self { generator, solver: Solver::new() })
        } else {
            Err(Error::Sampling { source: Box::new(CallError::unsupported("scoring of given text")) })
        }
    }

    /// Values of prefixes, and the number of tokens that the generator read for each.
    ///
    /// A prefix with a wrong line, or one that ended with more than one number left, has value 0. If the generator writes the last lines of
    /// solutions, but not as the end of an answer, every one has an error that says so.
    pub fn values(&mut self, prefixes: &[&Prefix]) -> Vec<Result<(f64, u64), CallError>> {
        let mut all: Vec<(usize, Vec<Step>)> = Vec::new();
        let drafts: Vec<Draft> = prefixes
            .iter()
            .enumerate()
            .map(|(i, prefix)| {
                let problem = Problem::from_text(prefix.prompt_text()).ok();
                let left = problem.as_ref().and_then(|problem| problem.left_after(&prefix.written()).ok());
                match (problem, left) {
                    (Some(problem), Some(left)) if left.len() == 1 => {
                        Draft::Known(f64::from(u8::from(left[0] == problem.target())))
                    }
                    (Some(problem), Some(left)) if !prefix.is_finished() => {
                        let first = all.len();
                        match self.solver.solutions(problem.target(), &left) {
                            Ok(solutions) => {
                                all.extend(solutions.into_iter().map(|lines| (i, lines.into_iter().map(step).collect())));
                                Draft::Solutions(first..all.len())
                            }
                            Err(error) => Draft::Failed(CallError::new(Severity::Slot, error)),
                        }
                    }
                    _ => Draft::Known(0.0),
                }
            })
            .collect();
        let steps: Vec<Vec<&Step>> = all.iter().map(|(_, steps)| steps.iter().collect()).collect();
        let requests: Vec<ContinuationRequest<'_>> =
            all.iter().zip(&steps).map(|((i, _), steps)| ContinuationRequest { prefix: prefixes[*i], steps }).collect();
        let scores = if requests.is_empty() { Vec::new() } else { self.generator.score(&requests) };
        if self.goes_on_after_an_answer(&requests, &scores) {
            return prefixes.iter().map(|_| Err(CallError::new(Severity::Fatal, NoAnswer))).collect();
        }
        let mut scores = scores.into_iter();
        drafts
            .into_iter()
            .map(|draft| match draft {
                Draft::Known(value) => Ok((value, 0)),
                Draft::Failed(error) => Err(error),
                // All of a prefix's replies are taken, also after an error.
                Draft::Solutions(range) => {
                    let replies: Vec<_> = scores.by_ref().take(range.len()).collect();
                    replies.into_iter().try_fold((0.0, 0), |(value, tokens): (f64, u64), reply| {
                        let reply = reply?;
                        // Rounding must not make it more than certain.
                        Ok(((value + reply.log_sampling.iter().sum::<f64>().exp()).min(1.0), tokens + reply.tokens))
                    })
                }
            })
            .collect()
    }

    /// True if no last line can end an answer, but a first one that can be written could be an ordinary step.
    fn goes_on_after_an_answer(
        &mut self,
        requests: &[ContinuationRequest<'_>],
        scores: &[Result<ContinuationScore, CallError>],
    ) -> bool {
        let mut scored =
            requests.iter().zip(scores).filter_map(|(request, score)| Some((request, score.as_ref().ok()?))).peekable();
        let ends = |score: &ContinuationScore| score.log_sampling.last().is_some_and(|last| *last > f64::NEG_INFINITY);
        if scored.peek().is_none() || scored.clone().any(|(_, score)| ends(score)) {
            return false;
        }
        let written = |score: &ContinuationScore| score.log_sampling.iter().rev().skip(1).all(|line| *line > f64::NEG_INFINITY);
        let Some((request, _)) = scored.find(|(_, score)| written(score)) else { return false };
        let steps: Vec<Step> = request.steps.iter().map(|step| Step { finish: Finish::Step, ..(*step).clone() }).collect();
        let steps: Vec<&Step> = steps.iter().collect();
        let open = self.generator.score(&[ContinuationRequest { prefix: request.prefix, steps: &steps }]);
        matches!(open.first(), Some(Ok(score)) if ends(score))
    }

    /// The value of one prefix.
    ///
    /// # Errors
    /// The generator's.
    pub fn value(&mut self, prefix: &Prefix) -> Result<f64, CallError> {
        self.values(&[prefix]).pop().map_or(Ok(0.0), |value| value.map(|(value, _)| value))
    }
}

fn step(line: Line) -> Step {
    let finish = if is_answer(&line.text) { Finish::Answer } else { Finish::Step };
    Step { n_tokens: line.text.len() as u64, ..Step::new(line.text, finish) }
}

impl<G: StepGenerator> RewardModel for ExactValue<G> {
    fn name(&self) -> String {
        format!("exact value under {}", self.generator.sampling_prior().model)
    }

    fn scale(&self) -> RewardScale {
        RewardScale::Probability
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        let prefixes: Vec<Vec<&Prefix>> = requests.iter().map(ScoreRequest::prefixes).collect();
        let mut values = self.values(&prefixes.concat()).into_iter();
        let replies = prefixes.iter().map(|prefixes| {
            let values: Vec<_> = values.by_ref().take(prefixes.len()).collect();
            let values = values.into_iter().collect::<Result<Vec<_>, _>>()?;
            let (scores, tokens): (Vec<f64>, Vec<u64>) = values.into_iter().unzip();
            Ok(StepScores { calls: scores.len() as u64, tokens: tokens.iter().sum(), scores })
        });
        replies.collect()
    }
}
