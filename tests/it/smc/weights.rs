//! The weight machine on its own: what is carried, what is staged, what an error leaves behind.

use posterity::parallel::Threads;
use posterity::rng::Stream;
use posterity::weights::{
    Pinned, Resample, ResampleError, Scheme, Scope, Selection, Status, WeightConfig, WeightError, WeightMachine,
};

const NONE: f64 = f64::NEG_INFINITY;

fn select(n: usize, resample: Resample) -> Selection<'static> {
    Selection { resample, n_resample: n, copies: 1, log_eta: None, pinned: None }
}

fn machine(config: WeightConfig, log_weights: &[f64]) -> WeightMachine {
    let mut machine = WeightMachine::new(config, 3).unwrap();
    machine.start(log_weights, &Threads::serial()).unwrap();
    machine
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{a}, expected {b}");
}

#[test]
fn weights_are_carried_until_they_are_resampled() {
    let threads = Threads::serial();
    let mut m = machine(WeightConfig::default(), &[0.0, 1.0, 2.0, NONE]);
    let mut sums = [0.0_f64, 1.0, 2.0, NONE];
    for step in 0..50 {
        assert!(!m.select(select(4, Resample::Never), &threads).unwrap().resampled);
        let increments = [-3.0, 0.5 * f64::from(step), -1.0, 7.0];
        m.commit(&increments, &threads).unwrap();
        for (sum, i) in sums.iter_mut().zip(increments) {
            *sum += i;
        }
        let total: f64 = posterity::math::log_sum_exp(&sums);
        close(m.log_evidence(), total - 4f64.ln());
        let w = sums.map(|s| (s - total).exp());
        close(m.ess(), 1.0 / w.iter().map(|w| w * w).sum::<f64>());
        for (found, expected) in m.weights().normalised().zip(w) {
            close(found, expected);
        }
    }
    let before = m.log_evidence();
    assert!(m.select(select(4, Resample::Always), &threads).unwrap().resampled);
    assert!(!m.ancestors().contains(&3));
    close(m.log_evidence(), before);
    m.commit(&[0.0; 4], &threads).unwrap();
    close(m.log_evidence(), before);
    close(m.ess(), 4.0);
}

#[test]
fn a_hundred_thousand_large_increments_lose_nothing() {
    let threads = Threads::serial();
    let mut m = machine(WeightConfig::default(), &[0.0, 0.5]);
    for _ in 0..100_000 {
        m.select(select(2, Resample::Never), &threads).unwrap();
        m.commit(&[-731.25, -731.25], &threads).unwrap();
    }
    assert!(m.log_weights().iter().all(|w| w.abs() < 200.0));
    let exact = -731.25e5 + (0.5 * (1.0 + 0.5_f64.exp())).ln();
    // The offset is a sum of exact multiples of 2^-2: only the last additions round.
    assert!((m.log_evidence() - exact).abs() < 1e-7);
    close(m.log_weights()[1] - m.log_weights()[0], 0.5);
}

#[test]
fn a_look_ahead_is_divided_out_again() {
    let threads = Threads::serial();
    let w = [0.3_f64, -0.4, 1.1];
    let eta = [0.9, -1.3, 0.2];
    let connection = [0.4, 0.1, -2.0];
    let references =
        [None, Some(Pinned { slot: 1, log_connection: None }), Some(Pinned { slot: 1, log_connection: Some(&connection) })];
    for pinned in references {
        let mut m = machine(WeightConfig::default(), &w);
        let selection = Selection { log_eta: Some(&eta), pinned, ..select(3, Resample::Always) };
        m.select(selection, &threads).unwrap();
        let ancestors = m.ancestors().to_vec();
        m.commit(&[0.0; 3], &threads).unwrap();
        // Evidence: mean(w e^eta) · mean(e^-eta of the ancestors).
        let ahead = w.iter().zip(eta).map(|(w, e)| (w + e).exp()).sum::<f64>() / 3.0;
        let back = ancestors.iter().map(|&a| (-eta[a as usize]).exp()).sum::<f64>() / 3.0;
        close(m.log_evidence(), (ahead * back).ln());
    }
}

#[test]
fn staged_changes_can_be_taken_back() {
    let threads = Threads::serial();
    let mut m = machine(WeightConfig::default(), &[0.0, 1.0, 2.0]);
    let before = (m.log_evidence(), m.ess(), m.log_weights().to_vec(), m.genealogy().clone());
    m.tilt(&[1.0, 0.0, -1.0], &threads).unwrap();
    close(m.tilted().log_weights[0], 1.0);
    close(m.tilted().ess, 3.0);
    m.select(select(3, Resample::Always), &threads).unwrap();
    m.rollback();
    assert_eq!(before, (m.log_evidence(), m.ess(), m.log_weights().to_vec(), m.genealogy().clone()));
    m.tilt(&[1.0, 0.0, -1.0], &threads).unwrap();
    m.commit_tilt();
    close(m.ess(), 3.0);
    close(m.log_evidence(), 1.0);
}

#[test]
fn errors_name_the_slot_and_change_nothing() {
    let threads = Threads::serial();
    for value in [f64::NAN, f64::INFINITY] {
        let mut m = machine(WeightConfig::default(), &[0.0, 1.0]);
        m.select(select(2, Resample::Auto), &threads).unwrap();
        let before = m.log_evidence();
        let error = m.commit(&[0.0, value], &threads).unwrap_err();
        match value.is_nan() {
            true => assert_eq!(error, WeightError::NotANumber { slot: 1 }),
            false => assert_eq!(error, WeightError::PositiveInfinity { slot: 1 }),
        }
        assert_eq!(m.tilt(&[0.0, value], &threads).unwrap_err(), error);
        assert_eq!(m.commit(&[NONE; 2], &threads).unwrap_err(), WeightError::Degenerate { log_evidence: before });
        let length = WeightError::Length { what: "increments", expected: 2, found: 3 };
        assert_eq!(m.commit(&[0.0; 3], &threads).unwrap_err(), length);
        assert_eq!(m.log_evidence(), before);
        m.commit(&[0.0, 0.0], &threads).unwrap();
        close(m.log_evidence(), before);
    }
    let mut m = WeightMachine::new(WeightConfig::default(), 1).unwrap();
    assert_eq!(m.start(&[], &threads), Err(WeightError::Size(0)));
    assert_eq!(m.start(&[NONE], &threads), Err(WeightError::Degenerate { log_evidence: 0.0 }));
    assert!(m.is_empty());
    let mut m = machine(WeightConfig { scheme: Scheme::Ssp, ..WeightConfig::default() }, &[0.0; 4]);
    let pinned = Pinned { slot: 0, log_connection: None };
    let selection = Selection { pinned: Some(pinned), ..select(4, Resample::Always) };
    let error = m.select(selection, &threads).unwrap_err();
    assert_eq!(error, WeightError::Resample(ResampleError::NoConditional { scheme: Scheme::Ssp }));
    assert_eq!(m.select(select(usize::MAX, Resample::Auto), &threads), Err(WeightError::Size(usize::MAX)));
    let two = Selection { n_resample: 2, copies: 2, ..selection };
    assert_eq!(m.select(two, &threads), Err(WeightError::PinnedCopies { copies: 2 }));
    let mut m = machine(WeightConfig::default(), &[0.0; 2]);
    assert_eq!(m.commit(&[0.0; 2], &threads), Err(WeightError::NotSelected));
    for eta in [[0.0, f64::NAN], [0.0, f64::INFINITY]] {
        let ahead = Selection { log_eta: Some(&eta), ..select(2, Resample::Auto) };
        assert!(matches!(
            m.select(ahead, &threads),
            Err(WeightError::NotANumber { slot: 1 } | WeightError::PositiveInfinity { slot: 1 })
        ));
    }
}

#[test]
fn a_reference_of_tiny_weight_is_kept() {
    let threads = Threads::serial();
    for scheme in Scheme::ALL.into_iter().filter(|scheme| scheme.has_conditional()) {
        let mut m = machine(WeightConfig { scheme, ..WeightConfig::default() }, &[0.0, -2000.0, 1.0]);
        let pinned = |slot| Some(Pinned { slot, log_connection: None });
        let selected = m.select(Selection { pinned: pinned(1), ..select(3, Resample::Always) }, &threads).unwrap();
        assert_eq!(m.ancestors()[selected.pinned.unwrap() as usize], 1);
        let mut m = machine(WeightConfig { scheme, ..WeightConfig::default() }, &[0.0, NONE, 1.0]);
        let error = m.select(Selection { pinned: pinned(1), ..select(3, Resample::Always) }, &threads).unwrap_err();
        assert_eq!(error, WeightError::Resample(ResampleError::Parent { parent: 1, n_parents: 3 }));
    }
}

#[test]
fn frozen_slots_take_no_increment_and_keep_their_place_in_the_live_scope() {
    let threads = Threads::serial();
    let config = WeightConfig { scope: Scope::Live, ..WeightConfig::default() };
    let mut m = machine(config, &[0.0, 1.0, 2.0, 3.0]);
    m.set_status(&[Status::Live, Status::Frozen, Status::Live, Status::Live]).unwrap();
    let before = m.log_evidence();
    m.select(select(4, Resample::Always), &threads).unwrap();
    assert_eq!(m.ancestors()[1], 1);
    assert_eq!(m.staged_status()[1], Status::Frozen);
    assert!([0, 2, 3].iter().all(|&i: &usize| m.ancestors()[i] != 1));
    let error = m.commit(&[0.0, -0.5, 0.0, 0.0], &threads).unwrap_err();
    assert_eq!(error, WeightError::FrozenReweighted { slot: 1, increment: -0.5 });
    m.commit(&[0.0; 4], &threads).unwrap();
    close(m.log_evidence(), before);
    close(m.log_weights()[1] - m.log_weights()[0], 1.0 - ((1.0 + 2f64.exp() + 3f64.exp()) / 3.0).ln());
}

/// Lee & Whiteley's estimate is unbiased for Var(Ẑ) in the unnormalised form: E[Ẑ² V] = E[Ẑ²] - Z². One resampling of a two-point law, by
/// simulation: x₀ is 0 or 1, w₀ = 1 or 3; x₁ is x₀ or flips with probability 0.2, w₁ = 1 or 0.5. |z| <= 4; planted: without the factor
/// N/(N-1).
#[test]
fn the_single_run_variance_is_unbiased_under_multinomial_resampling() {
    let threads = Threads::serial();
    let config = WeightConfig { scheme: Scheme::Multinomial, ..WeightConfig::default() };
    let n = 4;
    // z = E[w0 w1] with each x0 equally likely.
    let z = 0.5 * (0.8 * 1.0 + 0.2 * 0.5) + 0.5 * 3.0 * (0.8 * 0.5 + 0.2);
    let n_runs = 40_000;
    let (mut values, mut planted) = (Vec::new(), Vec::new());
    for seed in 0..n_runs {
        let mut rng = Stream::new(seed);
        let mut x: Vec<usize> = (0..n).map(|_| usize::from(rng.coin())).collect();
        let mut m = WeightMachine::new(config, seed).unwrap();
        let w: Vec<f64> = x.iter().map(|&x| [0.0, 3f64.ln()][x]).collect();
        m.start(&w, &threads).unwrap();
        m.select(select(n, Resample::Always), &threads).unwrap();
        x = m.ancestors().iter().map(|&a| if rng.uniform() < 0.2 { 1 - x[a as usize] } else { x[a as usize] }).collect();
        let w: Vec<f64> = x.iter().map(|&x| [0.0, 0.5f64.ln()][x]).collect();
        m.commit(&w, &threads).unwrap();
        let square = (2.0 * m.log_evidence()).exp();
        let together = (1.0 - m.relative_variance()) / (n as f64 / (n - 1) as f64).powi(2);
        // E[Ẑ² (1 - V)] = Z².
        values.push(square * (1.0 - m.relative_variance()));
        planted.push(square * together);
    }
    let score = |v: &[f64]| {
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        let variance = v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (v.len() - 1) as f64;
        (mean - z * z) / (variance / v.len() as f64).sqrt()
    };
    assert!(score(&values).abs() < 4.0, "{}", score(&values));
    assert!(score(&planted).abs() > 20.0, "{}", score(&planted));
}

#[test]
fn a_machine_saved_between_two_steps_goes_on_to_the_same_bits() {
    let threads = Threads::serial();
    let mut m = machine(WeightConfig::default(), &[0.0, 1.0, 2.0, -1.0]);
    m.tilt(&[0.1, 0.2, 0.0, 0.0], &threads).unwrap();
    m.select(select(4, Resample::Always), &threads).unwrap();
    let text = serde_json::to_string(&m).unwrap();
    let mut copy: WeightMachine = serde_json::from_str(&text).unwrap();
    for machine in [&mut m, &mut copy] {
        machine.commit(&[0.3, 0.1, 0.2, 0.7], &threads).unwrap();
        machine.select(select(4, Resample::Always), &threads).unwrap();
        machine.commit(&[0.3, 0.1, 0.2, 0.7], &threads).unwrap();
    }
    assert_eq!(m.log_evidence().to_bits(), copy.log_evidence().to_bits());
    assert_eq!((m.ancestors(), m.genealogy()), (copy.ancestors(), copy.genealogy()));
}
