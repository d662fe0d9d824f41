//! Files of JSON lines: what their first line says of a run, what can be wrong with them, and numbers that JSON has no words for.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::generator::SamplingPrior;
use super::models::Models;
use super::prefix::{Prefix, PrefixKey};
use super::reward::RewardScale;

/// What a run is: the first line of a [`Journal`](super::Journal) and of a [`Trace`](super::Trace).
///
/// Whatever changes what the models' replies mean must be in it. A journal is refused where any part of it differs.
///
/// ```
/// use posterity::reasoning::{Models, Prefix, RunHeader, TableModel};
/// let (mut generator, mut rewards) = (TableModel::two_step_example(), TableModel::two_step_example());
/// let models = Models::new(&mut generator, &mut rewards);
/// let header = RunHeader::new("best of N", &models, &Prefix::prompt("2+2="), 7).setting("n_texts", 16);
/// assert_eq!(header.prompt, "2+2=");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunHeader {
    /// The algorithm.
    pub method: String,
    /// The target as a formula; empty for methods without one.
    pub target: String,
    /// Settings by name.
    pub settings: Map<String, Value>,
    /// Seed of the run.
    pub seed: u64,
    /// The prompt, with the steps that were there before the run.
    pub prompt: String,
    /// Its key.
    pub prompt_key: PrefixKey,
    /// The distribution that steps are drawn from.
    pub prior: SamplingPrior,
    /// The reward model.
    pub reward_model: String,
    /// What scores are.
    pub reward_scale: RewardScale,
}

impl RunHeader {
    /// A run of a method with these models.
    #[must_use]
    pub fn new(method: impl Into<String>, models: &Models<'_>, prompt: &Prefix, seed: u64) -> Self {
        Self {
            method: method.into(),
            target: String::new(),
            settings: Map::new(),
            seed,
            prompt: prompt.text(),
            prompt_key: prompt.key(),
            prior: models.sampling_prior().clone(),
            reward_model: models.reward_name(),
            reward_scale: models.scale(),
        }
    }

    /// The target as a formula.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    /// One more setting.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.insert(name.into(), value.into());
        self
    }
}

/// What is wrong with a file of JSON lines.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("{path}: another run has it open")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It does not begin with the header of such a file.
    #[error("{path}: the first line is not the header of a {expected} file")]
    NotThisFormat {
        /// The file.
        path: PathBuf,
        /// The format that was expected.
        expected: &'static str,
    },
    /// It was written in another version of the format.
    #[error("{path}: version {found} of the format, but this program reads version {expected}")]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The file's version.
        found: u64,
        /// The version that can be read.
        expected: u64,
    },
    /// It belongs to another run.
    #[error("{path}: the file belongs to another run: {field} is {found} there and {expected} here")]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// The first part of the header that differs, as in `prior.temperature`.
        field: String,
        /// Its value in the file, as JSON.
        found: String,
        /// Its value in the run, as JSON.
        expected: String,
    },
    /// A line cannot be understood.
    #[error("{path}, line {line}: {source}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A line contradicts those before it.
    #[error("{path}, line {line}: {what}")]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What does not fit.
        what: &'static str,
    },
    /// The file ends before the run does.
    #[error("{path}: the file ends before the run does")]
    Incomplete {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn line(path: &Path, line: usize) -> impl Fn(serde_json::Error) -> Self + '_ {
        move |source| Self::Line { path: path.to_owned(), line, source: source.into() }
    }
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct FirstLine {
    format: String,
    version: u64,
    run: Value,
}

/// A format, and its version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    pub(super) name: &'static str,
    pub(super) version: u64,
}

impl Format {
    /// The first line of a file of this format, with its end.
    pub(super) fn first_line(self, run: &RunHeader) -> serde_json::Result<String> {
        let line = FirstLine { format: self.name.to_owned(), version: self.version, run: serde_json::to_value(run)? };
        Ok(serde_json::to_string(&line)? + "\n")
    }

    /// The run that a first line names, as JSON.
    pub(super) fn read_first_line(self, path: &Path, line: &[u8]) -> Result<Value, FileError> {
        let not_this = || FileError::NotThisFormat { path: path.to_owned(), expected: self.name };
        let first: FirstLine = serde_json::from_slice(line).map_err(|_| not_this())?;
        if first.format != self.name {
            return Err(not_this());
        }
        if first.version != self.version {
            return Err(FileError::OtherVersion { path: path.to_owned(), found: first.version, expected: self.version });
        }
        Ok(first.run)
    }
}

/// The first place where two headers differ: its name, and what it holds in each.
pub(super) fn first_difference(found: &Value, expected: &Value) -> Option<(String, String, String)> {
    if let (Value::Object(found), Value::Object(expected)) = (found, expected) {
        let names = expected.keys().chain(found.keys().filter(|name| !expected.contains_key(*name)));
        return names.into_iter().find_map(|name| {
            let at = |object: &Map<String, Value>| object.get(name).cloned().unwrap_or(Value::Null);
            let (field, found, expected) = first_difference(&at(found), &at(expected))?;
            Some((if field.is_empty() { name.clone() } else { format!("{name}.{field}") }, found, expected))
        });
    }
    (found != expected).then(|| (String::new(), found.to_string(), expected.to_string()))
}

/// Lines with their numbers, as bytes; the last one is there only if it has an end.
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: usize,
    n_bytes: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), number: 0, n_bytes: 0 }
    }

    /// Reads the next whole line; false if there is none.
    pub(super) fn advance(&mut self) -> std::io::Result<bool> {
        self.line.clear();
        let n = self.reader.read_until(b'\n', &mut self.line)?;
        let is_whole = self.line.ends_with(b"\n");
        if is_whole {
            self.number += 1;
            self.n_bytes += n as u64;
        }
        Ok(is_whole)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.line
    }

    /// The present line's number, from 1.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Length of all whole lines so far.
    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    pub(super) fn parse<T: DeserializeOwned>(&self, path: &Path) -> Result<T, FileError> {
        serde_json::from_slice(&self.line).map_err(FileError::line(path, self.number))
    }
}

/// Numbers that may be infinite or NaN: those are written as words, since JSON has no numbers for them.
pub(super) mod number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(in crate::reasoning) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if number.is_finite() { serializer.serialize_f64(*number) } else { serializer.collect_str(number) }
    }

    pub(in crate::reasoning) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Number::deserialize(deserializer).map(|number| number.0)
    }

    struct Number(f64);

    impl Serialize for Number {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serialize(&self.0, serializer)
        }
    }

    impl<'de> Deserialize<'de> for Number {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            #[derive(Deserialize)]
            #[serde(untagged)]
            enum Written {
                Number(f64),
                Word(String),
            }
            match Written::deserialize(deserializer)? {
                Written::Number(number) => Ok(Self(number)),
                Written::Word(word) => match word.as_str() {
                    "inf" => Ok(Self(f64::INFINITY)),
                    "-inf" => Ok(Self(f64::NEG_INFINITY)),
                    "NaN" => Ok(Self(f64::NAN)),
                    _ => Err(D::Error::custom("a number, \"inf\", \"-inf\" or \"NaN\" was expected")),
                },
            }
        }
    }

    /// A number that may be missing.
    pub(in crate::reasoning) mod optional {
        use super::{Deserialize, Deserializer, Number, Serialize, Serializer};

        pub(in crate::reasoning) fn serialize<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
            number.map(Number).serialize(serializer)
        }

        pub(in crate::reasoning) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
            Ok(Option::<Number>::deserialize(deserializer)?.map(|number| number.0))
        }
    }

    /// A list of numbers.
    pub(in crate::reasoning) mod list {
        use super::{Deserialize, Deserializer, Number, Serializer};

        pub(in crate::reasoning) fn serialize<S: Serializer>(numbers: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(numbers.iter().map(|&number| Number(number)))
        }

        pub(in crate::reasoning) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
            Ok(Vec::<Number>::deserialize(deserializer)?.into_iter().map(|number| number.0).collect())
        }
    }
}
