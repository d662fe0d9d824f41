//! Countdown problems over HTTP: the particle decoder with a language model and a reward model behind llama.cpp servers.
//!
//! ```text
//! scripts/llama_server/with_servers.sh cargo run --release --features llm-http --example serve_client
//! cargo run --release --features llm-http --example serve_client -- [--problems N] [--journal FOLDER] POLICY_URL REWARD_URL
//! ```
//! The first line serves the models of `examples/data/countdown` and stops the servers at the end; the second one asks servers that run
//! already. With `--journal`, every run writes a file there; one that was stopped goes on from it and asks for nothing again that it holds.
//!
//! What to look at:
//!
//! - one problem with N particles asks the language model for N steps at once, and the reward model for their scores;
//! - the reward model is a judge: its score is P(+) / (P(+) + P(-)) of one token, so a server of language models can serve it;
//! - another model and task need another template, delimiter and rule of answers, and nothing else.

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs};

use posterity::reasoning::countdown::{Problem, Split, answer, is_answer, reward_text};
use posterity::reasoning::http::{HttpClient, JudgeReward, LlamaCpp, PromptTemplate, ServerGenerator};
use posterity::reasoning::{Answers, Decoder, DecoderConfig, Journal, Ledger, Models, SamplingPrior, Selector};

type AnyError = Box<dyn std::error::Error>;

struct Arguments {
    n_problems: u64,
    journals: Option<PathBuf>,
    policy: String,
    reward: String,
}

impl Arguments {
    fn read() -> Result<Self, AnyError> {
        let (mut n_problems, mut journals, mut addresses) = (20, None, Vec::new());
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--problems" => n_problems = arguments.next().ok_or("--problems N")?.parse()?,
                "--journal" => journals = Some(arguments.next().ok_or("--journal FOLDER")?.into()),
                other if other.starts_with("http") => addresses.push(other.to_owned()),
                _ => return Err("arguments: [--problems N] [--journal FOLDER] POLICY_URL REWARD_URL".into()),
            }
        }
        for name in ["POSTERITY_LLAMA_SERVER", "POSTERITY_LLAMA_REWARD"].into_iter().skip(addresses.len()) {
            addresses.push(env::var(name).map_err(|_| format!("give the addresses of two servers, or set {name}"))?);
        }
        let reward = addresses.remove(1);
        Ok(Self { n_problems, journals, policy: addresses.remove(0), reward })
    }
}

fn connect(address: &str) -> Result<HttpClient, AnyError> {
    let client = HttpClient::new(address)?.concurrency(8)?;
    client.wait_until_ready(Duration::from_secs(60))?;
    Ok(client)
}

fn main() -> Result<(), AnyError> {
    let arguments = Arguments::read()?;
    let prior = SamplingPrior { max_tokens_per_step: Some(40), ..SamplingPrior::of_model("countdown") };
    let mut generator =
        ServerGenerator::new(connect(&arguments.policy)?, LlamaCpp, prior)?.delimiter("\n")?.answer_when(is_answer);
    let mut reward = JudgeReward::new(connect(&arguments.reward)?, LlamaCpp, "countdown", PromptTemplate::partial(reward_text))?
        .tokens(&["+"], &["-"])?
        .n_listed(24)?
        // Of what is no line of the task.
        .floor(1e-5)?;
    if let Some(folder) = &arguments.journals {
        fs::create_dir_all(folder)?;
    }
    let answers = Answers::by(|text| answer(text).map(|number| number.to_string()));

    println!("{:>4} {:>12} {:>8} {:>10} {:>10} {:>10} {:>8}", "N", "right", "steps", "tokens", "rewards", "from file", "seconds");
    for n_particles in [1, 4, 16] {
        let (mut n_right, mut ledger, start) = (0, Ledger::default(), Instant::now());
        for index in 0..arguments.n_problems {
            let problem = Problem::random(Split::Validation, 5, index)?;
            let prompt = problem.prompt();
            let decoder = Decoder::new(DecoderConfig::new(n_particles, index).max_steps(problem.n_lines()));
            let mut models = Models::new(&mut generator, &mut reward);
            let header = decoder.header(&models, &prompt);
            let file = arguments.journals.as_ref().map(|folder| folder.join(format!("{n_particles}-{index}.jsonl")));
            let mut journal = file.map(|file| Journal::open(file, &header)).transpose()?;
            if let Some(journal) = &mut journal {
                models = models.with_journal(journal);
            }
            let decoded = decoder.decode(&mut models, &prompt)?;
            let chosen = Selector::WeightedVote.select(&decoded.texts, &answers);
            n_right +=
                u32::from(chosen.is_some_and(|chosen| problem.check(&decoded.texts[chosen.index].prefix.written()).is_ok()));
            ledger.add(&decoded.ledger);
        }
        println!(
            "{n_particles:>4} {:>12} {:>8} {:>10} {:>10} {:>10} {:>8.1}",
            format!("{n_right} of {}", arguments.n_problems),
            ledger.generations,
            ledger.generated_tokens,
            ledger.reward_calls,
            ledger.replayed,
            start.elapsed().as_secs_f64(),
        );
    }
    Ok(())
}
