//! The methods that are compared, all on the same two models.

use posterity::reasoning::{
    AnswerRule, Decoded, Decoder, DecoderConfig, Ledger, Link, Models, Potential, Prefix, ReasoningError, Search, Selector,
    WeightedText, WithoutReplacement, its_hub_2025,
};
use posterity::weights::Scheme;

/// A way to decode and to choose an answer.
#[derive(Debug, Clone)]
pub(crate) struct Method {
    pub(crate) name: String,
    decode: Decode,
    selector: Selector,
}

#[derive(Debug, Clone)]
enum Decode {
    Greedy,
    /// Independent texts; the methods that only differ in how they choose share them.
    Independent,
    Beam {
        width: usize,
        distinct: bool,
    },
    Dvts {
        width: usize,
    },
    Particles {
        potential: Potential,
        ess_threshold: f64,
        scheme: Scheme,
        n_candidates: usize,
    },
    /// Different texts only, each with several candidates.
    Distinct {
        n_candidates: usize,
    },
    Preset,
}

/// One run of a method.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) prompt: &'a Prefix,
    /// Texts at a time.
    pub(crate) n: usize,
    pub(crate) n_steps: usize,
    pub(crate) seed: u64,
    pub(crate) answers: &'a dyn AnswerRule,
}

/// What a method gave for one problem.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) text: Option<Prefix>,
    pub(crate) ledger: Ledger,
}

impl Method {
    fn new(name: impl Into<String>, decode: Decode, selector: Selector) -> Self {
        Self { name: name.into(), decode, selector }
    }

    /// The default decoder of the library.
    pub(crate) fn particles() -> Self {
        let decode =
            Decode::Particles { potential: Potential::last(), ess_threshold: 2.0, scheme: Scheme::Systematic, n_candidates: 1 };
        Self::new("particles", decode, Selector::MaxReward)
    }

    /// The methods of the short table. Widths, and whether a beam keeps equal texts, were chosen on the validation split like the particle
    /// decoder's settings: `--ablation`.
    pub(crate) fn main() -> Vec<Self> {
        vec![
            Self::new("greedy", Decode::Greedy, Selector::Majority),
            Self::new("majority", Decode::Independent, Selector::Majority),
            Self::new("best of N", Decode::Independent, Selector::MaxReward),
            Self::new("weighted best of N", Decode::Independent, Selector::RewardWeightedVote),
            Self::new("beam", Decode::Beam { width: 4, distinct: true }, Selector::MaxReward),
            Self::new("DVTS", Decode::Dvts { width: 4 }, Selector::MaxReward),
            Self::particles(),
        ]
    }

    /// All of them, and the beam that is best on six numbers where that above is on five.
    pub(crate) fn full() -> Vec<Self> {
        let mut methods = Self::main();
        methods.push(Self::new("beam, width 2", Decode::Beam { width: 2, distinct: false }, Selector::MaxReward));
        methods.push(Self::new("published filter", Decode::Preset, Selector::MaxReward));
        methods
    }

    /// Settings to choose from, for the validation split.
    pub(crate) fn ablation() -> Vec<Self> {
        let mut methods = vec![
            Self::new("best of N", Decode::Independent, Selector::MaxReward),
            Self::new("weighted best of N", Decode::Independent, Selector::RewardWeightedVote),
        ];
        for width in [2, 4, 8] {
            for distinct in [false, true] {
                let name = format!("beam {width}{}", if distinct { " distinct" } else { "" });
                methods.push(Self::new(name, Decode::Beam { width, distinct }, Selector::MaxReward));
            }
            methods.push(Self::new(format!("DVTS {width}"), Decode::Dvts { width }, Selector::MaxReward));
            methods.push(Self::new(format!("DVTS {width}, vote"), Decode::Dvts { width }, Selector::RewardWeightedVote));
        }
        let potentials = [
            ("r^0.5", Potential::last().inverse_temperature(0.5)),
            ("r", Potential::last()),
            ("r^2", Potential::last().inverse_temperature(2.0)),
            ("odds", Potential::last().link(Link::Odds)),
            ("odds^0.5", Potential::last().link(Link::Odds).inverse_temperature(0.5)),
            ("prod r", Potential::product()),
            ("prod r^2", Potential::product().inverse_temperature(2.0)),
            ("min r", Potential::min()),
        ];
        for (name, potential) in potentials {
            for (rule, ess_threshold) in [("always", 2.0), ("ESS .5", 0.5)] {
                let decode = Decode::Particles {
                    potential: potential.clone(),
                    ess_threshold,
                    scheme: Scheme::Systematic,
                    n_candidates: 1,
                };
                methods.push(Self::new(format!("particles {name}, {rule}"), decode, Selector::MaxReward));
            }
        }
        let with =
            |scheme, n_candidates| Decode::Particles { potential: Potential::last(), ess_threshold: 2.0, scheme, n_candidates };
        methods.push(Self::new("particles r, always, multinomial", with(Scheme::Multinomial, 1), Selector::MaxReward));
        methods.push(Self::new("particles r, always, 2 candidates", with(Scheme::Systematic, 2), Selector::MaxReward));
        methods.push(Self::new("distinct texts, 2 candidates", Decode::Distinct { n_candidates: 2 }, Selector::MaxReward));
        methods.push(Self::new("distinct texts, 4 candidates", Decode::Distinct { n_candidates: 4 }, Selector::MaxReward));
        methods.push(Self::new("particles r, always, vote", with(Scheme::Systematic, 1), Selector::WeightedVote));
        methods.push(Self::new("particles r, always, reward vote", with(Scheme::Systematic, 1), Selector::RewardWeightedVote));
        methods.push(Self::new("particles r, always, draw", with(Scheme::Systematic, 1), Selector::Sample { seed: 1 }));
        methods
    }

    /// True if the method is the same for every number of texts.
    pub(crate) fn is_single(&self) -> bool {
        matches!(self.decode, Decode::Greedy)
    }

    /// True if it needs more than one text.
    pub(crate) fn needs_several(&self) -> bool {
        matches!(self.decode, Decode::Beam { .. } | Decode::Dvts { .. })
    }

    /// Decodes with `n` texts at a time. `pool` keeps the independent ones for the methods that share them.
    pub(crate) fn run(
        &self,
        models: &mut Models<'_>,
        run: Run<'_>,
        pool: &mut Option<Decoded>,
    ) -> Result<Outcome, ReasoningError> {
        let Run { prompt, n, n_steps, seed, answers } = run;
        let decoded = match &self.decode {
            Decode::Independent => {
                if pool.is_none() {
                    *pool = Some(
                        Search::independent(n, seed).potential(Potential::last()).max_steps(n_steps).decode(models, prompt)?,
                    );
                }
                let Some(decoded) = pool else { return Ok(Outcome { text: None, ledger: Ledger::default() }) };
                let mut ledger = decoded.ledger.clone();
                if self.selector == Selector::Majority {
                    // Its votes ask for no rewards; the pool was scored for the others.
                    (ledger.reward_calls, ledger.reward_tokens) = (0, 0);
                }
                return Ok(self.choose(&decoded.texts, ledger, answers));
            }
            Decode::Greedy => Search::greedy().max_steps(n_steps).decode(models, prompt)?,
            Decode::Beam { width, distinct } => {
                let search = Search::beam(n, (*width).min(n), seed).remove_duplicates(*distinct);
                search.max_steps(n_steps).decode(models, prompt)?
            }
            Decode::Dvts { width } => Search::dvts(n, (*width).min(n), seed).max_steps(n_steps).decode(models, prompt)?,
            Decode::Particles { potential, ess_threshold, scheme, n_candidates } => {
                let config = DecoderConfig::new((n / n_candidates).max(1), seed)
                    .potential(potential.clone())
                    .ess_threshold(*ess_threshold)
                    .scheme(*scheme)
                    .n_candidates((*n_candidates).min(n))
                    .max_steps(n_steps);
                Decoder::new(config).decode(models, prompt)?
            }
            Decode::Distinct { n_candidates } => {
                let n_candidates = (*n_candidates).min(n);
                let config = DecoderConfig::new(n / n_candidates, seed).n_candidates(n_candidates).max_steps(n_steps);
                WithoutReplacement::new(config).decode(models, prompt)?
            }
            Decode::Preset => its_hub_2025(n, seed).max_steps(n_steps).decode(models, prompt)?,
        };
        Ok(self.choose(&decoded.texts, decoded.ledger, answers))
    }

    fn choose(&self, texts: &[WeightedText], ledger: Ledger, answers: &dyn AnswerRule) -> Outcome {
        let chosen = self.selector.select(texts, answers);
        Outcome { text: chosen.map(|chosen| texts[chosen.index].prefix.clone()), ledger }
    }
}
