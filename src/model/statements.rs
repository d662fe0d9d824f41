//! The statements of [`LogP`]: one method per distribution.

use super::log_p::{LogP, length};
use crate::autodiff::{Counts, DataMatrix, Lower, Operands, Real};
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

/// Statements about counts.
impl<T: Real> LogP<T> {
    /// y ~ Bernoulli(p): ln p for 1 and ln(1 - p) for 0.
    pub fn bernoulli<Y: Counts + ?Sized, P: Operands<T> + ?Sized>(&mut self, y: &Y, p: &P) {
        let n = || length(&[y.length(), p.length()]);
        self.statement(n, |s| dist::discrete1::<dist::Bernoulli, T, P>(s, &[y.length()], |i| y.count(i), p));
    }

    /// y ~ Bernoulli(1/(1 + e^-eta)): -ln(1 + e^-eta) for 1 and -ln(1 + e^eta) for 0.
    pub fn bernoulli_logit<Y: Counts + ?Sized, H: Operands<T> + ?Sized>(&mut self, y: &Y, eta: &H) {
        let n = || length(&[y.length(), eta.length()]);
        self.statement(n, |s| dist::linked::<dist::BernoulliLogit, T, Y, H>(s, y, eta));
    }

    /// y ~ Binomial(n, p): ln C(n, y) + y ln p + (n - y) ln(1 - p) for y = 0, …, n.
    pub fn binomial<Y, N, P>(&mut self, y: &Y, n: &N, p: &P)
    where
        Y: Counts + ?Sized,
        N: Counts + ?Sized,
        P: Operands<T> + ?Sized,
    {
        let rows = || length(&[y.length(), n.length(), p.length()]);
        let trials = |i| dist::Trials { successes: y.count(i), trials: n.count(i) };
        self.statement(rows, |s| dist::discrete1::<dist::Binomial, T, P>(s, &[y.length(), n.length()], trials, p));
    }

    /// y ~ Binomial(n, 1/(1 + e^-eta)): ln C(n, y) - y ln(1 + e^-eta) - (n - y) ln(1 + e^eta) for y = 0, …, n.
    pub fn binomial_logit<Y, N, H>(&mut self, y: &Y, n: &N, eta: &H)
    where
        Y: Counts + ?Sized,
        N: Counts + ?Sized,
        H: Operands<T> + ?Sized,
    {
        let rows = || length(&[y.length(), n.length(), eta.length()]);
        let trials = |i| dist::Trials { successes: y.count(i), trials: n.count(i) };
        self.statement(rows, |s| dist::discrete1::<dist::BinomialLogit, T, H>(s, &[y.length(), n.length()], trials, eta));
    }

    /// y ~ Poisson(rate): y ln rate - rate - ln y! for y ≥ 0.
    pub fn poisson<Y: Counts + ?Sized, R: Operands<T> + ?Sized>(&mut self, y: &Y, rate: &R) {
        let n = || length(&[y.length(), rate.length()]);
        self.statement(n, |s| dist::discrete1::<dist::Poisson, T, R>(s, &[y.length()], |i| y.count(i), rate));
    }

    /// y ~ Poisson(e^eta): y·eta - e^eta - ln y! for y ≥ 0.
    pub fn poisson_log<Y: Counts + ?Sized, H: Operands<T> + ?Sized>(&mut self, y: &Y, eta: &H) {
        let n = || length(&[y.length(), eta.length()]);
        self.statement(n, |s| dist::linked::<dist::PoissonLog, T, Y, H>(s, y, eta));
    }

    /// y ~ NegBinomial(mean μ, dispersion φ), with variance μ + μ²/φ:
    /// ln Γ(y + φ) - ln Γ(φ) - ln y! + y ln(μ/(μ + φ)) + φ ln(φ/(μ + φ)) for y ≥ 0.
    pub fn neg_binomial<Y, M, D>(&mut self, y: &Y, mean: &M, dispersion: &D)
    where
        Y: Counts + ?Sized,
        M: Operands<T> + ?Sized,
        D: Operands<T> + ?Sized,
    {
        let n = || length(&[y.length(), mean.length(), dispersion.length()]);
        self.statement(n, |s| dist::discrete2::<dist::NegBinomial, T, M, D>(s, &[y.length()], |i| y.count(i), mean, dispersion));
    }

    /// y ~ Categorical(probabilities): ln p\[y\] for y = 0, …, K - 1; the same K probabilities for every row.
    pub fn categorical<Y: Counts + ?Sized, P: Operands<T> + ?Sized>(&mut self, y: &Y, probabilities: &P) {
        self.statement(|| length(&[y.length()]), |s| dist::categorical(s, y, probabilities));
    }

    /// y ~ Categorical(softmax(logits)): logit\[y\] - ln Σ exp(logits) for y = 0, …, K - 1; the same K logits for every row.
    pub fn categorical_logit<Y: Counts + ?Sized, H: Operands<T> + ?Sized>(&mut self, y: &Y, logits: &H) {
        self.statement(|| length(&[y.length()]), |s| dist::categorical_logit(s, y, logits));
    }
}

/// Statements about vectors, each one row; mixtures; generalised linear models.
impl<T: Real> LogP<T> {
    /// y ~ N(mean, L·Lᵀ) for a vector of n: -½|z|² - Σ ln Lᵢᵢ - ½ n ln 2π with L·z = y - mean.
    pub fn multi_normal_cholesky<Y, M, L>(&mut self, y: &Y, mean: &M, factor: &Lower<L>)
    where
        Y: Operands<T> + ?Sized,
        M: Operands<T> + ?Sized,
        [L]: Operands<T>,
    {
        self.statement(|| 1, |s| dist::multi_normal_cholesky(s, y, mean, factor));
    }

    /// y ~ N(mean, Σ) for a vector of n, given the lower triangle of Σ: -½ (y - mean)ᵀΣ⁻¹(y - mean) - ½ ln |Σ| - ½ n ln 2π.
    pub fn multi_normal<Y, M, L>(&mut self, y: &Y, mean: &M, covariance: &Lower<L>)
    where
        Y: Operands<T> + ?Sized,
        M: Operands<T> + ?Sized,
        [L]: Operands<T>,
    {
        self.statement(|| 1, |s| dist::multi_normal(s, y, mean, covariance));
    }

    /// y ~ Dirichlet(concentration α) for a simplex y: ln Γ(Σαₖ) - Σ ln Γ(αₖ) + Σ (αₖ - 1) ln yₖ; a scalar α is that of every
    /// coordinate.
    pub fn dirichlet<Y: Operands<T> + ?Sized, A: Operands<T> + ?Sized>(&mut self, y: &Y, concentration: &A) {
        self.statement(|| 1, |s| dist::dirichlet(s, y, concentration));
    }

    /// L·Lᵀ ~ LKJ(eta) for the Cholesky factor L of a correlation matrix, as a density of its strictly lower entries; formula at
    /// [`LkjCholesky`](crate::distributions::LkjCholesky).
    pub fn lkj_cholesky<L, H: Operands<T> + ?Sized>(&mut self, factor: &Lower<L>, eta: &H)
    where
        [L]: Operands<T>,
    {
        self.statement(|| 1, |s| dist::lkj_cholesky(s, factor, eta));
    }

    /// y ~ weight·N(mean1, sd1) + (1 - weight)·N(mean2, sd2) on ℝ, the component of each row summed out.
    pub fn normal_mixture<Y, W, A, S, B, R>(&mut self, y: &Y, weight: &W, mean1: &A, sd1: &S, mean2: &B, sd2: &R)
    where
        Y: Operands<T> + ?Sized,
        W: Operands<T> + ?Sized,
        A: Operands<T> + ?Sized,
        S: Operands<T> + ?Sized,
        B: Operands<T> + ?Sized,
        R: Operands<T> + ?Sized,
    {
        let n = || length(&[y.length(), weight.length(), mean1.length(), sd1.length(), mean2.length(), sd2.length()]);
        self.statement(n, |s| dist::normal_mixture(s, y, weight, mean1, sd1, mean2, sd2));
    }

    /// y ~ N(intercept + X·beta, sd), in one pass over X. A vector as intercept is an offset of each row.
    pub fn normal_glm<Y, A, B, S>(&mut self, y: &Y, x: &DataMatrix, intercept: &A, beta: &B, sd: &S)
    where
        Y: Operands<T> + ?Sized,
        A: Operands<T> + ?Sized,
        B: Operands<T> + ?Sized,
        S: Operands<T> + ?Sized,
    {
        self.statement(|| x.n_rows(), |s| dist::normal_glm(s, y, x, intercept, beta, sd));
    }

    /// y ~ Bernoulli(1/(1 + e^-eta)) with eta = intercept + X·beta, in one pass over X. A vector as intercept is an offset of each row.
    pub fn bernoulli_logit_glm<Y, A, B>(&mut self, y: &Y, x: &DataMatrix, intercept: &A, beta: &B)
    where
        Y: Counts + ?Sized,
        A: Operands<T> + ?Sized,
        B: Operands<T> + ?Sized,
    {
        self.statement(|| x.n_rows(), |s| dist::linked_glm::<dist::BernoulliLogit, T, Y, A, B>(s, y, x, intercept, beta));
    }

    /// y ~ Poisson(e^eta) with eta = intercept + X·beta, in one pass over X. A vector as intercept is an offset of each row.
    pub fn poisson_log_glm<Y, A, B>(&mut self, y: &Y, x: &DataMatrix, intercept: &A, beta: &B)
    where
        Y: Counts + ?Sized,
        A: Operands<T> + ?Sized,
        B: Operands<T> + ?Sized,
    {
        self.statement(|| x.n_rows(), |s| dist::linked_glm::<dist::PoissonLog, T, Y, A, B>(s, y, x, intercept, beta));
    }
}
