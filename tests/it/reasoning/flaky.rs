//! A model whose calls fail now and then.

use std::collections::HashSet;

use posterity::reasoning::{
    CallError, Extension, PrefixKey, RewardModel, RewardScale, SamplingPrior, ScoreRequest, Severity, StepGenerator, StepRequest,
    StepScores, TableModel,
};

/// A table whose every third request fails the first time it is made.
pub(crate) struct Flaky {
    table: TableModel,
    seen: HashSet<(PrefixKey, u64)>,
    n_requests: u64,
    severity: Severity,
}

impl Flaky {
    pub(crate) fn new(table: &TableModel, severity: Severity) -> Self {
        Self { table: table.clone(), seen: HashSet::new(), n_requests: 0, severity }
    }

    fn fails(&mut self, key: (PrefixKey, u64)) -> Option<CallError> {
        self.n_requests += 1;
        let fails = self.n_requests.is_multiple_of(3) && self.seen.insert(key);
        fails.then(|| CallError::new(self.severity, "not now"))
    }
}

impl StepGenerator for Flaky {
    fn sampling_prior(&self) -> SamplingPrior {
        self.table.sampling_prior()
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
        let replies = self.table.extend(requests);
        let of = |(request, reply): (&StepRequest<'_>, _)| self.fails((request.prefix.key(), request.seed)).map_or(reply, Err);
        requests.iter().zip(replies).map(of).collect()
    }
}

impl RewardModel for Flaky {
    fn scale(&self) -> RewardScale {
        RewardModel::scale(&self.table)
    }

    fn score(&mut self, requests: &[ScoreRequest<'_>]) -> Vec<Result<StepScores, CallError>> {
        let replies = RewardModel::score(&mut self.table, requests);
        let of = |(request, reply): (&ScoreRequest<'_>, _)| self.fails((request.prefix.key(), 0)).map_or(reply, Err);
        requests.iter().zip(replies).map(of).collect()
    }
}
