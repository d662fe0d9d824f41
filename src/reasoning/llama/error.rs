//! What can go wrong with a small model: its files, its input, its context.

use std::path::PathBuf;

use crate::error::Error;
use crate::reasoning::error::{CallError, ReasoningError, Severity};

/// Why a model could not be read or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LlamaError {
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file is not in its format.
    #[error("{what} cannot be decoded: {source}")]
    Undecodable {
        /// Which.
        what: &'static str,
        /// The decoder's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A number of the configuration is out of range.
    #[error("configuration: {field} is {value}, but must be {rule}")]
    Config {
        /// The field.
        field: &'static str,
        /// The value found.
        value: f64,
        /// What holds for valid values.
        rule: &'static str,
    },
    /// The configuration is of another architecture: computed as a Llama, the model would be another one.
    #[error("configuration: {field} is {value}, but only {supported} is supported")]
    Unsupported {
        /// The field.
        field: &'static str,
        /// The value found, as JSON.
        value: String,
        /// What is supported.
        supported: &'static str,
    },
    /// A tensor of the file has no place in the model: computed without it, the model would be another one.
    #[error("tensor `{tensor}` has no place in the configured model")]
    UnusedTensor {
        /// Its name.
        tensor: String,
    },
    /// A tensor that the configuration asks for is not in the file.
    #[error("there is no tensor `{tensor}`")]
    MissingTensor {
        /// Its name.
        tensor: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor `{tensor}`: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// Its name.
        tensor: String,
        /// The shape that fits.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor is of a type that is not read: it is not F16, BF16 or F32.
    #[error("tensor `{tensor}` is of type {dtype}; F16, BF16 and F32 are read")]
    TensorType {
        /// Its name.
        tensor: String,
        /// Its type.
        dtype: String,
    },
    /// A weight is NaN or infinite.
    #[error("tensor `{tensor}`: entry {index} is {value}")]
    NotFinite {
        /// Its name.
        tensor: String,
        /// Position in it, row by row.
        index: usize,
        /// The entry.
        value: f32,
    },
    /// A vocabulary holds a token twice.
    #[error("the vocabulary holds {token:?} twice")]
    DuplicateToken {
        /// The token.
        token: String,
    },
    /// A token that is needed is not in the vocabulary.
    #[error("the vocabulary has no token {token:?}")]
    MissingToken {
        /// The token.
        token: String,
    },
    /// Two parts of a model disagree in a size.
    #[error("{what}: expected {expected}, found {found}")]
    Size {
        /// What was measured.
        what: &'static str,
        /// The size that fits.
        expected: usize,
        /// The size found.
        found: usize,
    },
    /// A text has a character outside the vocabulary.
    #[error("character {character:?} at {position} is not in the vocabulary")]
    UnknownCharacter {
        /// The character.
        character: char,
        /// Its place in the text, in characters.
        position: usize,
    },
    /// A token's number is outside the vocabulary, or the token stands for no text where text is asked for.
    #[error("token {token} stands for no text")]
    UnknownToken {
        /// The number.
        token: u32,
    },
    /// A row that is not in the cache.
    #[error("row {row} of a cache of {n_rows}")]
    Row {
        /// The row asked for.
        row: usize,
        /// Rows that there are.
        n_rows: usize,
    },
    /// A row of a batch has no tokens.
    #[error("entry {entry} of the batch has no tokens")]
    NoTokens {
        /// Its place in the batch.
        entry: usize,
    },
    /// A text is longer than the model's context.
    #[error("{needed} tokens do not fit into a context of {limit}")]
    ContextFull {
        /// Tokens asked for.
        needed: usize,
        /// Positions that the model has.
        limit: usize,
    },
    /// A text is asked to go on after its end.
    #[error("the prefix is finished")]
    Finished,
    /// The model's output is NaN or infinite.
    #[error("the model's output is not finite")]
    Output,
}

impl From<LlamaError> for CallError {
    fn from(error: LlamaError) -> Self {
        let severity = match error {
            LlamaError::UnknownCharacter { .. } | LlamaError::ContextFull { .. } | LlamaError::Finished | LlamaError::Output => {
                Severity::Slot
            }
            _ => Severity::Fatal,
        };
        Self::new(severity, error)
    }
}

impl From<LlamaError> for Error {
    fn from(error: LlamaError) -> Self {
        Self::Sampling { source: Box::new(error) }
    }
}

impl From<LlamaError> for ReasoningError {
    fn from(error: LlamaError) -> Self {
        Self::Setting(error.into())
    }
}
