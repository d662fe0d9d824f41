//! Search and sampling baselines on the same two models, the same budgets and the same results as the particle decoder.
//!
//! ```text
//! greedy        one text of the most likely steps
//! independent   N texts, no interaction; scored once, at the end:  best-of-N, weighted best-of-N and majority differ by selector alone
//! beam          each step: N candidates, the N/M best live on, each with M continuations
//! DVTS          N/M beams of one survivor each, which never compete: diverse verifier tree search
//! REBASE        each step: N candidates, continuations shared out in proportion to softmax(log ψ / T), rounded
//! ```
//! Each step is one batch of generations and, for the tree searches, one batch of scores; none for finished texts. A finished candidate of a
//! beam leaves the pool with the score it has: it is not extended, weighed or pruned again.
//!
//! None of these estimates an evidence, and only independent texts have a target, the sampling prior itself. Weights are equal: what texts
//! are worth is said by ψ ([`WeightedText::log_psi`](super::WeightedText::log_psi), NaN of texts that were not scored), which selectors use.
//! The records of steps hold a tree's candidates, or all texts of independent ones; log-evidence is NaN there. Unfinished texts are returned where a budget
//! ran out, and have no answer.
//!
//! Sources: N. Stiennon et al. 2020, arXiv:2009.01325 (best-of-N); Y. Li et al. 2022, arXiv:2206.02336 (weighted vote); X. Wang et al. 2022,
//! arXiv:2203.11171 (majority); C. Snell et al. 2024, arXiv:2408.03314 (beam search with a process reward model); E. Beeching, L. Tunstall
//! and S. Rush 2024, "Scaling test-time compute with open models" (DVTS); Y. Wu et al. 2024, arXiv:2408.00724 (REBASE).

mod independent;
mod run;
mod tree;

use crate::error::{Error, check};
use crate::reasoning::{Decoded, Models, Potential, Prefix, ReasoningError, RewardScale, RunHeader};

/// Which search.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Strategy {
    Greedy,
    Independent { n_texts: usize },
    Beam { n_candidates: usize, width: usize },
    Dvts { n_candidates: usize, width: usize },
    Rebase { n_candidates: usize, temperature: f64 },
}

/// A search or sampling baseline; see the [module](self) for what each does.
///
/// Best-of-N on a table model:
///
/// ```
/// use posterity::reasoning::{Answers, Models, Prefix, Search, Selector, TableModel};
/// let table = TableModel::two_step_example();
/// let (mut generator, mut rewards) = (table.clone(), table);
/// let texts = Search::independent(32, 1).decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""))?.texts;
/// let best = Selector::MaxReward.select(&texts, &Answers::last_line()).unwrap();
/// assert_eq!(best.answer, "AA");
/// # Ok::<(), posterity::reasoning::ReasoningError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Search {
    strategy: Strategy,
    seed: u64,
    potential: Potential,
    max_steps: usize,
    max_attempts: u32,
    drop_failed: bool,
    is_scored: bool,
    removes_duplicates: bool,
}

impl Search {
    fn new(strategy: Strategy, seed: u64) -> Self {
        Self {
            strategy,
            seed,
            potential: Potential::last(),
            max_steps: 40,
            max_attempts: 3,
            drop_failed: false,
            is_scored: true,
            removes_duplicates: false,
        }
    }

    /// One text of the most likely steps; not scored.
    #[must_use]
    pub fn greedy() -> Self {
        Self { is_scored: false, ..Self::new(Strategy::Greedy, 0) }
    }

    /// `n_texts` independent texts, scored when they are finished: best-of-N by [`Selector::MaxReward`](super::Selector::MaxReward), weighted
    /// best-of-N by [`Selector::RewardWeightedVote`](super::Selector::RewardWeightedVote), self-consistency by
    /// [`Selector::Majority`](super::Selector::Majority).
    #[must_use]
    pub fn independent(n_texts: usize, seed: u64) -> Self {
        Self::new(Strategy::Independent { n_texts }, seed)
    }

    /// Beam search: of `n_candidates` texts the best `n_candidates / width` live on, each with `width` continuations. It ends when
    /// `n_candidates` texts are finished, or none is left to go on; of the finished ones the `n_candidates` best are returned.
    #[must_use]
    pub fn beam(n_candidates: usize, width: usize, seed: u64) -> Self {
        Self::new(Strategy::Beam { n_candidates, width }, seed)
    }

    /// Diverse verifier tree search: `n_candidates / width` trees of their own; in each the best of `width` continuations lives on. A tree ends
    /// when its best candidate is finished; that one and its finished siblings are returned.
    #[must_use]
    pub fn dvts(n_candidates: usize, width: usize, seed: u64) -> Self {
        Self::new(Strategy::Dvts { n_candidates, width }, seed)
    }

    /// REBASE: the continuations of a step are shared out among the unfinished texts in proportion to softmax(log ψ / `temperature`), the best
    /// first and rounded up, until none is left; each finished text lowers their number by one. A deterministic resampling without the
    /// weights that would correct it: it has no target. (The authors' rewards lie in \[0, 1\] and enter as they are, at temperature 0.2:
    /// [`Link::Exp`](super::Link::Exp).)
    #[must_use]
    pub fn rebase(n_candidates: usize, temperature: f64, seed: u64) -> Self {
        Self::new(Strategy::Rebase { n_candidates, temperature }, seed)
    }

    /// The potential ψ that ranks texts; [`Potential::last`] at first.
    #[must_use]
    pub fn potential(mut self, potential: Potential) -> Self {
        self.potential = potential;
        self
    }

    /// Texts are cut off after this many steps, 40 at first; they end with [`Finish::MaxSteps`](super::Finish::MaxSteps).
    #[must_use]
    pub fn max_steps(mut self, max_steps: usize) -> Self {
        self.max_steps = max_steps;
        self
    }

    /// How often a call of a slot that failed transiently is made at most, with the same seed, 3 at first.
    #[must_use]
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// Drops texts whose model call failed for good, instead of ending the run; they are counted.
    #[must_use]
    pub fn drop_failed(mut self, drop: bool) -> Self {
        self.drop_failed = drop;
        self
    }

    /// Leaves independent texts unscored: a majority needs no rewards. The tree searches cannot do without.
    #[must_use]
    pub fn without_rewards(mut self) -> Self {
        self.is_scored = false;
        self
    }

    /// Prunes equal candidates of a beam, or of REBASE, to one.
    #[must_use]
    pub fn remove_duplicates(mut self, remove: bool) -> Self {
        self.removes_duplicates = remove;
        self
    }

    /// What the texts are, as a formula where they have a target; `prior` names the sampling prior.
    #[must_use]
    pub fn target(&self, prior: &str) -> String {
        let psi = self.potential.formula();
        match self.strategy {
            Strategy::Greedy => format!("none: the most likely steps of {prior}(x)"),
            Strategy::Independent { .. } => format!("{prior}(x)"),
            Strategy::Beam { n_candidates, width } => format!("none: beam search for large {psi}, {n_candidates} / {width}"),
            Strategy::Dvts { n_candidates, width } => {
                format!("none: diverse verifier tree search for large {psi}, {n_candidates} / {width}")
            }
            Strategy::Rebase { n_candidates, temperature } => {
                format!("none: REBASE by {psi} at temperature {temperature}, {n_candidates}")
            }
        }
    }

    /// What a run with these models is, for its [`Journal`](super::Journal) and its [`Trace`](super::Trace).
    #[must_use]
    pub fn header(&self, models: &Models<'_>, prompt: &Prefix) -> RunHeader {
        let header = |method: &str| RunHeader::new(method, models, prompt, self.seed);
        let header = match self.strategy {
            Strategy::Greedy => header("greedy"),
            Strategy::Independent { n_texts } => header("independent").setting("n_texts", n_texts),
            Strategy::Beam { n_candidates, width } => {
                let header = header("beam").setting("n_candidates", n_candidates).setting("width", width);
                header.setting("remove_duplicates", self.removes_duplicates)
            }
            Strategy::Dvts { n_candidates, width } => {
                header("dvts").setting("n_candidates", n_candidates).setting("width", width)
            }
            Strategy::Rebase { n_candidates, temperature } => {
                let header = header("rebase").setting("n_candidates", n_candidates).setting("temperature", temperature);
                header.setting("remove_duplicates", self.removes_duplicates)
            }
        };
        let header = header.target(self.target(&models.sampling_prior().model)).setting("max_steps", self.max_steps);
        header
            .setting("potential", self.potential.formula())
            .setting("is_scored", self.is_scored)
            .setting("drop_failed", self.drop_failed)
    }

    /// Checks the settings against a reward model's scale.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`].
    pub fn validate(&self, scale: RewardScale) -> Result<(), Error> {
        self.potential.validate(scale)?;
        check::at_least("max_steps", self.max_steps, 1, "at least 1")?;
        check::at_least("max_attempts", self.max_attempts as usize, 1, "at least 1")?;
        match self.strategy {
            Strategy::Greedy => Ok(()),
            Strategy::Independent { n_texts } => check::at_least("n_texts", n_texts, 1, "at least 1"),
            Strategy::Beam { n_candidates, width } | Strategy::Dvts { n_candidates, width } => {
                check::at_least("width", width, 1, "at least 1")?;
                let fits = n_candidates >= width && n_candidates.is_multiple_of(width);
                check::in_range("n_candidates", n_candidates as f64, fits, "a multiple of the width")
            }
            Strategy::Rebase { n_candidates, temperature } => {
                check::at_least("n_candidates", n_candidates, 1, "at least 1")?;
                check::positive("temperature", temperature)
            }
        }
    }

    /// Searches from a prompt, until every text is finished or the budget does not cover another step.
    ///
    /// # Errors
    /// [`ReasoningError`]: settings out of range, a model that failed for good, or [`ReasoningError::Degenerate`] where REBASE finds no text
    /// with a potential above 0. What was paid for is kept by `models`: decoding again with the same `models` goes on where this one stopped.
    pub fn decode(&self, models: &mut Models<'_>, prompt: &Prefix) -> Result<Decoded, ReasoningError> {
        self.validate(models.scale())?;
        match self.strategy {
            Strategy::Greedy => independent::sample(self, models, prompt, 1, true),
            Strategy::Independent { n_texts } => independent::sample(self, models, prompt, n_texts, false),
            Strategy::Beam { n_candidates, width } => tree::search(self, models, prompt, n_candidates, &tree::Beam { width }),
            Strategy::Dvts { n_candidates, width } => tree::search_apart(self, models, prompt, n_candidates / width, width),
            Strategy::Rebase { n_candidates, temperature } => {
                tree::search(self, models, prompt, n_candidates, &tree::Rebase { temperature })
            }
        }
    }
}
