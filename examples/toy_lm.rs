//! Decodes a table language model under a table reward model, and prints the estimate beside the truth by enumeration as one JSON line.
//!
//! ```text
//! cargo run --release --example toy_lm -- examples/data/toy_lm.json --potential product --particles 16 --replicates 1000
//! cargo run --release --example toy_lm -- --help        # the schema of the file
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::process::ExitCode;

use posterity::Error;
use posterity::reasoning::{
    AnswerRule, Base, Decoded, Decoder, DecoderConfig, ExactTarget, ExactText, GibbsConfig, GibbsDecoder, Ledger, Link, Models,
    Potential, PowerConfig, PowerSampler, Prefix, ReasoningError, RewardScale, Search, Selector, TableModel, TemperedDecoder,
    TemperingConfig, WithoutReplacement,
};
use posterity::weights::Scheme;
use serde_json::{Map, Value, json};

const HELP: &str = r##"Decodes a language model given by tables under a reward model given by tables. Prints estimates of the evidence Z, of the
probability of each last step (the answer) and of the number of steps, beside their values by enumeration of all texts.

usage: toy_lm FILE.json [options]

  --method NAME        decode (default): particles; without-replacement: particles, all different;
                       gibbs, gibbs-ancestor: particle Gibbs, without and with ancestor sampling; tempering: such chains at powers 1,
                       1/2 and 1/4 of the potential that exchange their texts; power: suffix Metropolis-Hastings (--alpha 1 unless set);
                       greedy, best-of-n, weighted-best-of-n, majority, beam, dvts: searches, which have other laws than the target
  --potential NAME     product, last (default), min, terminal, none: what the scores of a text amount to
  --link NAME          probability (default), odds, exp: how a score enters
  --beta B             power of the potential, at least 0 (default 1)
  --clip C             least probability that a score counts as, in [0, 0.5) (default 1e-9)
  --particles N        1 to 1000000 (default 16)
  --candidates K       candidates per particle and step, of which one is drawn by its potential: 1 to 1000 (default 1)
  --ess-threshold X    resample when ESS < X N; 0 is never, above 1 always (default 2)
  --alpha A            the target holds p(x)^A of the model at temperature 1, instead of the distribution that steps are drawn from
  --sweeps M           sweeps (gibbs, tempering) or moves (power) that are kept, after a tenth as many, 1 to 10000000 (default 1000)
  --width W            continuations per text of beam and dvts; divides N (default 4)
  --scheme NAME        multinomial, residual, stratified, systematic (default), ssp, killing
  --temperature T      temperature of the steps that are drawn, instead of the file's
  --seed S             default 1
  --replicates R       independent runs, 1 to 1000000 (default 1)

FILE.json, as a JSON schema:
{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "required": ["transitions", "max_steps", "unfinished", "finished"],
  "additionalProperties": false,
  "$defs": {
    "probability": { "type": "number", "minimum": 0, "maximum": 1 },
    "scores": { "type": "object", "additionalProperties": { "$ref": "#/$defs/probability" } }
  },
  "properties": {
    "transitions": {
      "description": "Per context, what follows it. The row in force is that of the longest key that what was written ends with; a key '^...' fits the whole text only and goes first; the key '' fits everything and must be there",
      "type": "object", "required": [""],
      "additionalProperties": {
        "type": "object", "additionalProperties": false,
        "properties": {
          "next": { "description": "probability of each next step", "type": "object", "additionalProperties": { "$ref": "#/$defs/probability" } },
          "end": { "description": "probability of the end; next and end sum to 1", "$ref": "#/$defs/probability", "default": 0 }
        }
      }
    },
    "end_rule": {
      "description": "with_step: the end is decided right after a step, by the row of the text with that step; own_step: the end is a step of its own without text",
      "enum": ["with_step", "own_step"], "default": "with_step"
    },
    "max_steps": { "description": "every text ends here", "type": "integer", "minimum": 1 },
    "unfinished": { "description": "score of a text that goes on, by context as above", "$ref": "#/$defs/scores" },
    "finished": { "description": "score of a text that has ended, by context as above", "$ref": "#/$defs/scores" },
    "temperature": { "description": "probabilities of steps are raised to its inverse", "type": "number", "exclusiveMinimum": 0, "default": 1 }
  }
}

output, one line of JSON: the settings, the target as a formula, the costs of all runs (ledger), and
  evidence       null for methods that have none; of Z: estimate (mean over runs), standard_error (between runs, null for one run),
                 exact, error = estimate - exact
  log_evidence   the same; of log Z: estimate (log of the mean evidence), standard_error (as the runs themselves report it, root mean
                 square, null if one has none),
                 standard_deviation (between runs, null for one run), exact, error
  answers        per last step, of its probability under the target: as evidence
  length         of the number of steps, an end of its own included: as evidence
Evidences are unbiased; means under the target have a bias of order 1 / particles."##;

/// What is wrong with the input.
#[derive(Debug)]
enum Problem {
    Usage(String),
    File { path: String, source: std::io::Error },
    Json { path: String, source: serde_json::Error },
    Table { path: String, source: Box<Error> },
    NoTarget,
    Run(Box<ReasoningError>),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(problem) => write!(f, "{problem} (--help shows the options)"),
            Self::File { path, source } => write!(f, "{path}: {source}"),
            Self::Json { path, source } => write!(f, "{path}: no table model: {source}"),
            Self::Table { path, source } => write!(f, "{path}: {source}"),
            Self::NoTarget => f.write_str("the target has no mass: every text has probability or potential 0"),
            Self::Run(source) => source.fmt(f),
        }
    }
}

impl From<ReasoningError> for Problem {
    fn from(source: ReasoningError) -> Self {
        Self::Run(Box::new(source))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--help" || a == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match Settings::parse(&arguments).and_then(|settings| run(&settings)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("toy_lm: {problem}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Method {
    Decode,
    WithoutReplacement,
    Gibbs {
        ancestor_sampling: bool,
    },
    Tempering,
    Power,
    Greedy,
    /// Independent texts, and how one is chosen.
    Independent(Selector),
    Beam,
    Dvts,
}

const METHODS: [(&str, Method); 12] = [
    ("decode", Method::Decode),
    ("without-replacement", Method::WithoutReplacement),
    ("gibbs", Method::Gibbs { ancestor_sampling: false }),
    ("gibbs-ancestor", Method::Gibbs { ancestor_sampling: true }),
    ("tempering", Method::Tempering),
    ("power", Method::Power),
    ("greedy", Method::Greedy),
    ("best-of-n", Method::Independent(Selector::MaxReward)),
    ("weighted-best-of-n", Method::Independent(Selector::RewardWeightedVote)),
    ("majority", Method::Independent(Selector::Majority)),
    ("beam", Method::Beam),
    ("dvts", Method::Dvts),
];

type NewPotential = fn() -> Potential;

const POTENTIALS: [(&str, NewPotential); 5] = [
    ("product", Potential::product),
    ("last", Potential::last),
    ("min", Potential::min),
    ("terminal", Potential::terminal),
    ("none", Potential::none),
];

const LINKS: [(&str, Link); 3] = [("probability", Link::Probability), ("odds", Link::Odds), ("exp", Link::Exp)];

/// The command line.
struct Settings<'a> {
    file: &'a str,
    method: (&'a str, Method),
    potential: Potential,
    n_particles: usize,
    n_candidates: usize,
    ess_threshold: f64,
    scheme: Scheme,
    temperature: Option<f64>,
    alpha: Option<f64>,
    n_sweeps: usize,
    width: usize,
    seed: u64,
    n_replicates: u64,
}

impl<'a> Settings<'a> {
    fn parse(arguments: &'a [String]) -> Result<Self, Problem> {
        let mut file = None;
        let mut options = [
            ("--method", "decode"),
            ("--potential", "last"),
            ("--link", "probability"),
            ("--beta", "1"),
            ("--clip", "1e-9"),
            ("--particles", "16"),
            ("--candidates", "1"),
            ("--ess-threshold", "2"),
            ("--scheme", "systematic"),
            ("--temperature", ""),
            ("--alpha", ""),
            ("--sweeps", "1000"),
            ("--width", "4"),
            ("--seed", "1"),
            ("--replicates", "1"),
        ];
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if let Some(option) = options.iter_mut().find(|(name, _)| name == argument) {
                option.1 = rest.next().ok_or_else(|| Problem::Usage(format!("{argument} needs a value")))?;
            } else if argument.starts_with('-') {
                return Err(Problem::Usage(format!("there is no option {argument}")));
            } else if file.replace(argument.as_str()).is_some() {
                return Err(Problem::Usage("more than one file is named".to_owned()));
            }
        }
        let file = file.ok_or_else(|| Problem::Usage("no file is named".to_owned()))?;
        let [
            method,
            potential,
            link,
            beta,
            clip,
            particles,
            candidates,
            ess_threshold,
            scheme,
            temperature,
            alpha,
            sweeps,
            width,
            seed,
            replicates,
        ] = options.map(|(_, value)| value);
        let potential = one_of("--potential", potential, &POTENTIALS)?()
            .link(one_of("--link", link, &LINKS)?)
            .inverse_temperature(number("--beta", beta, "finite and at least 0", |x: &f64| *x >= 0.0 && x.is_finite())?)
            .clip(number("--clip", clip, "in [0, 0.5)", |x| (0.0..0.5).contains(x))?);
        let method_of = one_of("--method", method, &METHODS)?;
        let positive = |x: &f64| *x > 0.0 && x.is_finite();
        Ok(Self {
            file,
            method: (method, method_of),
            potential,
            n_particles: number("--particles", particles, "1 to 1000000", |n| (1..=1_000_000).contains(n))?,
            n_candidates: number("--candidates", candidates, "1 to 1000", |n| (1..=1000).contains(n))?,
            ess_threshold: number("--ess-threshold", ess_threshold, "finite and at least 0", |x: &f64| {
                *x >= 0.0 && x.is_finite()
            })?,
            scheme: one_of("--scheme", scheme, &Scheme::ALL.map(|scheme| (scheme.name(), scheme)))?,
            temperature: match temperature {
                "" => None,
                value => Some(number("--temperature", value, "positive and finite", positive)?),
            },
            alpha: match alpha {
                "" => matches!(method_of, Method::Power).then_some(1.0),
                value => Some(number("--alpha", value, "finite and at least 0", |x: &f64| *x >= 0.0 && x.is_finite())?),
            },
            n_sweeps: number("--sweeps", sweeps, "1 to 10000000", |n| (1..=10_000_000).contains(n))?,
            width: number("--width", width, "at least 1", |n| *n >= 1)?,
            seed: number("--seed", seed, "0 to 2^64 - 1", |_| true)?,
            n_replicates: number("--replicates", replicates, "1 to 1000000", |n| (1..=1_000_000).contains(n))?,
        })
    }
}

fn one_of<T: Copy>(option: &str, value: &str, known: &[(&str, T)]) -> Result<T, Problem> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let found = known.iter().find(|(name, _)| *name == value);
    found.map(|(_, x)| *x).ok_or_else(|| bad(option, &format!("one of {}", names.join(", "))))
}

fn number<T: std::str::FromStr>(option: &str, value: &str, rule: &str, holds: impl Fn(&T) -> bool) -> Result<T, Problem> {
    value.parse().ok().filter(holds).ok_or_else(|| bad(option, rule))
}

fn bad(option: &str, rule: &str) -> Problem {
    Problem::Usage(format!("{option} must be {rule}"))
}

fn read(path: &str) -> Result<TableModel, Problem> {
    let text = std::fs::read_to_string(path).map_err(|source| Problem::File { path: path.to_owned(), source })?;
    let table: TableModel = serde_json::from_str(&text).map_err(|source| Problem::Json { path: path.to_owned(), source })?;
    table.validate().map_err(|source| Problem::Table { path: path.to_owned(), source: source.into() })?;
    Ok(table)
}

fn run(settings: &Settings<'_>) -> Result<Value, Problem> {
    let mut table = read(settings.file)?;
    if let Some(temperature) = settings.temperature {
        table = table.at_temperature(temperature);
    }
    settings.potential.validate(RewardScale::Probability).map_err(ReasoningError::from)?;
    let exact = exact(settings, &table);
    if !(exact.evidence > 0.0) {
        return Err(Problem::NoTarget);
    }
    let mut runs = Vec::new();
    let mut ledger = Ledger::default();
    for replicate in 0..settings.n_replicates {
        let run = Run::of(settings, &table, settings.seed.wrapping_add(replicate))?;
        ledger.add(&run.ledger);
        runs.push(run);
    }
    let mut line = json!({
        "file": settings.file, "method": settings.method.0,
        "target": config(settings, &table, 0).target("p"), "temperature": table.temperature,
        "n_particles": settings.n_particles, "n_candidates": settings.n_candidates,
        "scheme": settings.scheme, "ess_threshold": settings.ess_threshold,
        "seed": settings.seed, "replicates": settings.n_replicates, "n_texts": exact.texts.len(),
    });
    let has_evidence = runs.iter().all(|run| !run.log_evidence.is_nan());
    if has_evidence {
        line["evidence"] = compared(&runs, |run| run.log_evidence.exp(), exact.evidence);
        line["log_evidence"] = log_evidence(&runs, exact.evidence.ln());
    } else {
        (line["evidence"], line["log_evidence"]) = (Value::Null, Value::Null);
    }
    line["answers"] = answers(&runs, &exact);
    line["length"] = compared(&runs, |run| run.length, exact.mean(|text| text.steps.len() as f64));
    line["ledger"] = json!(ledger);
    Ok(line)
}

/// The target, exactly.
fn exact(settings: &Settings<'_>, table: &TableModel) -> ExactTarget {
    let Some(alpha) = settings.alpha else { return table.enumerate(&settings.potential) };
    let log_psi = |text: &ExactText| settings.potential.log_psi(RewardScale::Probability, &text.scores, true);
    table.enumerate(&Potential::none()).reweighted(|text| alpha * text.log_model + log_psi(text))
}

/// What one run says.
struct Run {
    log_evidence: f64,
    standard_error: Option<f64>,
    /// Probability of each last step.
    answers: BTreeMap<String, f64>,
    length: f64,
    ledger: Ledger,
}

fn config(settings: &Settings<'_>, table: &TableModel, seed: u64) -> DecoderConfig {
    DecoderConfig::new(settings.n_particles, seed)
        .potential(settings.potential.clone())
        .base(settings.alpha.map_or(Base::Sampled, Base::Power))
        .max_steps(table.max_steps)
        .n_candidates(settings.n_candidates)
        .ess_threshold(settings.ess_threshold)
        .scheme(settings.scheme)
}

/// Texts and how they are to be read: all by their weights, or one that is chosen.
fn decode(settings: &Settings<'_>, table: &TableModel, seed: u64) -> Result<(Decoded, Option<Selector>), ReasoningError> {
    let (mut generator, mut rewards) = (table.clone(), table.clone());
    let models = &mut Models::new(&mut generator, &mut rewards);
    let prompt = Prefix::prompt("");
    let config = config(settings, table, seed);
    let gibbs = |ancestor_sampling| {
        let gibbs = GibbsConfig::new(config.clone(), settings.n_sweeps).burn_in(settings.n_sweeps / 10);
        gibbs.ancestor_sampling(ancestor_sampling)
    };
    let search = |search: Search| search.potential(settings.potential.clone()).max_steps(table.max_steps);
    let n = settings.n_particles;
    Ok(match settings.method.1 {
        Method::Decode => (Decoder::new(config).decode(models, &prompt)?, None),
        Method::WithoutReplacement => (WithoutReplacement::new(config).decode(models, &prompt)?, None),
        Method::Gibbs { ancestor_sampling } => {
            (GibbsDecoder::new(gibbs(ancestor_sampling)).decode(models, &prompt)?.decoded, None)
        }
        Method::Tempering => {
            let config = TemperingConfig::new(gibbs(false), [1.0, 0.5, 0.25]);
            (TemperedDecoder::new(config).decode(models, &prompt)?.decoded, None)
        }
        Method::Power => {
            let config = PowerConfig::new(settings.alpha.unwrap_or(1.0), settings.n_sweeps, seed)
                .burn_in(settings.n_sweeps / 10)
                .max_steps(table.max_steps)
                .potential(settings.potential.clone());
            (PowerSampler::new(config).decode(models, &prompt)?.decoded, None)
        }
        Method::Greedy => (search(Search::greedy()).decode(models, &prompt)?, None),
        Method::Independent(selector) => (search(Search::independent(n, seed)).decode(models, &prompt)?, Some(selector)),
        Method::Beam => (search(Search::beam(n, settings.width, seed)).decode(models, &prompt)?, Some(Selector::MaxReward)),
        Method::Dvts => (search(Search::dvts(n, settings.width, seed)).decode(models, &prompt)?, Some(Selector::MaxReward)),
    })
}

impl Run {
    fn of(settings: &Settings<'_>, table: &TableModel, seed: u64) -> Result<Self, Problem> {
        let (decoded, selector) = decode(settings, table, seed)?;
        let chosen = selector.map(|selector| selector.select(&decoded.texts, &LastStep).map(|selection| selection.index));
        let mut run = Self {
            log_evidence: decoded.evidence.map_or(f64::NAN, |evidence| evidence.log),
            standard_error: decoded.evidence.and_then(|evidence| evidence.standard_error),
            answers: BTreeMap::new(),
            length: 0.0,
            ledger: decoded.ledger,
        };
        for (i, text) in decoded.texts.iter().enumerate() {
            let weight = match chosen {
                None => text.weight,
                Some(chosen) => f64::from(chosen == Some(i)),
            };
            if weight > 0.0 {
                *run.answers.entry(last_step(&text.prefix)).or_default() += weight;
                run.length += weight * text.prefix.n_steps() as f64;
            }
        }
        Ok(run)
    }
}

/// The last step as the answer of a text.
#[derive(Debug)]
struct LastStep;

impl AnswerRule for LastStep {
    fn extract(&self, text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn answer(&self, text: &Prefix) -> Option<String> {
        Some(last_step(text))
    }
}

fn last_step(text: &Prefix) -> String {
    let steps = text.steps();
    answer(steps.iter().map(|step| step.text.as_str()))
}

/// The last step that is not empty.
fn answer<'s>(steps: impl DoubleEndedIterator<Item = &'s str>) -> String {
    steps.rev().find(|step| !step.is_empty()).unwrap_or_default().to_owned()
}

fn answers(runs: &[Run], exact: &ExactTarget) -> Value {
    let of = |text: &ExactText| answer(text.steps.iter().map(String::as_str));
    let known: BTreeSet<String> = exact.texts.iter().map(of).collect();
    let mut all = Map::new();
    for name in known {
        let probability = exact.mean(|text| f64::from(of(text) == name));
        let compared = compared(runs, |run| run.answers.get(&name).copied().unwrap_or(0.0), probability);
        all.insert(name, compared);
    }
    Value::Object(all)
}

/// The mean of a number over runs beside its exact value.
fn compared(runs: &[Run], f: impl Fn(&Run) -> f64, exact: f64) -> Value {
    let (estimate, variance) = moments(runs, f);
    let standard_error = variance.map(|variance| (variance / runs.len() as f64).sqrt());
    json!({ "estimate": estimate, "standard_error": standard_error, "exact": exact, "error": estimate - exact })
}

fn log_evidence(runs: &[Run], exact: f64) -> Value {
    let largest = runs.iter().map(|run| run.log_evidence).fold(f64::NEG_INFINITY, f64::max);
    let estimate = largest + moments(runs, |run| (run.log_evidence - largest).exp()).0.ln();
    let squares: Option<Vec<f64>> = runs.iter().map(|run| run.standard_error.map(|error| error * error)).collect();
    let reported = squares.map(|squares| (squares.iter().sum::<f64>() / squares.len() as f64).sqrt());
    let between = moments(runs, |run| run.log_evidence).1.map(f64::sqrt);
    json!({
        "estimate": estimate, "standard_error": reported, "standard_deviation": between, "exact": exact, "error": estimate - exact,
    })
}

/// Mean and, of more than one run, variance.
fn moments(runs: &[Run], f: impl Fn(&Run) -> f64) -> (f64, Option<f64>) {
    let n = runs.len() as f64;
    let mean = runs.iter().map(&f).sum::<f64>() / n;
    let variance = (runs.len() > 1).then(|| runs.iter().map(|run| (f(run) - mean).powi(2)).sum::<f64>() / (n - 1.0));
    (mean, variance)
}
