//! Kernel Stein discrepancy, energy distance and MMD against closed forms and second routes.

use ndarray::{Array1, Array2, array};
use posterity::Error;
use posterity::diagnostics::{
    Points, SteinKernel, energy_distance, energy_distance_unbiased, ksd, median_distance, mmd_squared, mmd_squared_unbiased,
    scores_of,
};
use posterity::model::zoo::toy::{self, Planar};
use posterity::model::{Target, WithGradient};
use posterity::parallel::Threads;
use posterity::parvi::{Bandwidth, Kernel, Ksdd};
use posterity::rng::Stream;

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

/// Mean and standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

fn normals(n: usize, dim: usize, rng: &mut Stream) -> Array2<f64> {
    Array2::from_shape_simple_fn((n, dim), || rng.normal())
}

/// The Stein kernel from central differences of its base kernel.
pub(super) fn stein_by_differences(k: impl Fn(&[f64], &[f64]) -> f64, x: [&[f64]; 2], s: [&[f64]; 2]) -> f64 {
    let h = 1e-3;
    let moved = |x: &[f64], c: usize, by: f64| {
        let mut x = x.to_vec();
        x[c] += by;
        x
    };
    let ([x, y], [s, t]) = (x, s);
    let mut sum = s.iter().zip(t).map(|(s, t)| s * t).sum::<f64>() * k(x, y);
    for c in 0..x.len() {
        let (above, below) = (moved(x, c, h), moved(x, c, -h));
        let (up, down) = (moved(y, c, h), moved(y, c, -h));
        sum += s[c] * (k(x, &up) - k(x, &down)) / (2.0 * h);
        sum += t[c] * (k(&above, y) - k(&below, y)) / (2.0 * h);
        sum += (k(&above, &up) - k(&above, &down) - k(&below, &up) + k(&below, &down)) / (4.0 * h * h);
    }
    sum
}

#[test]
fn stein_discrepancy_of_three_points() {
    let positions = array![[0.0, 0.0], [1.0, -1.0], [-0.5, 0.75]];
    let scores = scores_of(&WithGradient(toy::Gaussian), positions.view()).unwrap();
    // An independent implementation on the same points.
    close(ksd(&positions, scores.view()).unwrap(), 3.8047328308704613, 1e-12);
}

#[test]
fn stein_kernels_are_derivatives_of_their_base() {
    let mut rng = Stream::new(5);
    let (positions, scores) = (normals(4, 3, &mut rng), normals(4, 3, &mut rng));
    let weights = array![0.5, 1.0, 3.0, 0.5];
    let square = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum::<f64>();
    type Base<'a> = &'a dyn Fn(&[f64], &[f64]) -> f64;
    let pairs: [(SteinKernel, Base<'_>); 3] = [
        (SteinKernel::default(), &|x, y| (1.0 + square(x, y)).powf(-0.5)),
        (SteinKernel::InverseMultiquadric { c: 0.7, beta: -0.3 }, &|x, y| (0.49 + square(x, y)).powf(-0.3)),
        (SteinKernel::Rbf { bandwidth: 1.3 }, &|x, y| (-square(x, y) / (2.0 * 1.69)).exp()),
    ];
    for (kernel, base) in pairs {
        let (mut with_diagonal, mut without, mut share) = (0.0, 0.0, 0.0);
        for i in 0..4 {
            for j in 0..4 {
                let weight = weights[i] * weights[j] / 25.0;
                let x = [i, j].map(|i| positions.row(i).to_vec());
                let s = [i, j].map(|i| scores.row(i).to_vec());
                let value = weight * stein_by_differences(base, [&x[0], &x[1]], [&s[0], &s[1]]);
                with_diagonal += value;
                if i != j {
                    without += value;
                    share += weight;
                }
            }
        }
        // Differences of second order, with h = 1e-3 and fourth derivatives up to about 10.
        let points = Points::weighted(positions.view(), weights.view());
        close(kernel.ksd(points, scores.view()).unwrap().powi(2), with_diagonal, 2e-5);
        close(kernel.ksd_squared_unbiased(points, scores.view()).unwrap(), without / share, 2e-5);
    }
}

#[test]
fn the_loss_of_a_flow_is_the_squared_discrepancy() {
    let target = WithGradient(toy::Squiggle);
    let x = 1.5 * normals(30, 2, &mut Stream::new(13));
    let scores = scores_of(&target, x.view()).unwrap();
    for bandwidth in [0.4, 1.0, 3.0] {
        let loss = Ksdd::new(Kernel::Rbf(Bandwidth::Fixed(bandwidth))).loss(&target, x.view()).unwrap();
        close(SteinKernel::Rbf { bandwidth }.ksd(&x, scores.view()).unwrap().powi(2) / loss, 1.0, 1e-12);
    }
}

#[test]
fn stein_discrepancy_knows_differences_alone() {
    // Multiples of 2^-24, which no shift here rounds.
    let positions = normals(40, 2, &mut Stream::new(14)).mapv(|x| (x * 2048.0).round() * 2.0_f64.powi(-24));
    let scores = -1e8 * &positions;
    let found = |shift: f64| ksd(&(&positions + shift), scores.view()).unwrap().to_bits();
    for power in [20, 27] {
        assert_eq!(found(2.0_f64.powi(power)), found(0.0), "at 2^{power}");
    }
}

#[test]
fn stein_discrepancy_of_exact_draws_falls_with_the_root_of_their_number() {
    let target = WithGradient(toy::Gaussian);
    let mut rng = Stream::new(6);
    for n in [10, 40, 160] {
        let (mut squares, mut unbiased) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            let x = toy::Gaussian.samples(n, &mut rng);
            let scores = scores_of(&target, x.view()).unwrap();
            squares.push(n as f64 * ksd(&x, scores.view()).unwrap().powi(2));
            unbiased.push(SteinKernel::default().ksd_squared_unbiased(&x, scores.view()).unwrap());
        }
        // k₀(x, x) = |s|² + d, and E|s|² is the trace of the precision, 4: N KSD² has mean 6 for every N.
        let (mean, error) = mean_and_error(&squares);
        assert!((mean - 6.0).abs() < 4.0 * error && error < 0.4, "{n}: {mean} ± {error}");
        let (mean, error) = mean_and_error(&unbiased);
        assert!(mean.abs() < 4.0 * error, "{n}: {mean} ± {error}");
    }
    // Draws that are too narrow by a tenth.
    let narrow: Vec<f64> = (0..200)
        .map(|_| {
            let x = (toy::Gaussian.samples(160, &mut rng) - array![[-1.0, 1.0]]) * 0.9 + array![[-1.0, 1.0]];
            let scores = scores_of(&target, x.view()).unwrap();
            SteinKernel::default().ksd_squared_unbiased(&x, scores.view()).unwrap()
        })
        .collect();
    let (mean, error) = mean_and_error(&narrow);
    assert!(mean > 6.0 * error, "{mean} ± {error}");
}

/// 2 ∫ (F - G)² of weighted samples on the line.
fn energy_by_integration(x: &[(f64, f64)], y: &[(f64, f64)]) -> f64 {
    let total = |sample: &[(f64, f64)]| sample.iter().map(|(_, w)| w).sum::<f64>();
    let mut jumps: Vec<(f64, f64)> = x.iter().map(|&(at, w)| (at, w / total(x))).collect();
    jumps.extend(y.iter().map(|&(at, w)| (at, -w / total(y))));
    jumps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut difference = 0.0;
    let mut integral = 0.0;
    for pair in jumps.windows(2) {
        difference += pair[0].1;
        integral += difference * difference * (pair[1].0 - pair[0].0);
    }
    2.0 * integral
}

#[test]
fn energy_distance_on_the_line_is_the_distance_of_distribution_functions() {
    let mut rng = Stream::new(7);
    let x: Vec<(f64, f64)> = (0..100).map(|_| (rng.normal(), rng.uniform())).collect();
    let y: Vec<(f64, f64)> = (0..70).map(|_| (0.3 + 2.0 * rng.normal(), 1.0)).collect();
    let column = |sample: &[(f64, f64)]| Array2::from_shape_fn((sample.len(), 1), |(i, _)| sample[i].0);
    let weights: Array1<f64> = x.iter().map(|(_, w)| *w).collect();
    let (positions, others) = (column(&x), column(&y));
    let points = Points::weighted(positions.view(), weights.view());
    let found = energy_distance(points, &others).unwrap();
    close(found, energy_by_integration(&x, &y), 1e-13);
    assert!(found > 0.1);
    close(energy_distance(points, points).unwrap(), 0.0, 1e-15);
}

#[test]
fn unbiased_energy_distance_has_the_mean_of_the_distributions() {
    // E|X - Y| of normal distributions on the line is √(2/π) times the standard deviation of X - Y, if the means agree.
    let mut rng = Stream::new(8);
    let (mut different, mut equal) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let (x, y, z) = (normals(20, 1, &mut rng), normals(30, 1, &mut rng), 3.0 * normals(30, 1, &mut rng));
        different.push(energy_distance_unbiased(&x, &z).unwrap());
        equal.push(energy_distance_unbiased(&x, &y).unwrap());
    }
    let factor = std::f64::consts::FRAC_2_PI.sqrt();
    let expected = factor * (2.0 * 10.0_f64.sqrt() - 2.0_f64.sqrt() - 18.0_f64.sqrt());
    for (values, expected) in [(different, expected), (equal, 0.0)] {
        let (mean, error) = mean_and_error(&values);
        assert!((mean - expected).abs() < 4.0 * error && error < 0.02, "{mean} ± {error}, not {expected}");
    }
}

#[test]
fn unbiased_mmd_has_the_mean_of_the_distributions() {
    // With variances v, w in each of 2 coordinates: E k(X, Y) = h²/(h² + v + w) exp(-|m|²/(2(h² + v + w))).
    let (h, scale, shift) = (1.4_f64, 1.5, 0.8);
    let k = |sum: f64, m2: f64| h * h / (h * h + sum) * (-m2 / (2.0 * (h * h + sum))).exp();
    let v = scale * scale;
    let expected = k(2.0, 0.0) + k(2.0 * v, 0.0) - 2.0 * k(1.0 + v, shift * shift);
    let mut rng = Stream::new(9);
    let (mut different, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let x = normals(20, 2, &mut rng);
        let y = scale * normals(30, 2, &mut rng) + array![[shift, 0.0]];
        different.push(mmd_squared_unbiased(&x, &y, h).unwrap());
        plain.push(mmd_squared(&x, &y, h).unwrap());
    }
    // The pairs of a point with itself add (1 - E k(X, X'))/N for each sample.
    let bias = (1.0 - k(2.0, 0.0)) / 20.0 + (1.0 - k(2.0 * v, 0.0)) / 30.0;
    for (values, expected) in [(different, expected), (plain, expected + bias)] {
        let (mean, error) = mean_and_error(&values);
        assert!((mean - expected).abs() < 4.0 * error && error < 0.005, "{mean} ± {error}, not {expected}");
    }
}

#[test]
fn weights_count_points() {
    let mut rng = Stream::new(10);
    let (x, scores, y) = (normals(3, 2, &mut rng), normals(3, 2, &mut rng), normals(5, 2, &mut rng));
    let rows = [0, 1, 1, 1, 2, 2];
    let axis = ndarray::Axis(0);
    let (repeated, repeated_scores) = (x.select(axis, &rows), scores.select(axis, &rows));
    for unit in [1.0, 1e300, 1e-300] {
        let weights = array![unit, 3.0 * unit, 2.0 * unit];
        let points = Points::weighted(x.view(), weights.view());
        close(ksd(points, scores.view()).unwrap(), ksd(&repeated, repeated_scores.view()).unwrap(), 1e-13);
        close(energy_distance(points, &y).unwrap(), energy_distance(&repeated, &y).unwrap(), 1e-13);
        close(energy_distance(&y, points).unwrap(), energy_distance(&repeated, &y).unwrap(), 1e-13);
        close(mmd_squared(points, &y, 0.9).unwrap(), mmd_squared(&repeated, &y, 0.9).unwrap(), 1e-13);
    }
    // Weight 0 is absence, and among equal weights the unbiased forms are the plain ones of fewer points.
    let weights = array![1.0, 0.0, 1.0];
    let (points, kept) = (Points::weighted(x.view(), weights.view()), x.select(axis, &[0, 2]));
    close(energy_distance_unbiased(points, &y).unwrap(), energy_distance_unbiased(&kept, &y).unwrap(), 1e-13);
    close(mmd_squared_unbiased(points, &y, 0.9).unwrap(), mmd_squared_unbiased(&kept, &y, 0.9).unwrap(), 1e-13);
    close(median_distance(points).unwrap(), median_distance(&kept).unwrap(), 0.0);
    // Of two points there is one pair, however small its weight.
    let pair_scores = scores.select(axis, &[0, 2]);
    let unbiased = |weights: Array1<f64>| {
        let points = Points::weighted(kept.view(), weights.view());
        SteinKernel::default().ksd_squared_unbiased(points, pair_scores.view()).unwrap()
    };
    let equal = unbiased(array![1.0, 1.0]);
    for dominated in [array![1.0, 1e-9], array![1e-9, 1.0], array![1.0, 1e-30]] {
        close(unbiased(dominated) / equal, 1.0, 1e-14);
    }
}

#[test]
fn medians_by_hand() {
    // Distances 1, 2, 3, 3, 5, 6.
    let x = array![[0.0], [1.0], [3.0], [6.0]];
    assert_eq!(median_distance(&x).unwrap(), 3.0);
    // Of weights 1, 1, 1, 4 the pairs with the last count four times: 1, 2, 3, 3⁴, 5⁴, 6⁴, the middle of which is 5.
    let weights = array![1.0, 1.0, 1.0, 4.0];
    assert_eq!(median_distance(Points::weighted(x.view(), weights.view())).unwrap(), 5.0);
    // Of many points a thousand are taken: on a grid of 4001 the median distance is (1 - 1/√2) of its length.
    let grid = Array2::from_shape_fn((4001, 1), |(i, _)| i as f64);
    close(median_distance(&grid).unwrap() / 4000.0, 1.0 - 0.5_f64.sqrt(), 2e-3);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let mut rng = Stream::new(11);
    let (x, y) = (toy::Funnel.samples(300, &mut rng), toy::Funnel.samples(200, &mut rng));
    let all = || {
        let scores = scores_of(&WithGradient(toy::Funnel), x.view()).unwrap();
        let found = [ksd(&x, scores.view()), energy_distance(&x, &y), mmd_squared(&x, &y, 2.0)];
        found.map(|value| value.unwrap().to_bits())
    };
    let [one, two, four] = [1, 2, 4].map(|n| Threads::new(n).unwrap().install(all));
    assert_eq!(one, two);
    assert_eq!(one, four);
}

#[test]
fn bad_points_are_typed_errors() {
    let x = array![[0.0, 1.0], [2.0, 3.0]];
    let scores = x.clone();
    let broken = array![[0.0, 1.0], [f64::NAN, 3.0]];
    let none = Array2::<f64>::zeros((0, 2));
    assert!(matches!(ksd(&broken, scores.view()), Err(Error::NotFinite { what: "positions", index: 2, .. })));
    assert!(matches!(ksd(&x, broken.view()), Err(Error::NotFinite { what: "scores", index: 2, .. })));
    assert!(matches!(ksd(&none, none.view()), Err(Error::Empty { what: "positions" })));
    assert!(matches!(ksd(&x, array![[1.0, 2.0]].view()), Err(Error::Dimension { what: "rows of the scores", .. })));
    assert!(matches!(ksd(&x, array![[1.0], [2.0]].view()), Err(Error::Dimension { what: "columns of the scores", .. })));
    assert!(matches!(energy_distance(&x, &array![[1.0]]), Err(Error::Dimension { expected: 2, found: 1, .. })));
    assert!(matches!(energy_distance(&x, &none), Err(Error::Empty { .. })));
    assert!(matches!(energy_distance(&x, &(1e200 * &x)), Err(Error::NotFinite { what: "energy distance", .. })));
    assert!(matches!(mmd_squared(&x, &x, f64::NAN), Err(Error::InvalidSetting { setting: "bandwidth", .. })));
    let one = array![[1.0, 1.0]];
    assert!(matches!(energy_distance_unbiased(&x, &one), Err(Error::TooFewDraws { needed: 2, found: 1, .. })));
    assert!(matches!(mmd_squared_unbiased(&one, &x, 1.0), Err(Error::TooFewDraws { needed: 2, found: 1, .. })));
    assert!(matches!(median_distance(&one), Err(Error::TooFewDraws { .. })));
    for (kernel, wrong) in [
        (SteinKernel::InverseMultiquadric { c: 0.0, beta: -0.5 }, "c"),
        (SteinKernel::InverseMultiquadric { c: 1.0, beta: -1.0 }, "beta"),
        (SteinKernel::Rbf { bandwidth: -1.0 }, "bandwidth"),
    ] {
        let error = kernel.ksd(&x, scores.view()).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { setting, .. } if setting == wrong), "{error}");
        assert!(kernel.ksd_squared_unbiased(&x, scores.view()).is_err());
    }
    let weighted = |weights: &Array1<f64>| ksd(Points::weighted(x.view(), weights.view()), scores.view()).unwrap_err();
    assert!(matches!(weighted(&array![1.0]), Error::Dimension { what: "weights of the points", .. }));
    assert!(matches!(weighted(&array![1.0, f64::NAN]), Error::NotFinite { what: "weights", index: 1, .. }));
    assert!(matches!(weighted(&array![1.0, -0.1]), Error::OutsideSupport { .. }));
    assert!(matches!(weighted(&array![0.0, 0.0]), Error::InvalidSetting { .. }));
}

#[test]
fn scores_say_where_they_fail() {
    let target = WithGradient(toy::Funnel);
    let mut positions = toy::Funnel.samples(200, &mut Stream::new(12));
    let scores = scores_of(&target, positions.view()).unwrap();
    let mut evaluator = target.evaluator().unwrap();
    for (x, s) in positions.rows().into_iter().zip(scores.rows()) {
        let mut expected = [0.0; 2];
        evaluator.log_density_gradient(&x.to_vec(), &mut expected).unwrap();
        assert_eq!(s.to_vec(), expected);
    }
    // exp(800) leaves the range of numbers.
    positions[[150, 1]] = -800.0;
    positions[[199, 1]] = -800.0;
    assert!(matches!(scores_of(&target, positions.view()), Err(Error::Position { index: 150, .. })));
    assert!(matches!(scores_of(&target, array![[1.0]].view()), Err(Error::Dimension { expected: 2, found: 1, .. })));
    assert!(matches!(scores_of(&target, Array2::zeros((0, 2)).view()), Err(Error::Empty { .. })));
}
