//! The statements of [`LogP`]: one method per distribution.

use super::log_p::{LogP, length};
use crate::autodiff::{Operands, Real};
use crate::distributions as dist;

/// Declares the statement methods of continuous families.
macro_rules! continuous {
    ($($(#[$meta:meta])* $name:ident($($argument:ident: $type:ident),+) = $driver:ident $family:ident;)+) => {
        impl<T: Real> LogP<T> {
            $($(#[$meta])*
            pub fn $name<Y, $($type),+>(&mut self, y: &Y, $($argument: &$type),+)
            where
                Y: Operands<T> + ?Sized,
                $($type: Operands<T> + ?Sized),+
            {
                let n = || length(&[y.length(), $($argument.length()),+]);
                self.statement(n, |s| dist::$driver::<dist::$family, T, Y, $($type),+>(s, y, $($argument),+));
            })+
        }
    };
}

continuous! {
    /// y ~ N(mean, sd): -½((y - mean)/sd)² - ln sd - ½ ln 2π on ℝ.
    normal(mean: A, sd: B) = continuous2 Normal;
    /// y ~ |N(0, sd)|: ln 2 - ½(y/sd)² - ln sd - ½ ln 2π on y ≥ 0.
    half_normal(sd: A) = continuous1 HalfNormal;
    /// ln y ~ N(mu, sigma): -½((ln y - mu)/sigma)² - ln y - ln sigma - ½ ln 2π on y > 0.
    log_normal(mu: A, sigma: B) = continuous2 LogNormal;
    /// y ~ t(df, location, scale): ln Γ((ν+1)/2) - ln Γ(ν/2) - ½ ln νπ - ln scale - ½(ν+1) ln(1 + z²/ν) on ℝ, with ν = df and
    /// z = (y - location)/scale.
    student_t(df: A, location: B, scale: C) = continuous3 StudentT;
    /// y ~ |t(df, 0, scale)|: ln 2 plus the density of [`LogP::student_t`] with location 0, on y ≥ 0.
    half_student_t(df: A, scale: B) = continuous2 HalfStudentT;
    /// y ~ Cauchy(location, scale): -ln π - ln scale - ln(1 + ((y - location)/scale)²) on ℝ.
    cauchy(location: A, scale: B) = continuous2 Cauchy;
    /// y ~ |Cauchy(0, scale)|: ln 2 - ln π - ln scale - ln(1 + (y/scale)²) on y ≥ 0.
    half_cauchy(scale: A) = continuous1 HalfCauchy;
    /// y ~ Gamma(shape α, rate β): α ln β - ln Γ(α) + (α - 1) ln y - β y on y ≥ 0; mean α/β.
    gamma(shape: A, rate: B) = continuous2 Gamma;
    /// 1/y ~ Gamma(shape α, rate β), β = scale: α ln β - ln Γ(α) - (α + 1) ln y - β/y on y > 0.
    inverse_gamma(shape: A, scale: B) = continuous2 InverseGamma;
    /// y ~ Beta(a, b): (a - 1) ln y + (b - 1) ln(1 - y) - ln B(a, b) on \[0, 1\].
    beta(a: A, b: B) = continuous2 Beta;
    /// y ~ Exponential(rate): ln rate - rate·y on y ≥ 0; mean 1/rate.
    exponential(rate: A) = continuous1 Exponential;
    /// y ~ Uniform(lower, upper): -ln(upper - lower) on \[lower, upper\].
    uniform(lower: A, upper: B) = continuous2 Uniform;
    /// y ~ Logistic(location, scale): -|z| - ln scale - 2 ln(1 + e^-|z|) on ℝ, with z = (y - location)/scale.
    logistic(location: A, scale: B) = continuous2 Logistic;
    /// y ~ Laplace(location, scale): -|y - location|/scale - ln(2 scale) on ℝ.
    laplace(location: A, scale: B) = continuous2 Laplace;
}
