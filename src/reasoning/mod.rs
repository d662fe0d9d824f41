//! Decoding of a language model's reasoning steps as inference.
//!
//! A language model writes a text in steps, and a process reward model scores it after each of them. Texts in the making are particles of the
//! same [engine](crate::smc) that filters time series: the language model proposes, a potential ψ of the scores weighs.
//!
//! ```text
//! prompt -> steps -> scores r₁ … r_T            target over finished texts:  π(x) = p(x) ψ_T(x) / Z
//! ```
//! So the target has a name, Z is estimated without bias, weights are carried until a text is finished and no longer, and every other
//! method (Markov chains, search, votes) runs on the same two traits at the same price.
//!
//! ```
//! use posterity::reasoning::{Answers, Decoder, DecoderConfig, Models, Potential, Prefix, Selector, TableModel};
//! // A language and a reward model in one table; any `StepGenerator` and any `RewardModel` will do.
//! let (mut generator, mut rewards) = (TableModel::two_step_example(), TableModel::two_step_example());
//! let decoder = Decoder::new(DecoderConfig::new(500, 1).potential(Potential::product()));
//! let decoded = decoder.decode(&mut Models::new(&mut generator, &mut rewards), &Prefix::prompt(""))?;
//! assert_eq!(decoded.target, "p(x) prod_t r_t");
//! let answer = Selector::WeightedVote.select(&decoded.texts, &Answers::last_line()).unwrap();
//! // The exact share is 0.7059.
//! assert!(answer.answer == "AA" && (answer.share - 0.7059).abs() < 0.1);
//! # Ok::<(), posterity::reasoning::ReasoningError>(())
//! ```
//!
//! | to | see |
//! |---|---|
//! | bring a language model | [`StepGenerator`] |
//! | bring a reward model | [`RewardModel`] |
//! | have models served by vLLM or llama.cpp | `http`, with the feature `llm-http` |
//! | run a small model offline | [`llama`], [`countdown`] |
//! | say what scores amount to | [`Potential`] |
//! | decode by particles | [`Decoder`]; [`WithoutReplacement`], where no two of them are the same text |
//! | search, or sample and vote | [`Search`] |
//! | reproduce what others published | [`Preset`] |
//! | calibrate a reward model | [`Calibration`], [`Calibrated`] |
//! | measure and compare | [`pass_at_k`], [`paired_t_interval`], [`Reliability`] |
//! | find answers, and choose one | [`AnswerRule`], [`Selector`] |
//! | decode by a Markov chain, exact in the long run | [`GibbsDecoder`], [`TemperedDecoder`]; [`PowerSampler`] for p(x)^α |
//! | count, limit, cache and record calls | [`Models`], [`Budget`], [`Ledger`], [`Journal`] |
//! | keep a run, and look at it | [`Trace`]; `Decoded::genealogy`, with the feature `plot` |
//! | stop voting when the answer is certain | [`MajorityCertificate`] |
//! | know the answer exactly | [`TableModel`], [`ExactTarget`] |

mod answers;
mod calibration;
mod certificate;
pub mod countdown;
mod decoder;
mod error;
mod generator;
#[cfg(feature = "llm-http")]
pub mod http;
mod journal;
mod jsonl;
mod key_map;
mod ledger;
pub mod llama;
mod metrics;
mod models;
mod particle_gibbs;
#[cfg(feature = "plot")]
mod picture;
mod pool;
mod potential;
mod power_sampling;
mod prefix;
mod presets;
mod retry;
mod reward;
mod search;
mod tempering;
mod toy;
mod trace;
mod without_replacement;

pub use answers::{AnswerRule, Answers, Equivalence, Extract, Selection, Selector, answer_classes};
pub use calibration::{Calibrated, Calibration, CalibrationError, Interpolation, PlattTargets};
pub use certificate::{LeadTest, MajorityCertificate};
pub use decoder::{
    Base, Decoded, Decoder, DecoderConfig, Evidence, FailedSlot, ForcedEnd, Particle, StepRecord, Stopped, TextModel, Texts,
    WeightedText,
};
pub use error::{Call, CallError, ReasoningError, Severity};
pub use generator::{ContinuationRequest, ContinuationScore, Extension, SamplingPrior, StepGenerator, StepRequest};
pub use journal::Journal;
pub use jsonl::{FileError, RunHeader};
pub use ledger::{Budget, Ledger};
pub use metrics::{
    Interval, Reliability, ReliabilityBin, best_of_k, majority_at_k, mcnemar_p_value, paired_bootstrap_interval,
    paired_t_interval, pass_at_k, wilson_interval,
};
pub use models::{Draw, Models, Scores};
pub use particle_gibbs::{GibbsConfig, GibbsDecoded, GibbsDecoder};
pub use potential::{Link, LogPotential, Potential};
pub use power_sampling::{PowerConfig, PowerDecoded, PowerSampler};
pub use prefix::{Finish, Prefix, PrefixKey, Step};
pub use presets::{Preset, its_hub_2025, puri2025_code, puri2025_paper};
pub use reward::{RewardModel, RewardScale, ScoreRequest, StepScores};
pub use search::Search;
pub use tempering::{TemperedDecoded, TemperedDecoder, TemperingConfig};
pub use toy::{EndRule, ExactTarget, ExactText, TableModel, TableRow};
pub use trace::Trace;
pub use without_replacement::WithoutReplacement;
