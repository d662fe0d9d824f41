//! A file of every reply of the models, from which a run that was killed goes on without paying twice.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::Hash;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{CallError, Severity};
use super::generator::{ContinuationScore, Extension};
use super::jsonl::{FileError, Format, Lines, RunHeader, first_difference};
use super::models::Refused;
use super::prefix::PrefixKey;
use super::reward::StepScores;

const FORMAT: Format = Format { name: "posterity.journal", version: 1 };

/// Every reply of the models, one JSON object per line, after a header that says what the run is.
///
/// Runs are functions of their seeds and of the models' replies. So a run that was killed is resumed by running it again with the journal
/// it left: the replies in it are taken from there, and the first call that is not in it is the first one that is paid for again. Failures
/// that the run survived are in it too, and fail again; one that ended it is not, and is tried again.
///
/// *Durability.* A line is handed to the operating system, by one write, before its reply is used: a process that is killed loses nothing
/// that was paid for, and the line that was being written is dropped when the file is opened again. A machine that loses power may lose
/// what the system had not written to the disk yet; [`Journal::sync`] waits for that. The file is locked as long as it is open.
///
/// ```
/// use posterity::reasoning::{Decoder, DecoderConfig, Journal, Models, Prefix, TableModel};
/// let path = std::env::temp_dir().join(format!("posterity-doc-{}.jsonl", std::process::id()));
/// let (mut generator, mut rewards) = (TableModel::two_step_example(), TableModel::two_step_example());
/// let (decoder, prompt) = (Decoder::new(DecoderConfig::new(8, 1)), Prefix::prompt(""));
/// for (generations, replayed) in [(16, 0), (16, 20)] {
///     let models = Models::new(&mut generator, &mut rewards);
///     let mut journal = Journal::open(&path, &decoder.header(&models, &prompt))?;
///     let decoded = decoder.decode(&mut models.with_journal(&mut journal), &prompt)?;
///     assert_eq!(decoded.ledger.generations, generations);
///     assert_eq!(decoded.ledger.replayed > 16, replayed > 0);
/// }
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), posterity::reasoning::ReasoningError>(())
/// ```
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    draws: HashMap<DrawKey, Extension>,
    rewards: HashMap<PrefixKey, StepScores>,
    scores: HashMap<ScoreKey, VecDeque<ContinuationScore>>,
    failed_draws: Failures<DrawKey, Extension>,
    failed_rewards: Failures<PrefixKey, StepScores>,
    failed_scores: Failures<ScoreKey, ContinuationScore>,
    /// Failures that the run has not gone on after yet.
    unwritten: Vec<Entry>,
}

/// Prefix, seed, and whether the draw was greedy.
pub(super) type DrawKey = (PrefixKey, u64, bool);

/// A prefix, and that prefix with the steps that were scored.
pub(super) type ScoreKey = (PrefixKey, PrefixKey);

/// A failure of one slot.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Failure<T> {
    severity: Severity,
    message: String,
    /// The reply that was refused, which was paid for.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    refused: Option<T>,
}

fn none<T>() -> Option<T> {
    None
}

/// A slot's failures, the first one first: it may have failed in several attempts.
type Failures<K, T> = HashMap<K, VecDeque<Failure<T>>>;

impl<T: Clone> Failure<T> {
    fn of(refused: &Refused<T>) -> Self {
        let Refused { error, reply } = refused;
        Self { severity: error.severity(), message: error.to_string(), refused: reply.clone() }
    }
}

impl<T> From<Failure<T>> for Refused<T> {
    fn from(failure: Failure<T>) -> Self {
        Self { error: CallError::new(failure.severity, failure.message), reply: failure.refused }
    }
}

fn take_first<K: Eq + Hash, T>(failures: &mut Failures<K, T>, key: &K) -> Option<Refused<T>> {
    failures.get_mut(key)?.pop_front().map(Refused::from)
}

#[derive(Debug, Serialize, Deserialize)]
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
    Score {
        prefix: PrefixKey,
        end: PrefixKey,
        #[serde(flatten)]
        score: ContinuationScore,
    },
    FailedDraw {
        prefix: PrefixKey,
        seed: u64,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        greedy: bool,
        #[serde(flatten)]
        failure: Failure<Extension>,
    },
    FailedReward {
        prefix: PrefixKey,
        #[serde(flatten)]
        failure: Failure<StepScores>,
    },
    FailedScore {
        prefix: PrefixKey,
        end: PrefixKey,
        #[serde(flatten)]
        failure: Failure<ContinuationScore>,
    },
}

/// Whether the lock of a file is held elsewhere, and taken here if not.
///
/// A child process that another thread starts has a copy of every lock between its fork and its program: so one that was let go here may be
/// held for some milliseconds yet.
fn is_held(file: &File) -> bool {
    for _ in 0..20 {
        if !matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    true
}

impl Journal {
    /// Opens a run's journal, with what it holds, or starts one.
    ///
    /// # Errors
    /// [`FileError`]: the file cannot be read or written, is open elsewhere, is no journal, belongs to another run, or has a whole line that
    /// is no entry. A file that is refused stays as it was.
    pub fn open(path: impl AsRef<Path>, run: &RunHeader) -> Result<Self, FileError> {
        let path = path.as_ref();
        let io = FileError::io(path);
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(&io)?;
        if is_held(&file) {
            return Err(FileError::Locked { path: path.to_owned() });
        }
        let mut journal = Self {
            file,
            path: path.to_owned(),
            draws: HashMap::new(),
            rewards: HashMap::new(),
            scores: HashMap::new(),
            failed_draws: HashMap::new(),
            failed_rewards: HashMap::new(),
            failed_scores: HashMap::new(),
            unwritten: Vec::new(),
        };
        let n_bytes = journal.read(run)?;
        journal.file.set_len(n_bytes).map_err(&io)?;
        journal.file.seek(SeekFrom::End(0)).map_err(&io)?;
        if n_bytes == 0 {
            let line = FORMAT.first_line(run).map_err(FileError::line(path, 1))?;
            journal.file.write_all(line.as_bytes()).map_err(&io)?;
        }
        Ok(journal)
    }

    /// Reads all whole lines; returns their length.
    fn read(&mut self, run: &RunHeader) -> Result<u64, FileError> {
        let path = self.path.clone();
        let io = FileError::io(&path);
        let mut file = self.file.try_clone().map_err(&io)?;
        let mut lines = Lines::new(BufReader::new(Read::by_ref(&mut file)));
        if !lines.advance().map_err(&io)? {
            // A beginning of a header may be cut off, anything else is not ours to drop.
            let header = FORMAT.first_line(run).map_err(FileError::line(&path, 1))?;
            let is_cut_header = header.as_bytes().starts_with(lines.bytes());
            return if is_cut_header {
                Ok(0)
            } else {
                Err(FileError::NotThisFormat { path: path.clone(), expected: FORMAT.name })
            };
        }
        let found = FORMAT.read_first_line(&path, lines.bytes())?;
        let expected = serde_json::to_value(run).map_err(FileError::line(&path, 1))?;
        if let Some((field, found, expected)) = first_difference(&found, &expected) {
            return Err(FileError::OtherRun { path: path.clone(), field, found, expected });
        }
        while lines.advance().map_err(&io)? {
            match lines.parse(&path)? {
                Entry::Draw { prefix, seed, greedy, extension } => drop(self.draws.insert((prefix, seed, greedy), extension)),
                Entry::Reward { prefix, scores } => drop(self.rewards.insert(prefix, scores)),
                Entry::Score { prefix, end, score } => self.scores.entry((prefix, end)).or_default().push_back(score),
                Entry::FailedDraw { prefix, seed, greedy, failure } => {
                    self.failed_draws.entry((prefix, seed, greedy)).or_default().push_back(failure);
                }
                Entry::FailedReward { prefix, failure } => self.failed_rewards.entry(prefix).or_default().push_back(failure),
                Entry::FailedScore { prefix, end, failure } => {
                    self.failed_scores.entry((prefix, end)).or_default().push_back(failure);
                }
            }
        }
        Ok(lines.n_bytes())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of replies that were read from the file and are not used yet.
    #[must_use]
    pub fn n_unused(&self) -> usize {
        self.draws.len() + self.rewards.len() + self.scores.values().map(VecDeque::len).sum::<usize>()
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn sync(&self) -> Result<(), FileError> {
        self.file.sync_data().map_err(FileError::io(&self.path))
    }

    /// A draw's first failure that is not used yet, or else its reply, if the file has one: whatever failed did so before it succeeded.
    pub(super) fn take_draw(&mut self, key: DrawKey) -> Option<Result<Extension, Refused<Extension>>> {
        let failure = take_first(&mut self.failed_draws, &key).map(Err);
        failure.or_else(|| self.draws.remove(&key).map(Ok))
    }

    /// As [`Journal::take_draw`], for scores of steps.
    pub(super) fn take_rewards(&mut self, key: PrefixKey) -> Option<Result<StepScores, Refused<StepScores>>> {
        let failure = take_first(&mut self.failed_rewards, &key).map(Err);
        failure.or_else(|| self.rewards.remove(&key).map(Ok))
    }

    /// As [`Journal::take_draw`], for log-probabilities of given steps.
    pub(super) fn take_score(&mut self, key: ScoreKey) -> Option<Result<ContinuationScore, Refused<ContinuationScore>>> {
        let failure = take_first(&mut self.failed_scores, &key).map(Err);
        failure.or_else(|| self.scores.get_mut(&key)?.pop_front().map(Ok))
    }

    pub(super) fn keep_draw(&mut self, key: DrawKey, extension: &Extension) -> Result<(), FileError> {
        let (prefix, seed, greedy) = key;
        self.write(&Entry::Draw { prefix, seed, greedy, extension: extension.clone() })
    }

    pub(super) fn keep_rewards(&mut self, prefix: PrefixKey, scores: &StepScores) -> Result<(), FileError> {
        self.write(&Entry::Reward { prefix, scores: scores.clone() })
    }

    pub(super) fn keep_score(&mut self, key: ScoreKey, score: &ContinuationScore) -> Result<(), FileError> {
        self.write(&Entry::Score { prefix: key.0, end: key.1, score: score.clone() })
    }

    pub(super) fn note_failed_draw(&mut self, key: DrawKey, refused: &Refused<Extension>) {
        let (prefix, seed, greedy) = key;
        self.unwritten.push(Entry::FailedDraw { prefix, seed, greedy, failure: Failure::of(refused) });
    }

    pub(super) fn note_failed_rewards(&mut self, prefix: PrefixKey, refused: &Refused<StepScores>) {
        self.unwritten.push(Entry::FailedReward { prefix, failure: Failure::of(refused) });
    }

    pub(super) fn note_failed_score(&mut self, key: ScoreKey, refused: &Refused<ContinuationScore>) {
        self.unwritten.push(Entry::FailedScore { prefix: key.0, end: key.1, failure: Failure::of(refused) });
    }

    /// Writes the failures noted so far: the run has survived them.
    pub(super) fn keep_failures(&mut self) -> Result<(), FileError> {
        std::mem::take(&mut self.unwritten).iter().try_for_each(|entry| self.write(entry))
    }

    /// One write per line: a kill cuts at most the last one.
    fn write(&mut self, entry: &Entry) -> Result<(), FileError> {
        let mut line =
            serde_json::to_string(entry).map_err(|source| FileError::Io { path: self.path.clone(), source: source.into() })?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(FileError::io(&self.path))
    }
}
