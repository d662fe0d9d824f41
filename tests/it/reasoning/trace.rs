//! Runs written to a file and read back: the same bits; damaged files are refused with the line.

use std::fs;
use std::path::PathBuf;

use posterity::reasoning::{
    Decoded, Decoder, DecoderConfig, FileError, Finish, Models, Potential, Prefix, RunHeader, Severity, Step, Stopped, Trace,
};

use super::exact::markov;
use super::faults::{Generator, Rewards};

fn run(config: DecoderConfig, mut generator: Generator) -> Trace {
    let mut rewards = Rewards::sound(markov());
    let mut models = Models::new(&mut generator, &mut rewards);
    let (decoder, prompt) = (Decoder::new(config), Prefix::prompt("Q: ½\n\"\u{1F600}\"").extended(Step::new("G", Finish::Step)));
    Trace { run: decoder.header(&models, &prompt), decoded: decoder.decode(&mut models, &prompt).unwrap() }
}

fn traced() -> Trace {
    let generator = Generator::failing(markov(), Severity::Slot, &[2, 9]);
    run(DecoderConfig::new(8, 4).drop_failed(true).ess_threshold(0.8).potential(Potential::product()), generator)
}

struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("posterity-trace-{name}-{}.jsonl", std::process::id())))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// All of a run, in words that tell every bit apart.
fn words(decoded: &Decoded) -> String {
    let lineages: Vec<Vec<_>> = decoded.texts.iter().map(|text| text.prefix.lineage().map(Prefix::last_step).collect()).collect();
    format!("{decoded:?} {lineages:?}")
}

#[test]
fn a_run_survives_its_file() {
    let unfinished = {
        let (mut generator, mut rewards) = (Generator::sound(markov()), Rewards::sound(markov()));
        let models = Models::new(&mut generator, &mut rewards);
        let mut models = models.with_budget(posterity::reasoning::Budget::generations(10));
        let (decoder, prompt) = (Decoder::new(DecoderConfig::new(6, 1)), Prefix::prompt(""));
        let header = decoder.header(&models, &prompt).setting("note", vec![1, 2]);
        Trace { run: header, decoded: decoder.decode(&mut models, &prompt).unwrap() }
    };
    assert_eq!(unfinished.decoded.stopped, Stopped::Budget);
    let mut without_steps = run(DecoderConfig::new(3, 1), Generator::sound(markov()));
    without_steps.decoded.steps.clear();
    without_steps.decoded.evidence = None;
    for (i, trace) in [traced(), unfinished, without_steps].iter().enumerate() {
        let file = TempFile::new(&format!("round-{i}"));
        trace.write(&file.0).unwrap();
        let read = Trace::read(&file.0).unwrap();
        assert_eq!(read.run, trace.run);
        assert_eq!(words(&read.decoded), words(&trace.decoded));
        // Written again it is the same file.
        let mut again = Vec::new();
        read.write_to(&mut again).unwrap();
        assert_eq!(again, fs::read(&file.0).unwrap());
    }
}

#[test]
fn the_file_is_what_its_documentation_says() {
    let trace = traced();
    assert!(trace.decoded.n_dropped == 2 && trace.decoded.steps[0].scores.iter().any(|score| score.is_nan()));
    let mut text = Vec::new();
    trace.write_to(&mut text).unwrap();
    let lines: Vec<serde_json::Value> =
        String::from_utf8(text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["format"], &lines[0]["version"]), (&"posterity.trace".into(), &1.into()));
    assert_eq!(lines[0]["run"]["settings"]["n_particles"], 8);
    assert_eq!(lines[0]["run"]["target"], trace.decoded.target.as_str());
    let events = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    assert_eq!(
        lines.len(),
        1 + ["prompt", "text", "step", "failed", "result"].map(|event| events(event).len()).iter().sum::<usize>()
    );
    assert_eq!((events("prompt").len(), events("failed").len()), (1, 2));
    assert_eq!(events("step").len(), trace.decoded.steps.len());
    assert!(events("step")[0]["scores"].as_array().unwrap().contains(&"NaN".into()));
    assert_eq!(lines.last().unwrap()["event"], "result");
    // Texts of dead lineages are there as well.
    let last: Vec<_> = trace.decoded.texts.iter().flat_map(|text| text.prefix.lineage()).map(Prefix::key).collect();
    assert!(events("text").iter().any(|line| last.iter().all(|key| key.to_string() != line["key"].as_str().unwrap())));
}

#[test]
fn damaged_traces_are_refused_with_the_line() {
    let file = TempFile::new("damaged");
    let mut text = Vec::new();
    traced().write_to(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let refused = |content: &str| {
        fs::write(&file.0, content).unwrap();
        Trace::read(&file.0).unwrap_err()
    };
    let joined = |lines: &[&str]| lines.join("\n") + "\n";
    for n in 1..lines.len() {
        assert!(matches!(refused(&joined(&lines[..n])), FileError::Incomplete { .. }), "{n} lines");
    }
    assert!(matches!(refused(&text[..text.len() - 1]), FileError::Incomplete { .. }));
    for content in ["", "\n", "x", "{}\n", "{\"format\":\"posterity.journal\",\"version\":1,\"run\":{}}\n"] {
        assert!(matches!(refused(content), FileError::NotThisFormat { expected: "posterity.trace", .. }), "{content}");
    }
    assert!(matches!(refused(&text.replacen("\"version\":1", "\"version\":0", 1)), FileError::OtherVersion { found: 0, .. }));
    assert!(matches!(refused(&text.replacen("\"seed\":", "\"seeds\":", 1)), FileError::Line { line: 1, .. }));

    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at] = line;
        joined(&lines)
    };
    let first_step = lines.iter().position(|line| line.contains("\"event\":\"step\"")).unwrap();
    let second_step =
        first_step + 1 + lines[first_step + 1..].iter().position(|line| line.contains("\"event\":\"step\"")).unwrap();
    let contradiction = |content: String, expected_line: usize| match refused(&content) {
        FileError::Contradiction { line, what, .. } => {
            assert_eq!(line, expected_line);
            what
        }
        other => panic!("{other:?}"),
    };
    let known = "it names a text that does not stand before it";
    assert_eq!(contradiction(joined(&[&lines[..1], &lines[2..]].concat()), 2), known);
    assert_eq!(contradiction(joined(&[&lines[..first_step - 1], &lines[first_step..]].concat()), first_step), known);
    assert_eq!(
        contradiction(with(2, &lines[2].replacen("\"text\":\"", "\"text\":\"!", 1)), 3),
        "the key is not that of this text"
    );
    assert_eq!(contradiction(joined(&[&lines[..], &lines[1..2]].concat()), lines.len() + 1), "the result is not the last line");
    let far = lines[second_step].replacen("\"ancestors\":[", "\"ancestors\":[99", 1).replacen("990", "99", 1);
    assert_eq!(contradiction(with(second_step, &far), second_step + 1), "an ancestor is no slot of the step before");
    let more = lines[second_step].replacen("\"weights\":[", "\"weights\":[0.0,", 1);
    assert!(contradiction(with(second_step, &more), second_step + 1).contains("equally many"));
    for line in ["", "{}", "{\"event\":\"step\"}", "[1]", &lines[second_step].replacen("\"weights\":[", "\"weights\":[\"x\",", 1)]
    {
        assert!(matches!(refused(&with(second_step, line)), FileError::Line { line, .. } if line == second_step + 1), "{line}");
    }
    let missing = Trace::read(file.0.with_extension("missing")).unwrap_err();
    assert!(matches!(missing, FileError::Io { .. }));
}

#[test]
fn headers_of_any_method_can_be_made() {
    let (mut generator, mut rewards) = (Generator::sound(markov()), Rewards::sound(markov()));
    let models = Models::new(&mut generator, &mut rewards);
    let header = RunHeader::new("best of N", &models, &Prefix::prompt("?"), u64::MAX).setting("n", 4).target("p(x)");
    let text = serde_json::to_string(&header).unwrap();
    assert_eq!(serde_json::from_str::<RunHeader>(&text).unwrap(), header);
}
