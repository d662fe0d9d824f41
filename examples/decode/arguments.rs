//! The command line.

use std::path::PathBuf;

pub(crate) const HELP: &str = "\
decode: Countdown problems by a small language model, decoded in several ways

    cargo run --release --example decode [-- OPTIONS]

    --full             100 problems, N up to 64, all methods
    --ablation         settings to choose from, on the validation split
    --problems COUNT   number of problems (40)
    --first INDEX      the first of them (0)
    --split NAME       test or validation (test)
    --numbers COUNT    numbers per problem: 4, 5 or 6 (6)
    --seeds COUNT      runs per problem (1)
    --n LIST           texts decoded at a time (1,4,16)
    --reward NAME      model, weak, exact, or likelihood: the policy's own (model)
    --noise SD         an error of this size on every logit of the reward model (0)
    --threads COUNT    threads over problems (all)
    --plot FILE.svg    draws accuracy over N (feature plot)
    --example          prints one decoded problem step by step, first
    --help             this text
";

/// What judges the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reward {
    Model,
    Weak,
    Exact,
    Likelihood,
}

#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    pub(crate) help: bool,
    pub(crate) full: bool,
    pub(crate) ablation: bool,
    pub(crate) example: bool,
    pub(crate) problems: usize,
    pub(crate) first: usize,
    pub(crate) validation: bool,
    pub(crate) numbers: usize,
    pub(crate) seeds: u64,
    pub(crate) n: Vec<usize>,
    pub(crate) reward: Reward,
    pub(crate) noise: f64,
    pub(crate) threads: Option<usize>,
    pub(crate) plot: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self {
            help: false,
            full: false,
            ablation: false,
            example: false,
            problems: 0,
            first: 0,
            validation: false,
            numbers: 6,
            seeds: 1,
            n: Vec::new(),
            reward: Reward::Model,
            noise: 0.0,
            threads: None,
            plot: None,
        };
        let mut split = None;
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--help" | "-h" => parsed.help = true,
                "--full" => parsed.full = true,
                "--ablation" => parsed.ablation = true,
                "--example" => parsed.example = true,
                "--problems" => parsed.problems = number(&argument, &value()?)?,
                "--first" => parsed.first = number(&argument, &value()?)?,
                "--numbers" => parsed.numbers = number(&argument, &value()?)?,
                "--seeds" => parsed.seeds = number(&argument, &value()?)?,
                "--noise" => parsed.noise = number(&argument, &value()?)?,
                "--threads" => parsed.threads = Some(number(&argument, &value()?)?),
                "--n" => parsed.n = value()?.split(',').map(|n| number(&argument, n)).collect::<Result<_, _>>()?,
                "--plot" => parsed.plot = Some(value()?.into()),
                "--split" => {
                    split = Some(match value()?.as_str() {
                        "test" => false,
                        "validation" => true,
                        other => return Err(format!("--split {other}: neither test nor validation")),
                    });
                }
                "--reward" => {
                    parsed.reward = match value()?.as_str() {
                        "model" => Reward::Model,
                        "weak" => Reward::Weak,
                        "exact" => Reward::Exact,
                        "likelihood" => Reward::Likelihood,
                        other => return Err(format!("--reward {other}: none of model, weak, exact, likelihood")),
                    };
                }
                other => return Err(format!("{other}: no such option; see --help")),
            }
        }
        parsed.validation = split.unwrap_or(parsed.ablation);
        let is_large = parsed.full || parsed.ablation;
        if parsed.problems == 0 {
            parsed.problems = if is_large { 100 } else { 40 };
        }
        if parsed.n.is_empty() {
            parsed.n = if is_large { vec![1, 4, 16, 64] } else { vec![1, 4, 16] };
        }
        if parsed.n.contains(&0) || parsed.seeds == 0 || parsed.threads == Some(0) {
            return Err("counts must be at least 1".into());
        }
        if !(parsed.noise >= 0.0) {
            return Err("--noise: 0 or more".into());
        }
        if !(4..=6).contains(&parsed.numbers) {
            return Err("--numbers: 4, 5 or 6".into());
        }
        Ok(parsed)
    }
}

fn number<T: std::str::FromStr>(option: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{option} {text}: no number"))
}
