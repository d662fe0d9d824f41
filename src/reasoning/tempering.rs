//! Parallel tempering over texts: chains at several powers of the potential, which exchange their texts.
//!
//! ```text
//! chain k:  π_k(x) ∝ p(x) ψ_T(x)^β_k,   1 = β_0 > β_1 > … ≥ 0
//! round:    a conditional sweep in each chain at its own β, then for neighbours k, k+1 an exchange of texts, accepted with probability
//!           min(1, exp((β_k - β_{k+1}) (log ψ(x_{k+1}) - log ψ(x_k))))
//! ```
//! The product of all π_k is invariant: each chain has its own target, and texts found where the potential says little wander to where it
//! says much. Exchanges cost nothing. Chains that never exchange are no parallel tempering, whatever their temperatures.
//!
//! *Cost per round.* One [conditional sweep](super::GibbsDecoder) per chain, one chain after the other. *Not for* potentials under which a
//! single chain moves well already (see [`GibbsDecoded::change_rates`](super::GibbsDecoded::change_rates)): there it multiplies the costs.
//!
//! *References.* C. J. Geyer 1991, *Markov chain Monte Carlo maximum likelihood*; S. Syed, A. Bouchard-Côté, G. Deligiannidis and A. Doucet
//! 2022, doi:10.1111/rssb.12464 (even and odd pairs, rates as a measure of a ladder); I. Puri et al. 2025, arXiv:2502.01618.

use super::decoder::{Decoded, Particle, Stopped};
use super::error::ReasoningError;
use super::jsonl::RunHeader;
use super::models::Models;
use super::particle_gibbs::{GibbsConfig, Start, Sweeps};
use super::pool::{Changes, Pool};
use super::potential::Potential;
use super::prefix::Prefix;
use crate::error::check;
use crate::rng::{Purpose, Stream};

/// Settings of a [`TemperedDecoder`].
#[derive(Debug, Clone)]
pub struct TemperingConfig {
    gibbs: GibbsConfig,
    betas: Vec<f64>,
}

impl TemperingConfig {
    /// Chains at these powers of the potential, the first one 1, each smaller than the one before; rounds and sweeps as in `gibbs`.
    #[must_use]
    pub fn new(gibbs: GibbsConfig, betas: impl Into<Vec<f64>>) -> Self {
        Self { gibbs, betas: betas.into() }
    }

    /// Checks the settings against the models.
    ///
    /// # Errors
    /// As [`GibbsConfig::validate`]; an invalid setting if the powers do not fall from 1 to 0 or above.
    pub fn validate(&self, models: &Models<'_>) -> Result<(), ReasoningError> {
        self.gibbs.validate(models)?;
        let first = self.betas.first().copied().unwrap_or(f64::NAN);
        check::in_range("betas", first, first == 1.0, "1 in the first chain")?;
        for pair in self.betas.windows(2) {
            check::in_range(
                "betas",
                pair[1],
                pair[1] < pair[0] && pair[1] >= 0.0,
                "smaller than the one before, and not negative",
            )?;
        }
        Ok(())
    }
}

/// Texts of chains that exchange them.
#[derive(Debug)]
pub struct TemperedDecoded {
    /// The texts of the first chain, at β = 1: all of its clouds by their weights, as in
    /// [`GibbsDecoded::decoded`](super::GibbsDecoded::decoded).
    pub decoded: Decoded,
    /// Per chain, its text after each round that was kept. log ψ is that of the chain's own power.
    pub chains: Vec<Vec<Particle>>,
    /// Per pair of neighbours, the mean probability that an exchange is accepted: near 0, the ladder has a gap there. Empty if the budget did
    /// not cover a round.
    pub swap_rates: Vec<f64>,
    /// Per step, in which share of the first chain's rounds the text up to that step changed, exchanges included.
    pub change_rates: Vec<f64>,
}

/// Decodes by parallel tempering; see the [module](self).
///
/// ```
/// use posterity::reasoning::{DecoderConfig, GibbsConfig, Models, Potential, Prefix, TableModel, TemperedDecoder, TemperingConfig};
/// let table = TableModel::two_step_example();
/// let (mut generator, mut rewards) = (table.clone(), table);
/// let gibbs = GibbsConfig::new(DecoderConfig::new(4, 1).potential(Potential::product()), 200);
/// let decoder = TemperedDecoder::new(TemperingConfig::new(gibbs, [1.0, 0.5]));
/// let tempered = decoder.decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""))?;
/// assert!((tempered.swap_rates[0] - 0.82).abs() < 0.1);
/// # Ok::<(), posterity::reasoning::ReasoningError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TemperedDecoder {
    config: TemperingConfig,
}

/// Exchanges between neighbours.
struct Swaps {
    stream: Stream,
    /// Sums of acceptance probabilities, and their number.
    accepted: Vec<f64>,
    n_rounds: u64,
}

impl Swaps {
    /// Even pairs, then odd ones.
    fn exchange(&mut self, betas: &[f64], potential: &Potential, sweeps: &mut Sweeps<'_, '_>, texts: &mut [Particle]) {
        sweeps.set_potential(potential);
        let log_psi: Vec<f64> = texts.iter().map(|text| sweeps.weighed(text).log_psi).collect();
        let mut order: Vec<usize> = (0..texts.len()).collect();
        let n_pairs = texts.len() - 1;
        for pair in (0..n_pairs).step_by(2).chain((1..n_pairs).step_by(2)) {
            let (colder, hotter) = (log_psi[order[pair]], log_psi[order[pair + 1]]);
            // A text without potential may stand in a chain at power 0 only, the last one: its exchange has ratio 0.
            let ratio = ((betas[pair] - betas[pair + 1]) * (hotter - colder)).exp();
            self.accepted[pair] += ratio.min(1.0);
            if self.stream.uniform() < ratio {
                order.swap(pair, pair + 1);
            }
        }
        self.n_rounds += 1;
        let before: Vec<Particle> = texts.to_vec();
        for ((text, from), &beta) in texts.iter_mut().zip(order).zip(betas) {
            sweeps.set_potential(&tempered(potential, beta));
            *text = sweeps.weighed(&before[from]);
        }
    }

    fn rates(&self) -> Vec<f64> {
        if self.n_rounds == 0 {
            return Vec::new();
        }
        self.accepted.iter().map(|sum| sum / self.n_rounds as f64).collect()
    }
}

fn tempered(potential: &Potential, beta: f64) -> Potential {
    potential.clone().inverse_temperature(potential.beta() * beta)
}

impl TemperedDecoder {
    /// A decoder with these settings.
    #[must_use]
    pub fn new(config: TemperingConfig) -> Self {
        Self { config }
    }

    /// Decodes from a prompt. Each chain starts at a text of a particle decoder at its own power.
    ///
    /// A budget that does not cover another sweep ends the run: the round that was begun is dropped. If it does not cover the decoders at the
    /// start, their clouds so far that belong to β = 1 are returned, with unfinished texts in them.
    ///
    /// # Errors
    /// [`ReasoningError`]; what was paid for is kept by `models`.
    pub fn decode(&self, models: &mut Models<'_>, prompt: &Prefix) -> Result<TemperedDecoded, ReasoningError> {
        self.config.validate(models)?;
        let GibbsConfig { decoder, n_sweeps, n_burn_in, .. } = &self.config.gibbs;
        let betas = self.config.betas.as_slice();
        let target = decoder.target(&models.sampling_prior().model);
        let prior = models.sampling_prior().clone();
        let potential = decoder.potential.clone();
        let mut sweeps = Sweeps::new(models, &self.config.gibbs, prompt)?;
        let (mut pool, mut changes) = (Pool::default(), Changes::default());
        let mut chains = vec![Vec::new(); betas.len()];
        let mut swaps = Swaps {
            stream: Stream::keyed(decoder.seed, Purpose::Chain, 0, u64::MAX),
            accepted: vec![0.0; betas.len() - 1],
            n_rounds: 0,
        };
        let mut stopped = Stopped::Finished;
        match Self::first_texts(&mut sweeps, betas, &potential, &mut pool)? {
            None => stopped = Stopped::Budget,
            Some(mut texts) => {
                for round in 0..n_burn_in + n_sweeps {
                    let before = texts[0].clone();
                    let mut cloud = Pool::default();
                    let swept = Self::sweep_all(&mut sweeps, betas, &potential, round as u64 + 1, &mut texts, &mut cloud)?;
                    if !swept {
                        stopped = Stopped::Budget;
                        break;
                    }
                    swaps.exchange(betas, &potential, &mut sweeps, &mut texts);
                    changes.count(prompt.n_steps(), &before, &texts[0]);
                    if round >= *n_burn_in {
                        pool.add_all(cloud);
                        for (chain, text) in chains.iter_mut().zip(&texts) {
                            chain.push(text.clone());
                        }
                    }
                }
                if chains[0].is_empty() {
                    pool.add(&texts[0], 1.0);
                }
            }
        }
        let (ledger, failed, n_dropped) = sweeps.finish();
        let texts = pool.normalised();
        let decoded = Decoded { texts, evidence: None, steps: Vec::new(), target, prior, ledger, failed, n_dropped, stopped };
        Ok(TemperedDecoded { decoded, chains, swap_rates: swaps.rates(), change_rates: changes.rates() })
    }

    /// What a run with these models is, for its [`Journal`](super::Journal) and its [`Trace`](super::Trace).
    #[must_use]
    pub fn header(&self, models: &Models<'_>, prompt: &Prefix) -> RunHeader {
        let header = self.config.gibbs.header("parallel tempering", models, prompt);
        header.setting("betas", self.config.betas.clone())
    }

    /// The text at which each chain starts; `None` if the budget did not cover them. Leaves the first chain's cloud in `pool` then.
    fn first_texts(
        sweeps: &mut Sweeps<'_, '_>,
        betas: &[f64],
        potential: &Potential,
        pool: &mut Pool,
    ) -> Result<Option<Vec<Particle>>, ReasoningError> {
        let mut texts = Vec::with_capacity(betas.len());
        let mut first = Pool::default();
        for (chain, &beta) in betas.iter().enumerate() {
            sweeps.set_potential(&tempered(potential, beta));
            let start = sweeps.start(None, chain as u64)?;
            if chain == 0 {
                sweeps.pool_cloud(&mut first);
            }
            match start {
                Start::At(text) => texts.push(text),
                Start::OverBudget => {
                    *pool = first;
                    return Ok(None);
                }
            }
        }
        Ok(Some(texts))
    }

    /// A sweep of each chain; false if the budget ended before the last one did: the texts are then as before.
    fn sweep_all(
        sweeps: &mut Sweeps<'_, '_>,
        betas: &[f64],
        potential: &Potential,
        round: u64,
        texts: &mut Vec<Particle>,
        cloud: &mut Pool,
    ) -> Result<bool, ReasoningError> {
        let mut new = texts.clone();
        for (chain, (text, &beta)) in new.iter_mut().zip(betas).enumerate() {
            sweeps.set_potential(&tempered(potential, beta));
            if sweeps.sweep(text, chain as u64, round)?.is_none() {
                return Ok(false);
            }
            if chain == 0 {
                sweeps.pool_cloud(cloud);
            }
        }
        *texts = new;
        Ok(true)
    }
}
