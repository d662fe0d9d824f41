//! Bounds and gradients by simulation, where closed forms or integrals in few dimensions are the reference.

use ndarray::{Array1, array};
use posterity::model::{Density, FromFn, LogDensityGradient, WithGradient, zoo::analytic::Gaussian};
use posterity::rng::{Purpose, Stream};
use posterity::vi::{Approximation, BoundGradient, Estimator, Family, Fit, MeanField, Objective, Vi};

/// z ~ N(μ, I), x | z ~ N(z, I) in 20 dimensions: the posterior is N((x + μ)/2, I/2). q = N((x + μ)/2 + δ, 2/3 I).
const DIM: usize = 20;
const POSTERIOR_VARIANCE: f64 = 0.5;
const VARIANCE: f64 = 2.0 / 3.0;

struct LinearGaussian {
    mu: Vec<f64>,
    x: Vec<f64>,
    /// Where q is off.
    delta: Vec<f64>,
}

impl LinearGaussian {
    fn new(offset: f64) -> Self {
        let mut rng = Stream::new(5);
        let mut normals = |sd: f64| -> Vec<f64> { (0..DIM).map(|_| sd * rng.normal()).collect() };
        let (mu, noise, delta) = (normals(1.0), normals(2.0_f64.sqrt()), normals(offset));
        Self { x: mu.iter().zip(noise).map(|(m, e)| m + e).collect(), mu, delta }
    }

    fn target(&self) -> impl LogDensityGradient + '_ {
        FromFn::new(DIM, |z: &[f64], g: &mut [f64]| {
            let mut value = -(DIM as f64) * std::f64::consts::TAU.ln();
            for i in 0..DIM {
                let (a, b) = (self.mu[i] - z[i], self.x[i] - z[i]);
                value -= 0.5 * (a * a + b * b);
                g[i] = a + b;
            }
            Ok(value)
        })
    }

    fn approximation(&self) -> Box<dyn Approximation> {
        let mut q = MeanField.start(DIM, 1.0, &mut Stream::new(1)).unwrap();
        let mut parameters: Vec<f64> = (0..DIM).map(|i| 0.5 * (self.mu[i] + self.x[i]) + self.delta[i]).collect();
        parameters.extend([0.5 * VARIANCE.ln(); DIM]);
        q.set_parameters(&parameters).unwrap();
        q
    }

    fn log_evidence(&self) -> f64 {
        let square: f64 = self.mu.iter().zip(&self.x).map(|(m, x)| (x - m).powi(2)).sum();
        -0.5 * DIM as f64 * (2.0 * std::f64::consts::TAU).ln() - 0.25 * square
    }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// E log of the mean of k weights, for q off by a vector of this length, to about 1e-10:
///
/// ```text
/// E log S = ∫ (e^-t - E e^(-t S)) / t dt,   E e^(-t S) = M(t/k)ᵏ,   M(u) = E e^(-u w)
/// log w = (D/2) log(4/3) - |δ + √(2/3) ε|² + |ε|²/2
/// ```
/// M is an integral over the coordinate of ε along δ and over the length of the others.
fn expected_log_mean(k: usize, offset: f64) -> f64 {
    let chi = |y: f64| {
        // Up to its constant, which is divided out.
        ((DIM as f64 - 2.0) * y.ln() - 0.5 * y * y).exp()
    };
    let mut nodes = Vec::new();
    for a in -32..=32 {
        let along = 0.25 * f64::from(a);
        for b in 1..80 {
            let length = 0.15 * f64::from(b);
            let square = along * along + length * length;
            let log_weight = 0.5 * DIM as f64 * (VARIANCE / POSTERIOR_VARIANCE).ln()
                - (offset * offset + 2.0 * offset * VARIANCE.sqrt() * along + VARIANCE * square)
                + 0.5 * square;
            nodes.push((chi(length) * (-0.5 * along * along).exp(), log_weight.exp()));
        }
    }
    let total: f64 = nodes.iter().map(|(density, _)| density).sum();
    let laplace = |u: f64| nodes.iter().map(|(density, w)| density * (-u * w).exp()).sum::<f64>() / total;
    const STEP: f64 = 0.2;
    (-150..200)
        .map(|i| {
            let t = (STEP * f64::from(i)).exp();
            STEP * ((-t).exp() - laplace(t / k as f64).powf(k as f64))
        })
        .sum()
}

/// Running means, variances and number.
#[derive(Clone)]
struct Moments(Vec<(f64, f64, f64)>);

impl Moments {
    fn new(n: usize) -> Self {
        Self(vec![(0.0, 0.0, 0.0); n])
    }

    fn push(&mut self, values: &[f64]) {
        for ((n, mean, squares), x) in self.0.iter_mut().zip(values) {
            *n += 1.0;
            let delta = x - *mean;
            *mean += delta / *n;
            *squares += delta * (x - *mean);
        }
    }

    fn mean(&self, i: usize) -> f64 {
        self.0[i].1
    }

    fn variance(&self, i: usize) -> f64 {
        self.0[i].2 / (self.0[i].0 - 1.0)
    }

    /// Distance of the mean from a value, in standard errors.
    fn z(&self, i: usize, value: f64) -> f64 {
        (self.mean(i) - value) / (self.variance(i) / self.0[i].0).sqrt()
    }

    fn largest_z(&self) -> f64 {
        (0..self.0.len()).map(|i| self.z(i, 0.0).abs()).fold(0.0, f64::max)
    }

    fn total_variance(&self) -> f64 {
        (0..self.0.len()).map(|i| self.variance(i)).sum()
    }
}

/// Gap of the importance-weighted bound for k = 1, ..., 500. For k = 1 it is KL = D/2 (1/3 - log 4/3), and for large k χ²/2k.
#[test]
fn importance_weighted_bounds_close_the_gap_as_the_integral_says() {
    let model = LinearGaussian::new(0.0);
    let (mut q, mut target) = (model.approximation(), model.target());
    let kl = 0.5 * DIM as f64 * (1.0 / 3.0 - (4.0_f64 / 3.0).ln());
    // Per dimension E (p/q)² = t / √(s (2t - s)).
    let per_dim = VARIANCE / (POSTERIOR_VARIANCE * (2.0 * VARIANCE - POSTERIOR_VARIANCE)).sqrt();
    let chi_square = per_dim.powi(DIM as i32) - 1.0;
    assert!((chi_square - 0.90672).abs() < 1e-5 && (kl - 0.45651).abs() < 1e-5);
    let mut gradient = vec![0.0; 2 * DIM];
    let mut before = f64::INFINITY;
    for (k, n_runs) in [(1, 40_000), (2, 20_000), (5, 8000), (10, 4000), (50, 1000), (500, 200)] {
        let exact = -expected_log_mean(k, 0.0);
        assert!(k > 1 || (exact - kl).abs() < 1e-9, "{exact}");
        assert!(k < 500 || (exact * 2.0 * k as f64 / chi_square - 1.0).abs() < 0.02, "{exact}");
        let mut bound = BoundGradient::new(Objective::iwelbo(k), q.as_ref()).unwrap();
        let mut moments = Moments::new(1);
        for run in 0..n_runs {
            let mut rng = Stream::new(1000 * k as u64 + run);
            let estimate = bound.estimate(q.as_mut(), &mut target, &mut rng, &mut gradient).unwrap();
            moments.push(&[model.log_evidence() - estimate.bound]);
        }
        println!("k {k}: gap {:.5}, exact {exact:.5}, z {:.2}", moments.mean(0), moments.z(0, exact));
        // 6 comparisons: false alarms 4e-4.
        assert!(moments.z(0, exact).abs() < 4.0, "k {k}: {} instead of {exact}", moments.mean(0));
        assert!(exact < before);
        before = exact;
    }
}

/// Slopes of log signal-to-noise ratio over log k, for the location along δ (total gradient, doubly reparameterised) and for the
/// prior mean.
fn snr_slopes(cases: [(usize, u64); 2], seed: u64) -> [f64; 3] {
    let model = LinearGaussian::new(0.01);
    let (mut q, mut target) = (model.approximation(), model.target());
    let offset = norm(&model.delta);
    let difference: Vec<f64> = model.x.iter().zip(&model.mu).map(|(x, m)| x - m).collect();
    let mut gradient = vec![0.0; 2 * DIM];
    let along = |g: &[f64]| g.iter().zip(&model.delta).map(|(g, d)| g * d).sum::<f64>() / offset;
    let mut log_snr = Vec::new();
    for (k, n_runs) in cases {
        const H: f64 = 0.01;
        let signal = (expected_log_mean(k, offset + H) - expected_log_mean(k, offset - H)) / (2.0 * H);
        let mut moments = Moments::new(3);
        let [mut total, mut doubly] = [Estimator::Total, Estimator::DoublyReparameterised]
            .map(|estimator| BoundGradient::new(Objective::iwelbo(k).estimator(estimator), q.as_ref()).unwrap());
        for run in 0..n_runs {
            let stream = || Stream::keyed(seed, Purpose::Variational, k as u64, run);
            total.estimate(q.as_mut(), &mut target, &mut stream(), &mut gradient).unwrap();
            let first = along(&gradient);
            doubly.estimate(q.as_mut(), &mut target, &mut stream(), &mut gradient).unwrap();
            let mut theta = 0.0;
            for (z, w) in doubly.draws().chunks_exact(DIM).zip(doubly.weights()) {
                theta += w * (0..DIM).map(|i| (z[i] - model.mu[i]) * difference[i]).sum::<f64>();
            }
            moments.push(&[first, along(&gradient), theta]);
        }
        println!("k {k}: signal {signal:.3e}, z {:.2} and {:.2}", moments.z(0, signal), moments.z(1, signal));
        assert!(moments.z(0, signal).abs() < 4.0 && moments.z(1, signal).abs() < 4.0);
        let sd = |i| moments.variance(i).sqrt();
        log_snr.push([signal.abs() / sd(0), signal.abs() / sd(1), moments.mean(2) / sd(2)].map(f64::ln));
    }
    let distance = (cases[1].0 as f64 / cases[0].0 as f64).ln();
    std::array::from_fn(|i| (log_snr[1][i] - log_snr[0][i]) / distance)
}

/// More draws make the total gradient *worse*: -1/2; and the doubly reparameterised one better: +1/2, as that of the model's own
/// parameters. Signals are exact, so only the standard deviations are estimated. Over 50 seeds all slopes are within 0.1; from k
/// = 10 to 1000 they are -0.50, 0.46 and 0.50.
#[test]
fn signal_to_noise_ratios_have_their_slopes() {
    let slopes = snr_slopes([(10, 2000), (300, 300)], 1);
    println!("{slopes:?}");
    for (slope, theory) in slopes.into_iter().zip([-0.5, 0.5, 0.5]) {
        assert!((slope - theory).abs() < 0.1, "{slopes:?}");
    }
}

#[test]
#[ignore = "sweep over seeds, up to k = 1000"]
fn signal_to_noise_ratios_over_seeds() {
    for seed in 0..50 {
        let slopes = snr_slopes([(10, 2000), (300, 300)], seed);
        let off = slopes.iter().zip([-0.5, 0.5, 0.5]).any(|(slope, theory)| (slope - theory).abs() >= 0.1);
        println!("{slopes:.3?}{}", if off { " MISSED" } else { "" });
    }
    println!("k = 10 to 1000: {:?}", snr_slopes([(10, 10_000), (1000, 2000)], 1));
}

/// A correlated normal target in three dimensions, and a q that is off in location and scale.
fn correlated() -> (Gaussian, Box<dyn Approximation>) {
    let covariance = array![[1.0, 0.4, -0.2], [0.4, 0.8, 0.3], [-0.2, 0.3, 1.2]];
    let target = Gaussian::new(array![0.5, -1.0, 0.3], &covariance).unwrap();
    let mut q = MeanField.start(3, 1.0, &mut Stream::new(1)).unwrap();
    q.set_parameters(&[0.3, -0.8, 0.3, -0.1, -0.3, 0.1]).unwrap();
    (target, q)
}

/// Differences from the total gradient on the same draws, in standard errors, and the ratio of variances to that of the total
/// gradient.
fn against_total(alpha: f64, k: usize, estimator: Estimator, n_runs: u64, seed: u64) -> (f64, f64) {
    let (gaussian, mut q) = correlated();
    let mut target = FromFn::new(3, |z: &[f64], g: &mut [f64]| gaussian.log_density_gradient(z, g));
    let [mut total, mut other] = [Estimator::Total, estimator]
        .map(|estimator| BoundGradient::new(Objective::renyi(alpha, k).estimator(estimator), q.as_ref()).unwrap());
    let (mut differences, mut first, mut second) = (Moments::new(6), Moments::new(6), Moments::new(6));
    let (mut reference, mut gradient) = ([0.0; 6], [0.0; 6]);
    for run in 0..n_runs {
        let stream = || Stream::keyed(seed, Purpose::Variational, run, 0);
        total.estimate(q.as_mut(), &mut target, &mut stream(), &mut reference).unwrap();
        other.estimate(q.as_mut(), &mut target, &mut stream(), &mut gradient).unwrap();
        first.push(&reference);
        second.push(&gradient);
        let difference: Vec<f64> = gradient.iter().zip(&reference).map(|(g, r)| g - r).collect();
        differences.push(&difference);
    }
    (differences.largest_z(), second.total_variance() / first.total_variance())
}

/// Largest of six standard errors at four orders: beyond 4 in 1 of 700 runs. Over 50 seeds: at most 3.4; 31 and more for w in
/// place of w²; ratios at most 0.39.
#[test]
fn doubly_reparameterised_gradients_agree_with_total_ones_and_vary_less() {
    for alpha in [0.0, 0.5, 1.0, 2.0] {
        let (z, ratio) = against_total(alpha, 10, Estimator::DoublyReparameterised, 8000, 1);
        println!("alpha {alpha}: z {z:.2}, ratio of variances {ratio:.3}");
        assert!(z < 4.0 && ratio < 0.5, "alpha {alpha}: {z}, {ratio}");
    }
    // w in place of w².
    for alpha in [0.0, 0.5, 2.0] {
        let (z, _) = against_total(alpha, 10, Estimator::StickingTheLanding, 8000, 1);
        println!("sticking the landing, alpha {alpha}: z {z:.1}");
        assert!(z > 8.0, "alpha {alpha}: {z}");
    }
}

#[test]
#[ignore = "sweep over seeds"]
fn agreement_over_seeds() {
    for (estimator, alphas) in
        [(Estimator::DoublyReparameterised, &[0.0, 0.5, 1.0, 2.0][..]), (Estimator::StickingTheLanding, &[0.0, 0.5, 2.0])]
    {
        for &alpha in alphas {
            let all: Vec<(f64, f64)> = (0..50).map(|seed| against_total(alpha, 10, estimator, 8000, seed)).collect();
            let (least, most) = all.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), (z, _)| (a.min(*z), b.max(*z)));
            let ratio = all.iter().map(|(_, ratio)| *ratio).fold(0.0, f64::max);
            println!("{estimator:?}, alpha {alpha}: z from {least:.2} to {most:.2}, ratio of variances at most {ratio:.3}");
        }
    }
}

/// Where q = p the path gradient has no noise; with the entropy in closed form its variance is that of ε and of ε² - 1: 1 + 2 per
/// dimension.
#[test]
fn path_gradients_have_no_noise_at_the_optimum() {
    let dim = 10;
    let mut q = MeanField.start(dim, 1.0, &mut Stream::new(1)).unwrap();
    let mut target = FromFn::new(dim, |z: &[f64], g: &mut [f64]| {
        g.iter_mut().zip(z).for_each(|(g, z)| *g = -z);
        Ok(-0.5 * z.iter().map(|z| z * z).sum::<f64>())
    });
    let mut variance = |estimator| {
        let mut bound = BoundGradient::new(Objective::elbo(1).estimator(estimator), q.as_ref()).unwrap();
        let (mut moments, mut gradient) = (Moments::new(2 * dim), vec![0.0; 2 * dim]);
        for run in 0..4000 {
            bound.estimate(q.as_mut(), &mut target, &mut Stream::new(run), &mut gradient).unwrap();
            moments.push(&gradient);
        }
        moments.total_variance()
    };
    assert!(variance(Estimator::StickingTheLanding) < 1e-28);
    assert!(variance(Estimator::DoublyReparameterised) < 1e-28);
    // Standard error √((10·2 + 10·56)/4000) = 0.38.
    let closed = variance(Estimator::ClosedEntropy);
    assert!((closed - 30.0).abs() < 4.0 * 0.38, "{closed}");
}

/// Mean field on a normal distribution of correlation r: variances 1 - r², KL = -log(1 - r²)/2, and a k̂ that tells. Over 50
/// seeds and three r variances are off by at most 1.0 %, and KL by 2.4 standard errors.
fn mean_field_of_correlation(r: f64, seed: u64) -> Fit {
    let target = WithGradient(Gaussian::new(Array1::zeros(2), &array![[1.0, r], [r, 1.0]]).unwrap());
    Vi::new(MeanField).objective(Objective::elbo(100)).n_draws(10_000).n_iterations(3000).fit(&target, seed).unwrap()
}

fn relative_variance(fit: &Fit, r: f64) -> f64 {
    let covariance = fit.approximation().covariance().unwrap();
    let off = |v: &f64| (v / (1.0 - r * r) - 1.0).abs();
    covariance.diag().iter().map(off).fold(0.0, f64::max)
}

#[test]
fn mean_field_underestimates_variances_exactly_so_much() {
    // k̂ varies by a standard deviation of 0.08 between runs, around 0.47, 0.81 and 0.86 over 50 seeds; the limit for draws without number is r. The numbers here are those of another
    // implementation, of one run each.
    for (r, expected_k) in [(0.5_f64, 0.39), (0.9, 0.82), (0.95, 0.88)] {
        let fit = mean_field_of_correlation(r, 1);
        let (kl, k, off) = (-0.5 * (1.0 - r * r).ln(), fit.pareto_k().unwrap(), relative_variance(&fit, r));
        println!("r {r}: variances off by {off:.4}, KL {:.4} ({:.4}), exact {kl:.4}, k-hat {k:.2}", -fit.elbo(), fit.elbo_mcse());
        assert!(off < 0.02, "r {r}: {off}");
        assert!((-fit.elbo() - kl).abs() < 4.0 * fit.elbo_mcse() + 1e-3, "r {r}: {} instead of {kl}", -fit.elbo());
        assert!((k - expected_k).abs() < 0.24, "r {r}: {k}");
    }
}

#[test]
#[ignore = "sweep over seeds"]
fn mean_field_over_seeds() {
    for r in [0.5, 0.9, 0.95] {
        let (mut moments, mut worst) = (Moments::new(1), [0.0_f64; 2]);
        for seed in 0..50 {
            let fit = mean_field_of_correlation(r, seed);
            let z = (-fit.elbo() + 0.5 * (1.0 - r * r).ln()) / fit.elbo_mcse();
            worst = [worst[0].max(relative_variance(&fit, r)), worst[1].max(z.abs())];
            moments.push(&[fit.pareto_k().unwrap()]);
        }
        let (k, sd) = (moments.mean(0), moments.variance(0).sqrt());
        println!(
            "r {r}: k-hat {k:.3}, sd {sd:.3}; variances off by at most {:.4}, KL by {:.2} standard errors",
            worst[0], worst[1]
        );
    }
}
