//! A file of every reply of the models, from which a run that was killed goes on without paying twice.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::ReasoningError;
use super::generator::Extension;
use super::prefix::PrefixKey;
use super::reward::StepScores;

/// Every reply of the models, one JSON object per line.
///
/// Runs are functions of their seeds and of the models' replies. So a run that was killed is resumed by running it again with the journal
/// it left: the replies in it are taken from there, and the first call that is not in it is the first one that is paid for again. A last
/// line that was cut off by the kill is dropped.
#[derive(Debug)]
pub struct Journal {
    file: File,
    draws: HashMap<(PrefixKey, u64, bool), Extension>,
    scores: HashMap<PrefixKey, StepScores>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Entry {
    Draw {
        prefix: PrefixKey,
        seed: u64,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        greedy: bool,
        #[serde(flatten)]
        extension: Extension,
    },
    Reward {
        prefix: PrefixKey,
        #[serde(flatten)]
        scores: StepScores,
    },
}

impl Journal {
    /// Opens a journal, with what it holds, or starts one.
    ///
    /// # Errors
    /// [`ReasoningError::Journal`] if the file cannot be read or written, or a line before the last is no entry.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReasoningError> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let (mut draws, mut scores) = (HashMap::new(), HashMap::new());
        let mut whole = 0;
        let mut reader = BufReader::new(Read::by_ref(&mut file));
        let mut line = String::new();
        loop {
            line.clear();
            let n = reader.read_line(&mut line).map_err(failed)?;
            if !line.ends_with('\n') {
                break;
            }
            match serde_json::from_str(&line).map_err(failed)? {
                Entry::Draw { prefix, seed, greedy, extension } => {
                    draws.insert((prefix, seed, greedy), extension);
                }
                Entry::Reward { prefix, scores: entry } => {
                    scores.insert(prefix, entry);
                }
            }
            whole += n as u64;
        }
        file.set_len(whole).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { file, draws, scores })
    }

    /// Number of replies that were read from the file and are not used yet.
    #[must_use]
    pub fn n_unused(&self) -> usize {
        self.draws.len() + self.scores.len()
    }

    pub(super) fn take_draw(&mut self, key: (PrefixKey, u64, bool)) -> Option<Extension> {
        self.draws.remove(&key)
    }

    pub(super) fn take_scores(&mut self, key: PrefixKey) -> Option<StepScores> {
        self.scores.remove(&key)
    }

    pub(super) fn keep_draw(&mut self, key: (PrefixKey, u64, bool), extension: &Extension) -> Result<(), ReasoningError> {
        let (prefix, seed, greedy) = key;
        self.write(&Entry::Draw { prefix, seed, greedy, extension: extension.clone() })
    }

    pub(super) fn keep_scores(&mut self, prefix: PrefixKey, scores: &StepScores) -> Result<(), ReasoningError> {
        self.write(&Entry::Reward { prefix, scores: scores.clone() })
    }

    /// One write per line: a kill cuts at most the last one.
    fn write(&mut self, entry: &Entry) -> Result<(), ReasoningError> {
        let mut line = serde_json::to_string(entry).map_err(failed)?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(failed)
    }
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ReasoningError {
    ReasoningError::Journal { source: source.into() }
}
