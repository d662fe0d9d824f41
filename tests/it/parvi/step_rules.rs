//! Step rules: golden traces, exact first steps, symmetries, bad input; averaged iterates.

use std::ops::ControlFlow;

use ndarray::{Array2, array};
use posterity::Error;
use posterity::model::WithGradient;
use posterity::parvi::{CloudStart, ParticleFlow, Svgd};
use posterity::step_rules::{AdaGrad, Adam, Averaging, Coin, CoinKt, IterateAverage, RmsProp, Sgd, StepRule};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::Golden;

/// Positions of SVGD after each iteration, from the start of the golden traces.
fn svgd_trace(rule: impl StepRule + 'static, n_iterations: usize) -> Vec<Array2<f64>> {
    let start = CloudStart::Positions(array![[0.0, 0.0], [1.0, -1.0], [-0.5, 0.75]]);
    let mut trace = Vec::new();
    let flow = ParticleFlow::new(Svgd::default(), rule).start(start).n_iterations(n_iterations);
    flow.run_observed(&WithGradient(Golden), 1, |transport| {
        trace.push(transport.positions());
        ControlFlow::Continue(())
    })
    .unwrap();
    trace
}

fn check_trace(trace: &[Array2<f64>], golden: &[(usize, [f64; 6])], tolerance: f64) {
    for (t, expected) in golden {
        for (found, expected) in trace[*t].iter().zip(expected) {
            assert!((found - expected).abs() <= tolerance, "t = {t}: {found} is not {expected}");
        }
    }
}

/// The traces come from an independent implementation: ten iterations leave room for rounding alone.
#[test]
fn svgd_by_learning_rates_follows_the_golden_traces() {
    #[rustfmt::skip]
    let plain = [
        (1, [-0.12743020474267228, 0.03988447757210185, 0.766583915306978, -0.9021223089727198, -0.597598487509878, 0.8005288827979449]),
        (2, [-0.24473776943439235, 0.07862754498816461, 0.558256903866862, -0.8126709681189314, -0.6806584381713687, 0.8475749980184424]),
        (3, [-0.3532107686921926, 0.11671260872692896, 0.37259450155176993, -0.7312030424402411, -0.7509088108973618, 0.8916821482117832]),
        (10, [-0.8910390066427535, 0.35449329080489667, -0.44854584082778953, -0.3432007400402693, -0.9874613338217365, 1.1475132601181026]),
    ];
    check_trace(&svgd_trace(Sgd::new(0.1), 10), &plain, 1e-10);
    #[rustfmt::skip]
    let adagrad = [
        (1, [-0.09999992152573112, 0.0999997492765222, 0.9000000428419307, -0.9000001021682232, -0.5999998975395008, 0.8499998020937798]),
        (2, [-0.18924615617686347, 0.1851854679288359, 0.8046829556075821, -0.804787104259894, -0.6862573118685472, 0.938664347419334]),
        (3, [-0.27012944748907636, 0.258865869538158, 0.7134649290300993, -0.7138626290232338, -0.7609730552652566, 1.0180347856083065]),
        (10, [-0.7024396060099866, 0.5740506668279821, 0.16499458267471023, -0.1759010216203553, -1.0445001767235078, 1.4060112607471524]),
    ];
    check_trace(&svgd_trace(RmsProp::new(0.1), 10), &adagrad, 1e-10);
    // The classical start, and ε inside of the root, are other rules.
    let classical = svgd_trace(RmsProp::new(0.1).from_zero(), 10);
    assert!((classical[1][[0, 0]] - adagrad[0].1[0]).abs() > 0.1);
}

/// Both reach the same stationary cloud; measured 2e-13.
#[test]
fn coin_and_plain_svgd_end_in_the_same_cloud() {
    let (coin, plain) = (svgd_trace(Coin::default(), 1000), svgd_trace(Sgd::new(0.1), 1000));
    let difference = (&coin[1000] - &plain[1000]).iter().fold(0.0, |m: f64, d| m.max(d.abs()));
    assert!(difference <= 1e-9, "{difference}");
}

/// Every rule, able to take directions of the sizes of these tests.
fn all_rules() -> Vec<Box<dyn StepRule>> {
    vec![
        Box::new(Coin::default()),
        Box::new(Coin::new().alpha(100.0)),
        Box::new(Coin::new().initial_bound(1e-10)),
        Box::new(CoinKt::new(100.0)),
        Box::new(Adam::new(0.1)),
        Box::new(AdaGrad::new(0.1)),
        Box::new(RmsProp::new(0.1)),
        Box::new(RmsProp::new(0.1).from_zero()),
        Box::new(Sgd::new(0.1)),
        Box::new(Sgd::new(0.1).momentum(0.9)),
    ]
}

/// Positions after each step, along directions that depend on the position and on the coordinate.
fn trajectory(rule: &dyn StepRule, start: &[f64], n: usize, direction: impl Fn(usize, usize, f64) -> f64) -> Vec<Vec<f64>> {
    let mut x = start.to_vec();
    let mut state = rule.start(&x).unwrap();
    let mut trace = Vec::new();
    for t in 0..n {
        let c: Vec<f64> = x.iter().enumerate().map(|(j, &x)| direction(t, j, x)).collect();
        state.step(&c, &mut x).unwrap();
        trace.push(x.clone());
    }
    trace
}

/// Directions that change sign and size: asymmetric in both.
fn wave(t: usize, j: usize, x: f64) -> f64 {
    let phase = (t * (j + 1)) as f64;
    (0.7 * phase).sin() + 0.3 * (j as f64 + 1.0) - 0.4 * x
}

#[test]
fn the_first_step_of_the_coin_rule_does_not_see_the_scale() {
    for alpha in [0.0, 1.0, 2.0, 5.0, 100.0] {
        let rule = Coin::new().alpha(alpha);
        for exponent in [-300, -150, -20, -6, 0, 6, 20, 150, 300] {
            let c = 1.7 * 10_f64.powi(exponent);
            let x = trajectory(&rule, &[0.0, 0.0, 0.0], 1, |_, j, _| [c, -c, 0.0][j]);
            let length = 1.0 / alpha.max(2.0);
            assert_eq!(x[0], [length, -length, 0.0], "alpha {alpha}, direction {c}");
        }
    }
    // A bound known beforehand that is far above the direction makes the step small, as it must.
    let x = trajectory(&Coin::new().initial_bound(10.0), &[0.0], 1, |_, _, _| 1.0);
    assert!((x[0][0] - 0.1 / 1.1).abs() < 1e-15);
    // The scaled rules: the learning rate, but for an ε of 1e-6 of the direction at the most.
    for rule in [&Adam::new(0.1) as &dyn StepRule, &AdaGrad::new(0.1), &RmsProp::new(0.1)] {
        for c in [1.0, -1e6, 1e150] {
            let x = trajectory(rule, &[0.0], 1, |_, _, _| c);
            assert!((x[0][0] - 0.1 * c.signum()).abs() < 2e-7, "{}: {}", rule.name(), x[0][0]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, rng_seed: RngSeed::Fixed(5), ..ProptestConfig::default() })]

    /// Scaling each coordinate's directions by its own constant changes nothing: by a power of two not a bit, by any other one no more than
    /// rounding, which a hundred steps of a contracting objective do not blow up.
    #[test]
    fn the_coin_rule_ignores_the_scale_of_directions(power in -500_i32..500, exponent in -150.0_f64..150.0, alpha in 0.0_f64..20.0) {
        let rule = Coin::new().alpha(alpha);
        let plain = trajectory(&rule, &[0.3, -2.0], 100, wave);
        let doubled = trajectory(&rule, &[0.3, -2.0], 100, |t, j, x| wave(t, j, x) * 2_f64.powi(power * (1 - 2 * j as i32)));
        prop_assert_eq!(&plain, &doubled);
        let scaled = trajectory(&rule, &[0.3, -2.0], 100, |t, j, x| wave(t, j, x) * 10_f64.powf(exponent));
        for (plain, scaled) in plain.iter().flatten().zip(scaled.iter().flatten()) {
            prop_assert!((plain - scaled).abs() <= 1e-9 * (1.0 + plain.abs()), "{} is not {}", scaled, plain);
        }
    }

    /// Mirrored directions from a mirrored start give a mirrored path, and coordinates know nothing of each other: to the bit, in every rule.
    #[test]
    fn rules_are_equivariant(start in prop::collection::vec(-5.0_f64..5.0, 4), shift in 1_usize..4) {
        for rule in all_rules() {
            let path = trajectory(&*rule, &start, 30, wave);
            let mirrored: Vec<f64> = start.iter().map(|x| -x).collect();
            let mirrored = trajectory(&*rule, &mirrored, 30, |t, j, x| -wave(t, j, -x));
            let mut rotated = start.clone();
            rotated.rotate_left(shift);
            let rotated = trajectory(&*rule, &rotated, 30, |t, j, x| wave(t, (j + shift) % 4, x));
            for ((x, mirrored), rotated) in path.iter().zip(&mirrored).zip(&rotated) {
                for j in 0..4 {
                    prop_assert_eq!(x[j], -mirrored[j]);
                    prop_assert_eq!(x[(j + shift) % 4], rotated[j]);
                }
            }
        }
    }
}

#[test]
fn a_direction_of_zero_moves_nothing() {
    for rule in all_rules() {
        let x = trajectory(&*rule, &[1.5, -2.0], 5, |_, _, _| 0.0);
        assert!(x.iter().all(|x| x == &[1.5, -2.0]), "{}", rule.name());
        // One coordinate rests while the other one moves, and starts to move later.
        let x = trajectory(&*rule, &[1.5, -2.0], 5, |t, j, _| if j == 1 || t == 3 { 1.0 } else { 0.0 });
        assert!(x[2][0] == 1.5 && x[2][1] > -2.0 && x[4].iter().all(|x| x.is_finite()), "{}", rule.name());
    }
    let late = trajectory(&Coin::default(), &[0.0], 4, |t, _, _| if t == 3 { -1e-5 } else { 0.0 });
    assert_eq!(late[3], [-0.5]);
}

#[test]
fn a_bad_direction_changes_nothing() {
    for rule in all_rules() {
        let mut x = [0.5, -1.0];
        let mut state = rule.start(&x).unwrap();
        state.step(&[1.0, -2.0], &mut x).unwrap();
        let (mut untouched, mut y) = (state.clone(), x);
        for (bad, at) in [([f64::NAN, 1.0], 0), ([1.0, f64::INFINITY], 1), ([1.0, f64::NEG_INFINITY], 1)] {
            let error = state.step(&bad, &mut x);
            assert!(matches!(error, Err(Error::NotFinite { what: "direction", index, .. }) if index == at), "{error:?}");
        }
        assert!(matches!(state.step(&[1.0], &mut x), Err(Error::Dimension { expected: 2, found: 1, .. })));
        assert!(matches!(state.step(&[1.0, 1.0], &mut x[..1]), Err(Error::Dimension { expected: 2, found: 1, .. })));
        assert_eq!(x, y);
        // The memory is what it was, too: the next steps are those of the copy that saw nothing of this.
        for c in [[0.3, 0.8], [-0.2, 1.1]] {
            state.step(&c, &mut x).unwrap();
            untouched.step(&c, &mut y).unwrap();
            assert_eq!(x, y, "{}", rule.name());
        }
        assert!(matches!(rule.start(&[0.0, f64::NAN]), Err(Error::NotFinite { what: "start position", index: 1, .. })));
    }
    let mut x = [0.0, 0.0];
    let mut state = CoinKt::new(1.0).start(&x).unwrap();
    match state.step(&[0.5, -1.5], &mut x) {
        Err(Error::OutsideSupport { variable, value: -1.5, .. }) => assert_eq!(variable, "direction[1]"),
        other => panic!("{other:?}"),
    }
    assert_eq!(x, [0.0, 0.0]);
    // Half of the wealth on the mean of one coin.
    state.step(&[0.5, -1.0], &mut x).unwrap();
    assert_eq!(x, [0.25, -0.5]);
}

#[test]
fn a_step_out_of_range_is_an_error() {
    let overflow = |rule: &dyn StepRule, n: usize, c: f64| {
        let mut x = [1.0, 0.0];
        let mut state = rule.start(&x).unwrap();
        for _ in 0..n {
            let before = x;
            if let Err(error) = state.step(&[0.0, c], &mut x) {
                assert_eq!(x, before, "{}", rule.name());
                return Some(error);
            }
        }
        None
    };
    // The coin rule's wealth doubles as long as it wins: about 1000 steps.
    for rule in [&Coin::default() as &dyn StepRule, &CoinKt::new(1.0), &Sgd::new(1e308).momentum(0.9)] {
        let error = overflow(rule, 3000, 1.0);
        assert!(
            matches!(error, Some(Error::NotFinite { what: "position after a step", index: 1, .. })),
            "{}: {error:?}",
            rule.name()
        );
    }
    for rule in [&Adam::new(0.1) as &dyn StepRule, &AdaGrad::new(0.1), &RmsProp::new(0.1)] {
        let error = overflow(rule, 1, 1e200);
        assert!(matches!(error, Some(Error::NotFinite { what: "mean square of the directions", index: 1, .. })), "{error:?}");
    }
}

#[test]
fn settings_out_of_range() {
    let setting = |rule: &dyn StepRule| match rule.start(&[0.0]) {
        Err(Error::InvalidSetting { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    assert_eq!(setting(&Coin::new().alpha(f64::NAN)), "alpha");
    assert_eq!(setting(&Coin::new().initial_bound(-1.0)), "initial_bound");
    assert_eq!(setting(&CoinKt::new(0.0)), "bound");
    assert_eq!(setting(&CoinKt::new(1.0).wealth(f64::INFINITY)), "wealth");
    for bad in [0.0, -0.1, f64::NAN, f64::INFINITY] {
        let rules: [&dyn StepRule; 4] = [&Adam::new(bad), &AdaGrad::new(bad), &RmsProp::new(bad), &Sgd::new(bad)];
        assert!(rules.iter().all(|rule| setting(*rule) == "learning_rate"));
        let rules: [&dyn StepRule; 3] =
            [&Adam::new(0.1).epsilon(bad), &AdaGrad::new(0.1).epsilon(bad), &RmsProp::new(0.1).epsilon(bad)];
        assert!(rules.iter().all(|rule| setting(*rule) == "epsilon"));
    }
    assert_eq!(setting(&Adam::new(0.1).betas(1.0, 0.9)), "beta1");
    assert_eq!(setting(&Adam::new(0.1).betas(0.9, f64::NAN)), "beta2");
    assert_eq!(setting(&RmsProp::new(0.1).decay(1.0)), "decay");
    assert_eq!(setting(&Sgd::new(0.1).momentum(-0.1)), "momentum");
}

/// Adam, AdaGrad and SGD with momentum after the third of the directions 1, -2, 3, computed by hand from their formulas.
#[test]
fn third_steps_by_hand() {
    let third = |rule: &dyn StepRule| trajectory(rule, &[0.0], 3, |t, _, _| [1.0, -2.0, 3.0][t])[2][0];
    let (m1, m2) = (0.1, 0.9 * 0.1 - 0.2);
    let m3 = 0.9 * m2 + 0.3;
    let (v1, v2) = (1e-3, 0.999e-3 + 4e-3);
    let v3 = 0.999 * v2 + 9e-3;
    let adam = 0.1
        * (m1 / 0.1 / (v1 / 1e-3_f64).sqrt()
            + m2 / 0.19 / (v2 / 1.999e-3_f64).sqrt()
            + m3 / 0.271 / (v3 / 2.997001e-3_f64).sqrt());
    // ε shifts each step by 1e-8 of itself.
    assert!((third(&Adam::new(0.1)) - adam).abs() < 1e-8);
    let adagrad = 0.1 * (1.0 - 2.0 / 5_f64.sqrt() + 3.0 / 14_f64.sqrt());
    assert!((third(&AdaGrad::new(0.1)) - adagrad).abs() < 1e-8);
    // v = 1, -1.5, 2.25
    assert!((third(&Sgd::new(0.1).momentum(0.5)) - 0.175).abs() < 1e-15);
    // β = 1/2, -1/3, 1/2 of the wealths 1, 1 - 2·½, ...: the bound is 3.
    let kt = trajectory(&CoinKt::new(3.0), &[0.0], 3, |t, _, _| [1.0, -2.0, 3.0][t]);
    let (x1, w2) = (1.0 / 6.0, 1.0 - 2.0 / 3.0 / 6.0);
    let x2 = -1.0 / 9.0 * w2;
    assert!((kt[0][0] - x1).abs() < 1e-15 && (kt[1][0] - x2).abs() < 1e-15);
    assert!((kt[2][0] - (2.0 / 3.0 / 4.0) * (w2 + x2)).abs() < 1e-15);
}

/// On -|x - 10| the last iterate of the coin rule is 0.91 away after 1000 steps and still jumps by 0.17 around step 10⁵; averages converge.
/// The numbers are those of a separate computation.
#[test]
fn averages_converge_where_the_last_iterate_does_not() {
    let last = trajectory(&Coin::default(), &[0.0], 100_000, |_, _, x| if x < 10.0 { 1.0 } else { -1.0 });
    let mean = |averaging: Averaging, n: usize| {
        let mut average = IterateAverage::new(averaging, 1).unwrap();
        last[..n].iter().for_each(|x| average.push(x).unwrap());
        assert_eq!(average.n_iterates(), n as u64);
        average.mean()[0]
    };
    let jump = last[90_000..].iter().fold(0.0, |m: f64, x| m.max((x[0] - 10.0).abs()));
    assert!((last[999][0] - 9.086083198611783).abs() < 1e-9 && jump > 0.15);
    let eta = Averaging::PolynomialDecay { eta: 3.0 };
    for (averaging, expected) in [
        (Averaging::Uniform, [9.701383812014326, 9.993500542269077]),
        (eta, [9.89711484407386, 9.998809607058794]),
        (Averaging::Tail, [9.883926042950245, 9.998575718533296]),
    ] {
        // Rounding of the path grows in the jumps of the last iterates: 1e-6 of what is left at 10⁵.
        assert!((mean(averaging, 1000) - expected[0]).abs() < 1e-9, "{averaging:?}");
        assert!((mean(averaging, 100_000) - expected[1]).abs() < 1e-6, "{averaging:?}");
    }
}

#[test]
fn averages_of_few_iterates() {
    let mean = |averaging, n: usize| {
        let mut average = IterateAverage::new(averaging, 2).unwrap();
        for t in 1..=n {
            average.push(&[t as f64, -1.0]).unwrap();
        }
        assert!(n == 0 || (average.mean()[1] + 1.0).abs() < 1e-15);
        average.mean()[0]
    };
    assert_eq!(mean(Averaging::Uniform, 0), 0.0);
    for n in 1..=40 {
        let x = n as f64;
        assert!((mean(Averaging::Uniform, n) - (x + 1.0) / 2.0).abs() < 1e-12);
        assert!((mean(Averaging::PolynomialDecay { eta: 0.0 }, n) - (x + 1.0) / 2.0).abs() < 1e-12);
        // Weights t²: Σ t³ / Σ t² for η = 2 up to terms of lower order; between the uniform mean and the last one in any case.
        let decayed = mean(Averaging::PolynomialDecay { eta: 2.0 }, n);
        assert!(decayed >= (x + 1.0) / 2.0 && decayed <= x);
        // From half of the last power of two.
        let from = (1_usize << n.ilog2()) / 2;
        let from = from.max(1) as f64;
        assert!((mean(Averaging::Tail, n) - (from + x) / 2.0).abs() < 1e-12, "{n}");
    }
    let mut average = IterateAverage::new(Averaging::Uniform, 2).unwrap();
    average.push(&[1.0, 2.0]).unwrap();
    assert!(matches!(average.push(&[1.0]), Err(Error::Dimension { expected: 2, found: 1, .. })));
    assert!(matches!(average.push(&[1.0, f64::NAN]), Err(Error::NotFinite { what: "iterate", index: 1, .. })));
    assert_eq!((average.mean(), average.n_iterates()), (&[1.0, 2.0][..], 1));
    let bad = IterateAverage::new(Averaging::PolynomialDecay { eta: -1.0 }, 1);
    assert!(matches!(bad, Err(Error::InvalidSetting { setting: "eta", .. })));
}

#[test]
fn steps_allocate_nothing() {
    for rule in all_rules() {
        let mut x = vec![0.0; 50];
        let mut c = vec![0.0; 50];
        let mut state = rule.start(&x).unwrap();
        let mut average = IterateAverage::new(Averaging::Tail, 50).unwrap();
        let info = allocation_counter::measure(|| {
            for t in 0..20 {
                c.iter_mut().enumerate().for_each(|(j, c)| *c = wave(t, j, x[j]));
                state.step(&c, &mut x).unwrap();
                average.push(&x).unwrap();
            }
        });
        assert_eq!(info.count_total, 0, "{}", rule.name());
    }
}
