//! Runs that end early go on from their journal: the same bits, the same costs, nothing paid for twice.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use posterity::reasoning::{
    Base, Budget, ContinuationRequest, Decoded, Decoder, DecoderConfig, FileError, Finish, Journal, Ledger, Models, Potential,
    Prefix, ReasoningError, RewardScale, RunHeader, Severity, Step,
};

use super::exact::markov;
use super::faults::{Generator, Rewards, failure};

/// A file that is removed at the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("posterity-journal-{name}-{}.jsonl", std::process::id()));
        let _ = fs::remove_file(&path);
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn decoder() -> Decoder {
    Decoder::new(
        DecoderConfig::new(16, 3).potential(Potential::product()).base(Base::Power(1.0)).n_candidates(2).drop_failed(true),
    )
}

fn prompt() -> Prefix {
    Prefix::prompt("2+2=").extended(Step::new("G", Finish::Step))
}

fn resume(path: &Path, generator: &mut Generator, rewards: &mut Rewards) -> Result<Decoded, ReasoningError> {
    let models = Models::new(generator, rewards);
    let mut journal = Journal::open(path, &decoder().header(&models, &prompt()))?;
    let decoded =
        decoder().decode(&mut models.with_journal(&mut journal).with_budget(Budget::generations(100_000)), &prompt())?;
    assert_eq!(journal.n_unused(), 0);
    Ok(decoded)
}

fn whole() -> Decoded {
    let (mut generator, mut rewards) = (Generator::sound(markov()), Rewards::sound(markov()));
    decoder().decode(&mut Models::new(&mut generator, &mut rewards), &prompt()).unwrap()
}

/// Everything but seconds and what was replayed.
fn costs(ledger: &Ledger) -> Ledger {
    Ledger { replayed: 0, generator_seconds: 0.0, reward_seconds: 0.0, seconds: 0.0, ..ledger.clone() }
}

fn assert_same(a: &Decoded, b: &Decoded) {
    let texts = |decoded: &Decoded| -> Vec<_> {
        let of = |scores: &[f64]| scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
        let text = |text: &posterity::reasoning::WeightedText| {
            (text.prefix.key(), text.weight.to_bits(), text.log_psi.to_bits(), of(&text.scores))
        };
        decoded.texts.iter().map(text).collect()
    };
    assert_eq!(texts(a), texts(b));
    let bits = |decoded: &Decoded| decoded.evidence.map(|z| (z.log.to_bits(), z.standard_error.map(f64::to_bits)));
    assert_eq!((bits(a), a.stopped, a.n_dropped), (bits(b), b.stopped, b.n_dropped));
    // By their words: the score of a text without steps is NaN.
    assert_eq!(format!("{:?}", a.steps), format!("{:?}", b.steps));
    assert_eq!(costs(&a.ledger), costs(&b.ledger));
    let failed = |decoded: &Decoded| -> Vec<_> {
        decoded.failed.iter().map(|f| (f.step, f.slot, f.call, f.error.severity(), f.error.to_string())).collect()
    };
    assert_eq!(failed(a), failed(b));
}

/// The program ends in the middle of a batch of either model, wherever that is.
#[test]
fn a_run_that_ends_anywhere_goes_on_from_there() {
    let whole = whole();
    let (n_draws, n_rewards) = (whole.ledger.generations as usize, whole.ledger.reward_calls as usize);
    let mut n_left = Vec::new();
    for at in (0..n_draws).step_by(7) {
        for in_rewards in [false, true] {
            if in_rewards && at >= n_rewards {
                continue;
            }
            let file = TempFile::new(&format!("ends-{at}-{in_rewards}"));
            let mut generator = Generator::changed(markov(), move |n, _, x| {
                assert!(in_rewards || n < at, "planted");
                Ok(x)
            });
            let mut rewards = Rewards::changed(markov(), move |n, _, x| {
                assert!(!in_rewards || n < at, "planted");
                Ok(x)
            });
            let ended = catch_unwind(AssertUnwindSafe(|| resume(&file.0, &mut generator, &mut rewards)));
            assert!(ended.is_err(), "{at}");
            let n_kept = fs::read_to_string(&file.0).unwrap().lines().count() - 1;

            let (mut generator, mut rewards) = (Generator::sound(markov()), Rewards::sound(markov()));
            let resumed = resume(&file.0, &mut generator, &mut rewards).unwrap();
            assert_same(&whole, &resumed);
            assert_eq!(resumed.ledger.replayed as usize, n_kept);
            // Whole batches of the run that ended are kept; all that is kept is not asked for again.
            assert_eq!(generator.n_requests + rewards.n_requests + n_kept, n_draws + rewards_of(&whole));
            n_left.push(generator.n_requests);

            // Once it is finished, it costs nothing at all.
            let (mut generator, mut rewards) = (Generator::sound(markov()), Rewards::sound(markov()));
            assert_same(&whole, &resume(&file.0, &mut generator, &mut rewards).unwrap());
            assert_eq!((generator.n_requests, rewards.n_requests), (0, 0));
        }
    }
    assert!(n_left.iter().any(|&n| n < n_draws / 2) && n_left.contains(&n_draws), "{n_left:?}");
}

/// Requests for rewards: one for each new text, and one for the prompt's step, which they share.
fn rewards_of(decoded: &Decoded) -> usize {
    (decoded.ledger.generations - decoded.ledger.cached_rewards) as usize + 1
}

#[test]
fn failures_that_a_run_survived_fail_again_and_the_one_that_ended_it_is_tried_again() {
    let changes = |n: usize| match n {
        5 | 20 => Err(failure(Severity::Transient)),
        11 | 50 => Err(failure(Severity::Slot)),
        _ => Ok(()),
    };
    let faulty = move || Generator::changed(markov(), move |n, _, x| changes(n).map(|()| x));
    let faulty_rewards = || Rewards::changed(markov(), |n, _, x| if n == 9 { Err(failure(Severity::Slot)) } else { Ok(x) });
    let whole = decoder().decode(&mut Models::new(&mut faulty(), &mut faulty_rewards()), &prompt()).unwrap();
    assert!(whole.n_dropped >= 2 && whole.ledger.failed >= 4, "{} {}", whole.n_dropped, whole.ledger.failed);

    let file = TempFile::new("failures");
    // A fatal error later on ends the run.
    let n_fatal = whole.ledger.generations as usize - 1;
    let mut ending =
        Generator::changed(
            markov(),
            move |n, _, x| {
                if n == n_fatal { Err(failure(Severity::Fatal)) } else { changes(n).map(|()| x) }
            },
        );
    assert!(matches!(resume(&file.0, &mut ending, &mut faulty_rewards()), Err(ReasoningError::Call { .. })));
    let mut sound = Generator::sound(markov());
    assert_same(&whole, &resume(&file.0, &mut sound, &mut Rewards::sound(markov())).unwrap());
    assert!(sound.n_requests < 20, "{}", sound.n_requests);
    assert_same(&whole, &resume(&file.0, &mut Generator::sound(markov()), &mut Rewards::sound(markov())).unwrap());
}

/// A slot that failed in every attempt was dropped: it is again, in a resumed run too.
#[test]
fn slots_that_never_came_are_dropped_again() {
    let faulty = || {
        Generator::changed(markov(), |n, _, x| match n {
            3 | 32.. if n < 35 => Err(failure(Severity::Transient)),
            _ => Ok(x),
        })
    };
    let refused = || {
        Rewards::changed(markov(), |n, _, x| {
            Ok(if n == 5 { posterity::reasoning::StepScores { scores: vec![f64::NAN], ..x } } else { x })
        })
    };
    let decoder = Decoder::new(DecoderConfig::new(32, 4).max_attempts(2).drop_failed(true));
    let run = |file: &TempFile, generator: &mut Generator, rewards: &mut Rewards| {
        let models = Models::new(generator, rewards);
        let mut journal = Journal::open(&file.0, &decoder.header(&models, &Prefix::prompt(""))).unwrap();
        decoder.decode(&mut models.with_journal(&mut journal), &Prefix::prompt(""))
    };
    let file = TempFile::new("dropped");
    let whole = run(&file, &mut faulty(), &mut refused()).unwrap();
    // Once for its generation, in both attempts, and once for a score that is none.
    assert!(whole.n_dropped >= 2 && whole.failed.len() > whole.n_dropped, "{} {}", whole.n_dropped, whole.failed.len());
    let (mut generator, mut rewards) = (Generator::sound(markov()), Rewards::sound(markov()));
    let resumed = run(&file, &mut generator, &mut rewards).unwrap();
    assert_same(&whole, &resumed);
    assert_eq!((generator.n_requests, rewards.n_requests), (0, 0));
}

#[test]
fn infinite_numbers_survive_the_file() {
    let file = TempFile::new("infinite");
    let run = || {
        let (mut generator, mut rewards) =
            (Generator::sound(markov()), Rewards::constant(RewardScale::LogProbability, f64::NEG_INFINITY));
        let models = Models::new(&mut generator, &mut rewards);
        let mut journal = Journal::open(&file.0, &RunHeader::new("test", &models, &prompt(), 1)).unwrap();
        let mut models = models.with_journal(&mut journal);
        let scored = models.score(&[&prompt()]).unwrap()[0].as_ref().unwrap()[0];
        // A step that the table cannot write, asked for twice.
        let stranger = Step::new("x", Finish::Step);
        let request = ContinuationRequest { prefix: &prompt(), steps: &[&stranger] };
        let scores: Vec<_> = models.score_steps(&[request, request]).unwrap().into_iter().map(Result::unwrap).collect();
        let ledger = models.ledger();
        ((scored, scores), (costs(&ledger), ledger.replayed))
    };
    let ((scored, scores), (first_costs, replayed)) = run();
    assert_eq!((scored, scores[1].log_sampling[0], replayed), (f64::NEG_INFINITY, f64::NEG_INFINITY, 0));
    assert_eq!(run(), ((scored, scores), (first_costs, 3)));
}

/// Names the file of the child process.
const CHILD: &str = "POSTERITY_TEST_JOURNAL_FILE";

#[test]
#[ignore = "a child process, started and killed by `a_killed_run_goes_on_from_its_journal`"]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let mut generator = Generator::changed(markov(), |_, _, x| {
        std::thread::sleep(Duration::from_millis(3));
        Ok(x)
    });
    let mut rewards = Rewards::changed(markov(), |_, _, x| {
        std::thread::sleep(Duration::from_millis(3));
        Ok(x)
    });
    resume(Path::new(&path), &mut generator, &mut rewards).unwrap();
}

#[test]
fn a_killed_run_goes_on_from_its_journal() {
    let whole = whole();
    let file = TempFile::new("killed");
    let mut n_kept = 0;
    // Killed twice: early, and after it has gone on from there.
    for n_more in [3, 40] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "reasoning::journal::child", "--ignored"])
            .env(CHILD, &file.0)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        let n_lines = || fs::read_to_string(&file.0).map_or(0, |text| text.lines().count());
        while n_lines() < n_kept + n_more {
            assert!(began.elapsed() < Duration::from_secs(60), "the child writes nothing");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "the child ended before it was killed");
        assert!(n_lines() > n_kept);
        n_kept = n_lines();
    }
    let (mut generator, mut rewards) = (Generator::sound(markov()), Rewards::sound(markov()));
    assert_same(&whole, &resume(&file.0, &mut generator, &mut rewards).unwrap());
    let n_all = whole.ledger.generations as usize + rewards_of(&whole);
    let n_paid = generator.n_requests + rewards.n_requests;
    assert!(n_paid < n_all && n_paid + n_kept > n_all, "{n_paid} of {n_all} requests after the kill, {n_kept} lines");
}

fn open(path: &Path, change: impl FnOnce(RunHeader) -> RunHeader) -> Result<Journal, FileError> {
    let (mut generator, mut rewards) = (Generator::sound(markov()), Rewards::sound(markov()));
    let models = Models::new(&mut generator, &mut rewards);
    Journal::open(path, &change(decoder().header(&models, &prompt())))
}

#[test]
fn journals_of_other_runs_are_refused_by_the_field_that_differs_and_kept() {
    let file = TempFile::new("other");
    resume(&file.0, &mut Generator::sound(markov()), &mut Rewards::sound(markov())).unwrap();
    let content = fs::read(&file.0).unwrap();
    let refused = |change: fn(RunHeader) -> RunHeader| match open(&file.0, change) {
        Err(FileError::OtherRun { path, field, found, expected }) => {
            assert_eq!(path, file.0);
            assert_ne!(found, expected);
            field
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(|header| RunHeader { seed: 4, ..header }), "seed");
    assert_eq!(refused(|header| RunHeader { method: "greedy".into(), ..header }), "method");
    assert_eq!(refused(|header| header.target("p(x)")), "target");
    assert_eq!(refused(|header| header.setting("n_particles", 8)), "settings.n_particles");
    assert_eq!(refused(|header| header.setting("new", 8)), "settings.new");
    assert_eq!(refused(|header| RunHeader { settings: Default::default(), ..header }), "settings.clip");
    assert_eq!(refused(|header| RunHeader { prompt: "3+3=".into(), ..header }), "prompt");
    assert_eq!(refused(|header| RunHeader { prompt_key: Prefix::prompt("").key(), ..header }), "prompt_key");
    assert_eq!(refused(|header| RunHeader { reward_model: "another".into(), ..header }), "reward_model");
    assert_eq!(refused(|header| RunHeader { reward_scale: RewardScale::Logit, ..header }), "reward_scale");
    let hot = |mut header: RunHeader| {
        header.prior.temperature = 0.8;
        header
    };
    assert_eq!(refused(hot), "prior.temperature");
    let message = open(&file.0, hot).unwrap_err().to_string();
    assert!(message.ends_with("another run: prior.temperature is 1.0 there and 0.8 here"), "{message}");
    assert_eq!(fs::read(&file.0).unwrap(), content, "a refused file stays as it was");

    let held = open(&file.0, |header| header).unwrap();
    assert!(matches!(open(&file.0, |header| header), Err(FileError::Locked { .. })));
    held.sync().unwrap();
    assert_eq!(held.path(), file.0);
    drop(held);
    open(&file.0, |header| header).unwrap();
}

#[test]
fn a_cut_last_line_is_dropped_and_any_other_damage_names_its_line() {
    let file = TempFile::new("damaged");
    let whole = resume(&file.0, &mut Generator::sound(markov()), &mut Rewards::sound(markov())).unwrap();
    let text = fs::read_to_string(&file.0).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let header = lines[0].len() + 1;

    // Cut anywhere: in the header, in a line, between lines.
    for length in [0, 1, header / 2, header - 1, header, header + 1, text.len() / 2, text.len() - 1] {
        fs::write(&file.0, &text[..length]).unwrap();
        let mut generator = Generator::sound(markov());
        assert_same(&whole, &resume(&file.0, &mut generator, &mut Rewards::sound(markov())).unwrap());
        assert_eq!(generator.n_requests == 0, length == text.len() - 1, "{length}");
        let mended = fs::read_to_string(&file.0).unwrap();
        assert_eq!(mended.lines().next(), Some(lines[0]));
        assert_eq!(mended.lines().count(), lines.len());
    }

    let refused = |content: &[u8]| {
        fs::write(&file.0, content).unwrap();
        let error = open(&file.0, |header| header).unwrap_err();
        assert_eq!(fs::read(&file.0).unwrap(), content, "a refused file stays as it was");
        error
    };
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at] = line;
        lines.join("\n") + "\n"
    };
    for line in
        ["", "{", "{}", "null", "{\"event\": \"dance\"}", &lines[4][..lines[4].len() - 1], &lines[4].replace("prefix", "suffix")]
    {
        let error = refused(with(4, line).as_bytes());
        assert!(matches!(error, FileError::Line { line: 5, .. }), "{error:?}");
        assert!(error.to_string().contains(", line 5: "), "{error}");
    }
    let mut not_text = text.clone().into_bytes();
    not_text[header + 3] = 0xff;
    assert!(matches!(refused(&not_text), FileError::Line { line: 2, .. }));

    // What is no journal is not touched, whole lines or not.
    for content in ["hello", "hello\n", "{\"format\":\"posterity.trace\",\"version\":1,\"run\":{}}\n"] {
        assert!(matches!(refused(content.as_bytes()), FileError::NotThisFormat { expected: "posterity.journal", .. }));
    }
    let newer = text.replacen("\"version\":1", "\"version\":2", 1);
    assert!(matches!(refused(newer.as_bytes()), FileError::OtherVersion { found: 2, expected: 1, .. }));
}

#[test]
fn a_file_that_cannot_be_written_is_an_io_error() {
    let folder = std::env::temp_dir();
    let error = open(&folder, |header| header).unwrap_err();
    assert!(matches!(&error, FileError::Io { path, .. } if *path == folder), "{error:?}");
    let below = folder.join("posterity-no-such-folder").join("journal.jsonl");
    assert!(matches!(
        ReasoningError::from(open(&below, |header| header).unwrap_err()),
        ReasoningError::File(FileError::Io { .. })
    ));
}
