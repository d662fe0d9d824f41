//! The Countdown task: lines, truth, what can be reached, and exact values.

use posterity::reasoning::countdown::{
    ExactValue, LineError, Operation, Problem, ProblemError, Solver, Split, Wrong, answer, claimed_numbers, is_answer,
    legal_lines, read_line, reward_text,
};
use posterity::reasoning::llama::LlamaGenerator;
use posterity::reasoning::{
    CallError, ContinuationRequest, ContinuationScore, Extension, Finish, Prefix, RewardModel, SamplingPrior, ScoreRequest,
    Severity, Step, StepGenerator, StepRequest,
};

use super::llama::{generator, model, tokenizer};

/// All final numbers, by trying every pair in every order on plain lists.
fn brute_force(left: &[i32], reached: &mut [bool; 100]) {
    if let [last] = left {
        reached[*last as usize] = true;
        return;
    }
    for (i, &a) in left.iter().enumerate() {
        for (j, &b) in left.iter().enumerate() {
            if i == j {
                continue;
            }
            let mut results = vec![a + b, a - b];
            if a >= b && b > 1 {
                results.push(a * b);
                if a % b == 0 {
                    results.push(a / b);
                }
            }
            for result in results.into_iter().filter(|r| (1..100).contains(r)) {
                let mut rest: Vec<i32> = left.iter().enumerate().filter(|(k, _)| *k != i && *k != j).map(|(_, x)| *x).collect();
                rest.push(result);
                brute_force(&rest, reached);
            }
        }
    }
}

#[test]
fn the_solver_reaches_what_brute_force_reaches() {
    let mut solver = Solver::new();
    for index in 0..6 {
        for n in [2, 3, 4] {
            let problem = Problem::random(Split::Train, n, index).unwrap();
            let mut reached = [false; 100];
            brute_force(&problem.numbers().iter().map(|&x| x.into()).collect::<Vec<_>>(), &mut reached);
            let found = solver.reachable(problem.numbers()).unwrap();
            for t in 0..100 {
                assert_eq!(found >> t & 1 == 1, reached[t], "{t} from {:?}", problem.numbers());
            }
            assert!(reached[usize::from(problem.target())]);
        }
    }
    // Equal numbers, one number, and what is no state.
    assert_eq!(solver.reachable(&[2, 2]).unwrap(), 1 << 4 | 1 << 1);
    assert_eq!(solver.reachable(&[7]).unwrap(), 1 << 7);
    assert_eq!(solver.reachable(&[]), Err(ProblemError::Size { found: 0 }));
    assert_eq!(solver.reachable(&[1; 9]), Err(ProblemError::Size { found: 9 }));
    assert_eq!(solver.reachable(&[0, 3]), Err(ProblemError::Number { number: 0 }));
    assert!(!solver.is_solvable(200, &[7]).unwrap());
}

#[test]
fn solutions_are_all_right_texts_that_end_at_the_target() {
    let mut solver = Solver::new();
    for index in 0..5 {
        let problem = Problem::random(Split::Validation, 4, index).unwrap();
        let solutions = solver.solutions(problem.target(), problem.numbers()).unwrap();
        assert!(!solutions.is_empty());
        let mut texts: Vec<String> =
            solutions.iter().map(|lines| lines.iter().map(|line| line.text.as_str()).collect()).collect();
        texts.iter().for_each(|text| assert_eq!(problem.check(text), Ok(())));
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), solutions.len());
        // Counted without the solver: all texts, checked one by one.
        let mut right = 0;
        for first in legal_lines(problem.numbers()) {
            for second in legal_lines(&first.left) {
                for third in legal_lines(&second.left) {
                    right += usize::from(problem.check(&format!("{}{}{}", first.text, second.text, third.text)).is_ok());
                }
            }
        }
        assert_eq!(right, solutions.len());
    }
}

#[test]
fn legal_lines_follow_the_format() {
    let lines = legal_lines(&[9, 26, 8]);
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        texts,
        ["26+09=35,08\n", "26-09=17,08\n", "09+08=17,26\n", "09-08=01,26\n", "09*08=72,26\n", "26+08=34,09\n", "26-08=18,09\n"]
    );
    lines.iter().for_each(|line| assert_eq!(read_line(&line.text, &[9, 26, 8]), Ok(line.left.clone())));
    // Equal numbers give each text once.
    let equal = legal_lines(&[5, 5, 5]);
    assert_eq!(
        equal.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(),
        ["05+05=10,05\n", "05*05=25,05\n", "05/05=01,05\n"]
    );
}

#[test]
fn wrong_lines_are_told_apart() {
    let left = [9, 26, 8, 8];
    let wrong = |line: &str| read_line(line, &left).unwrap_err();
    for line in [
        "",
        "26-09=17,08,08",
        "26-9=17,08,08\n",
        "26-09=17,8,08\n",
        "26-09=17,08,00\n",
        "26-09=\n",
        "26?09=17,08,08\n",
        "é-09=17,08,08\n",
    ] {
        assert_eq!(wrong(line), LineError::Form, "{line:?}");
        assert_eq!(claimed_numbers(line), None);
    }
    assert_eq!(wrong("25-09=16,08,08\n"), LineError::Operand { number: 25 });
    assert_eq!(wrong("26-26=01,08,08\n"), LineError::Operand { number: 26 });
    assert_eq!(wrong("09-26=17,08,08\n"), LineError::NotAllowed { a: 9, operation: Operation::Subtract, b: 26 });
    assert_eq!(wrong("08-08=01,26,09\n"), LineError::NotAllowed { a: 8, operation: Operation::Subtract, b: 8 });
    assert_eq!(wrong("26/08=03,08,09\n"), LineError::NotAllowed { a: 26, operation: Operation::Divide, b: 8 });
    assert_eq!(wrong("26*09=99,08,08\n"), LineError::NotAllowed { a: 26, operation: Operation::Multiply, b: 9 });
    assert_eq!(wrong("26-09=18,08,08\n"), LineError::Result { stated: 18, right: 17 });
    assert_eq!(wrong("26-09=17,08\n"), LineError::Rest);
    assert_eq!(wrong("26-09=17,08,09\n"), LineError::Rest);
    assert_eq!(read_line("26-08=18,08,09\n", &left), Ok(vec![18, 8, 9]));
    assert_eq!(claimed_numbers("99-99=99,01\n"), Some(vec![99, 1]));
}

#[test]
fn solutions_are_checked_line_by_line() {
    let problem = Problem::new(25, vec![26, 9, 8]).unwrap();
    assert_eq!(problem.check("26-09=17,08\n17+08=25\n"), Ok(()));
    assert_eq!(problem.check("26-09=17,08\n"), Err(Wrong::Unfinished { n_left: 2 }));
    assert_eq!(problem.check(""), Err(Wrong::Unfinished { n_left: 3 }));
    assert_eq!(problem.check("26-09=17,08\n17-08=09\n"), Err(Wrong::Target { found: 9, target: 25 }));
    // The target by a wrong line is no solution.
    let error = LineError::Result { stated: 25, right: 9 };
    assert_eq!(problem.check("26-09=17,08\n17-08=25\n"), Err(Wrong::Line { line: 1, error }));
    assert_eq!(
        problem.check("26-09=17,08\n17+08=25\n25+25=50\n"),
        Err(Wrong::Line { line: 2, error: LineError::Operand { number: 25 } })
    );
    assert_eq!((answer("26-09=17,08\n17-08=25\n"), answer("26-09=17,08\n"), answer("")), (Some(25), None, None));
    assert!(is_answer("17+08=25\n") && !is_answer("26-09=17,08\n"));
}

#[test]
fn problems_are_numbered_and_read_back() {
    for split in [Split::Train, Split::Validation, Split::Test] {
        for n in [4, 5, 6] {
            let problem = Problem::random(split, n, 7).unwrap();
            assert_eq!(problem, Problem::random(split, n, 7).unwrap());
            assert_ne!(problem, Problem::random(split, n, 8).unwrap());
            assert_eq!(Problem::from_text(&problem.text()), Ok(problem.clone()));
            let mut numbers = problem.numbers().to_vec();
            numbers.sort_unstable();
            numbers.dedup();
            assert!(
                numbers.len() == n && problem.n_lines() == n - 1 && numbers[n - 1] <= 30 && (10..=99).contains(&problem.target())
            );
        }
    }
    assert_ne!(Problem::random(Split::Validation, 5, 0), Problem::random(Split::Test, 5, 0));
    assert_eq!(Problem::random(Split::Test, 1, 0), Err(ProblemError::Size { found: 1 }));
    assert_eq!(Problem::new(0, vec![1, 2]), Err(ProblemError::Number { number: 0 }));
    assert_eq!(Problem::new(10, vec![1, 100]), Err(ProblemError::Number { number: 100 }));
    for text in ["", "25:", "25:26,9\n", "25:26,09", "2:26,09\n", "25;26,09\n", "25:26,00\n"] {
        assert_eq!(Problem::from_text(text), Err(ProblemError::Form), "{text:?}");
    }
}

fn after(problem: &str, lines: &[&str]) -> Prefix {
    let steps = lines.iter().map(|&line| Step::new(line, if is_answer(line) { Finish::Answer } else { Finish::Step }));
    Prefix::prompt(problem).extended_by(&steps.collect::<Vec<_>>())
}

#[test]
fn reward_texts_sort_the_claimed_numbers() {
    let prompt = "25:08,26,09,11\n";
    assert_eq!(reward_text(&after(prompt, &[])).unwrap(), "25:26,11,09,08\n");
    // Wrong arithmetic does not matter.
    assert_eq!(reward_text(&after(prompt, &["26-09=18,08,11\n"])).unwrap(), "25:18,11,08\n");
    assert_eq!(reward_text(&after(prompt, &["26-09=17,08,11\n", "17+08=25,11\n", "25-11=14\n"])).unwrap(), "25:14\n");
    assert_eq!(reward_text(&after(prompt, &["26-09=17,08\n"])), None);
    assert_eq!(reward_text(&after(prompt, &["26-09=17,08,1\n"])), None);
    assert_eq!(reward_text(&after("no problem", &["26-09=17,08,11\n"])), None);
}

/// Writes each right line with a probability that depends on its place in the list, and wrong lines with probability 1/8.
struct Skewed;

fn skewed(left: &[u8]) -> Vec<(String, Vec<u8>, f64)> {
    let lines = legal_lines(left);
    let total: f64 = (1..=lines.len()).map(|i| i as f64).sum();
    lines.into_iter().enumerate().map(|(i, line)| (line.text, line.left, 0.875 * (i + 1) as f64 / total)).collect()
}

impl StepGenerator for Skewed {
    fn sampling_prior(&self) -> SamplingPrior {
        SamplingPrior::of_model("skewed")
    }

    fn extend(&mut self, requests: &[StepRequest<'_>]) -> Vec<Result<Extension, CallError>> {
        requests.iter().map(|_| Err(CallError::unsupported("drawing"))).collect()
    }

    fn can_score(&self) -> bool {
        true
    }

    fn score(&mut self, requests: &[ContinuationRequest<'_>]) -> Vec<Result<ContinuationScore, CallError>> {
        let score = |request: &ContinuationRequest<'_>| {
            let problem = Problem::from_text(request.prefix.prompt_text()).unwrap();
            let mut left = problem.left_after(&request.prefix.written()).unwrap();
            let log_probability = |step: &&Step| {
                let (_, next, p) = skewed(&left).into_iter().find(|(text, ..)| *text == step.text).unwrap();
                assert_eq!(step.finish, if next.len() == 1 { Finish::Answer } else { Finish::Step });
                left = next;
                p.ln()
            };
            let log_sampling: Vec<f64> = request.steps.iter().map(log_probability).collect();
            Ok(ContinuationScore { log_model: log_sampling.clone(), log_sampling, tokens: 1 })
        };
        requests.iter().map(score).collect()
    }
}

#[test]
fn exact_values_are_sums_over_all_texts() {
    fn value(left: &[u8], target: u8) -> f64 {
        match left {
            [last] => f64::from(u8::from(*last == target)),
            _ => skewed(left).into_iter().map(|(_, left, p)| p * value(&left, target)).sum(),
        }
    }
    let mut exact = ExactValue::new(Skewed).unwrap();
    for index in 0..3 {
        let problem = Problem::random(Split::Test, 4, index).unwrap();
        let line = &legal_lines(problem.numbers())[index as usize];
        let prefixes = [problem.prompt(), after(&problem.text(), &[&line.text])];
        let expected = [value(problem.numbers(), problem.target()), value(&line.left, problem.target())];
        assert!(expected[0] > 0.0);
        for (prefix, expected) in prefixes.iter().zip(expected) {
            assert!((exact.value(prefix).unwrap() - expected).abs() < 1e-12, "{expected}");
        }
    }
    // As a reward model, with texts that are finished and texts that are wrong.
    let prefix = after("25:26,09,08\n", &["26-09=17,08\n", "17+08=25\n"]);
    let wrong = after("25:26,09,08\n", &["26-09=16,08\n"]);
    let cut = Prefix::prompt("25:26,09,08\n").extended(Step::new("26-09=17,08\n", Finish::MaxSteps));
    let requests = [&prefix, &wrong, &cut].map(|prefix| ScoreRequest { prefix, n_last: 2 });
    let scores: Vec<Vec<f64>> = exact.score(&requests).into_iter().map(|reply| reply.unwrap().scores).collect();
    assert!((scores[0][0] - value(&[17, 8], 25)).abs() < 1e-12 && scores[0][1] == 1.0);
    assert_eq!((&scores[1][..], &scores[2][..]), (&[0.0][..], &[0.0][..]));
}

#[test]
fn a_generator_that_goes_on_after_an_answer_has_no_exact_value() {
    let made = || LlamaGenerator::new(model("policy"), tokenizer(), SamplingPrior::of_model("policy")).unwrap();
    let mut open = ExactValue::new(made()).unwrap();
    let problem = Problem::new(25, vec![26, 9, 8]).unwrap();
    let error = open.value(&problem.prompt()).unwrap_err();
    assert!(error.severity() == Severity::Fatal && error.to_string().contains("answer_when(is_answer)"), "{error}");
    // No solution, or none that the generator writes, is another thing.
    assert_eq!(open.value(&Problem::new(99, vec![1, 2]).unwrap().prompt()).unwrap(), 0.0);
    assert!(ExactValue::new(made().answer_when(is_answer)).unwrap().value(&problem.prompt()).unwrap() > 0.0);
}

#[test]
fn the_exact_value_of_the_policy_is_its_success_rate() {
    let mut policy = generator(SamplingPrior::of_model("policy"));
    // A first line after which success is neither rare nor sure.
    let mut exact = ExactValue::new(generator(SamplingPrior::of_model("policy"))).unwrap();
    let starts = (0..20).map(|index| {
        let problem = Problem::random(Split::Validation, 4, index).unwrap();
        let solutions = Solver::new().solutions(problem.target(), problem.numbers()).unwrap();
        let start = after(&problem.text(), &[&solutions[0][0].text]);
        (problem, start)
    });
    let (problem, start, value) = starts
        .map(|(problem, start)| (problem, start.clone(), exact.value(&start).unwrap()))
        .find(|(.., value)| (0.1..0.9).contains(value))
        .unwrap();
    let n = 600;
    let mut texts = vec![start.clone(); n];
    for round in 0..2 {
        let requests: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(i, prefix)| StepRequest { prefix, seed: (i + 10_000 * round) as u64, greedy: false, max_tokens: None })
            .collect();
        let replies = policy.extend(&requests);
        texts = texts.iter().zip(replies).map(|(text, reply)| text.extended(reply.unwrap().step)).collect();
    }
    let solved = texts.iter().filter(|text| problem.check(&text.written()).is_ok()).count();
    let rate = solved as f64 / n as f64;
    // Four standard errors.
    assert!((rate - value).abs() < 4.0 * (value * (1.0 - value) / n as f64).sqrt(), "{rate} {value}");
}
