//! Measures against closed forms and brute force.

use ndarray::{Array2, array};
use posterity::error::Error;
use posterity::math::ln_factorial;
use posterity::reasoning::{
    Reliability, best_of_k, majority_at_k, mcnemar_p_value, paired_bootstrap_interval, paired_t_interval, pass_at_k,
    wilson_interval,
};
use posterity::rng::Stream;

fn binomial(n: usize, c: usize, p: f64) -> f64 {
    multinomial(&[c, n - c], &[p, 1.0 - p])
}

fn multinomial(counts: &[usize], p: &[f64]) -> f64 {
    let n: usize = counts.iter().sum();
    let log: f64 = counts.iter().zip(p).map(|(&c, p)| c as f64 * p.ln() - ln_factorial(c as u64)).sum();
    (ln_factorial(n as u64) + log).exp()
}

#[test]
fn pass_at_k_is_unbiased_and_the_plug_in_is_not() {
    for (n, k, p) in [(10, 4, 0.3), (10, 1, 0.3), (10, 10, 0.3), (20, 7, 0.05), (16, 8, 0.9)] {
        let mean: f64 = (0..=n).map(|c| binomial(n, c, p) * pass_at_k(n, c, k).unwrap()).sum();
        let truth = 1.0 - (1.0 - p).powi(k as i32);
        assert!((mean - truth).abs() < 1e-12, "{n} {k} {p}: {mean} {truth}");
    }
    let plug_in: f64 = (0..=10).map(|c| binomial(10, c, 0.3) * (1.0 - (1.0 - c as f64 / 10.0).powi(4))).sum();
    assert!((plug_in - 0.69924).abs() < 5e-6, "{plug_in}");
    assert!((1.0 - 0.7_f64.powi(4) - 0.7599).abs() < 1e-12);
}

/// All subsets of k texts, each text given by its answer; 0 is right, `None` has no vote.
fn by_subsets(answers: &[Option<usize>], k: usize) -> f64 {
    let (mut total, mut n_subsets) = (0.0, 0.0);
    for mask in 0..1_u32 << answers.len() {
        if mask.count_ones() as usize != k {
            continue;
        }
        let mut counts = [0; 4];
        for (i, answer) in answers.iter().enumerate() {
            if let (Some(answer), true) = (answer, mask >> i & 1 == 1) {
                counts[*answer] += 1;
            }
        }
        let most = counts.iter().max().copied().unwrap_or(0);
        let tied = counts.iter().filter(|count| **count == most).count();
        total += if most > 0 && counts[0] == most { 1.0 / tied as f64 } else { 0.0 };
        n_subsets += 1.0;
    }
    total / n_subsets
}

#[test]
fn majority_at_k_agrees_with_all_subsets() {
    for (right, wrong, none) in [(3, vec![2, 2, 1], 2), (4, vec![5], 0), (0, vec![3], 2), (2, vec![], 4), (1, vec![1, 1, 1], 0)] {
        let mut answers = vec![Some(0); right];
        for (i, &m) in wrong.iter().enumerate() {
            answers.extend(vec![Some(i + 1); m]);
        }
        answers.extend(vec![None; none]);
        for k in 1..=answers.len() {
            let (found, expected) = (majority_at_k(right, &wrong, none, k).unwrap(), by_subsets(&answers, k));
            assert!((found - expected).abs() < 1e-12, "{right} {wrong:?} {none} k={k}: {found} {expected}");
        }
    }
}

#[test]
fn majority_and_best_of_k_are_unbiased() {
    let p = [0.35, 0.40, 0.25];
    let rewards = [0.9, 0.8, 0.1];
    let n = 12;
    let (mut majority, mut best) = (0.0, 0.0);
    for first in 0..=n {
        for second in 0..=n - first {
            let counts = [first, second, n - first - second];
            let weight = multinomial(&counts, &p);
            majority += weight * majority_at_k(counts[0], &counts[1..], 0, 4).unwrap();
            let all: Vec<usize> = (0..3).flat_map(|a| std::iter::repeat_n(a, counts[a])).collect();
            let scores: Vec<f64> = all.iter().map(|&a| rewards[a]).collect();
            let is_right: Vec<bool> = all.iter().map(|&a| a == 0).collect();
            best += weight * best_of_k(&scores, &is_right, 4).unwrap();
        }
    }
    // The closed forms for four independent texts.
    assert!((majority - 0.35525).abs() < 1e-12, "{majority}");
    assert!((best - 0.82149375).abs() < 1e-12, "{best}");
    // Ties are split evenly.
    assert!((best_of_k(&[0.5, 0.5, 0.1], &[true, false, true], 3).unwrap() - 0.5).abs() < 1e-15);
    // Many texts: no overflow, and certainty where there is no doubt.
    assert!((majority_at_k(900, &[50, 50], 0, 101).unwrap() - 1.0).abs() < 1e-9);
}

#[test]
fn intervals_have_their_textbook_values() {
    let first = array![[1.0, 3.0], [2.0, 2.0], [4.0, 2.0], [4.0, 4.0], [5.0, 5.0]];
    let zero = Array2::zeros((5, 1));
    // Differences 2, 2, 3, 4, 5: mean 3.2, standard deviation √1.7; t of 4 degrees of freedom is 2.7764451052.
    let interval = paired_t_interval(first.view(), zero.view(), 0.95).unwrap();
    let half = 2.776_445_105_2 * (1.7_f64 / 5.0).sqrt();
    assert!((interval.estimate - 3.2).abs() < 1e-14);
    assert!((interval.upper - 3.2 - half).abs() < 1e-8 && (3.2 - interval.lower - half).abs() < 1e-8);
    assert!(interval.is_above(1.0) && !interval.is_above(2.0));
    let none = wilson_interval(0, 20, 0.95).unwrap();
    // z²/(n + z²) = .1611.
    assert!(none.lower == 0.0 && (none.upper - 0.161_125).abs() < 1e-5, "{none:?}");
    assert_eq!(wilson_interval(20, 20, 0.95).unwrap().upper, 1.0);
    assert_eq!(mcnemar_p_value(0, 0), 1.0);
    assert!((mcnemar_p_value(0, 10) - 2.0 / 1024.0).abs() < 1e-15);
}

/// Coverage of intervals over simulated problems with a seed-to-seed noise; treating runs as independent covers less.
#[test]
fn problems_are_the_units_of_paired_intervals() {
    let (n, seeds, runs) = (60, 3, 1500);
    let (mut by_problem, mut by_run, mut by_bootstrap) = (0, 0, 0);
    let covers = |interval: posterity::reasoning::Interval| usize::from(interval.lower <= 0.1 && 0.1 <= interval.upper);
    for run in 0..runs {
        let mut stream = Stream::new(run);
        let mut a = Array2::zeros((n, seeds));
        for mut row in a.rows_mut() {
            let effect = 0.1 + 0.5 * stream.normal();
            row.mapv_inplace(|_: f64| effect + 0.2 * stream.normal());
        }
        let zero = Array2::zeros((n, seeds));
        by_problem += covers(paired_t_interval(a.view(), zero.view(), 0.9).unwrap());
        let flat = a.into_shape_with_order((n * seeds, 1)).unwrap();
        by_run += covers(paired_t_interval(flat.view(), Array2::zeros((n * seeds, 1)).view(), 0.9).unwrap());
        if run < 300 {
            let a = flat.into_shape_with_order((n, seeds)).unwrap();
            by_bootstrap += covers(paired_bootstrap_interval(a.view(), zero.view(), 0.9, 300, run).unwrap());
        }
    }
    let share = |count: usize, runs: u64| count as f64 / runs as f64;
    println!("{} {} {}", share(by_problem, runs), share(by_run, runs), share(by_bootstrap, 300));
    // Standard errors .008 and .017.
    assert!((share(by_problem, runs) - 0.9).abs() < 0.03);
    assert!((share(by_bootstrap, 300) - 0.89).abs() < 0.06);
    assert!(share(by_run, runs) < 0.8);
}

#[test]
fn an_honest_model_has_the_brier_score_of_its_variance() {
    let mut stream = Stream::new(2);
    let p: Vec<f64> = (0..50_000).map(|_| stream.uniform()).collect();
    let outcomes: Vec<bool> = p.iter().map(|&p| stream.uniform() < p).collect();
    let honest = Reliability::new(&p, &outcomes, 10).unwrap();
    // E[p (1 - p)] = 1/6; the calibration error of an honest model of this size is about .0045.
    assert!((honest.brier_score - 1.0 / 6.0).abs() < 0.005 && honest.expected_calibration_error < 0.01, "{honest:?}");
    let sure: Vec<f64> = p.iter().map(|&p| if p > 0.5 { 1.0 } else { 0.0 }).collect();
    let sure = Reliability::new(&sure, &outcomes, 10).unwrap();
    assert!((sure.expected_calibration_error - 0.25).abs() < 0.01 && sure.bins[9].n > 20_000 && sure.bins[4].n == 0);
}

#[test]
fn bad_input_is_refused() {
    let is_setting = |result: Result<f64, Error>| matches!(result, Err(Error::InvalidSetting { .. }));
    assert!(is_setting(pass_at_k(4, 5, 1)) && is_setting(pass_at_k(4, 2, 0)) && is_setting(pass_at_k(4, 2, 5)));
    assert!(is_setting(majority_at_k(1, &[1], 1, 4)) && is_setting(majority_at_k(0, &[], 0, 0)));
    assert!(is_setting(best_of_k(&[0.1], &[true], 2)));
    assert!(matches!(best_of_k(&[0.1], &[true, false], 1), Err(Error::Dimension { .. })));
    assert!(matches!(best_of_k(&[f64::NAN], &[true], 1), Err(Error::NotFinite { .. })));
    assert!(
        wilson_interval(1, 0, 0.9).is_err() && wilson_interval(3, 2, 0.9).is_err() && wilson_interval(1, 2, f64::NAN).is_err()
    );
    assert!(matches!(Reliability::new(&[1.1], &[true], 10), Err(Error::OutsideSupport { .. })));
    assert!(matches!(Reliability::new(&[f64::NAN], &[true], 10), Err(Error::OutsideSupport { .. })));
    assert!(matches!(Reliability::new(&[], &[], 10), Err(Error::Empty { .. })));
    assert!(matches!(Reliability::new(&[0.1], &[], 10), Err(Error::Dimension { .. })));
    let (two, three) = (Array2::<f64>::zeros((2, 1)), Array2::<f64>::zeros((3, 1)));
    assert!(matches!(paired_t_interval(two.view(), three.view(), 0.9), Err(Error::Dimension { .. })));
    let no_seeds = Array2::<f64>::zeros((2, 0));
    assert!(matches!(paired_t_interval(two.view(), no_seeds.view(), 0.9), Err(Error::NotFinite { .. })));
    assert!(paired_t_interval(two.slice(ndarray::s![..1, ..]), two.slice(ndarray::s![..1, ..]), 0.9).is_err());
    assert!(paired_bootstrap_interval(two.view(), two.view(), 0.9, 10, 1).is_err());
}
