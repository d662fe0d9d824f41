//! Countdown by a small language model: the particle decoder beside best-of-N, voting, beam search and DVTS, at the same number of
//! generated steps.
//!
//! ```text
//! cargo run --release --example decode
//! cargo run --release --example decode -- --help
//! ```
//! The models are in `examples/data/countdown` (1.5 MB) and were trained by `scripts/countdown`. The truth of a solution is checked by
//! the program, and what a perfect reward model would say is known (`--reward exact`).

mod arguments;
mod methods;
mod setting;
mod table;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use arguments::Arguments;
use methods::{Method, Run};
use posterity::reasoning::countdown::Problem;
use posterity::reasoning::{Decoder, DecoderConfig, Evidence, Models, Selector};
use setting::Setting;
use table::{Record, Results};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match Arguments::parse(std::env::args().skip(1)).map_err(AnyError::from).and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), AnyError> {
    if arguments.help {
        print!("{}", arguments::HELP);
        return Ok(());
    }
    let start = Instant::now();
    let setting = Setting::load(arguments.reward, arguments.noise)?;
    let problems = setting::problems(arguments.validation, arguments.numbers, arguments.first, arguments.problems)?;
    if arguments.example || !(arguments.full || arguments.ablation) {
        show_one(&setting, &problems)?;
    }
    let methods = match (arguments.ablation, arguments.full) {
        (true, _) => Method::ablation(),
        (_, true) => Method::full(),
        _ => Method::main(),
    };
    let runs = compare(arguments, &setting, &problems, &methods)?;
    let names: Vec<String> = methods.iter().map(|method| method.name.clone()).collect();
    let split = if arguments.validation { "validation" } else { "test" };
    println!(
        "\n{} {split} problems of {} numbers, {} run(s) each, reward: {:?}, noise {}\n",
        arguments.problems, arguments.numbers, arguments.seeds, arguments.reward, arguments.noise
    );
    let results = Results::of(runs.records);
    println!("{}", results.accuracy_table(&names, &arguments.n));
    if let Some(reference) = names.iter().position(|name| name == "particles") {
        println!("{}", results.lead_table(&names, reference, &arguments.n));
        if arguments.full {
            println!("{}", results.equal_accuracy_table(&names, reference, &arguments.n));
            print_change(&results, reference, &arguments.n);
        }
    }
    println!("{}", results.cost_table(&names, &arguments.n));
    if runs.seconds > 0.0 {
        println!("share of the particle decoder's time outside both models: {:.2} %", 100.0 * runs.engine_seconds / runs.seconds);
    }
    println!("{:.0} s", start.elapsed().as_secs_f64());
    draw(arguments, &results, &names)
}

/// Runs whose evidence is put together.
const N_RUNS: u64 = 8;

/// One problem decoded by 16 particles, step by step, and what several such runs say of the evidence.
fn show_one(setting: &Setting, problems: &[Problem]) -> Result<(), AnyError> {
    let Some(problem) = problems.first() else { return Ok(()) };
    let (mut generator, mut rewards) = (setting.generator()?, setting.rewards()?);
    let mut run = |seed| {
        let decoder = Decoder::new(DecoderConfig::new(16, seed).max_steps(problem.n_lines()));
        decoder.decode(&mut Models::new(&mut generator, &mut rewards), &problem.prompt())
    };
    let decoded = run(1)?;
    println!("problem (target:numbers)   {}", problem.text().trim());
    println!("target of the decoder      {}", decoded.target);
    for step in &decoded.steps {
        println!(
            "step {}: ESS {:5.2}, {:2} different texts, log-evidence {:.2}",
            step.step, step.ess, step.n_distinct, step.log_evidence
        );
    }
    let others = (2..=N_RUNS).map(run).collect::<Result<Vec<_>, _>>()?;
    let evidences: Vec<Evidence> = [&decoded].into_iter().chain(&others).filter_map(|decoded| decoded.evidence).collect();
    let evidence = Evidence::of_runs(&evidences)?;
    let error = evidence.standard_error.map_or("unknown".to_owned(), |error| format!("{error:.2}"));
    println!("log-evidence of {N_RUNS} runs      {:.2}, standard error {error}", evidence.log);
    if let Some(chosen) = Selector::MaxReward.select(&decoded.texts, &setting::answers()) {
        let text = &decoded.texts[chosen.index];
        let verdict = match problem.check(&text.prefix.written()) {
            Ok(()) => "right".to_owned(),
            Err(wrong) => format!("wrong: {wrong}"),
        };
        println!("best text                  {} ({verdict})", text.prefix.written().trim().replace('\n', "  "));
    }
    Ok(())
}

struct Runs {
    records: Vec<Record>,
    /// Of the particle decoder.
    seconds: f64,
    engine_seconds: f64,
}

/// Every method on every problem, problems side by side.
fn compare(arguments: &Arguments, setting: &Setting, problems: &[Problem], methods: &[Method]) -> Result<Runs, AnyError> {
    let n_threads = arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let next = AtomicUsize::new(0);
    let runs = Mutex::new(Runs { records: Vec::new(), seconds: 0.0, engine_seconds: 0.0 });
    let work = || -> Result<(), AnyError> {
        let (mut generator, mut rewards) = (setting.generator()?, setting.rewards()?);
        let answers = setting::answers();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(problem) = problems.get(index) else { return Ok(()) };
            for seed in 0..arguments.seeds {
                for &n in &arguments.n {
                    let mut pool = None;
                    for (m, method) in methods.iter().enumerate() {
                        if (n > 1 && method.is_single()) || (n == 1 && method.needs_several()) {
                            continue;
                        }
                        // A method's draws depend on problem, seed and N only.
                        let key = (arguments.first + index) as u64 * 1000 + seed;
                        let mut models = Models::new(&mut generator, &mut rewards);
                        let prompt = problem.prompt();
                        let run = Run { prompt: &prompt, n, n_steps: problem.n_lines(), seed: key, answers: &answers };
                        let outcome = method.run(&mut models, run, &mut pool)?;
                        let correct = outcome.text.as_ref().is_some_and(|text| problem.check(&text.written()).is_ok());
                        let ledger = &outcome.ledger;
                        let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
                        if method.name == "particles" {
                            runs.seconds += ledger.seconds;
                            runs.engine_seconds += ledger.engine_seconds();
                        }
                        runs.records.push(Record {
                            method: m,
                            n,
                            problem: index,
                            seed,
                            correct,
                            generations: ledger.generations,
                            tokens: ledger.generated_tokens,
                            reward_calls: ledger.reward_calls,
                        });
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a worker panicked".into())))
    })?;
    Ok(runs.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Whether the reference loses accuracy from one number of texts to the next.
fn print_change(results: &Results, reference: usize, ns: &[usize]) {
    for pair in ns.windows(2) {
        if let Some(gain) = results.difference((reference, pair[1]), (reference, pair[0])) {
            println!("particles, N = {} minus N = {}: {}", pair[1], pair[0], table::signed(&gain));
        }
    }
    println!();
}

/// Accuracy over the number of texts, one curve per method.
#[cfg(feature = "plot")]
fn draw(arguments: &Arguments, results: &Results, names: &[String]) -> Result<(), AnyError> {
    use posterity::plot::{Curve, CurvesPlot, save};

    let Some(path) = &arguments.plot else { return Ok(()) };
    let curve = |(method, name): (usize, &String)| {
        let points = arguments.n.iter().filter_map(|&n| Some((n, results.accuracy(method, n)?)));
        Curve::new(name.as_str(), points.map(|(n, accuracy)| (n as f64, accuracy.estimate, accuracy.lower, accuracy.upper)))
    };
    let curves: Vec<Curve> = names.iter().enumerate().map(curve).filter(|curve| !curve.points.is_empty()).collect();
    let title = format!("Countdown with {} numbers, {} problems", arguments.numbers, arguments.problems);
    save(&CurvesPlot::new(curves).title(title).labels("texts decoded at a time", "accuracy").svg()?, path)?;
    Ok(())
}

#[cfg(not(feature = "plot"))]
fn draw(arguments: &Arguments, _: &Results, _: &[String]) -> Result<(), AnyError> {
    match &arguments.plot {
        Some(_) => Err("--plot needs --features plot".into()),
        None => Ok(()),
    }
}
