//! Decoding of a language model's reasoning steps as inference.
//!
//! A language model that writes in steps is a proposal, a process reward model that judges them is a potential, and texts are particles of
//! the same [engine](crate::smc) that filters time series. What follows from that, and most scripts lose: the target has a name, its
//! normalising constant is estimated without bias and with an error, weights are carried until texts are finished and no longer, and every
//! other method runs on the same two traits at the same price.
//!
//! | to | see |
//! |---|---|
//! | bring a language model | [`StepGenerator`] |
//! | bring a reward model | [`RewardModel`] |
//! | say what scores amount to | [`Potential`] |
//! | decode by particles | [`Decoder`]; [`WithoutReplacement`], where no two of them are the same text |
//! | search, or sample and vote | [`Search`] |
//! | reproduce what others published | [`Preset`] |
//! | calibrate a reward model | [`Calibration`], [`Calibrated`] |
//! | measure and compare | [`pass_at_k`], [`paired_t_interval`], [`Reliability`] |
//! | find answers, and choose one | [`AnswerRule`], [`Selector`] |
//! | decode by a Markov chain, exact in the long run | [`GibbsDecoder`], [`TemperedDecoder`]; [`PowerSampler`] for p(x)^α |
//! | count, limit, cache and record calls | [`Models`], [`Budget`], [`Ledger`], [`Journal`] |
//! | stop voting when the answer is certain | [`MajorityCertificate`] |
//! | run a small model offline | [`llama`], [`countdown`] |
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
