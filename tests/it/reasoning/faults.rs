//! Models with faults, for tests: they count what they are asked for, and fail where a test says so.

use posterity::reasoning::{
    CallError, ContinuationRequest, ContinuationScore, Extension, RewardModel, RewardScale, SamplingPrior, ScoreRequest,
    Severity, StepGenerator, StepRequest, StepScores, TableModel,
};

pub(crate) type Change<R, T> = Box<dyn FnMut(usize, &R, T) -> Result<T, CallError> + Send>;

/// A table's generator whose replies are changed. A change is told the number of the request, counted over the whole run.
pub(crate) struct Generator {
    pub(crate) table: TableModel,
    pub(crate) n_requests: usize,
    pub(crate) batches: Vec<usize>,
    pub(crate) seeds: Vec<u64>,
    pub(crate) change: Change<u64, Extension>,
    /// Replies that are left out of each batch.
    pub(crate) n_missing: usize,
}

impl Generator {
    pub(crate) fn sound(table: TableModel) -> Self {
        Self::changed(table, |_, _, extension| Ok(extension))
    }

    pub(crate) fn changed(
        table: TableModel,
        change: impl FnMut(usize, &u64, Extension) -> Result<Extension, CallError> + Send + 'static,
    ) -> Self {
        Self { table, n_requests: 0, batches: Vec::new(), seeds: Vec::new(), change: Box::new(change), n_missing: 0 }
    }

    /// Fails in the requests with these numbers.
    pub(crate) fn failing(table: TableModel, severity: Severity, at: &'static [usize]) -> Self {
        Self::changed(table, move |n, _, extension| if at.contains(&n) { Err(failure(severity)) } else { Ok(extension) })
    }
}

pub(crate) fn failure(severity: Severity) -> CallError {
    CallError::new(severity, "planted")
}

impl StepGenerator for Generator {
    fn sampling_prior(&self) -> SamplingPrior {
        self.table.sampling_prior()
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
        self.batches.push(requests.len());
        self.seeds.extend(requests.iter().map(|request| request.seed));
        let mut replies = Vec::new();
        for (request, reply) in requests.iter().zip(self.table.extend(requests)) {
            replies.push(reply.and_then(|extension| (self.change)(self.n_requests, &request.seed, extension)));
            self.n_requests += 1;
        }
        replies.truncate(requests.len().saturating_sub(self.n_missing));
        replies
    }

    fn can_score(&self) -> bool {
        true
    }

    fn score(&mut self, requests: &[ContinuationRequest<'_>]) -> Vec<Result<ContinuationScore, CallError>> {
        StepGenerator::score(&mut self.table, requests)
    }
}

/// A table's reward model whose scores are changed, in the same way.
pub(crate) struct Rewards {
    pub(crate) table: TableModel,
    pub(crate) scale: RewardScale,
    pub(crate) n_requests: usize,
    pub(crate) batches: Vec<usize>,
    pub(crate) change: Change<usize, StepScores>,
    pub(crate) n_missing: usize,
}

impl Rewards {
    pub(crate) fn sound(table: TableModel) -> Self {
        Self::changed(table, |_, _, scores| Ok(scores))
    }

    pub(crate) fn changed(
        table: TableModel,
        change: impl FnMut(usize, &usize, StepScores) -> Result<StepScores, CallError> + Send + 'static,
    ) -> Self {
        let scale = RewardScale::Probability;
        Self { table, scale, n_requests: 0, batches: Vec::new(), change: Box::new(change), n_missing: 0 }
    }

    pub(crate) fn failing(table: TableModel, severity: Severity, at: &'static [usize]) -> Self {
        Self::changed(table, move |n, _, scores| if at.contains(&n) { Err(failure(severity)) } else { Ok(scores) })
    }

    /// Every score is this.
    pub(crate) fn constant(scale: RewardScale, score: f64) -> Self {
        let constant =
            move |_, _: &usize, scores: StepScores| Ok(StepScores { scores: vec![score; scores.scores.len()], ..scores });
        Self { scale, ..Self::changed(TableModel::two_step_example(), constant) }
    }
}

impl RewardModel for Rewards {
    fn scale(&self) -> RewardScale {
        self.scale
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        self.batches.push(requests.len());
        let mut replies = Vec::new();
        for (request, reply) in requests.iter().zip(RewardModel::score(&mut self.table, requests)) {
            replies.push(reply.and_then(|scores| (self.change)(self.n_requests, &request.n_last, scores)));
            self.n_requests += 1;
        }
        replies.truncate(requests.len().saturating_sub(self.n_missing));
        replies
    }
}
