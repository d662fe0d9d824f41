//! The small Llama: its forward pass against the framework that trained it, its cache, its generator and its reward model.

use posterity::reasoning::llama::{
    CharTokenizer, KvCache, Llama, LlamaConfig, LlamaError, LlamaGenerator, LlamaReward, Outputs, TokenBatch,
};
use posterity::reasoning::{
    CallError, ContinuationRequest, Extension, Finish, Prefix, RewardModel, SamplingPrior, ScoreRequest, Severity, Step,
    StepGenerator, StepRequest, countdown,
};
use serde_json::{Value, json};

pub(super) fn path(file: &str) -> String {
    format!("{}/examples/data/countdown/{file}", env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn model(name: &str) -> Llama {
    Llama::load(path(&format!("{name}.json")), path(&format!("{name}.safetensors"))).unwrap()
}

pub(super) fn tokenizer() -> CharTokenizer {
    CharTokenizer::load(path("vocab.json")).unwrap()
}

pub(super) fn generator(prior: SamplingPrior) -> LlamaGenerator {
    LlamaGenerator::new(model("policy"), tokenizer(), prior).unwrap().answer_when(countdown::is_answer).without_end()
}

fn prior() -> SamplingPrior {
    SamplingPrior::of_model("policy")
}

fn text_tokens(text: &str) -> Vec<u32> {
    [vec![tokenizer().bos().unwrap()], tokenizer().encode(text).unwrap()].concat()
}

/// Outputs after the tokens that follow in a row.
fn read(model: &Llama, cache: &mut KvCache, rows: &[(usize, &[u32])], outputs: Outputs) -> Vec<Vec<f32>> {
    let mut batch = TokenBatch::new();
    rows.iter().for_each(|(row, tokens)| batch.push(*row, tokens));
    model.forward(&batch, cache, outputs).unwrap().rows().into_iter().map(|row| row.to_vec()).collect()
}

fn read_alone(model: &Llama, tokens: &[u32], outputs: Outputs) -> Vec<Vec<f32>> {
    let mut cache = model.new_cache();
    let row = cache.push_row();
    read(model, &mut cache, &[(row, tokens)], outputs)
}

#[test]
fn outputs_equal_those_of_the_framework_that_trained_the_models() {
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path("check.json")).unwrap()).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for case in &cases {
        let name = case["model"].as_str().unwrap();
        seen.insert(name);
        let tokens = text_tokens(case["text"].as_str().unwrap());
        assert_eq!(json!(tokens), case["tokens"]);
        let found = &read_alone(&model(name), &tokens, Outputs::Last)[0];
        let expected = case["logits"].as_array().unwrap();
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((f64::from(*a) - b.as_f64().unwrap()).abs() < 1e-3, "{name}: {found:?} {expected:?}");
        }
    }
    assert_eq!(Vec::from_iter(seen), ["policy", "reward", "reward_weak"]);
}

#[test]
fn a_row_has_the_same_bits_in_any_batch_and_in_any_pieces() {
    let model = model("policy");
    let texts: [Vec<u32>; 4] =
        ["25:26,09,11,08,07\n26-09=17,11,08,07\n", "31:28,28\n", "9", "55:28,13,25,29,14\n28-13=15,25,29,14\n29-25=04,15,14\n"]
            .map(text_tokens);
    let alone: Vec<_> = texts.iter().map(|tokens| read_alone(&model, tokens, Outputs::All)).collect();
    // Ragged rows together, more tokens than pass through the layers at once.
    let mut cache = model.new_cache();
    let rows: Vec<(usize, &[u32])> = (0..12).map(|i| (cache.push_row(), &texts[i % 4][..])).collect();
    let mut together = read(&model, &mut cache, &rows, Outputs::All).into_iter();
    for (row, _) in &rows {
        assert_eq!(together.by_ref().take(alone[row % 4].len()).collect::<Vec<_>>(), alone[row % 4]);
        assert_eq!(cache.row_len(*row).unwrap(), texts[row % 4].len());
    }
    // One by one, and a prompt at once followed by single tokens; row 1 of the cache goes on beside it.
    for n_first in [1, 19] {
        let (mut cache, tokens) = (model.new_cache(), &texts[3]);
        let (row, other) = (cache.push_row(), cache.push_row());
        let mut last =
            read(&model, &mut cache, &[(row, &tokens[..n_first]), (other, &texts[0][..5])], Outputs::Last).swap_remove(0);
        for i in n_first..tokens.len() {
            assert_eq!(last, alone[3][i - 1]);
            last = read(&model, &mut cache, &[(other, &[3]), (row, &tokens[i..=i])], Outputs::Last).swap_remove(1);
        }
        assert_eq!(&last, alone[3].last().unwrap());
    }
}

#[test]
fn gathered_rows_go_on_as_their_ancestors_would() {
    let model = model("policy");
    let texts: [Vec<u32>; 3] = ["25:26,09,11,08,07\n26-0", "31:28\n", "99:"].map(text_tokens);
    let next = tokenizer().encode("9=17,").unwrap();
    for ancestors in [vec![0, 1, 2], vec![2, 0, 0], vec![1, 1, 1, 0, 2, 2], vec![2], vec![]] {
        let mut cache = model.new_cache();
        let rows: Vec<(usize, &[u32])> = texts.iter().map(|text| (cache.push_row(), &text[..])).collect();
        read(&model, &mut cache, &rows, Outputs::Last);
        cache.gather(&ancestors).unwrap();
        assert_eq!(cache.n_rows(), ancestors.len());
        // Siblings part: one of them reads another token first.
        for (row, &ancestor) in ancestors.iter().enumerate() {
            assert_eq!(cache.row_len(row).unwrap(), texts[ancestor].len());
            let mut tokens = next.clone();
            tokens[0] = 3 + row as u32;
            let found = read(&model, &mut cache, &[(row, &tokens)], Outputs::All);
            let whole = [texts[ancestor].clone(), tokens].concat();
            let expected = read_alone(&model, &whole, Outputs::All);
            assert_eq!(found, expected[texts[ancestor].len()..], "row {row} of {ancestors:?}");
        }
    }
    // A clone goes on by itself, and takes no memory that the other one has.
    let mut cache = model.new_cache();
    let row = cache.push_row();
    read(&model, &mut cache, &[(row, &texts[0])], Outputs::Last);
    cache.gather(&[0, 0]).unwrap();
    cache.truncate(1, 0).unwrap();
    let mut clone = cache.clone();
    for (cache, token) in [(&mut cache, 5), (&mut clone, 6)] {
        let found = read(&model, cache, &[(0, &[token]), (1, &texts[1])], Outputs::Last);
        assert_eq!(found[0], *read_alone(&model, &[&texts[0][..], &[token]].concat(), Outputs::All).last().unwrap());
        assert_eq!(found[1], read_alone(&model, &texts[1], Outputs::Last)[0]);
    }
    let mut cache = model.new_cache();
    cache.push_row();
    assert!(matches!(cache.gather(&[0, 1]), Err(LlamaError::Row { row: 1, n_rows: 1 })));
    assert_eq!(cache.n_rows(), 1);
}

#[test]
fn nothing_is_allocated_once_a_cache_is_warm() {
    let model = model("policy");
    let mut cache = model.new_cache();
    let mut batch = TokenBatch::new();
    let prompt = text_tokens("25:26,09,11,08,07\n");
    (0..8).for_each(|row| batch.push(row, &prompt[..]));
    (0..8).for_each(|_| assert!(cache.push_row() < 8));
    model.forward(&batch, &mut cache, Outputs::Last).unwrap();
    let mut cycle = |cache: &mut KvCache| {
        (0..8).for_each(|row| cache.truncate(row, prompt.len()).unwrap());
        cache.gather(&[0, 0, 0, 3, 4, 4, 6, 7]).unwrap();
        batch.clear();
        (0..8).for_each(|row| batch.push(row, &[5, 6, 7][..1 + row % 3]));
        model.forward(&batch, cache, Outputs::Last).unwrap();
    };
    (0..3).for_each(|_| cycle(&mut cache));
    // The matrix products pack their operands into memory of their own; it is all given back.
    let info = allocation_counter::measure(|| (0..5).for_each(|_| cycle(&mut cache)));
    assert!(info.bytes_current == 0 && info.count_total <= 5 * (4 * 3 + 1), "{info:?}");
}

#[test]
fn a_batch_that_does_not_fit_is_refused_and_changes_nothing() {
    let model = model("policy");
    let mut cache = model.new_cache();
    let row = cache.push_row();
    read(&model, &mut cache, &[(row, &[1, 3])], Outputs::Last);
    let limit = model.config().max_positions;
    let long = vec![3; limit - 1];
    let mut refused = |rows: &[(usize, &[u32])]| {
        let mut batch = TokenBatch::new();
        rows.iter().for_each(|(row, tokens)| batch.push(*row, tokens));
        let error = model.forward(&batch, &mut cache, Outputs::Last).unwrap_err();
        assert_eq!(cache.row_len(0).unwrap(), 2);
        error
    };
    assert!(matches!(refused(&[(0, &[4]), (1, &[3])]), LlamaError::Row { row: 1, n_rows: 1 }));
    assert!(matches!(refused(&[(0, &[4]), (0, &[24])]), LlamaError::UnknownToken { token: 24 }));
    assert!(matches!(refused(&[(0, &[4]), (0, &[])]), LlamaError::NoTokens { entry: 1 }));
    assert!(matches!(refused(&[(0, &long)]), LlamaError::ContextFull { needed, limit: l } if needed == limit + 1 && l == limit));
    let mut other = self::model("reward_weak").new_cache();
    other.push_row();
    let mut batch = TokenBatch::new();
    batch.push(0, &[1]);
    assert!(matches!(model.forward(&batch, &mut other, Outputs::Last), Err(LlamaError::Size { .. })));
}

#[test]
fn files_that_do_not_fit_give_typed_errors() {
    let config = || LlamaConfig::from_json(&std::fs::read_to_string(path("policy.json")).unwrap()).unwrap();
    let bytes = std::fs::read(path("policy.safetensors")).unwrap();
    for n in [0, 4, 100, bytes.len() - 1] {
        assert!(matches!(Llama::from_safetensors(config(), &bytes[..n]), Err(LlamaError::Undecodable { .. })), "{n}");
    }
    let wider = LlamaConfig { d_ff: 255, ..config() };
    assert!(
        matches!(Llama::from_safetensors(wider, &bytes), Err(LlamaError::Shape { tensor, .. }) if tensor.contains("mlp.gate_proj"))
    );
    let deeper = LlamaConfig { n_layers: config().n_layers + 1, ..config() };
    assert!(matches!(Llama::from_safetensors(deeper, &bytes), Err(LlamaError::MissingTensor { .. })));
    let one_output = LlamaConfig { output_size: Some(1), ..config() };
    assert!(
        matches!(Llama::from_safetensors(one_output, &bytes), Err(LlamaError::Shape { tensor, .. }) if tensor == "lm_head.weight")
    );
    for (change, field) in [
        (LlamaConfig { n_heads: 5, ..config() }, "n_heads"),
        (LlamaConfig { n_layers: 0, ..config() }, "n_layers"),
        (LlamaConfig { max_positions: usize::MAX, ..config() }, "max_positions"),
        (LlamaConfig { rope_theta: f64::NAN, ..config() }, "rope_theta"),
        (LlamaConfig { norm_epsilon: 0.0, ..config() }, "norm_epsilon"),
        (LlamaConfig { n_key_value_heads: Some(1), ..config() }, "n_key_value_heads"),
    ] {
        assert!(
            matches!(Llama::from_safetensors(change, &bytes), Err(LlamaError::Config { field: found, .. }) if found == field)
        );
    }
    // A weight that is no number: the file's last two bytes are one in half precision.
    let mut broken = bytes.clone();
    let n = broken.len();
    broken[n - 2..].copy_from_slice(&0x7e00_u16.to_le_bytes());
    assert!(matches!(Llama::from_safetensors(config(), &broken), Err(LlamaError::NotFinite { .. })));
    assert!(matches!(LlamaConfig::from_json("{"), Err(LlamaError::Undecodable { .. })));
    assert!(matches!(Llama::load(path("none.json"), path("none.safetensors")), Err(LlamaError::Io { .. })));
    assert!(matches!(CharTokenizer::from_json(r#"{"tokens": ["a", "b", "a"]}"#), Err(LlamaError::DuplicateToken { .. })));
    let error = tokenizer().encode("25:x").unwrap_err();
    assert!(matches!(error, LlamaError::UnknownCharacter { character: 'x', position: 3 }));
    assert!(matches!(tokenizer().decode(&[1]), Err(LlamaError::UnknownToken { token: 1 })));

    let small = || CharTokenizer::from_json(r#"{"tokens": ["<bos>", "\n"]}"#).unwrap();
    assert!(matches!(LlamaGenerator::new(model("policy"), small(), prior()), Err(LlamaError::Size { .. })));
    assert!(matches!(
        LlamaGenerator::new(model("reward"), tokenizer(), prior()),
        Err(LlamaError::Size { found: 24, expected: 1, .. })
    ));
    assert!(matches!(LlamaReward::new(model("policy"), tokenizer(), |_| None, 0.0), Err(LlamaError::Size { .. })));
    assert!(matches!(
        LlamaReward::new(model("reward"), tokenizer(), |_| None, f64::NAN),
        Err(LlamaError::Config { field: "floor", .. })
    ));
    for (change, field) in [
        (SamplingPrior { temperature: f64::NAN, ..prior() }, "temperature"),
        (SamplingPrior { top_p: 0.0, ..prior() }, "top_p"),
        (SamplingPrior { top_k: Some(0), ..prior() }, "top_k"),
        (SamplingPrior { min_p: 1.0, ..prior() }, "min_p"),
        (SamplingPrior { max_tokens_per_step: Some(0), ..prior() }, "max_tokens_per_step"),
    ] {
        let error = LlamaGenerator::new(model("policy"), tokenizer(), change).unwrap_err();
        assert!(matches!(error, LlamaError::Config { field: found, .. } if found == field));
    }
}

fn request(prefix: &Prefix, seed: u64) -> StepRequest<'_> {
    StepRequest { prefix, seed, greedy: false, max_tokens: None }
}

fn extend(generator: &mut LlamaGenerator, requests: &[StepRequest<'_>]) -> Vec<Extension> {
    generator.extend(requests).into_iter().map(Result::unwrap).collect()
}

const PROMPTS: [&str; 3] = ["25:26,09,11,08,07\n", "31:28,13,02,03\n", "55:28,13,25,29,14\n"];

#[test]
fn a_step_depends_on_its_prefix_and_seed_alone() {
    let prompts = PROMPTS.map(Prefix::prompt);
    let mut generator = self::generator(prior()).kept_calls(3);
    // Three steps of twelve texts, four of each prompt, in one generator that remembers.
    let mut texts: Vec<Prefix> = (0..12).map(|i| prompts[i % 3].clone()).collect();
    let mut all = Vec::new();
    for step in 0..3 {
        let requests: Vec<_> = texts.iter().enumerate().map(|(i, prefix)| request(prefix, (100 * step + i) as u64)).collect();
        let replies = extend(&mut generator, &requests);
        all.extend(
            texts
                .iter()
                .zip(&requests)
                .zip(&replies)
                .map(|((prefix, request), reply)| (prefix.clone(), request.seed, reply.step.clone())),
        );
        let read: u64 = replies.iter().map(|reply| reply.prompt_tokens).sum();
        assert_eq!(read, if step == 0 { 19 + 16 + 19 } else { 0 });
        texts = texts.iter().zip(&replies).map(|(prefix, reply)| prefix.extended(reply.step.clone())).collect();
    }
    assert!(all.iter().any(|(_, _, step)| step.text != all[0].2.text));
    // Each of them again, alone in a generator that knows nothing: the same to the bit.
    for (prefix, seed, step) in all.iter().step_by(5) {
        let mut fresh = self::generator(prior());
        let reply = extend(&mut fresh, &[request(prefix, *seed)]).swap_remove(0);
        assert_eq!(&reply.step, step);
        assert_eq!(reply.prompt_tokens as usize, 1 + prefix.text().len());
    }
    // And the first ones again in the same generator, after their rows went on.
    let requests: Vec<_> = all[..12].iter().map(|(prefix, seed, _)| request(prefix, *seed)).collect();
    let again = extend(&mut generator, &requests);
    assert!(again.iter().zip(&all).all(|(reply, (_, _, step))| reply.step == *step && reply.prompt_tokens == 0));
    let of_seeds: Vec<_> = (0..16).map(|seed| request(&prompts[0], seed)).collect();
    let texts: std::collections::BTreeSet<_> =
        extend(&mut generator, &of_seeds).into_iter().map(|reply| reply.step.text).collect();
    assert!(texts.len() > 2, "{texts:?}");
}

#[test]
fn memory_is_bounded_by_the_texts_of_the_last_calls() {
    let mut generator = self::generator(prior()).kept_calls(1);
    for i in 0..12 {
        let prompt = Prefix::prompt(format!("{}:28,13,02\n", 20 + i));
        extend(&mut generator, &[request(&prompt, 1), request(&prompt, 2)]);
        assert!(generator.n_rows() <= 4, "{}", generator.n_rows());
    }
    // A prefix that was forgotten is read again, and goes on the same.
    let prompt = Prefix::prompt("20:28,13,02\n");
    assert_eq!(extend(&mut generator, &[request(&prompt, 1)])[0].prompt_tokens, 13);
}

#[test]
fn steps_end_for_the_reasons_they_give() {
    let prompt = Prefix::prompt(PROMPTS[0]);
    let mut generator = self::generator(prior());
    let whole = extend(&mut generator, &[request(&prompt, 3)]).swap_remove(0).step;
    assert_eq!((whole.finish, whole.text.ends_with('\n'), whole.n_tokens as usize), (Finish::Step, true, whole.text.len()));
    for max_tokens in [0, 1, 7] {
        let cut =
            extend(&mut generator, &[StepRequest { max_tokens: Some(max_tokens), ..request(&prompt, 3) }]).swap_remove(0).step;
        assert_eq!((cut.finish, cut.n_tokens), (Finish::MaxTokens, max_tokens));
        assert!(whole.text.starts_with(&cut.text) && cut.text.len() == max_tokens as usize);
    }
    let mut limited = self::generator(SamplingPrior { max_tokens_per_step: Some(4), ..prior() });
    assert_eq!(extend(&mut limited, &[request(&prompt, 3)])[0].step.n_tokens, 4);
    // The last line is an answer; without that rule the model ends the text itself.
    let last = Prefix::prompt("25:26,09\n").extended(Step::new("", Finish::Step));
    let greedy = StepRequest { greedy: true, ..request(&last, 1) };
    let answer = extend(&mut generator, &[greedy]).swap_remove(0).step;
    assert_eq!((answer.finish, answer.log_sampling), (Finish::Answer, Some(0.0)));
    let mut ends = LlamaGenerator::new(model("policy"), tokenizer(), prior()).unwrap();
    let written = last.extended(Step { finish: Finish::Step, ..answer });
    let end = extend(&mut ends, &[StepRequest { greedy: true, ..request(&written, 1) }]).swap_remove(0).step;
    assert_eq!((end.finish, end.text.as_str(), end.n_tokens), (Finish::Eos, "", 1));
    // A context that fills up, and one that is full.
    let limit = model("policy").config().max_positions;
    let long = |n: usize| Prefix::prompt("1".repeat(n - 1));
    let mut fill = |n: usize| generator.extend(&[request(&long(n), 1)]).swap_remove(0);
    let step = fill(limit - 1).unwrap().step;
    assert!(step.n_tokens == 1);
    let step = fill(limit).unwrap().step;
    assert_eq!((step.finish, step.n_tokens, step.text.as_str()), (Finish::MaxTokens, 0, ""));
    assert_eq!(fill(limit + 1).unwrap_err().severity(), Severity::Slot);
    // A slot that fails leaves the others as they are.
    let (unknown, done) = (Prefix::prompt("x"), prompt.extended(Step::new("", Finish::Eos)));
    let replies = generator.extend(&[request(&unknown, 1), request(&prompt, 3), request(&done, 1)]);
    assert_eq!(replies[0].as_ref().unwrap_err().severity(), Severity::Slot);
    assert_eq!(replies[1].as_ref().unwrap().step, whole);
    assert_eq!(replies[2].as_ref().unwrap_err().severity(), Severity::Slot);
}

fn score(generator: &mut LlamaGenerator, prefix: &Prefix, steps: &[&Step]) -> (Vec<f64>, Vec<f64>) {
    let score = generator.score(&[ContinuationRequest { prefix, steps }]).swap_remove(0).unwrap();
    (score.log_sampling, score.log_model)
}

#[test]
fn scores_of_steps_are_the_log_probabilities_they_were_drawn_with() {
    for prior in [
        prior(),
        SamplingPrior { temperature: 0.7, top_p: 0.9, ..prior() },
        SamplingPrior { temperature: 1.5, top_k: Some(3), min_p: 0.05, ..prior() },
    ] {
        let mut generator = self::generator(prior.clone());
        let mut texts: Vec<Prefix> = (0..6).map(|i| Prefix::prompt(PROMPTS[i % 3])).collect();
        let starts = texts.clone();
        for round in 0..3 {
            let requests: Vec<_> = texts.iter().enumerate().map(|(i, prefix)| request(prefix, (i + 10 * round) as u64)).collect();
            let replies = extend(&mut generator, &requests);
            texts = texts.iter().zip(replies).map(|(text, reply)| text.extended(reply.step)).collect();
        }
        // All at once after their prompts, in a generator that knows them and in one that does not.
        for generator in [&mut generator, &mut self::generator(prior.clone())] {
            let steps: Vec<Vec<&Step>> = texts.iter().map(Prefix::steps).collect();
            let requests: Vec<_> =
                starts.iter().zip(&steps).map(|(prefix, steps)| ContinuationRequest { prefix, steps }).collect();
            for (reply, steps) in generator.score(&requests).into_iter().zip(&steps) {
                let reply = reply.unwrap();
                for (i, step) in steps.iter().enumerate() {
                    assert!((reply.log_sampling[i] - step.log_sampling.unwrap()).abs() < 1e-9, "{step:?} {reply:?}");
                    assert!((reply.log_model[i] - step.log_model.unwrap()).abs() < 1e-9);
                }
            }
        }
        if prior.is_model() {
            assert!(texts.iter().flat_map(Prefix::steps).all(|step| step.log_sampling == step.log_model));
        }
        // In two parts.
        let (first, last) = (texts[0].first_steps(1), texts[0].steps()[2]);
        let (in_parts, _) = score(&mut generator, first, &texts[0].steps()[1..]);
        assert!((in_parts[1] - last.log_sampling.unwrap()).abs() < 1e-9);
    }
}

#[test]
fn steps_that_the_generator_would_not_write_have_no_probability() {
    let mut generator = self::generator(prior());
    let prompt = Prefix::prompt(PROMPTS[0]);
    let line = "26-09=17,11,08,07\n";
    let mut log_probability = |text: &str, finish: Finish| score(&mut generator, &prompt, &[&Step::new(text, finish)]).0[0];
    let right = log_probability(line, Finish::Step);
    assert!(right > -20.0 && right < 0.0);
    let cut = log_probability(&line[..9], Finish::MaxTokens);
    assert!(cut > right);
    for (text, finish) in [
        (line, Finish::Answer),
        (line, Finish::MaxTokens),
        (line, Finish::Eos),
        (&line[..9], Finish::Step),
        ("26-09=17,11,08,07\n26-09", Finish::MaxTokens),
        ("26-09=xx\n", Finish::Step),
        ("26-09=17\n", Finish::Step),
        ("", Finish::Step),
    ] {
        assert_eq!(log_probability(text, finish), f64::NEG_INFINITY, "{text:?} {finish:?}");
    }
    assert_eq!(log_probability(line, Finish::MaxSteps), right);
    // Nothing follows what cannot be written.
    let (impossible, next) = (Step::new("x\n", Finish::Step), Step::new(line, Finish::Step));
    assert_eq!(score(&mut generator, &prompt, &[&impossible, &next]).0, [f64::NEG_INFINITY; 2]);
}

#[test]
fn first_tokens_of_many_draws_have_the_models_distribution() {
    let mut generator = self::generator(SamplingPrior { temperature: 0.8, ..prior() });
    let prompt = Prefix::prompt("31:28,13,02\n");
    let n = 2000;
    let requests: Vec<_> = (0..n).map(|seed| StepRequest { max_tokens: Some(1), ..request(&prompt, seed) }).collect();
    let mut counts = std::collections::BTreeMap::new();
    for reply in extend(&mut generator, &requests) {
        *counts.entry(reply.step.text).or_insert(0.0) += 1.0;
    }
    let mut total = 0.0;
    for (text, count) in counts {
        let p = score(&mut generator, &prompt, &[&Step::new(&text, Finish::MaxTokens)]).0[0].exp();
        total += p;
        // Five standard errors, and room for one count.
        let tolerance = 5.0 * (p * (1.0 - p) / n as f64).sqrt() + 1.0 / n as f64;
        assert!((count / n as f64 - p).abs() < tolerance, "{text}: {count} of {n}, {p}");
    }
    assert!(total > 0.99, "{total}");
}

#[test]
fn rewards_are_the_outputs_of_the_model_for_the_texts_of_prefixes() {
    let mut reward = LlamaReward::new(model("reward"), tokenizer(), countdown::reward_text, -12.0).unwrap();
    let prompt = Prefix::prompt("25:26,09,11,08\n");
    let with = |lines: &[&str]| prompt.extended_by(&lines.iter().map(|&line| Step::new(line, Finish::Step)).collect::<Vec<_>>());
    let prefixes = [
        with(&["26-09=17,11,08\n", "17+08=25,11\n"]),
        with(&["26-09=17,08,11\n"]),
        with(&["26-09=17,11\n"]),
        with(&["nonsense"]),
    ];
    let requests = prefixes.each_ref().map(|prefix| ScoreRequest { prefix, n_last: 2 });
    let replies: Vec<_> = reward.score(&requests).into_iter().map(Result::unwrap).collect();
    let expected = |text: &str| f64::from(read_alone(&model("reward"), &text_tokens(text), Outputs::Last)[0][0]);
    assert_eq!(replies[0].scores, [expected("25:17,11,08\n"), expected("25:25,11\n")]);
    assert_eq!((replies[0].calls, replies[0].tokens), (2, 13 + 10));
    // Read for the first request already.
    assert_eq!((&replies[1].scores[..], replies[1].calls, replies[1].tokens), (&replies[0].scores[..1], 0, 0));
    assert_eq!((replies[2].scores[0], replies[3].scores[0], replies[3].calls), (-12.0, -12.0, 0));
    let mut unknown = LlamaReward::new(model("reward"), tokenizer(), |_| Some("x".into()), -12.0).unwrap();
    let errors: Vec<CallError> = unknown.score(&requests[..1]).into_iter().filter_map(Result::err).collect();
    assert_eq!(errors[0].severity(), Severity::Slot);
}
