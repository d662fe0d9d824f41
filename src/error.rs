//! The crate's two error types: [`Error`] for a whole run, [`DensityError`] for one evaluation of a log density.

use std::path::PathBuf;
use std::sync::Arc;

/// Why one evaluation of a log density failed.
///
/// A *recoverable* error ([`DensityError::is_recoverable`]) rejects the proposal at hand and is counted as a divergence; any other one
/// ends the run with [`Error::Density`].
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DensityError {
    /// The log density is NaN.
    #[error("the log density is NaN")]
    NotANumber,
    /// The log density is +∞.
    #[error("the log density is +inf")]
    PositiveInfinity,
    /// The log density is finite but one component of its gradient is not.
    #[error("the gradient with respect to unconstrained coordinate {index} is {value}")]
    GradientNotFinite {
        /// Index of the unconstrained coordinate.
        index: usize,
        /// The component found.
        value: f64,
    },
    /// A parameter of a distribution lies outside its domain.
    #[error("{distribution}: {parameter} is {value}, but must be {rule}")]
    Parameter {
        /// The distribution.
        distribution: &'static str,
        /// The parameter's name in the distribution's signature.
        parameter: &'static str,
        /// The value found.
        value: f64,
        /// What holds for valid values, as in "positive and finite".
        rule: &'static str,
    },
    /// An observed value is NaN, or no value of the distribution at all. Fatal: data do not change between evaluations.
    #[error("{distribution}: observation {index} is {value}")]
    Data {
        /// The distribution.
        distribution: &'static str,
        /// Index of the observation in its vector.
        index: usize,
        /// The value found.
        value: f64,
    },
    /// A statement about observations has none of them. Fatal.
    #[error("{distribution}: there are no observations")]
    NoData {
        /// The distribution.
        distribution: &'static str,
    },
    /// Arguments of a distribution or an operation have lengths that do not fit together. Fatal.
    #[error("{what}: expected length {expected}, found {found}")]
    Length {
        /// The distribution or operation.
        what: &'static str,
        /// Length that the first non-scalar argument has.
        expected: usize,
        /// Length found.
        found: usize,
    },
    /// A matrix that must be positive definite is not.
    #[error("{what} is not positive definite (pivot {pivot})")]
    NotPositiveDefinite {
        /// The matrix.
        what: &'static str,
        /// Index of the first pivot that is not positive.
        pivot: usize,
    },
    /// The position handed in has another dimension than the density. Fatal.
    #[error("the position has {found} coordinates, the density {expected}")]
    Dimension {
        /// Dimension of the density.
        expected: usize,
        /// Length of the position.
        found: usize,
    },
    /// The model's code panicked. Fatal.
    #[error("the model panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The model declared this point impossible to evaluate.
    #[error("the model rejected the point: {reason}")]
    Rejected {
        /// The model's words.
        reason: &'static str,
    },
    /// An error of a hand-written density.
    #[error("the model failed: {source}")]
    Model {
        /// Whether the proposal may simply be rejected.
        recoverable: bool,
        /// The model's error.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl DensityError {
    /// True if the proposal at hand may be rejected and the run go on.
    #[must_use]
    pub fn is_recoverable(&self) -> bool {
        match self {
            Self::NotANumber
            | Self::PositiveInfinity
            | Self::GradientNotFinite { .. }
            | Self::Parameter { .. }
            | Self::NotPositiveDefinite { .. }
            | Self::Rejected { .. } => true,
            Self::Data { .. } | Self::NoData { .. } | Self::Length { .. } | Self::Dimension { .. } | Self::Panicked { .. } => {
                false
            }
            Self::Model { recoverable, .. } => *recoverable,
        }
    }
}

/// What can go wrong in the crate, outside one evaluation of a density.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of range.
    #[error("{setting} is {value}, but must be {rule}")]
    InvalidSetting {
        /// The setting's name.
        setting: &'static str,
        /// The value found.
        value: f64,
        /// What holds for valid values.
        rule: &'static str,
    },
    /// The model has no parameters.
    #[error("the model has no parameters: nothing to sample")]
    NoParameters,
    /// Two lengths or dimensions that must agree do not.
    #[error("{what}: expected {expected}, found {found}")]
    Dimension {
        /// What was measured.
        what: &'static str,
        /// The length that fits.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// An array that must have entries has none.
    #[error("{what} is empty")]
    Empty {
        /// The array.
        what: &'static str,
    },
    /// A value that must be finite is not.
    #[error("{what}[{index}] is {value}")]
    NotFinite {
        /// The array.
        what: &'static str,
        /// Position in it.
        index: usize,
        /// The value found.
        value: f64,
    },
    /// A value lies outside the support of its parameter.
    #[error("{variable}: {value} is outside the support ({support})")]
    OutsideSupport {
        /// The variable, with its index.
        variable: String,
        /// The value found.
        value: f64,
        /// The support in words.
        support: &'static str,
    },
    /// A variable is named that the model or the draws do not have.
    #[error("there is no variable `{name}`")]
    UnknownVariable {
        /// The name asked for.
        name: String,
    },
    /// A variable of the model got no value.
    #[error("no value was given for variable `{name}`")]
    MissingVariable {
        /// The variable.
        name: String,
    },
    /// Two variables of a model have the same name.
    #[error("the model declares the variable `{name}` twice")]
    DuplicateVariable {
        /// The variable.
        name: String,
    },
    /// No start point with a finite log density and gradient was found.
    #[error("no start point found in {attempts} attempts; the last one had {parameter} = {value}: {cause}")]
    NoStartPoint {
        /// Number of points tried.
        attempts: usize,
        /// The parameter that decides, or the first one if none can be singled out.
        parameter: String,
        /// Its constrained value at the last attempt.
        value: f64,
        /// What happened there.
        cause: StartFailure,
    },
    /// No usable first step size: the acceptance of one leapfrog step never crossed its threshold.
    #[error(
        "no first step size found in {max_trials} trials; the last one was {step_size}: the log density is flat or fails around the start point"
    )]
    NoStepSize {
        /// The last step size tried.
        step_size: f64,
        /// Number of trials allowed.
        max_trials: usize,
    },
    /// The run was stopped before any draw was made.
    #[error("stopped after {iterations} iterations, before any draw was made")]
    Stopped {
        /// Iterations of the slowest chain, warm-up included.
        iterations: usize,
    },
    /// A log density failed in a way that cannot be skipped.
    #[error("the log density failed: {0}")]
    Density(#[from] DensityError),
    /// One chain failed; the others were stopped.
    #[error("chain {chain}, iteration {iteration}: {source}")]
    Chain {
        /// Index of the chain.
        chain: usize,
        /// Iteration, warm-up included.
        iteration: usize,
        /// What happened.
        #[source]
        source: Box<Error>,
    },
    /// The log density or its gradient is not finite at one particle of a cloud.
    #[error("particle {particle}, iteration {iteration}: {source}")]
    Particle {
        /// Index of the particle.
        particle: usize,
        /// Iteration, from 1.
        iteration: usize,
        /// What happened.
        #[source]
        source: DensityError,
    },
    /// The direction of a particle is not finite, or its step leaves the range of numbers.
    #[error("particle {particle}, iteration {iteration}: coordinate {index} of the {what} is {value}")]
    ParticleNotFinite {
        /// Index of the particle.
        particle: usize,
        /// Iteration, from 1.
        iteration: usize,
        /// Direction or position.
        what: &'static str,
        /// Index of the coordinate.
        index: usize,
        /// The value found.
        value: f64,
    },
    /// The log density or its gradient is not finite at one of many given positions.
    #[error("position {index}: {source}")]
    Position {
        /// Index of the position.
        index: usize,
        /// What happened.
        #[source]
        source: DensityError,
    },
    /// A matrix that must be positive definite is not.
    #[error("{what} is not positive definite (pivot {pivot})")]
    NotPositiveDefinite {
        /// The matrix.
        what: &'static str,
        /// Index of the first pivot that is not positive.
        pivot: usize,
    },
    /// A matrix that must be invertible is singular to working precision.
    #[error("{what} is singular (pivot {pivot})")]
    Singular {
        /// The matrix.
        what: &'static str,
        /// Index of the first pivot that is zero.
        pivot: usize,
    },
    /// A matrix that must be symmetric is not.
    #[error("{what} is not symmetric at [{row}, {column}]")]
    NotSymmetric {
        /// The matrix.
        what: &'static str,
        /// Row of the first entry that differs from its mirror image.
        row: usize,
        /// Column of that entry.
        column: usize,
    },
    /// A covariance matrix has a negative eigenvalue.
    #[error("{what} is not positive semidefinite (smallest eigenvalue {eigenvalue})")]
    NotPositiveSemidefinite {
        /// The matrix.
        what: &'static str,
        /// Its smallest eigenvalue.
        eigenvalue: f64,
    },
    /// The observations up to a step have probability zero under the model.
    #[error("step {step}: no state that can be reached has positive probability")]
    Impossible {
        /// First step whose observation is impossible.
        step: usize,
    },
    /// One time step of a series failed.
    #[error("step {step}: {source}")]
    Step {
        /// Index of the step, from 0.
        step: usize,
        /// What happened.
        #[source]
        source: Box<Error>,
    },
    /// A matrix decomposition did not converge.
    #[error("{what}: the decomposition did not converge")]
    NoConvergence {
        /// The decomposition.
        what: &'static str,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A file's content is not what it should be.
    #[error("{path}: {problem}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: FormatProblem,
    },
    /// A field of a structured file is missing or has the wrong type.
    #[error("field `{field}` must be {rule}")]
    Field {
        /// The field.
        field: String,
        /// What holds for valid fields, as in "an array of numbers".
        rule: &'static str,
    },
    /// A model is asked for by a name that no model has.
    #[error("there is no model `{name}`")]
    UnknownModel {
        /// The name asked for.
        name: String,
    },
    /// Exact draws from the prior are needed, and the target offers none.
    #[error("the target offers no draws from its prior: implement `sample_prior`")]
    NoPriorSampler,
    /// The likelihood has to be known observation by observation, and the target does not say how many there are.
    #[error("the target does not say how many observations it has: implement `n_observations`")]
    NoObservations,
    /// Observations are to be added one after the other by a gradient kernel, but the target has no gradients of single observations.
    #[error("the target has no gradients of single observations: data tempering can move it by the random walk only")]
    NoRowGradients,
    /// The path from the prior to the posterior could not be followed to its end.
    #[error("no end in sight after {steps} steps, at the inverse temperature {inverse_temperature}")]
    Stalled {
        /// Steps made.
        steps: usize,
        /// The inverse temperature reached.
        inverse_temperature: f64,
    },
    /// The operating system refused to start threads.
    #[error("the operating system refused {requested} threads")]
    Threads {
        /// Number of threads asked for.
        requested: usize,
    },
    /// The number of draws does not suffice for what was asked.
    #[error("{what} needs at least {needed} draws per chain, found {found}")]
    TooFewDraws {
        /// The quantity asked for.
        what: &'static str,
        /// Draws needed.
        needed: usize,
        /// Draws found.
        found: usize,
    },
    /// No draw of an approximation has a log density that can be used.
    #[error("none of {n_draws} draws of the approximation has a finite log density; the last one: {cause}")]
    NoUsableDraw {
        /// Number of draws.
        n_draws: usize,
        /// What happened at the last one.
        cause: StartFailure,
    },
    /// One iteration of an algorithm failed.
    #[error("iteration {iteration}: {source}")]
    Iteration {
        /// The iteration, from 1.
        iteration: usize,
        /// What happened.
        #[source]
        source: Box<Error>,
    },
    /// What follows a log density left all bounds: the density has no finite mass, or the learning rate is far too large.
    #[error("the {what} went to {value}: the log density seems to have no finite mass, or a learning rate is far too large")]
    Unbounded {
        /// What left all bounds.
        what: &'static str,
        /// Where it was last.
        value: f64,
    },
    /// A sampling algorithm could not go on.
    #[error("{source}")]
    Sampling {
        /// The algorithm's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Every weight is zero.
    #[error("{what}: every weight is zero")]
    ZeroWeights {
        /// The weights, or what they are computed from.
        what: &'static str,
    },
    /// What is known of one observation cannot be used.
    #[error("observation {index}: {source}")]
    Observation {
        /// Index of the observation.
        index: usize,
        /// What happened.
        #[source]
        source: Box<Error>,
    },
    /// Pointwise log likelihoods are asked of draws that hold none.
    #[error("the draws hold no pointwise log likelihoods: keep them by `Run::keep_log_likelihood`")]
    NoLogLikelihood,
    /// The search for a mode ended where none is.
    #[error("no mode found in {n_iterations} iterations")]
    NoMode {
        /// Number of iterations made.
        n_iterations: usize,
    },
    /// One simulation of a calibration failed.
    #[error("simulation {simulation}: {source}")]
    Simulation {
        /// Index of the simulation.
        simulation: usize,
        /// What happened.
        #[source]
        source: Box<Error>,
    },
    /// Simulations of a calibration, or the sampler under test in them, failed more often than allowed.
    #[error("{failed} simulations failed, and {allowed} may; the first one was simulation {simulation}: {source}")]
    TooManyFailures {
        /// Failures up to here.
        failed: usize,
        /// Failures allowed.
        allowed: usize,
        /// Index of the first simulation that failed.
        simulation: usize,
        /// What happened there.
        #[source]
        source: Box<Error>,
    },
    /// A test function of a calibration is NaN.
    #[error("the test function `{name}` is NaN")]
    TestFunction {
        /// Name of the function.
        name: String,
    },
    /// Two settings exclude each other.
    #[error("{what} cannot be used: {reason}")]
    NotAvailable {
        /// What was asked for.
        what: &'static str,
        /// What it lacks.
        reason: &'static str,
    },
    /// Observations are to be simulated, and the target simulates none.
    #[error("the target simulates no observations: implement `predict`")]
    NoSimulator,
    /// A draw from the prior has no position in the unconstrained space: it rounds to a bound of its support, or lies beyond.
    #[error("a draw from the prior has no unconstrained position: {source}")]
    PriorDraw {
        /// The value and its support.
        #[source]
        source: Box<Error>,
    },
}

/// What happened at the last start point tried.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StartFailure {
    /// The log density is -∞.
    ZeroDensity,
    /// The evaluation failed.
    Failed(DensityError),
}

impl std::fmt::Display for StartFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ZeroDensity => f.write_str("the log density is -inf"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// What is wrong with a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatProblem {
    /// The bytes cannot be decoded.
    Undecodable,
    /// It was written by a run with another seed, model or configuration.
    OtherRun,
    /// It was written by another version of the crate.
    OtherVersion,
}

impl std::fmt::Display for FormatProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Undecodable => "the content cannot be decoded",
            Self::OtherRun => "the file belongs to another run (seed, model or configuration differ)",
            Self::OtherVersion => "the file was written by another version",
        })
    }
}

/// Result with the crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Range checks of settings, written so that NaN fails.
pub(crate) mod check {
    use super::Error;

    pub(crate) fn positive(setting: &'static str, value: f64) -> Result<(), Error> {
        in_range(setting, value, value > 0.0 && value.is_finite(), "positive and finite")
    }

    pub(crate) fn open_unit(setting: &'static str, value: f64) -> Result<(), Error> {
        in_range(setting, value, value > 0.0 && value < 1.0, "in (0, 1)")
    }

    pub(crate) fn at_least(setting: &'static str, value: usize, least: usize, rule: &'static str) -> Result<(), Error> {
        in_range(setting, value as f64, value >= least, rule)
    }

    pub(crate) fn in_range(setting: &'static str, value: f64, holds: bool, rule: &'static str) -> Result<(), Error> {
        if holds { Ok(()) } else { Err(Error::InvalidSetting { setting, value, rule }) }
    }
}
