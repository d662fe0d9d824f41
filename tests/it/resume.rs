//! Runs that end early go on where they were: by a flag, by SIGKILL, and from a warm-up that is kept.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use posterity::diagnostics::Warning;
use posterity::draws::Draws;
use posterity::mcmc::{Hmc, Mala, Nuts, Observer, Progress, RandomWalk, Run, Sampler, StopFlag, Warmup};
use posterity::model::zoo::EightSchoolsNoncentered;
use posterity::{Error, FormatProblem, Result};

use super::harness::{Folder, Hand, first_difference, normal, skewed};

/// Raises a flag once any chain has made this many iterations.
#[derive(Debug)]
struct StopAt {
    iteration: usize,
    flag: StopFlag,
}

impl Observer for StopAt {
    fn iteration(&self, progress: Progress) {
        if progress.iteration >= self.iteration {
            self.flag.raise();
        }
    }
}

fn stopped_and_resumed(sampler: impl Sampler, name: &str) {
    let model = EightSchoolsNoncentered::rubin();
    let run = || Run::new(5).chains(2).warmup(60).draws(40).threads(2).keep_log_likelihood();
    let whole = sampler.sample(&model, run()).unwrap();
    for iteration in [1, 37, 60, 61, 83] {
        let folder = Folder::new(&format!("{name}-{iteration}"));
        for _ in 0..3 {
            let flag = StopFlag::new();
            let observer = Arc::new(StopAt { iteration, flag: flag.clone() });
            match sampler.sample(&model, run().checkpoint(folder.path()).stop_flag(&flag).observer(observer)) {
                Ok(draws) => assert!(draws.attributes().stopped_early),
                Err(Error::Stopped { iterations }) => assert!(iterations <= 60),
                Err(other) => panic!("{other}"),
            }
        }
        let resumed = sampler.sample(&model, run().checkpoint(folder.path())).unwrap();
        assert_eq!(first_difference(&whole, &resumed), None, "{name} stopped after {iteration}");
    }
}

#[test]
fn a_stopped_run_resumes_bit_for_bit() {
    stopped_and_resumed(Nuts::default(), "nuts");
    stopped_and_resumed(Hmc::default(), "hmc");
    stopped_and_resumed(Mala::default(), "mala");
    stopped_and_resumed(RandomWalk::default(), "random-walk");
}

#[test]
fn a_run_stopped_while_sampling_gives_the_first_draws_and_says_so() {
    let target = Hand::target(3, skewed);
    let run = || Run::new(5).chains(2).warmup(50).draws(100);
    let whole = Nuts::default().sample(&target, run()).unwrap();
    let flag = StopFlag::new();
    let observer = Arc::new(StopAt { iteration: 150, flag: flag.clone() });
    let part = Nuts::default().sample(&target, run().threads(1).stop_flag(&flag).observer(observer.clone()));
    // One thread: chain 0 ends before chain 1 begins.
    assert!(matches!(part, Err(Error::Stopped { iterations: 0 })));

    let flag = StopFlag::new();
    let observer = Arc::new(StopAt { iteration: 70, flag: flag.clone() });
    let part = Nuts::default().sample(&target, run().chains(1).stop_flag(&flag).observer(observer)).unwrap();
    assert_eq!(part.n_draws(), 20);
    assert!(part.summary().warnings().contains(&Warning::StoppedEarly { n_draws: 20 }));
    let first = whole.posterior().values().slice(ndarray::s![..1, ..20, ..]).to_owned();
    assert_eq!(*part.posterior().values(), first);
}

/// Names the folder in which the child process is to run.
const CHILD: &str = "POSTERITY_TEST_RESUME_FOLDER";

fn killed_run() -> Run {
    Run::new(8).chains(2).threads(2).warmup(80).draws(200).checkpoint_every(Duration::from_millis(10))
}

#[test]
#[ignore = "a child process, started and killed by `a_killed_run_resumes_bit_for_bit`"]
fn child() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let slow = Hand::target(3, |q: &[f64], g: &mut [f64]| {
        std::thread::sleep(Duration::from_millis(1));
        skewed(q, g)
    });
    drop(Nuts::default().sample(&slow, killed_run().checkpoint(folder)).unwrap());
}

/// Waits until the checkpoints of both chains have changed this often.
fn wait_for_changes(folder: &Folder, n: usize) {
    let began = Instant::now();
    for chain in 0..2 {
        let (mut last, mut changes) = (fs::read(folder.chain(chain)).ok(), 0);
        while changes < n {
            assert!(began.elapsed() < Duration::from_secs(60), "the child writes no checkpoints");
            std::thread::sleep(Duration::from_millis(2));
            let now = fs::read(folder.chain(chain)).ok();
            if now.is_some() && now != last {
                changes += 1;
                last = now;
            }
        }
    }
}

#[test]
fn a_killed_run_resumes_bit_for_bit() {
    let target = Hand::target(3, skewed);
    let whole = Nuts::default().sample(&target, killed_run()).unwrap();
    let n_whole = target.0.take_calls();
    let folder = Folder::new("killed");
    // Killed twice: soon after the first checkpoint, and after it has resumed from there.
    for n_changes in [1, 15] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "resume::child", "--ignored"])
            .env(CHILD, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_for_changes(&folder, n_changes);
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "the child ended before it was killed");
    }
    let resumed = Nuts::default().sample(&target, killed_run().checkpoint(folder.path())).unwrap();
    let n_resumed = target.0.take_calls();
    assert_eq!(first_difference(&whole, &resumed), None);
    assert!(n_resumed > 1 && n_resumed < n_whole, "{n_resumed} of {n_whole} evaluations after the kill");
}

#[test]
fn a_finished_run_comes_back_at_once() {
    let target = Hand::target(3, skewed);
    let folder = Folder::new("finished");
    let run = || Run::new(2).chains(2).warmup(50).draws(30).checkpoint(folder.path());
    let first = Nuts::default().sample(&target, run()).unwrap();
    // A few evaluations tell whether the files belong to this density.
    assert_eq!(target.0.take_calls() as u64, first.gradient_evaluations() + 1);
    let again = Nuts::default().sample(&target, run()).unwrap();
    assert_eq!(target.0.take_calls(), 1);
    assert_eq!(first_difference(&first, &again), None);
    assert_eq!(first.attributes().sampling_seconds, again.attributes().sampling_seconds);
}

fn problem(result: Result<Draws>) -> FormatProblem {
    match result {
        Err(Error::Format { problem, path }) => {
            assert!(path.ends_with("chain-0.ckpt"), "{}", path.display());
            problem
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn checkpoints_of_other_runs_are_refused_and_kept() {
    let model = |y0: f64| {
        let y = vec![y0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0];
        EightSchoolsNoncentered::new(y, vec![15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0]).unwrap()
    };
    let folder = Folder::new("other-run");
    let run = |seed| Run::new(seed).chains(1).warmup(20).draws(10).checkpoint(folder.path());
    let nuts = Nuts::default();
    let first = nuts.sample(&model(28.0), run(1)).unwrap();
    let file = fs::read(folder.chain(0)).unwrap();

    let other_run = |result: Result<Draws>| assert_eq!(problem(result), FormatProblem::OtherRun);
    other_run(nuts.sample(&model(28.0), run(2)));
    other_run(nuts.sample(&model(28.000001), run(1)));
    other_run(nuts.sample(&model(28.0), run(1).draws(11)));
    other_run(nuts.sample(&model(28.0), run(1).warmup(21)));
    other_run(nuts.sample(&model(28.0), run(1).keep_log_likelihood()));
    other_run(nuts.target_acceptance(0.81).sample(&model(28.0), run(1)));
    other_run(nuts.max_tree_depth(9).sample(&model(28.0), run(1)));
    let mut adaptation = posterity::mcmc::AdaptationConfig::with_target_acceptance(0.8);
    adaptation.step_size.gamma = 0.06;
    other_run(nuts.adaptation(adaptation).sample(&model(28.0), run(1)));
    other_run(Hmc::default().sample(&model(28.0), run(1)));
    other_run(nuts.sample(&Hand::target(10, skewed), run(1)));
    let start = posterity::mcmc::Start::Positions(vec![vec![0.1; 10]]);
    other_run(nuts.sample(&model(28.0), run(1).start(start)));

    assert_eq!(fs::read(folder.chain(0)).unwrap(), file, "a refused file stays as it was");
    assert_eq!(first_difference(&first, &nuts.sample(&model(28.0), run(1).threads(1)).unwrap()), None);
}

/// The probe of the density lies outside the support: the data must be told apart all the same.
#[test]
fn data_are_told_apart_where_the_support_is_narrow() {
    let target = |centre: f64| {
        Hand::target(2, move |q: &[f64], g: &mut [f64]| {
            if q.iter().any(|q| q.abs() > 0.1) {
                return Ok(f64::NEG_INFINITY);
            }
            g.iter_mut().zip(q).for_each(|(g, q)| *g = 100.0 * (centre - q));
            Ok(-50.0 * q.iter().map(|q| (q - centre).powi(2)).sum::<f64>())
        })
    };
    let folder = Folder::new("narrow");
    let run = || Run::new(1).chains(1).warmup(20).draws(10).checkpoint(folder.path());
    Nuts::default().sample(&target(0.0), run()).unwrap();
    assert_eq!(problem(Nuts::default().sample(&target(0.01), run())), FormatProblem::OtherRun);
}

#[test]
fn damaged_checkpoints_are_refused() {
    let target = Hand::target(2, skewed);
    let folder = Folder::new("damaged");
    let run = || Run::new(1).chains(1).warmup(20).draws(10).checkpoint(folder.path());
    Nuts::default().sample(&target, run()).unwrap();
    let file = fs::read(folder.chain(0)).unwrap();
    let refused = |content: &[u8]| {
        fs::write(folder.chain(0), content).unwrap();
        problem(Nuts::default().sample(&target, run()))
    };
    for length in [0, 5, 8, 15, 23, 24, 100, file.len() - 1] {
        assert_eq!(refused(&file[..length]), FormatProblem::Undecodable, "cut to {length} bytes");
    }
    for at in [0, 16, 24, file.len() / 2, file.len() - 1] {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert_eq!(refused(&changed), FormatProblem::Undecodable, "byte {at} changed");
    }
    let mut longer = file.clone();
    longer.push(0);
    assert_eq!(refused(&longer), FormatProblem::Undecodable);
    let mut other_version = file.clone();
    other_version[7] += 1;
    assert_eq!(refused(&other_version), FormatProblem::OtherVersion);
    // Without the file the chain starts anew.
    fs::remove_file(folder.chain(0)).unwrap();
    Nuts::default().sample(&target, run()).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_an_io_error() {
    let target = Hand::target(2, skewed);
    let folder = Folder::new("unwritable");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let run = |path| Run::new(1).chains(1).warmup(5).draws(5).checkpoint(path);
    let result = Nuts::default().sample(&target, run(file.join("below")));
    assert!(matches!(&result, Err(Error::Io { path, .. }) if path.ends_with("file/below")), "{result:?}");
    assert_eq!(target.0.take_calls(), 0, "found before any work is done");
    fs::create_dir(folder.chain(0)).unwrap();
    let result = Nuts::default().sample(&target, run(folder.path().to_owned()));
    assert!(matches!(&result, Err(Error::Io { path, .. }) if path.ends_with("chain-0.ckpt")), "{result:?}");
}

#[test]
fn the_order_of_the_settings_of_a_checkpoint_does_not_matter() {
    let folder = Folder::new("order");
    let slow = Hand::target(1, |q: &[f64], g: &mut [f64]| {
        std::thread::sleep(Duration::from_micros(200));
        normal(1.0)(q, g)
    });
    // Chain 0 raises the flag after its first iteration if a file is there already: only a short interval can have written it.
    #[derive(Debug)]
    struct Seen(std::path::PathBuf, std::sync::atomic::AtomicBool);
    impl Observer for Seen {
        fn iteration(&self, _: Progress) {
            self.1.fetch_or(self.0.exists(), std::sync::atomic::Ordering::Relaxed);
        }
    }
    let seen = Arc::new(Seen(folder.chain(0), Default::default()));
    let run = Run::new(1).chains(1).warmup(10).draws(10).observer(seen.clone());
    Nuts::default().sample(&slow, run.checkpoint_every(Duration::ZERO).checkpoint(folder.path())).unwrap();
    assert!(seen.1.load(std::sync::atomic::Ordering::Relaxed));
}

#[test]
fn a_warm_up_is_reused() {
    let target = Hand::target(3, skewed);
    let run = || Run::new(4).chains(4).warmup(300).draws(500);
    let warmup = Nuts::default().warm_up(&target, run()).unwrap();
    assert_eq!(warmup.n_chains(), 4);
    target.0.take_calls();

    let text = serde_json::to_string(&warmup).unwrap();
    let read: Warmup = serde_json::from_str(&text).unwrap();
    assert_eq!(read, warmup);

    let draws = Nuts::default().sample(&target, run().reuse(read)).unwrap();
    let attributes = draws.attributes();
    // One evaluation per chain, of the position that was kept.
    assert_eq!((attributes.n_warmup, &attributes.warmup_gradient_evaluations), (0, &vec![1; 4]));
    assert!(draws.warmup_stats().is_none());
    assert_eq!(target.0.take_calls() as u64, draws.gradient_evaluations());
    for chain in 0..4 {
        let tuning = warmup.tuning(chain).unwrap();
        assert_eq!(attributes.step_sizes[chain], tuning.step_size);
        assert_eq!(attributes.inverse_mass_matrices[chain], tuning.metric.variances());
    }
    let summary = draws.summary();
    assert!(summary.is_trustworthy(), "{summary}");
    // q[0] is the logarithm of an exponential variable: its mean is minus Euler's constant.
    let row = summary.row("q[0]").unwrap();
    assert!((row.mean + 0.577_215_664_901_532_9).abs() < 5.0 * row.mcse_mean.unwrap(), "{row:?}");

    // What goes on from a warm-up makes other draws than the run that made it.
    let whole = Nuts::default().sample(&target, run()).unwrap();
    assert_ne!(whole.posterior().values(), draws.posterior().values());
    // More chains than were warmed up start where one of these ended, and go other ways.
    let more = Nuts::default().sample(&target, run().chains(5).draws(5).reuse(warmup.clone())).unwrap();
    assert_ne!(more.element("q[0]").unwrap().row(0), more.element("q[0]").unwrap().row(4));

    let wrong = Nuts::default().sample(&Hand::target(2, skewed), run().reuse(warmup));
    assert!(matches!(wrong, Err(Error::Dimension { expected: 2, found: 3, .. })), "{wrong:?}");
    let empty: Warmup = serde_json::from_str(r#"{"chains": []}"#).unwrap();
    assert!(matches!(Nuts::default().sample(&target, run().reuse(empty)), Err(Error::Empty { what: "warm-up" })));
    let broken = text.replace("\"step_size\":", "\"step_size\":-");
    let broken: Warmup = serde_json::from_str(&broken).unwrap();
    assert!(matches!(
        Nuts::default().sample(&target, run().reuse(broken)),
        Err(Error::InvalidSetting { setting: "step_size", .. })
    ));
}

/// Every evaluation of the density is accounted for.
#[test]
fn evaluations_are_counted() {
    fn counted(sampler: impl Sampler) {
        let target = Hand::target(3, skewed);
        let draws = sampler.sample(&target, Run::new(6).chains(2).warmup(200).draws(50)).unwrap();
        assert_eq!(target.0.take_calls() as u64, draws.gradient_evaluations(), "{}", sampler.name());
    }
    counted(Nuts::default());
    counted(Hmc::default());
    counted(Mala::default());
    counted(RandomWalk::default());
}
