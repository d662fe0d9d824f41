//! What a run of an SMC sampler comes back with.

use std::fmt;

use crate::draws::Draws;
use crate::smc::SmcSummary;

/// What happened in one step: an increment, a resampling, a move.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Stage {
    /// Power of the likelihood after the step; 1 under data tempering.
    pub inverse_temperature: f64,
    /// Observations that count after the step, under data tempering.
    pub n_observations: Option<usize>,
    /// Effective sample size after the increment, before resampling.
    pub ess: f64,
    /// Log-evidence up to this step.
    pub log_evidence: f64,
    /// Estimate of the variance that this step adds to the log-evidence, of waste-free samplers.
    pub log_factor_variance: Option<f64>,
    /// Log-evidence after each batch of observations, by number of observations; empty unless data are tempered.
    pub running_log_evidence: Vec<(usize, f64)>,
    /// Mean acceptance rate of the moves.
    pub acceptance_rate: f64,
    /// Step size of the moves.
    pub step_size: f64,
    /// Moves per chain.
    pub n_moves: usize,
    /// Evaluations of the density or its gradient by the moves.
    pub n_evaluations: u64,
    /// Proposals that could not be evaluated, and were rejected.
    pub n_failed: u64,
}

/// Posterior draws with the evidence and what happened on the way.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SamplerResult {
    /// The last particles, moved under the posterior, of equal weight, with the generated quantities: in slot order, cut into four chains
    /// if N is a multiple of 4, otherwise in one. Those of a
    /// waste-free sampler are its chains one after the other, so that effective sample sizes see their autocorrelation; a standard
    /// sampler's particles count as independent though some may be copies.
    pub draws: Draws,
    /// Estimate of the log-evidence, ln ∫ p(x) L(x) dx.
    pub log_evidence: f64,
    /// Its standard error, estimated from this one run: from the autocovariances along the chains of a waste-free sampler, from the
    /// genealogy of a standard one (see [`Genealogy`](crate::weights::Genealogy::relative_variance)). `None` if the genealogy has coalesced,
    /// or the estimate is not positive, and says nothing.
    pub log_evidence_se: Option<f64>,
    /// What happened step by step.
    pub stages: Vec<Stage>,
    /// Prior draws whose density failed recoverably; they count as impossible.
    pub n_failed_draws: u64,
    /// Evaluations of the density or its gradient by the prior draws and the moves.
    pub n_evaluations: u64,
    /// First particles that still have descendants.
    pub n_families: usize,
    /// The engine's own summary.
    pub engine: SmcSummary,
}

/// Acceptance below this is a reason not to trust the run.
const LEAST_ACCEPTANCE: f64 = 0.05;

impl SamplerResult {
    /// Powers of the likelihood from 0 to 1.
    #[must_use]
    pub fn inverse_temperatures(&self) -> Vec<f64> {
        std::iter::once(0.0).chain(self.stages.iter().map(|s| s.inverse_temperature)).collect()
    }

    /// Log-evidence by number of observations, under data tempering: `(n, ln p(y₁, …, yₙ))` after each batch.
    #[must_use]
    pub fn running_log_evidence(&self) -> Vec<(usize, f64)> {
        self.stages.iter().flat_map(|s| s.running_log_evidence.iter().copied()).collect()
    }

    /// Reasons not to trust the run, in words; empty if there are none.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let last = &self.stages[self.stages.len().saturating_sub(3)..];
        if let Some(least) = last.iter().map(|s| s.acceptance_rate).min_by(f64::total_cmp).filter(|a| !(*a >= LEAST_ACCEPTANCE)) {
            warnings.push(format!(
                "The acceptance rate fell to {least:.3} in the last steps: the particles hardly move, and draws and evidence are not to be \
                 trusted. Use longer chains, more moves, or a gradient kernel."
            ));
        }
        // The chains of a waste-free sampler make new particles even where few ancestors are left.
        if self.n_families <= 1 && self.log_evidence_se.is_none() {
            warnings.push(
                "All particles descend from one draw of the prior: the run has too few particles for this likelihood, unless the moves mix \
                 well. Use more particles."
                    .to_owned(),
            );
        }
        let n_failed: u64 = self.n_failed_draws + self.stages.iter().map(|s| s.n_failed).sum::<u64>();
        if n_failed > 0 {
            warnings.push(format!("The density could not be evaluated at {n_failed} points; they count as impossible."));
        }
        warnings
    }
}

impl fmt::Display for SamplerResult {
    /// The evidence, a line per step, and the warnings; the draws have a summary of their own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.log_evidence_se {
            Some(se) => writeln!(f, "log-evidence {:.4} ± {se:.4}", self.log_evidence)?,
            None => writeln!(f, "log-evidence {:.4} (standard error unknown)", self.log_evidence)?,
        }
        writeln!(f, "{} evaluations in {} steps", self.n_evaluations, self.stages.len())?;
        let data = self.stages.iter().any(|s| s.n_observations.is_some());
        let reached = if data { "rows" } else { "power" };
        writeln!(f, "{reached:>10} {:>8} {:>12} {:>8} {:>8} {:>6}", "ess", "log-evidence", "accepted", "step", "moves")?;
        for s in &self.stages {
            match s.n_observations {
                Some(n) => write!(f, "{n:>10}")?,
                None => write!(f, "{:>10.3e}", s.inverse_temperature)?,
            }
            let Stage { ess, log_evidence, acceptance_rate, step_size, n_moves, .. } = s;
            writeln!(f, " {ess:>8.0} {log_evidence:>12.4} {acceptance_rate:>8.3} {step_size:>8.3} {n_moves:>6}")?;
        }
        for warning in self.warnings() {
            writeln!(f, "{warning}")?;
        }
        Ok(())
    }
}
