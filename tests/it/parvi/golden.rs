//! Coin betting and SVGD against traces of an independent implementation.

use std::ops::ControlFlow;

use ndarray::{Array2, array};
use posterity::model::WithGradient;
use posterity::parvi::{CloudStart, ParticleFlow, Svgd};
use posterity::step_rules::{Coin, StepRule};

use super::Golden;

fn start() -> CloudStart {
    CloudStart::Positions(array![[0.0, 0.0], [1.0, -1.0], [-0.5, 0.75]])
}

fn trace(n_iterations: usize) -> Vec<Array2<f64>> {
    let mut trace = Vec::new();
    let flow = ParticleFlow::coin(Svgd::default()).start(start()).n_iterations(n_iterations);
    flow.run_observed(&WithGradient(Golden), 1, |transport| {
        trace.push(transport.positions());
        ControlFlow::Continue(())
    })
    .unwrap();
    trace
}

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

#[test]
fn the_first_directions_and_the_trace_of_coin_svgd() {
    let target = WithGradient(Golden);
    let mut transport = ParticleFlow::coin(Svgd::default()).start(start()).begin(&target, 1).unwrap();
    transport.step().unwrap();
    let expected = [
        -1.2743020474267226,
        0.39884477572101845,
        -2.3341608469302204,
        0.9787769102728018,
        -0.9759848750987801,
        0.5052888279794482,
    ];
    for (&found, expected) in transport.directions().iter().zip(expected) {
        close(found, expected, 1e-12);
    }

    let trace = trace(1000);
    #[rustfmt::skip]
    let golden = [
        (1, [-0.5, 0.5, 0.5, -0.5, -1.0, 1.25], 1e-12),
        (2, [-0.7063513415910789, 0.5979132992369162, 0.12908886530481412, -0.13193470866110912, -1.1264111280437161, 1.4407422886437495], 1e-12),
        (5, [-1.4411836897010128, 0.9754032321494837, -0.6590740311710839, 0.6196886221813369, -0.8938522097186525, 1.3872842367652876], 1e-12),
        (100, [-1.368778521447779, 1.0870567913711389, -0.9670692988579788, 0.17246591682019852, -0.6004614123372309, 1.7254419443597135], 1e-6),
        (1000, [-1.368778522865476, 1.0870568000382128, -0.9670693081701098, 0.1724659074271504, -0.6004613968706085, 1.7254419407810524], 1e-9),
    ];
    for (t, expected, tolerance) in golden {
        for (&found, expected) in trace[t].iter().zip(expected) {
            close(found, expected, tolerance);
        }
    }
}

/// Iterates of a rule on a scalar.
fn iterates(rule: &dyn StepRule, n: usize, direction: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut x = [0.0];
    let mut state = rule.start(&x).unwrap();
    (0..n)
        .map(|_| {
            state.step(&[direction(x[0])], &mut x).unwrap();
            x[0]
        })
        .collect()
}

#[test]
fn the_coin_rule_on_scalars() {
    let x = iterates(&Coin::default(), 1000, |x| 3.0 - x);
    let expected = [0.5, 0.9166666666666667, 1.4712197433654128, 2.1087097636380823, 2.638249815556591];
    for (&found, expected) in x.iter().zip(expected) {
        close(found, expected, 1e-12);
    }
    close(x[9], 2.999928233102215, 1e-12);
    close(x[99], 3.0, 1e-12);

    let x = iterates(&Coin::default(), 1000, |x| (10.0 - x).signum());
    assert_eq!(x[..7], [0.5, 1.0, 1.875, 3.5, 6.5625, 12.375, 1.2890625]);
    close(x[99], 9.747397002267997, 1e-9);
    close(x[999], 9.086083198611783, 1e-9);
}
