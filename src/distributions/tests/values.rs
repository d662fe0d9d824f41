//! Log densities against numbers from scipy 1.17 and from mpmath at 50 digits, at the edges, and integrated.

use super::super::*;
use super::{statements, value};
use crate::autodiff::Lower;

type Check = Result<f64, crate::DensityError>;

/// The log density of a named distribution at `x[0]` with the parameters that follow.
fn ln_density(name: &str, x: &[f64]) -> Check {
    Ok(match (name, x) {
        ("normal", &[y, a, b]) => Normal::new(a, b)?.ln_pdf(y),
        ("half_normal", &[y, a]) => HalfNormal::new(a)?.ln_pdf(y),
        ("log_normal", &[y, a, b]) => LogNormal::new(a, b)?.ln_pdf(y),
        ("student_t", &[y, a, b, c]) => StudentT::new(a, b, c)?.ln_pdf(y),
        ("half_student_t", &[y, a, b]) => HalfStudentT::new(a, b)?.ln_pdf(y),
        ("cauchy", &[y, a, b]) => Cauchy::new(a, b)?.ln_pdf(y),
        ("half_cauchy", &[y, a]) => HalfCauchy::new(a)?.ln_pdf(y),
        ("gamma", &[y, a, b]) => Gamma::new(a, b)?.ln_pdf(y),
        ("inverse_gamma", &[y, a, b]) => InverseGamma::new(a, b)?.ln_pdf(y),
        ("beta", &[y, a, b]) => Beta::new(a, b)?.ln_pdf(y),
        ("exponential", &[y, a]) => Exponential::new(a)?.ln_pdf(y),
        ("uniform", &[y, a, b]) => Uniform::new(a, b)?.ln_pdf(y),
        ("logistic", &[y, a, b]) => Logistic::new(a, b)?.ln_pdf(y),
        ("laplace", &[y, a, b]) => Laplace::new(a, b)?.ln_pdf(y),
        ("normal_mixture", &[y, w, a, b, c, d]) => NormalMixture::new(w, a, b, c, d)?.ln_pdf(y),
        ("bernoulli", &[y, p]) => Bernoulli::new(p)?.ln_pmf(y as u64),
        ("poisson", &[y, a]) => Poisson::new(a)?.ln_pmf(y as u64),
        ("neg_binomial", &[y, a, b]) => NegBinomial::new(a, b)?.ln_pmf(y as u64),
        ("binomial", &[y, n, p]) => Binomial::new(n as u64, p)?.ln_pmf(y as u64),
        _ => unreachable!("{name} with {} numbers", x.len()),
    })
}

#[test]
fn densities_are_those_of_scipy() {
    let cases: &[(&str, &[f64], f64)] = &[
        ("normal", &[-1.3, 0.7, 1.9], -2.1148090398756825),
        ("student_t", &[-1.3, 4.5, 0.3, 1.7], -1.9988389290830977),
        ("student_t", &[-1.3, 31.0, 0.3, 1.7], -1.908413543605687),
        ("cauchy", &[-1.3, 0.3, 1.7], -2.3097172434623823),
        ("logistic", &[-1.3, 0.3, 1.7], -2.1306547097579065),
        ("laplace", &[-1.3, 0.3, 1.7], -2.164951902210351),
        ("uniform", &[-1.3, -1.5, 3.1], -1.5260563034950492),
        ("normal", &[0.4, 0.7, 1.9], -1.573257793338286),
        ("student_t", &[0.4, 4.5, 0.3, 1.7], -1.50680269910373),
        ("student_t", &[0.4, 31.0, 0.3, 1.7], -1.459415717446527),
        ("cauchy", &[0.4, 0.3, 1.7], -1.678812371779658),
        ("logistic", &[0.4, 0.3, 1.7], -1.9177875393948054),
        ("laplace", &[0.4, 0.3, 1.7], -1.2825989610338806),
        ("uniform", &[0.4, -1.5, 3.1], -1.5260563034950492),
        ("normal", &[2.2, 0.7, 1.9], -1.8724267684075384),
        ("student_t", &[2.2, 4.5, 0.3, 1.7], -2.1783619483438095),
        ("student_t", &[2.2, 31.0, 0.3, 1.7], -2.0896941448170985),
        ("cauchy", &[2.2, 0.3, 1.7], -2.485903811688821),
        ("logistic", &[2.2, 0.3, 1.7], -2.2141897894014013),
        ("laplace", &[2.2, 0.3, 1.7], -2.341422490445645),
        ("uniform", &[2.2, -1.5, 3.1], -1.5260563034950492),
        ("half_normal", &[0.03, 1.9], -0.8677698925567343),
        ("log_normal", &[0.03, 0.4, 0.7], -12.628353248183837),
        ("half_student_t", &[0.03, 3.5, 1.7], -0.8271548505819314),
        ("half_cauchy", &[0.03, 1.7], -0.9825223265560126),
        ("gamma", &[0.03, 2.3, 1.7], -3.5432697440326146),
        ("gamma", &[0.03, 12.3, 3.1], -44.0398416754675),
        ("inverse_gamma", &[0.03, 2.3, 1.7], -44.02877008302736),
        ("exponential", &[0.03, 1.7], 0.4796282510621704),
        ("half_normal", &[0.8, 1.9], -0.9562878980969005),
        ("log_normal", &[0.8, 0.4, 0.7], -0.7353525742216134),
        ("half_student_t", &[0.8, 3.5, 1.7], -0.9649950689866921),
        ("half_cauchy", &[0.8, 1.7], -1.18225232517249),
        ("gamma", &[0.8, 2.3, 1.7], -0.5838310942251114),
        ("gamma", &[0.8, 12.3, 3.1], -9.324259565602276),
        ("inverse_gamma", &[0.8, 2.3, 1.7], -0.3223707581797469),
        ("exponential", &[0.8, 1.7], -0.8293717489378297),
        ("half_normal", &[5.5, 1.9], -5.057395931337898),
        ("log_normal", &[5.5, 0.4, 0.7], -4.00412146130009),
        ("half_student_t", &[5.5, 3.5, 1.7], -3.9408277667730847),
        ("half_cauchy", &[5.5, 1.7], -3.4216954662257013),
        ("gamma", &[5.5, 2.3, 1.7], -6.0675719576066856),
        ("gamma", &[5.5, 12.3, 3.1], -2.109083993457501),
        ("inverse_gamma", &[5.5, 2.3, 1.7], -4.8685040909943496),
        ("exponential", &[5.5, 1.7], -8.81937174893783),
        ("beta", &[0.03, 0.8, 2.6], 1.2354333653423872),
        ("beta", &[0.03, 14.0, 22.5], -21.787805312713438),
        ("beta", &[0.4, 0.8, 2.6], -0.051206333796829595),
        ("beta", &[0.4, 14.0, 22.5], 1.5577898880347405),
        ("beta", &[0.95, 0.8, 2.6], -4.200056460954949),
        ("beta", &[0.95, 14.0, 22.5], -40.62273639508138),
        ("poisson", &[0.0, 3.4], -3.4),
        ("neg_binomial", &[0.0, 3.4, 2.3], -2.087381219382421),
        ("neg_binomial", &[0.0, 9.4, 42.3], -8.48837041804899),
        ("binomial", &[0.0, 40.0, 0.37], -18.481418383862348),
        ("poisson", &[1.0, 3.4], -2.1762245683778842),
        ("neg_binomial", &[1.0, 3.4, 2.3], -1.7711628396657058),
        ("neg_binomial", &[1.0, 9.4, 42.3], -6.44833142423516),
        ("binomial", &[1.0, 40.0, 0.37], -15.324755743495711),
        ("poisson", &[7.0, 3.4], -3.358733339710605),
        ("neg_binomial", &[7.0, 3.4, 2.3], -3.1315448519570386),
        ("neg_binomial", &[7.0, 9.4, 42.3], -2.260453176933991),
        ("binomial", &[7.0, 40.0, 0.37], -5.465924743983058),
        ("poisson", &[40.0, 3.4], -64.76962244987277),
        ("neg_binomial", &[40.0, 3.4, 2.3], -18.076831369180507),
        ("neg_binomial", &[40.0, 9.4, 42.3], -22.76363487861424),
        ("binomial", &[40.0, 40.0, 0.37], -39.77009093375467),
    ];
    for &(name, x, expected) in cases {
        let found = ln_density(name, x).unwrap();
        // scipy's own error stays below 1e-12 at these points.
        assert!((found - expected).abs() < 2e-12 * expected.abs().max(1.0), "{name} at {x:?}: {found} against {expected}");
    }
}

#[test]
fn vector_densities_are_those_of_scipy() {
    let covariance = [1.5, 0.3, 0.8, -0.2, 0.1, 2.0];
    let (y, mean) = ([0.9, 0.1, -0.6], [0.3, -0.4, 1.0]);
    let expected = -4.010495400292172;
    let with_covariance = statements!(|x, lp| {
        let covariance = Lower::from_entries(3, x[6..].to_vec()).unwrap();
        lp.multi_normal(&x[..3], &x[3..6], &covariance);
    });
    let all = [&y[..], &mean, &covariance].concat();
    approx::assert_relative_eq!(value(&with_covariance, &all).unwrap(), expected, max_relative = 1e-13);
    let with_factor = statements!(|x, lp| {
        let covariance = Lower::from_entries(3, x[6..].to_vec()).unwrap();
        let factor = crate::autodiff::cholesky(&covariance).unwrap();
        lp.multi_normal_cholesky(&x[..3], &x[3..6], &factor);
    });
    approx::assert_relative_eq!(value(&with_factor, &all).unwrap(), expected, max_relative = 1e-13);
    let dirichlet = Dirichlet::new(vec![0.8, 2.6, 3.1]).unwrap();
    approx::assert_relative_eq!(dirichlet.ln_pdf(&[0.2, 0.3, 0.5]).unwrap(), 1.3056374510238982, max_relative = 1e-13);
    let categorical = Categorical::new(vec![0.2, 0.3, 0.5]).unwrap();
    assert_eq!(categorical.ln_pmf(1), 0.3_f64.ln());
    assert_eq!(categorical.ln_pmf(3), f64::NEG_INFINITY);
    let logits = Categorical::from_logits(vec![0.2_f64.ln() + 800.0, 0.3_f64.ln() + 800.0, 0.5_f64.ln() + 800.0]).unwrap();
    approx::assert_relative_eq!(logits.ln_pmf(2), 0.5_f64.ln(), max_relative = 1e-12);
}

#[test]
fn extreme_arguments_keep_their_digits() {
    let infinity = f64::INFINITY;
    // Numbers with 17 digits from mpmath; the others are exact.
    let cases: &[(&str, &[f64], f64)] = &[
        ("student_t", &[1.7, 1e10, 0.0, 1.0], -2.363_938_533_165_37),
        ("student_t", &[1e200, 3.0, 0.0, 1.0], -1_840.871_738_667_524),
        ("cauchy", &[1e200, 0.0, 1.0], -std::f64::consts::PI.ln() - 400.0 * 10_f64.ln()),
        ("neg_binomial", &[3.0, 3.4, 1e10], -1.520_433_174_503_707_9),
        ("neg_binomial", &[40.0, 3.4, 1e10], -64.769_622_384_894_77),
        ("neg_binomial", &[40.0, 3.4, 1e-5], -15.202007397658947),
        ("neg_binomial", &[0.0, 0.0, 2.0], 0.0),
        ("neg_binomial", &[1.0, 0.0, 2.0], -infinity),
        ("beta", &[0.0, 1.0, 2.5], 2.5_f64.ln()),
        ("beta", &[1.0, 2.5, 1.0], 2.5_f64.ln()),
        ("beta", &[0.0, 2.5, 1.0], -infinity),
        ("beta", &[0.0, 0.5, 1.0], infinity),
        ("gamma", &[0.0, 1.0, 3.0], 3_f64.ln()),
        ("gamma", &[0.0, 1.5, 3.0], -infinity),
        ("gamma", &[infinity, 1.5, 3.0], -infinity),
        ("inverse_gamma", &[0.0, 1.5, 3.0], -infinity),
        ("inverse_gamma", &[1e-320, 1.5, 3.0], -infinity),
        ("log_normal", &[0.0, 1.5, 3.0], -infinity),
        ("poisson", &[0.0, 0.0], 0.0),
        ("poisson", &[2.0, 0.0], -infinity),
        ("bernoulli", &[1.0, 1.0], 0.0),
        ("bernoulli", &[0.0, 1.0], -infinity),
        ("bernoulli", &[2.0, 0.5], -infinity),
        ("binomial", &[5.0, 5.0, 1.0], 0.0),
        ("binomial", &[6.0, 5.0, 0.5], -infinity),
        ("logistic", &[1e5, 0.0, 1.0], -1e5),
        ("normal", &[infinity, 0.0, 1.0], -infinity),
        ("normal_mixture", &[infinity, 0.3, 0.0, 1.0, 2.0, 3.0], -infinity),
        ("normal_mixture", &[2.0, 0.0, 0.0, 1.0, 2.0, 3.0], -0.5 * (18.0 * std::f64::consts::PI).ln()),
        ("uniform", &[0.0, -1.7e308, 1.7e308], -(1.7e308_f64.ln() + 2_f64.ln())),
        ("half_normal", &[-1e-9, 1.0], -infinity),
        ("half_cauchy", &[-1e-9, 1.0], -infinity),
        ("half_student_t", &[-1e-9, 3.0, 1.0], -infinity),
        ("exponential", &[-1e-9, 1.0], -infinity),
        ("uniform", &[3.1, 1.0, 3.0], -infinity),
    ];
    for &(name, x, expected) in cases {
        let found = ln_density(name, x).unwrap();
        let close = (found - expected).abs() < 1e-13 * expected.abs().max(100.0);
        assert!(found == expected || close, "{name} at {x:?}: {found} against {expected}");
    }
    // Terms of size 7e5 cancel here: 1e-10 is what their rounding leaves.
    approx::assert_abs_diff_eq!(Beta::new(1e6, 1e6).unwrap().ln_pdf(0.5001), 6.988_537_430_817_391_5, epsilon = 3e-10);
    for eta in [-800.0, 800.0] {
        let logit = statements!(|x, lp| lp.bernoulli_logit(&[0_u8, 1], &x[0]));
        assert_eq!(value(&logit, &[eta]).unwrap(), -800.0);
        let many = statements!(|x, lp| lp.binomial_logit(&2_u32, &4_u32, &x[0]));
        approx::assert_relative_eq!(value(&many, &[eta]).unwrap(), 6_f64.ln() - 1600.0, max_relative = 1e-14);
    }
    let rate = statements!(|x, lp| lp.poisson_log(&0_u8, &x[0]));
    assert_eq!(value(&rate, &[f64::NEG_INFINITY]).unwrap(), 0.0);
    assert_eq!(value(&rate, &[800.0]).unwrap(), f64::NEG_INFINITY);
}

/// ∫₀^∞ g by the trapezoidal rule after u = exp(½π sinh t).
fn half_line(g: impl Fn(f64) -> f64) -> f64 {
    let (half_pi, step) = (std::f64::consts::FRAC_PI_2, 1.0 / 64.0);
    let term = |k: i32| {
        let t = f64::from(k) * step;
        let u = (half_pi * t.sinh()).exp();
        g(u) * u * half_pi * t.cosh() * step
    };
    (-310..=310).map(term).filter(|v| v.is_finite()).sum()
}

/// ∫₀¹ g(u, 1 - u) by u = v/(1 + v).
fn unit_interval(g: impl Fn(f64) -> f64) -> f64 {
    half_line(|v| g(v / (1.0 + v)) / ((1.0 + v) * (1.0 + v)))
}

#[test]
fn densities_integrate_to_one() {
    let real: &[(&str, &[f64], f64)] = &[
        ("normal", &[0.7, 1.9], 0.7),
        ("student_t", &[1.3, 0.7, 1.9], 0.7),
        ("cauchy", &[0.7, 1.9], 0.7),
        ("logistic", &[0.7, 1.9], 0.7),
        ("laplace", &[0.7, 1.9], 0.7),
        ("normal_mixture", &[0.3, 0.7, 1.9, 1.2, 2.5], 0.9),
    ];
    for &(name, parameters, centre) in real {
        let density = |y: f64| ln_density(name, &[&[y], parameters].concat()).unwrap().exp();
        let total = half_line(|u| density(centre + u) + density(centre - u));
        assert!((total - 1.0).abs() < 1e-9, "{name}: {total}");
    }
    let positive: &[(&str, &[f64])] = &[
        ("half_normal", &[1.9]),
        ("log_normal", &[0.4, 0.7]),
        ("half_student_t", &[1.3, 1.9]),
        ("half_cauchy", &[1.9]),
        ("gamma", &[0.6, 1.9]),
        ("inverse_gamma", &[2.6, 1.9]),
        ("exponential", &[1.9]),
    ];
    for &(name, parameters) in positive {
        let total = half_line(|y| ln_density(name, &[&[y], parameters].concat()).unwrap().exp());
        assert!((total - 1.0).abs() < 1e-9, "{name}: {total}");
    }
    let total = unit_interval(|y| Beta::new(1.3, 2.6).unwrap().ln_pdf(y).exp());
    assert!((total - 1.0).abs() < 1e-9, "beta: {total}");
    let counts: &[(&str, &[f64])] = &[
        ("bernoulli", &[0.3]),
        ("poisson", &[3.4]),
        ("neg_binomial", &[3.4, 0.8]),
        ("neg_binomial", &[3.4, 80.0]),
        ("binomial", &[300.0, 0.3]),
    ];
    for &(name, parameters) in counts {
        let total: f64 = (0..600).map(|k| ln_density(name, &[&[f64::from(k)], parameters].concat()).unwrap().exp()).sum();
        assert!((total - 1.0).abs() < 1e-11, "{name}: {total}");
    }
}

#[test]
fn dirichlet_and_lkj_integrate_to_one() {
    let dirichlet = Dirichlet::new(vec![1.3, 2.6, 1.8]).unwrap();
    // y = (u, (1 - u)v, rest), Jacobian 1 - u
    let density = |u: f64, v: f64| {
        let y = [u, (1.0 - u) * v, (1.0 - u) * (1.0 - v)];
        dirichlet.ln_pdf(&y).unwrap().exp() * (1.0 - u)
    };
    let total = unit_interval(|u| unit_interval(|v| density(u, v)));
    assert!((total - 1.0).abs() < 1e-8, "dirichlet: {total}");
    for eta in [0.7, 2.5] {
        let lkj = LkjCholesky::new(2, eta).unwrap();
        // Correlation r = 1 - 2u, its factor's diagonal 2√(u(1 - u)).
        let total = unit_interval(|u| {
            let factor = Lower::from_entries(2, vec![1.0, 1.0 - 2.0 * u, 2.0 * (u * (1.0 - u)).sqrt()]).unwrap();
            if factor.get(1, 1) > 0.0 { 2.0 * lkj.ln_pdf(&factor).unwrap().exp() } else { 0.0 }
        });
        assert!((total - 1.0).abs() < 1e-7, "lkj 2, {eta}: {total}");
    }
    // n = 3 by the midpoint rule in the angles of x, y, z: L₂₁ = x, L₃₁ = y, L₃₂ = z√(1 - y²).
    let (n, eta) = (120, 2.5);
    let lkj = LkjCholesky::new(3, eta).unwrap();
    let point = |k: i32| (std::f64::consts::PI * (f64::from(k) + 0.5) / f64::from(n)).cos();
    let weight = |x: f64| std::f64::consts::PI / f64::from(n) * (1.0 - x * x).sqrt();
    let mut total = 0.0;
    for (i, j, k) in (0..n).flat_map(|i| (0..n).flat_map(move |j| (0..n).map(move |k| (i, j, k)))) {
        let (x, y, z) = (point(i), point(j), point(k));
        let rest = (1.0 - y * y).sqrt();
        let entries = vec![1.0, x, (1.0 - x * x).sqrt(), y, z * rest, rest * (1.0 - z * z).sqrt()];
        let density = lkj.ln_pdf(&Lower::from_entries(3, entries).unwrap()).unwrap().exp();
        total += density * rest * weight(x) * weight(y) * weight(z);
    }
    // The integrand in the angles is a trigonometric polynomial for this eta but for one factor: the rule converges fast.
    assert!((total - 1.0).abs() < 1e-6, "lkj 3: {total}");
}
