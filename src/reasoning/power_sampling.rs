//! Power sampling: a Markov chain on whole texts with law p(x)^α, by regenerating the ends of texts.
//!
//! ```text
//! target over finished texts:  π(x) ∝ p(x)^α ψ_T(x)            p: the model at temperature 1,  ψ: none, or a potential
//! move:  keep c steps, c uniform on 0 … n(x) - 1;  write the rest anew from the sampling prior q, to its own end: x'
//!        accept with probability  min(1, π(x') q(x_c+1:n | x₁:c) n(x) / (π(x) q(x'_c+1:n' | x₁:c) n(x')))
//! ```
//! The end is regenerated as a whole, whatever the length of the present one, and the ratio of lengths is there because the cut is uniform on
//! the steps of the present text: without it the law is π(x) n(x), and with ends cut to the present length short texts win.
//!
//! Low temperature is another thing: token by token it weighs each step by itself, and so prefers a likely step into a bad text. Power
//! sampling prefers likely texts. The proposal may have any temperature, if it reports the log-probability of its steps as they were drawn
//! and under the model: one near 1/α is accepted more often.
//!
//! *Cost per move*, of all chains at once: one batch of generations per step of the longest new end. *Not for* long texts of many steps at
//! large α: acceptance falls with the length of the end. [`Base::Power`](super::Base::Power) is the same target for the particle decoder.
//!
//! *References.* A. Karan and Y. Du 2025, arXiv:2510.14901 (power sampling); W. K. Hastings 1970, doi:10.1093/biomet/57.1.97.

use rand::RngExt;
use rand::rand_core::Rng;

use super::decoder::{Decoded, ForcedEnd, Particle, Stopped};
use super::error::{Call, ReasoningError};
use super::jsonl::RunHeader;
use super::models::{Draw, Models, Scores};
use super::pool::Pool;
use super::potential::Potential;
use super::prefix::{Finish, Prefix, Step};
use super::retry;
use crate::error::check;
use crate::rng::{Purpose, Stream};

/// Settings of a [`PowerSampler`].
#[derive(Debug, Clone)]
pub struct PowerConfig {
    alpha: f64,
    n_moves: usize,
    n_burn_in: usize,
    n_chains: usize,
    seed: u64,
    max_steps: usize,
    potential: Option<Potential>,
    forced_end: ForcedEnd,
    max_attempts: u32,
}

impl PowerConfig {
    /// The power α; one chain of `n_moves` moves that are kept, no potential, texts of at most 40 steps.
    #[must_use]
    pub fn new(alpha: f64, n_moves: usize, seed: u64) -> Self {
        Self {
            alpha,
            n_moves,
            n_burn_in: 0,
            n_chains: 1,
            seed,
            max_steps: 40,
            potential: None,
            forced_end: ForcedEnd::Accept,
            max_attempts: 3,
        }
    }

    /// Moves of each chain before the first that is kept.
    #[must_use]
    pub fn burn_in(mut self, n_burn_in: usize) -> Self {
        self.n_burn_in = n_burn_in;
        self
    }

    /// Independent chains. They share each batch of calls.
    #[must_use]
    pub fn n_chains(mut self, n_chains: usize) -> Self {
        self.n_chains = n_chains;
        self
    }

    /// Texts are cut off after this many steps.
    #[must_use]
    pub fn max_steps(mut self, max_steps: usize) -> Self {
        self.max_steps = max_steps;
        self
    }

    /// A potential of finished texts' scores. Without one, the reward model is not asked at all.
    #[must_use]
    pub fn potential(mut self, potential: Potential) -> Self {
        self.potential = Some(potential);
        self
    }

    /// What texts are worth that were cut off.
    #[must_use]
    pub fn forced_end(mut self, forced_end: ForcedEnd) -> Self {
        self.forced_end = forced_end;
        self
    }

    /// How often a transient failure is tried again.
    #[must_use]
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// The target over finished texts x as a formula.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.potential {
            None => format!("p_model(x)^{}", self.alpha),
            Some(potential) => format!("p_model(x)^{} {}", self.alpha, potential.formula()),
        }
    }

    /// Checks the settings against the models.
    ///
    /// # Errors
    /// An invalid setting.
    pub fn validate(&self, models: &Models<'_>) -> Result<(), ReasoningError> {
        let alpha = self.alpha;
        check::positive("alpha", alpha)?;
        check::at_least("n_moves", self.n_moves, 1, "at least 1")?;
        check::at_least("n_chains", self.n_chains, 1, "at least 1")?;
        check::at_least("max_steps", self.max_steps, 1, "at least 1")?;
        check::at_least("max_attempts", self.max_attempts as usize, 1, "at least 1")?;
        if let Some(potential) = &self.potential {
            potential.validate(models.scale())?;
        }
        Ok(())
    }
}

/// Texts of chains with law p(x)^α.
#[derive(Debug)]
pub struct PowerDecoded {
    /// The texts after every move that was kept, of all chains, each counting the same. The same text occurs once. There is no evidence, and
    /// no record of single steps.
    pub decoded: Decoded,
    /// Per chain, its text after each move that was kept, from the first text of positive density on.
    pub chains: Vec<Vec<Particle>>,
    /// Share of all moves that were accepted, moves to the same text among them; `None` if the budget did not cover a move.
    pub acceptance_rate: Option<f64>,
}

/// Samples p(x)^α; see the [module](self).
///
/// ```
/// use posterity::reasoning::{Models, PowerConfig, PowerSampler, Prefix, TableModel};
/// let table = TableModel::two_step_example();
/// let (mut generator, mut rewards) = (table.clone(), table);
/// let sampler = PowerSampler::new(PowerConfig::new(2.0, 2000, 1));
/// let sampled = sampler.decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""))?;
/// // .35² / (.35² + .15² + .20² + .30²)
/// let found = sampled.decoded.mean(|text| f64::from(text.written() == "AA"));
/// assert!((found - 0.4455).abs() < 0.06);
/// # Ok::<(), posterity::reasoning::ReasoningError>(())
/// ```
#[derive(Debug, Clone)]
pub struct PowerSampler {
    config: PowerConfig,
}

/// A chain's text, its log-density without the normalising constant, and its number of steps.
#[derive(Debug, Clone)]
struct State {
    text: Particle,
    log_density: f64,
    n_steps: usize,
}

impl PowerSampler {
    /// A sampler with these settings.
    #[must_use]
    pub fn new(config: PowerConfig) -> Self {
        Self { config }
    }

    /// Samples texts after a prompt. Each chain starts at a text drawn from the sampling prior.
    ///
    /// A budget that does not cover the next batch ends the chains: the move that was begun is dropped. If it does not cover the first texts,
    /// there are none.
    ///
    /// # Errors
    /// [`ReasoningError::NoLogProbability`] if the generator does not report both log-probabilities of its steps; an invalid setting; a call
    /// that failed too often; [`ReasoningError::Score`] for a potential that is no number or infinite; [`ReasoningError::ZeroDensity`] for a
    /// chain that met no text of positive density. What was paid for is kept by `models`.
    pub fn decode(&self, models: &mut Models<'_>, prompt: &Prefix) -> Result<PowerDecoded, ReasoningError> {
        self.config.validate(models)?;
        let starts = vec![prompt.clone(); self.config.n_chains];
        match self.finish(models, prompt, starts, 0).and_then(|texts| self.weigh(models, prompt, texts)) {
            Ok(states) => self.run(models, prompt, states),
            Err(ReasoningError::Budget { .. }) => Ok(self.result(models, Chains::new(self.config.n_chains), Stopped::Budget)),
            Err(error) => Err(error),
        }
    }

    /// Goes on from finished texts after the prompt, one per chain, with the log-probabilities of their steps: those of an earlier run, say.
    /// Moves draw the random numbers that those of [`decode`](Self::decode) draw: use another seed than that run.
    ///
    /// # Errors
    /// As [`PowerSampler::decode`]; also an invalid setting for texts that are not finished, do not follow the prompt, are longer than the limit of steps
    /// or have density zero, and
    /// [`Error::Dimension`](crate::Error::Dimension) for another number of them than of chains.
    pub fn decode_from(
        &self,
        models: &mut Models<'_>,
        prompt: &Prefix,
        starts: &[Prefix],
    ) -> Result<PowerDecoded, ReasoningError> {
        self.config.validate(models)?;
        if starts.len() != self.config.n_chains {
            let (expected, found) = (self.config.n_chains, starts.len());
            return Err(crate::Error::Dimension { what: "starts", expected, found }.into());
        }
        for start in starts {
            let n_steps = start.n_steps();
            let follows = start.first_steps(prompt.n_steps()) == prompt && n_steps > prompt.n_steps();
            check::in_range("starts", n_steps as f64, follows && start.is_finished(), "finished texts after the prompt")?;
            let is_short = n_steps - prompt.n_steps() <= self.config.max_steps;
            check::in_range("starts", n_steps as f64, is_short, "texts of at most max_steps steps")?;
        }
        match self.weigh(models, prompt, starts.to_vec()) {
            Ok(states) => {
                for state in &states {
                    let log_density = state.log_density;
                    check::in_range("starts", log_density, log_density > f64::NEG_INFINITY, "texts of positive density")?;
                }
                self.run(models, prompt, states)
            }
            Err(ReasoningError::Budget { .. }) => Ok(self.result(models, Chains::new(self.config.n_chains), Stopped::Budget)),
            Err(error) => Err(error),
        }
    }

    /// What a run with these models is, for its [`Journal`](super::Journal) and its [`Trace`](super::Trace).
    #[must_use]
    pub fn header(&self, models: &Models<'_>, prompt: &Prefix) -> RunHeader {
        let config = &self.config;
        RunHeader::new("power sampling", models, prompt, config.seed)
            .target(config.target())
            .setting("n_moves", config.n_moves)
            .setting("n_burn_in", config.n_burn_in)
            .setting("n_chains", config.n_chains)
            .setting("max_steps", config.max_steps)
            .setting("forced_end", format!("{:?}", config.forced_end))
    }

    fn run(&self, models: &mut Models<'_>, prompt: &Prefix, mut states: Vec<State>) -> Result<PowerDecoded, ReasoningError> {
        let mut chains = Chains::new(self.config.n_chains);
        let mut stopped = Stopped::Finished;
        for m in 0..self.config.n_burn_in + self.config.n_moves {
            match self.make_move(models, prompt, m as u64 + 1, &mut states) {
                Ok(n_accepted) => chains.n_accepted += n_accepted,
                Err(ReasoningError::Budget { .. }) => {
                    stopped = Stopped::Budget;
                    break;
                }
                Err(error) => return Err(error),
            }
            chains.n_moves += 1;
            if m >= self.config.n_burn_in {
                chains.keep(&states);
            }
        }
        if chains.is_empty() && stopped == Stopped::Budget {
            // Better than nothing: where the budget left them.
            chains.keep(&states);
        }
        match chains.texts.iter().position(Vec::is_empty) {
            Some(chain) if stopped == Stopped::Finished => Err(ReasoningError::ZeroDensity { chain, n_moves: chains.n_moves }),
            _ => Ok(self.result(models, chains, stopped)),
        }
    }

    /// Moves every chain once; returns how many accepted.
    fn make_move(&self, models: &mut Models<'_>, prompt: &Prefix, m: u64, states: &mut [State]) -> Result<u64, ReasoningError> {
        let mut streams: Vec<Stream> =
            (0..states.len()).map(|chain| Stream::keyed(self.config.seed, Purpose::Chain, m, chain as u64)).collect();
        let cuts: Vec<usize> =
            states.iter().zip(&mut streams).map(|(state, stream)| stream.random_range(0..state.n_steps)).collect();
        let kept = states.iter().zip(&cuts).map(|(state, &cut)| state.text.prefix.first_steps(prompt.n_steps() + cut).clone());
        let texts = self.finish(models, prompt, kept.collect(), m)?;
        let proposed = self.weigh(models, prompt, texts)?;
        let mut n_accepted = 0;
        for (((state, new), stream), cut) in states.iter_mut().zip(proposed).zip(&mut streams).zip(cuts) {
            let kept = prompt.n_steps() + cut;
            let log_ratio = new.log_density - state.log_density + log_sampling(&state.text.prefix, kept)?
                - log_sampling(&new.text.prefix, kept)?
                + (state.n_steps as f64).ln()
                - (new.n_steps as f64).ln();
            // False for NaN: no move between two texts of density zero.
            if stream.uniform() < log_ratio.exp() {
                *state = new;
                n_accepted += 1;
            }
        }
        Ok(n_accepted)
    }

    /// Writes texts to their ends: one batch of generations per step.
    fn finish(
        &self,
        models: &mut Models<'_>,
        prompt: &Prefix,
        mut texts: Vec<Prefix>,
        m: u64,
    ) -> Result<Vec<Prefix>, ReasoningError> {
        let n_max = prompt.n_steps().saturating_add(self.config.max_steps);
        loop {
            let open: Vec<usize> = (0..texts.len()).filter(|&i| !texts[i].is_finished()).collect();
            if open.is_empty() {
                return Ok(texts);
            }
            let seeds: Vec<u64> = open.iter().map(|&i| self.draw_seed(m, i, texts[i].n_steps())).collect();
            let draws: Vec<_> = open.iter().zip(&seeds).map(|(&i, &seed)| Draw::new(&texts[i], seed)).collect();
            if self.config.potential.is_some() {
                models.check_rewards(&draws, |text| text.cut_at(n_max), texts.iter().filter(|text| text.is_finished()))?;
            }
            let replies = retry::extend(models, &draws, self.config.max_attempts, |_, _| ())?;
            for (i, reply) in open.into_iter().zip(replies) {
                let text = reply.map_err(|source| ReasoningError::Call { call: Call::Generate, index: i, source })?;
                texts[i] = text.cut_at(n_max);
            }
        }
    }

    fn draw_seed(&self, m: u64, chain: usize, n_steps: usize) -> u64 {
        let move_seed = Stream::keyed(self.config.seed, Purpose::Particle, m, chain as u64).next_u64();
        Stream::keyed(move_seed, Purpose::Particle, n_steps as u64, 0).next_u64()
    }

    /// Scores finished texts, where there is a potential, and weighs them.
    fn weigh(&self, models: &mut Models<'_>, prompt: &Prefix, texts: Vec<Prefix>) -> Result<Vec<State>, ReasoningError> {
        let mut scores: Vec<Scores> = vec![Scores::from([]); texts.len()];
        if self.config.potential.is_some() {
            let asked: Vec<&Prefix> = texts.iter().collect();
            let replies = retry::score(models, &asked, self.config.max_attempts, |_, _| ())?;
            for (index, (scores, reply)) in scores.iter_mut().zip(replies).enumerate() {
                *scores = reply.map_err(|source| ReasoningError::Call { call: Call::Reward, index, source })?;
            }
        }
        let weighed = texts.into_iter().zip(scores).enumerate().map(|(index, (prefix, scores))| {
            let log_psi =
                self.config.potential.as_ref().map_or(0.0, |potential| potential.log_psi(models.scale(), &scores, true));
            if !(log_psi < f64::INFINITY) {
                return Err(ReasoningError::Score { index, score: log_psi, scale: "logarithm of a potential" });
            }
            let n_steps = prefix.n_steps() - prompt.n_steps();
            let is_rejected = self.config.forced_end == ForcedEnd::Reject && prefix.finish().is_some_and(Finish::is_forced);
            let log_density =
                if is_rejected { f64::NEG_INFINITY } else { self.config.alpha * log_model(&prefix, prompt.n_steps())? + log_psi };
            Ok(State { text: Particle { prefix, scores, log_psi }, log_density, n_steps })
        });
        weighed.collect()
    }

    fn result(&self, models: &Models<'_>, chains: Chains, stopped: Stopped) -> PowerDecoded {
        let mut pool = Pool::default();
        for text in chains.texts.iter().flatten() {
            pool.add(text, 1.0);
        }
        let decoded = Decoded {
            texts: pool.normalised(),
            evidence: None,
            steps: Vec::new(),
            target: self.config.target(),
            prior: models.sampling_prior().clone(),
            ledger: models.ledger(),
            failed: Vec::new(),
            n_dropped: 0,
            stopped,
        };
        let n_moves = (chains.n_moves * chains.texts.len() as u64) as f64;
        let acceptance_rate = (chains.n_moves > 0).then(|| chains.n_accepted as f64 / n_moves);
        PowerDecoded { decoded, chains: chains.texts, acceptance_rate }
    }
}

/// What is kept of the chains.
struct Chains {
    texts: Vec<Vec<Particle>>,
    n_accepted: u64,
    /// Of each chain.
    n_moves: u64,
}

impl Chains {
    fn new(n_chains: usize) -> Self {
        Self { texts: vec![Vec::new(); n_chains], n_accepted: 0, n_moves: 0 }
    }

    fn is_empty(&self) -> bool {
        self.texts.iter().all(Vec::is_empty)
    }

    fn keep(&mut self, states: &[State]) {
        let has_density = |state: &State| state.log_density > f64::NEG_INFINITY;
        for (chain, state) in self.texts.iter_mut().zip(states).filter(|(_, state)| has_density(state)) {
            chain.push(state.text.clone());
        }
    }
}

/// log p of the steps after the first `kept`.
fn log_model(text: &Prefix, kept: usize) -> Result<f64, ReasoningError> {
    sum_of(text, kept, |step| step.log_model, "the model's log-probability of a step")
}

/// log q of the steps after the first `kept`.
fn log_sampling(text: &Prefix, kept: usize) -> Result<f64, ReasoningError> {
    sum_of(text, kept, |step| step.log_sampling, "the log-probability of a step as it was drawn")
}

fn sum_of(text: &Prefix, kept: usize, of: impl Fn(&Step) -> Option<f64>, what: &'static str) -> Result<f64, ReasoningError> {
    let steps = text.lineage().take_while(|part| part.n_steps() > kept).filter_map(Prefix::last_step);
    steps.map(|step| of(step).ok_or(ReasoningError::NoLogProbability { what })).sum()
}
