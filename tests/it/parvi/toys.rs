//! The planar targets: scores, normalisers and exact samplers.

use posterity::model::Density;
use posterity::model::zoo::toy::{self, Planar};
use posterity::rng::Stream;
use posterity::{DensityError, Error};

fn log_density(target: &dyn Planar, x: [f64; 2]) -> f64 {
    target.log_density_gradient(&x, &mut [0.0; 2]).unwrap()
}

fn score(target: &dyn Planar, x: [f64; 2]) -> [f64; 2] {
    let mut score = [0.0; 2];
    target.log_density_gradient(&x, &mut score).unwrap();
    score
}

/// The largest relative distance between a score and central differences of the log density.
fn gap(target: &dyn Planar, score: impl Fn([f64; 2]) -> [f64; 2]) -> f64 {
    let mut rng = Stream::new(3);
    let mut largest: f64 = 0.0;
    for _ in 0..200 {
        // Where the target is, and beside it.
        let mut x = target.sample(&mut rng);
        x.iter_mut().for_each(|x| *x += 0.5 * rng.normal());
        let s = score(x);
        for c in 0..2 {
            // A fourth-order formula: its error is h⁴ times the fifth derivative, that of rounding 1e-16 |log π| / h.
            let h = 1e-3;
            let moved = |k: f64| {
                let mut y = x;
                y[c] += k * h;
                log_density(target, y)
            };
            let difference = (8.0 * (moved(1.0) - moved(-1.0)) - (moved(2.0) - moved(-2.0))) / (12.0 * h);
            largest = largest.max((s[c] - difference).abs() / s[c].abs().max(1.0));
        }
    }
    largest
}

#[test]
fn scores_are_gradients() {
    for target in toy::all() {
        let gap = gap(&*target, |x| score(&*target, x));
        assert!(gap <= 1e-6, "{}: {gap}", target.name());
    }
    // The score of the funnel with the derivative with respect to the wrong argument of the normal density.
    let wrong = gap(&toy::Funnel, |[x, y]| {
        let [u, v] = score(&toy::Funnel, [x, y]);
        [u, v + (y - 4.0) / 9.0 + ((y - 4.0).powi(2) - 9.0) / 27.0]
    });
    assert!(wrong > 0.1, "{wrong}");
}

#[test]
fn densities_integrate_to_one() {
    // Boxes outside of which less than 1e-7 of the mass lies. The trapezoidal rule converges geometrically for smooth densities that vanish
    // at the borders; at the cusp of the donut the density is 1e-6, and the error this times the area of a cell.
    let boxes: [(&dyn Planar, [f64; 4]); 5] = [
        (&toy::Gaussian, [-6.0, 4.0, -6.0, 8.0]),
        (&toy::Mixture, [-7.0, 7.0, -7.0, 7.0]),
        (&toy::Rosenbrock, [-5.6, 5.6, -40.0, 6.0]),
        (&toy::Donut, [-6.0, 6.0, -6.0, 6.0]),
        (&toy::Squiggle, [-8.0, 10.0, -5.0, 7.0]),
    ];
    for (target, [left, right, bottom, top]) in boxes {
        let n = 400_usize;
        let (dx, dy) = ((right - left) / n as f64, (top - bottom) / n as f64);
        let mut mass = 0.0;
        for i in 0..=n {
            for j in 0..=n {
                mass += log_density(target, [left + i as f64 * dx, bottom + j as f64 * dy]).exp();
            }
        }
        mass *= dx * dy;
        assert!((mass - 1.0).abs() < 1e-6, "{}: {mass}", target.name());
    }
    // The funnel in the coordinates (z, y) with x = 1 + exp(y/2) z, of Jacobian exp(y/2).
    let (mut mass, step) = (0.0, 0.1);
    for i in -60..=60 {
        for j in -180..=180 {
            let (z, y) = (f64::from(i) * step, 4.0 + f64::from(j) * step);
            mass += (log_density(&toy::Funnel, [1.0 + (0.5 * y).exp() * z, y]) + 0.5 * y).exp() * step * step;
        }
    }
    assert!((mass - 1.0).abs() < 1e-6, "funnel: {mass}");
}

/// The largest distance in standard errors of E s from 0 and of E x sᵀ from -I over exact draws.
fn stein_identities(target: &dyn Planar, score: impl Fn([f64; 2]) -> [f64; 2], n: usize) -> f64 {
    let mut rng = Stream::new(17);
    let (mut sums, mut squares) = ([0.0; 6], [0.0; 6]);
    for _ in 0..n {
        let x = target.sample(&mut rng);
        let s = score(x);
        let terms = [s[0], s[1], x[0] * s[0] + 1.0, x[0] * s[1], x[1] * s[0], x[1] * s[1] + 1.0];
        for (c, term) in terms.into_iter().enumerate() {
            sums[c] += term;
            squares[c] += term * term;
        }
    }
    let errors = sums.iter().zip(&squares).map(|(sum, square): (&f64, &f64)| sum.abs() / square.sqrt());
    errors.fold(0.0, f64::max)
}

#[test]
fn exact_draws_fulfil_the_identities_of_stein() {
    for target in toy::all() {
        let largest = stein_identities(&*target, |x| score(&*target, x), 100_000);
        // Six terms of six targets: a maximum of 3 is common, 4.5 has probability 2e-4.
        assert!(largest < 4.5, "{}: {largest}", target.name());
    }
    // A score too steep by a twentieth, and draws of a ring whose radius is not weighted by r, must be seen.
    let steep = stein_identities(&toy::Gaussian, |x| score(&toy::Gaussian, x).map(|s| 1.05 * s), 100_000);
    assert!(steep > 5.0, "{steep}");
    #[derive(Debug)]
    struct Unweighted;
    impl Density for Unweighted {
        fn dim(&self) -> usize {
            2
        }
        fn log_density_gradient(&self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
            toy::Donut.log_density_gradient(x, gradient)
        }
    }
    impl Planar for Unweighted {
        fn name(&self) -> &'static str {
            "unweighted donut"
        }
        fn sample(&self, rng: &mut Stream) -> [f64; 2] {
            let r = 2.5 + 0.5 * rng.normal();
            let (sin, cos) = (std::f64::consts::TAU * rng.uniform()).sin_cos();
            [r * cos, r * sin]
        }
    }
    let unweighted = stein_identities(&Unweighted, |x| score(&Unweighted, x), 100_000);
    assert!(unweighted > 5.0, "{unweighted}");
}

#[test]
fn targets_are_found_by_name() {
    for target in toy::all() {
        assert_eq!(toy::by_name(target.name()).unwrap().name(), target.name());
    }
    assert!(matches!(toy::by_name("torus"), Err(Error::UnknownModel { name }) if name == "torus"));
    let error = toy::Donut.log_density_gradient(&[1.0], &mut [0.0; 2]).unwrap_err();
    assert!(matches!(error, DensityError::Dimension { expected: 2, found: 1 }));
    // A score exists everywhere but at the cusp of the donut, where 0 stands for it.
    assert_eq!(score(&toy::Donut, [0.0, 0.0]), [0.0, 0.0]);
}
