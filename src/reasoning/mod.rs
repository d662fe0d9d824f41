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
//! | decode by a Markov chain, exact in the long run | [`GibbsDecoder`], [`TemperedDecoder`]; [`PowerSampler`] for p(x)^α |
//! | count, limit, cache and record calls | [`Models`], [`Budget`], [`Ledger`], [`Journal`] |
//! | stop voting when the answer is certain | [`MajorityCertificate`] |
//! | know the answer exactly | [`TableModel`], [`ExactTarget`] |

mod certificate;
mod decoder;
mod error;
mod generator;
mod journal;
mod ledger;
mod models;
mod particle_gibbs;
mod pool;
mod potential;
mod power_sampling;
mod prefix;
mod retry;
mod reward;
mod tempering;
mod toy;
mod without_replacement;

pub use certificate::{LeadTest, MajorityCertificate};
pub use decoder::{
    Base, Decoded, Decoder, DecoderConfig, Evidence, FailedSlot, ForcedEnd, Particle, StepRecord, Stopped, TextModel, Texts,
    WeightedText,
};
pub use error::{Call, CallError, ReasoningError, Severity};
pub use generator::{ContinuationRequest, ContinuationScore, Extension, SamplingPrior, StepGenerator, StepRequest};
pub use journal::Journal;
pub use ledger::{Budget, Ledger};
pub use models::{Draw, Models, Scores};
pub use particle_gibbs::{GibbsConfig, GibbsDecoded, GibbsDecoder};
pub use potential::{Link, LogPotential, Potential};
pub use power_sampling::{PowerConfig, PowerDecoded, PowerSampler};
pub use prefix::{Finish, Prefix, PrefixKey, Step};
pub use reward::{RewardModel, RewardScale, ScoreRequest, StepScores};
pub use tempering::{TemperedDecoded, TemperedDecoder, TemperingConfig};
pub use toy::{EndRule, ExactTarget, ExactText, TableModel, TableRow};
pub use without_replacement::WithoutReplacement;
