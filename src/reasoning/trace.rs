//! Runs as files of JSON lines, to be read by whoever comes later: this library, a script, a plot.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::decoder::{Decoded, Evidence, FailedSlot, StepRecord, Stopped, WeightedText};
use super::error::{Call, CallError, Severity};
use super::generator::SamplingPrior;
use super::jsonl::{FileError, Format, Lines, RunHeader, number};
use super::ledger::Ledger;
use super::prefix::{Prefix, PrefixKey, Step};

const FORMAT: Format = Format { name: "posterity.trace", version: 1 };

/// A run with all that it knows of itself.
///
/// As a file it is one JSON object per line:
///
/// | line | holds |
/// |---|---|
/// | the first one | `format`, `version`, and `run`: the [`RunHeader`] |
/// | `"event": "prompt"` | `key` and `text` of a text without steps |
/// | `"event": "text"` | `key` of a text, the key of the text that it goes on from, `parent`, and the last step |
/// | `"event": "step"` | a [`StepRecord`], its texts by key |
/// | `"event": "failed"` | a model call that failed |
/// | `"event": "result"`, the last one | final texts with weights, evidence, ledger |
///
/// A text stands before the first line that names it. Texts of one key are one text in the file: where their tokens or log-probabilities
/// differ, those of the first one are kept. Numbers are written so that they are read back with the same bits; those that JSON has no
/// number for are the words `"NaN"`, `"inf"` and `"-inf"`.
///
/// ```
/// use posterity::reasoning::{Decoder, DecoderConfig, Models, Prefix, TableModel, Trace};
/// let (mut generator, mut rewards) = (TableModel::two_step_example(), TableModel::two_step_example());
/// let (decoder, prompt) = (Decoder::new(DecoderConfig::new(8, 1)), Prefix::prompt("?"));
/// let mut models = Models::new(&mut generator, &mut rewards);
/// let trace = Trace { run: decoder.header(&models, &prompt), decoded: decoder.decode(&mut models, &prompt)? };
/// let path = std::env::temp_dir().join(format!("posterity-doc-trace-{}.jsonl", std::process::id()));
/// trace.write(&path)?;
/// let read = Trace::read(&path)?;
/// assert_eq!(read.run, trace.run);
/// assert_eq!(read.decoded.evidence, trace.decoded.evidence);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), posterity::reasoning::ReasoningError>(())
/// ```
#[derive(Debug)]
pub struct Trace {
    /// What the run is.
    pub run: RunHeader,
    /// What came of it.
    pub decoded: Decoded,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Prompt {
        key: PrefixKey,
        text: String,
    },
    Text {
        key: PrefixKey,
        parent: PrefixKey,
        #[serde(flatten)]
        step: Step,
    },
    Step(StepLine),
    Failed {
        step: usize,
        slot: usize,
        call: Call,
        severity: Severity,
        message: String,
    },
    Result(ResultLine),
}

#[derive(Serialize, Deserialize)]
struct StepLine {
    step: usize,
    #[serde(with = "number")]
    ess: f64,
    #[serde(with = "number")]
    log_evidence: f64,
    resampled: bool,
    n_unfinished: usize,
    n_distinct: usize,
    ancestors: Vec<u32>,
    texts: Vec<PrefixKey>,
    #[serde(with = "number::list")]
    weights: Vec<f64>,
    #[serde(with = "number::list")]
    scores: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct ResultLine {
    texts: Vec<TextLine>,
    evidence: Option<Evidence>,
    target: String,
    prior: SamplingPrior,
    ledger: Ledger,
    n_dropped: usize,
    stopped: Stopped,
}

#[derive(Serialize, Deserialize)]
struct TextLine {
    key: PrefixKey,
    #[serde(with = "number")]
    weight: f64,
    #[serde(with = "number::list")]
    scores: Vec<f64>,
    #[serde(with = "number")]
    log_psi: f64,
}

impl Trace {
    /// Writes the run to a file, which is replaced if there is one.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        let io = FileError::io(path);
        let file = BufWriter::new(File::create(path).map_err(&io)?);
        self.write_to(file).map_err(&io)
    }

    /// Writes the run.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_to(&self, writer: impl Write) -> std::io::Result<()> {
        let mut writer = TextWriter { writer, written: HashSet::new() };
        writer.writer.write_all(FORMAT.first_line(&self.run)?.as_bytes())?;
        let decoded = &self.decoded;
        for record in &decoded.steps {
            for text in &record.texts {
                writer.text(text)?;
            }
            writer.line(&Line::Step(StepLine::of(record)))?;
        }
        for FailedSlot { step, slot, call, error } in &decoded.failed {
            let (severity, message) = (error.severity(), error.to_string());
            writer.line(&Line::Failed { step: *step, slot: *slot, call: *call, severity, message })?;
        }
        for text in &decoded.texts {
            writer.text(&text.prefix)?;
        }
        writer.line(&Line::Result(ResultLine::of(decoded)))?;
        writer.writer.flush()
    }

    /// Reads a run from a file.
    ///
    /// # Errors
    /// [`FileError`]: the file cannot be read, is no trace, has a line that is none of a trace or contradicts those before it, or ends
    /// before the run does.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let io = FileError::io(path);
        let mut lines = Lines::new(BufReader::new(File::open(path).map_err(&io)?));
        lines.advance().map_err(&io)?;
        let run = FORMAT.read_first_line(path, lines.bytes())?;
        let run: RunHeader = serde_json::from_value(run).map_err(FileError::line(path, 1))?;
        let mut reader = TextReader::default();
        while lines.advance().map_err(&io)? {
            let contradiction = |what| FileError::Contradiction { path: path.to_owned(), line: lines.number(), what };
            reader.take(lines.parse(path)?).map_err(contradiction)?;
        }
        match reader.result {
            Some(decoded) => Ok(Self { run, decoded }),
            None => Err(FileError::Incomplete { path: path.to_owned() }),
        }
    }
}

impl StepLine {
    fn of(record: &StepRecord) -> Self {
        Self {
            step: record.step,
            ess: record.ess,
            log_evidence: record.log_evidence,
            resampled: record.resampled,
            n_unfinished: record.n_unfinished,
            n_distinct: record.n_distinct,
            ancestors: record.ancestors.clone(),
            texts: record.texts.iter().map(Prefix::key).collect(),
            weights: record.weights.clone(),
            scores: record.scores.clone(),
        }
    }
}

impl ResultLine {
    fn of(decoded: &Decoded) -> Self {
        let text = |text: &WeightedText| TextLine {
            key: text.prefix.key(),
            weight: text.weight,
            scores: text.scores.clone(),
            log_psi: text.log_psi,
        };
        Self {
            texts: decoded.texts.iter().map(text).collect(),
            evidence: decoded.evidence,
            target: decoded.target.clone(),
            prior: decoded.prior.clone(),
            ledger: decoded.ledger.clone(),
            n_dropped: decoded.n_dropped,
            stopped: decoded.stopped,
        }
    }
}

/// Writes each text once, after the one that it goes on from.
struct TextWriter<W> {
    writer: W,
    written: HashSet<PrefixKey>,
}

impl<W: Write> TextWriter<W> {
    fn line(&mut self, line: &Line) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.writer, line)?;
        self.writer.write_all(b"\n")
    }

    fn text(&mut self, text: &Prefix) -> std::io::Result<()> {
        let mut new: Vec<&Prefix> = text.lineage().take_while(|text| !self.written.contains(&text.key())).collect();
        new.reverse();
        for text in new {
            self.written.insert(text.key());
            let key = text.key();
            let line = match (text.parent(), text.last_step()) {
                (Some(parent), Some(step)) => Line::Text { key, parent: parent.key(), step: step.clone() },
                _ => Line::Prompt { key, text: text.prompt_text().to_owned() },
            };
            self.line(&line)?;
        }
        Ok(())
    }
}

/// Puts a run together from its lines.
#[derive(Default)]
struct TextReader {
    texts: HashMap<PrefixKey, Prefix>,
    steps: Vec<StepRecord>,
    failed: Vec<FailedSlot>,
    result: Option<Decoded>,
}

impl TextReader {
    fn take(&mut self, line: Line) -> Result<(), &'static str> {
        if self.result.is_some() {
            return Err("the result is not the last line");
        }
        match line {
            Line::Prompt { key, text } => self.learn(key, Prefix::prompt(text)),
            Line::Text { key, parent, step } => {
                let text = self.text(&parent)?.extended(step);
                self.learn(key, text)
            }
            Line::Step(line) => self.step(line),
            Line::Failed { step, slot, call, severity, message } => {
                self.failed.push(FailedSlot { step, slot, call, error: CallError::new(severity, message) });
                Ok(())
            }
            Line::Result(line) => self.finish(line),
        }
    }

    fn learn(&mut self, key: PrefixKey, text: Prefix) -> Result<(), &'static str> {
        if text.key() != key {
            return Err("the key is not that of this text");
        }
        self.texts.insert(key, text);
        Ok(())
    }

    fn text(&self, key: &PrefixKey) -> Result<&Prefix, &'static str> {
        self.texts.get(key).ok_or("it names a text that does not stand before it")
    }

    fn step(&mut self, line: StepLine) -> Result<(), &'static str> {
        let n = line.texts.len();
        if [line.ancestors.len(), line.weights.len(), line.scores.len()] != [n; 3] {
            return Err("ancestors, texts, weights and scores are not equally many");
        }
        let n_before = self.steps.last().map_or(n, |before| before.texts.len());
        if line.ancestors.iter().any(|&ancestor| ancestor as usize >= n_before) {
            return Err("an ancestor is no slot of the step before");
        }
        let texts = line.texts.iter().map(|key| self.text(key).cloned()).collect::<Result<_, _>>()?;
        self.steps.push(StepRecord {
            step: line.step,
            ess: line.ess,
            log_evidence: line.log_evidence,
            resampled: line.resampled,
            n_unfinished: line.n_unfinished,
            n_distinct: line.n_distinct,
            ancestors: line.ancestors,
            texts,
            weights: line.weights,
            scores: line.scores,
        });
        Ok(())
    }

    fn finish(&mut self, line: ResultLine) -> Result<(), &'static str> {
        let mut texts = Vec::with_capacity(line.texts.len());
        for TextLine { key, weight, scores, log_psi } in line.texts {
            texts.push(WeightedText { prefix: self.text(&key)?.clone(), weight, scores, log_psi });
        }
        self.result = Some(Decoded {
            texts,
            evidence: line.evidence,
            steps: std::mem::take(&mut self.steps),
            target: line.target,
            prior: line.prior,
            ledger: line.ledger,
            failed: std::mem::take(&mut self.failed),
            n_dropped: line.n_dropped,
            stopped: line.stopped,
        });
        Ok(())
    }
}
