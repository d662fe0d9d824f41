//! Stub until the ground floor is merged.
/// 1/√(2π)
pub const FRAC_1_SQRT_2PI: f64 = 0.398_942_280_401_432_7;
/// ln Γ
pub fn ln_gamma(x: f64) -> f64 {
    statrs::function::gamma::ln_gamma(x)
}
/// Φ
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * statrs::function::erf::erfc(-x / std::f64::consts::SQRT_2)
}
/// ψ⁽ⁿ⁾(x)
pub fn polygamma(n: u32, x: f64) -> f64 {
    if n == 0 {
        return statrs::function::gamma::digamma(x);
    }
    let mut x = x;
    let mut sum = 0.0;
    let sign = if n % 2 == 1 { 1.0 } else { -1.0 };
    let factorial: f64 = (1..=n).map(f64::from).product();
    while x < 20.0 {
        sum += factorial / x.powi(n as i32 + 1);
        x += 1.0;
    }
    let b = [1.0 / 6.0, -1.0 / 30.0, 1.0 / 42.0, -1.0 / 30.0, 5.0 / 66.0, -691.0 / 2730.0, 7.0 / 6.0];
    let nf = f64::from(n);
    let mut t = (factorial / nf) / x.powi(n as i32) + factorial / (2.0 * x.powi(n as i32 + 1));
    let mut coef = factorial * (nf + 1.0) / 2.0; // (2k+n-1)!/(2k)! at k = 1
    for (i, bk) in b.iter().enumerate() {
        let k = (i + 1) as f64;
        t += bk * coef / x.powi(2 * (i as i32 + 1) + n as i32);
        coef *= (2.0 * k + nf) * (2.0 * k + nf + 1.0) / ((2.0 * k + 1.0) * (2.0 * k + 2.0));
    }
    sign * (sum + t)
}
