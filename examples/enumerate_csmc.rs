//! Multiplies out the whole kernel of conditional SMC on a small hidden Markov model, and says how far it moves the posterior.
//!
//! ```text
//! cargo run --release --example enumerate_csmc -- examples/data/csmc_hmm.json --scheme systematic --n-particles 3
//! cargo run --release --example enumerate_csmc -- --help
//! ```

#[allow(dead_code)]
mod enumeration;

use std::fmt;
use std::process::ExitCode;

use enumeration::{Hmm, PathSampling, Scheme, Sweep, max_difference, total_variation};
use serde_json::{Value, json};

const HELP: &str = "\
Multiplies out the kernel K of conditional SMC over the paths of a hidden Markov model with S states and T steps, and compares
the law pi K after one sweep from the posterior pi with pi. A valid kernel gives 0 up to rounding.

usage: enumerate_csmc MODEL.json [options]

  --scheme NAME          multinomial (default), stratified, systematic, killing; or a known mistake: sorted-overwrite (N sorted
                         draws, the first overwritten), systematic-free (systematic for the N - 1 free particles)
  --n-particles N        particles, the reference included (default 3)
  --path NAME            genealogy (default), ancestor, ancestor-when-resampled, backward
  --ess-threshold X      resample when ESS < X N (default 2: always)
  --first-slot NAME      uniform (default) or zero: where the reference starts

MODEL.json, as a JSON schema (S states, T steps):
{
  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",
  \"type\": \"object\",
  \"required\": [\"initial\", \"transition\", \"potentials\"],
  \"$defs\": {
    \"law\": { \"type\": \"array\", \"items\": { \"type\": \"number\", \"minimum\": 0 }, \"description\": \"S numbers that sum to 1\" },
    \"matrix\": { \"type\": \"array\", \"items\": { \"$ref\": \"#/$defs/law\" }, \"description\": \"S rows: row = from, column = to\" },
    \"moves\": { \"anyOf\": [
      { \"$ref\": \"#/$defs/matrix\" },
      { \"type\": \"array\", \"items\": { \"$ref\": \"#/$defs/matrix\" }, \"description\": \"T - 1 matrices, one per step\" }
    ] },
    \"table\": { \"type\": \"array\", \"items\": { \"type\": \"array\", \"items\": { \"type\": \"number\", \"minimum\": 0 } } }
  },
  \"properties\": {
    \"initial\": { \"$ref\": \"#/$defs/law\" },
    \"transition\": { \"$ref\": \"#/$defs/moves\" },
    \"potentials\": { \"$ref\": \"#/$defs/table\", \"description\": \"T rows of S numbers\" },
    \"first_proposal\": { \"$ref\": \"#/$defs/law\", \"description\": \"particles start from it\" },
    \"proposal\": { \"$ref\": \"#/$defs/moves\", \"description\": \"particles move by it\" },
    \"look_ahead\": { \"$ref\": \"#/$defs/table\", \"description\": \"T - 1 rows of S positive numbers: ancestors are drawn with weights w x look_ahead\" }
  }
}

output, one line of JSON:
  max_difference   largest |pi K - pi| of all paths        total_variation   half their sum
  stationary       total variation between pi and the law that K leaves invariant
  n_paths          S^T, the paths of the model             n_outcomes        outcomes of the algorithm multiplied out";

/// What is wrong with the input.
#[derive(Debug)]
enum Problem {
    Usage(String),
    File { path: String, source: std::io::Error },
    Json { path: String, source: serde_json::Error },
    Field { field: String, rule: &'static str },
    TooLarge { outcomes: f64 },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(problem) => write!(f, "{problem} (--help shows the options)"),
            Self::File { path, source } => write!(f, "{path}: {source}"),
            Self::Json { path, source } => write!(f, "{path}: not JSON: {source}"),
            Self::Field { field, rule } => write!(f, "field `{field}` must be {rule}"),
            Self::TooLarge { outcomes } => write!(f, "about {outcomes:.0e} outcomes are too many to multiply out"),
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--help" || a == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("enumerate_csmc: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<Value, Problem> {
    let mut file = None;
    let mut options = [
        ("--scheme", "multinomial"),
        ("--n-particles", "3"),
        ("--path", "genealogy"),
        ("--ess-threshold", "2"),
        ("--first-slot", "uniform"),
    ];
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if let Some(option) = options.iter_mut().find(|(name, _)| name == argument) {
            option.1 = rest.next().ok_or_else(|| Problem::Usage(format!("{argument} needs a value")))?;
        } else if argument.starts_with('-') {
            return Err(Problem::Usage(format!("there is no option {argument}")));
        } else if file.replace(argument).is_some() {
            return Err(Problem::Usage("more than one file is named".to_owned()));
        }
    }
    let file = file.ok_or_else(|| Problem::Usage("no model file is named".to_owned()))?;
    let [scheme, n_particles, path_sampling, ess_threshold, first_slot] = options.map(|(_, value)| value);
    let sweep = Sweep {
        scheme: one_of("--scheme", scheme, &SCHEMES)?,
        n_particles: n_particles.parse().ok().filter(|n| (2..=8).contains(n)).ok_or_else(|| bad("--n-particles", "2 to 8"))?,
        path_sampling: one_of("--path", path_sampling, &PATHS)?,
        ess_threshold: ess_threshold.parse().ok().filter(|x| *x >= 0.0).ok_or_else(|| bad("--ess-threshold", "at least 0"))?,
        first_slot_fixed: one_of("--first-slot", first_slot, &[("uniform", false), ("zero", true)])?,
    };
    let hmm = read(file)?;
    check_size(&hmm, sweep.n_particles)?;

    let posterior = hmm.posterior();
    let kernel = sweep.kernel(&hmm);
    let after = kernel.apply(&posterior);
    Ok(json!({
        "scheme": scheme,
        "n_particles": sweep.n_particles,
        "path": path_sampling,
        "ess_threshold": sweep.ess_threshold,
        "first_slot": first_slot,
        "max_difference": max_difference(&after, &posterior),
        "total_variation": total_variation(&after, &posterior),
        "stationary": total_variation(&kernel.stationary(), &posterior),
        "n_paths": hmm.n_paths(),
        "n_outcomes": kernel.n_outcomes,
    }))
}

const SCHEMES: [(&str, Scheme); 6] = [
    ("multinomial", Scheme::Multinomial),
    ("stratified", Scheme::Stratified),
    ("systematic", Scheme::Systematic),
    ("killing", Scheme::Killing),
    ("sorted-overwrite", Scheme::SortedOverwrite),
    ("systematic-free", Scheme::SystematicFree),
];

const PATHS: [(&str, PathSampling); 4] = [
    ("genealogy", PathSampling::Genealogy),
    ("ancestor", PathSampling::Ancestor),
    ("ancestor-when-resampled", PathSampling::AncestorWhenResampled),
    ("backward", PathSampling::Backward),
];

fn one_of<T: Copy>(option: &str, value: &str, known: &[(&str, T)]) -> Result<T, Problem> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let found = known.iter().find(|(name, _)| *name == value);
    found.map(|(_, x)| *x).ok_or_else(|| bad(option, &format!("one of {}", names.join(", "))))
}

fn bad(option: &str, rule: &str) -> Problem {
    Problem::Usage(format!("{option} must be {rule}"))
}

fn read(path: &str) -> Result<Hmm, Problem> {
    let text = std::fs::read_to_string(path).map_err(|source| Problem::File { path: path.to_owned(), source })?;
    let json: Value = serde_json::from_str(&text).map_err(|source| Problem::Json { path: path.to_owned(), source })?;
    let fields = json.as_object().ok_or_else(|| field("(all)", "an object"))?;
    let known = ["initial", "transition", "potentials", "first_proposal", "proposal", "look_ahead"];
    if let Some(unknown) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(field(unknown, "left out: there is no such field"));
    }
    let potentials = rows(&json, "potentials")?;
    let initial = numbers(&json["initial"], "initial")?;
    let (n_states, n_steps) = (initial.len(), potentials.len());
    if n_states == 0 || n_steps == 0 {
        return Err(field(if n_states == 0 { "initial" } else { "potentials" }, "an array with entries"));
    }
    check_law(&initial, n_states, "initial")?;
    check_rows(&potentials, n_steps, n_states, 0.0, "potentials")?;
    let mut hmm = Hmm { initial, transition: matrices(&json, "transition", n_states, n_steps)?, potentials, ..Hmm::default() };
    if json.get("first_proposal").is_some() {
        hmm.first_proposal = numbers(&json["first_proposal"], "first_proposal")?;
        check_law(&hmm.first_proposal, n_states, "first_proposal")?;
        check_cover(&hmm.first_proposal, &hmm.initial, "first_proposal")?;
    }
    if json.get("proposal").is_some() {
        hmm.proposal = matrices(&json, "proposal", n_states, n_steps)?;
        for (q, p) in hmm.proposal.iter().flatten().zip(hmm.transition.iter().flatten()) {
            check_cover(q, p, "proposal")?;
        }
    }
    if json.get("look_ahead").is_some() {
        hmm.look_ahead = rows(&json, "look_ahead")?;
        check_rows(&hmm.look_ahead, n_steps - 1, n_states, f64::MIN_POSITIVE, "look_ahead")?;
    }
    if !((0..hmm.n_paths()).map(|code| hmm.joint(code)).sum::<f64>() > 0.0) {
        return Err(field("potentials", "positive along at least one path"));
    }
    Ok(hmm)
}

/// One matrix for all steps, or one per step.
fn matrices(json: &Value, name: &str, n_states: usize, n_steps: usize) -> Result<Vec<Vec<Vec<f64>>>, Problem> {
    let array = json[name].as_array().ok_or_else(|| field(name, "a matrix, or one matrix per step after the first"))?;
    let per_step = array.first().and_then(|x| x.get(0)).is_some_and(Value::is_array);
    let matrices = if per_step || array.is_empty() {
        array.iter().map(|m| rows(&json!({ name: m }), name)).collect::<Result<Vec<_>, _>>()?
    } else {
        vec![rows(json, name)?; n_steps - 1]
    };
    if matrices.len() != n_steps - 1 {
        return Err(field(name, "one matrix, or one per step after the first"));
    }
    for matrix in &matrices {
        if matrix.len() != n_states {
            return Err(field(name, "square, with one row per state"));
        }
        matrix.iter().try_for_each(|row| check_law(row, n_states, name))?;
    }
    Ok(matrices)
}

fn rows(json: &Value, name: &str) -> Result<Vec<Vec<f64>>, Problem> {
    let array = json[name].as_array().ok_or_else(|| field(name, "an array of rows of numbers"))?;
    array.iter().map(|row| numbers(row, name)).collect()
}

fn numbers(json: &Value, name: &str) -> Result<Vec<f64>, Problem> {
    let parse = || json.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    parse().ok_or_else(|| field(name, "made of arrays of numbers"))
}

fn check_law(law: &[f64], n_states: usize, name: &str) -> Result<(), Problem> {
    let sum: f64 = law.iter().sum();
    if law.len() == n_states && law.iter().all(|p| *p >= 0.0) && (sum - 1.0).abs() < 1e-9 {
        Ok(())
    } else {
        Err(field(name, "probabilities, one per state, that sum to 1"))
    }
}

fn check_rows(rows: &[Vec<f64>], n_rows: usize, n_states: usize, least: f64, name: &str) -> Result<(), Problem> {
    if rows.len() == n_rows && rows.iter().all(|row| row.len() == n_states && row.iter().all(|x| *x >= least)) {
        Ok(())
    } else if least > 0.0 {
        Err(field(name, "positive, with one row per step after the first and one column per state"))
    } else {
        Err(field(name, "at least 0, with one row per step and one column per state"))
    }
}

fn check_cover(proposal: &[f64], law: &[f64], name: &str) -> Result<(), Problem> {
    let covered = proposal.iter().zip(law).all(|(q, p)| *q > 0.0 || *p == 0.0);
    if covered { Ok(()) } else { Err(field(name, "positive wherever the model's own law is")) }
}

fn field(field: &str, rule: &'static str) -> Problem {
    Problem::Field { field: field.to_owned(), rule }
}

/// A bound of the work: clouds x slots and ancestors x children, per reference.
fn check_size(hmm: &Hmm, n_particles: usize) -> Result<(), Problem> {
    let (states, steps, n) = (hmm.n_states() as f64, hmm.n_steps() as f64, n_particles as f64);
    let outcomes = states.powf(steps + steps * (n - 1.0)) * n.powf(n + 1.0);
    if outcomes < 1e10 { Ok(()) } else { Err(Problem::TooLarge { outcomes }) }
}
