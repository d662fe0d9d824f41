//! Regressions: normal with different priors, and logistic.

use ndarray::Array2;

use super::{check_data, check_length, half_cauchy, half_normal, normals};
use crate::autodiff::{DataMatrix, Real, Value};
use crate::error::{Error, check};
use crate::model::{LogP, Model, Space, Values};
use crate::rng::Stream;

fn check_design(x: &DataMatrix, n: usize) -> Result<(), Error> {
    check_length("rows of x", n, x.n_rows())?;
    if x.n_cols() == 0 {
        return Err(Error::Empty { what: "columns of x" });
    }
    (0..x.n_rows()).try_for_each(|i| check_data("x", x.row(i)))
}

fn linear_predictor(row: &[f64], beta: &[Value]) -> f64 {
    row.iter().zip(beta).map(|(x, b)| x * b.value()).sum()
}

/// The prior of a residual standard deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ScalePrior {
    /// Flat on (0, ∞).
    Flat,
    /// Half-Cauchy with this scale.
    HalfCauchy(f64),
    /// Half-normal with this standard deviation.
    HalfNormal(f64),
}

/// Normal linear regression y ~ N(X beta, sigma) on a design matrix that holds its own column of ones.
///
/// beta has independent N(0, `coefficient_sd`) priors, or flat ones.
///
/// ```
/// use posterity::autodiff::DataMatrix;
/// use posterity::model::Target;
/// use posterity::model::zoo::{LinearRegression, ScalePrior};
/// let x = DataMatrix::from_columns(&[&[1.0, 1.0, 1.0], &[0.1, 0.4, 0.9]]).unwrap();
/// let model = LinearRegression::new(x, vec![1.0, 1.7, 3.1], None, ScalePrior::HalfCauchy(2.5)).unwrap();
/// assert_eq!(model.dim().unwrap(), 3);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LinearRegression {
    x: DataMatrix,
    y: Vec<f64>,
    coefficient_sd: Option<f64>,
    scale_prior: ScalePrior,
}

/// Parameters of [`LinearRegression`].
#[derive(Debug, Clone)]
pub struct LinearRegressionParameters<T> {
    /// Coefficients, one per column.
    pub beta: Vec<T>,
    /// Residual standard deviation.
    pub sigma: T,
}

impl LinearRegression {
    /// The regression of `y` on the columns of `x`; `coefficient_sd = None` means flat priors.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`], [`Error::Dimension`] for unequal lengths, [`Error::InvalidSetting`] for a prior's scale that
    /// is not positive.
    pub fn new(x: DataMatrix, y: Vec<f64>, coefficient_sd: Option<f64>, scale_prior: ScalePrior) -> Result<Self, Error> {
        check_data("y", &y)?;
        check_design(&x, y.len())?;
        if let Some(sd) = coefficient_sd {
            check::positive("coefficient_sd", sd)?;
        }
        if let ScalePrior::HalfCauchy(scale) | ScalePrior::HalfNormal(scale) = scale_prior {
            check::positive("scale_prior", scale)?;
        }
        Ok(Self { x, y, coefficient_sd, scale_prior })
    }

    /// The design matrix.
    #[must_use]
    pub fn design(&self) -> &DataMatrix {
        &self.x
    }

    /// The responses.
    #[must_use]
    pub fn responses(&self) -> &[f64] {
        &self.y
    }
}

impl Model for LinearRegression {
    type Parameters<T: Real> = LinearRegressionParameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> LinearRegressionParameters<T> {
        LinearRegressionParameters { beta: space.vector("beta", self.x.n_cols()), sigma: space.positive("sigma") }
    }

    fn log_prior<T: Real>(&self, p: &LinearRegressionParameters<T>, lp: &mut LogP<T>) {
        if let Some(sd) = self.coefficient_sd {
            lp.normal(&p.beta, &0.0, &sd);
        }
        match self.scale_prior {
            ScalePrior::Flat => {}
            ScalePrior::HalfCauchy(scale) => lp.half_cauchy(&p.sigma, &scale),
            ScalePrior::HalfNormal(sd) => lp.half_normal(&p.sigma, &sd),
        }
    }

    fn log_likelihood<T: Real>(&self, p: &LinearRegressionParameters<T>, lp: &mut LogP<T>) {
        lp.normal_glm(&self.y, &self.x, &0.0, &p.beta, &p.sigma);
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    fn predict(&self, p: &LinearRegressionParameters<Value>, rng: &mut Stream, out: &mut Values) {
        let y: Vec<f64> = self.x.rows().map(|row| linear_predictor(row, &p.beta) + p.sigma.value() * rng.normal()).collect();
        out.set_vector("y", &y);
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        let Some(sd) = self.coefficient_sd else { return false };
        let sigma = match self.scale_prior {
            ScalePrior::Flat => return false,
            ScalePrior::HalfCauchy(scale) => half_cauchy(rng, scale),
            ScalePrior::HalfNormal(sd) => half_normal(rng, sd),
        };
        out.set_vector("beta", &normals(rng, self.x.n_cols(), 0.0, sd)).set("sigma", sigma);
        true
    }
}

/// Regression with centred predictors and an explicit intercept, as brms writes it.
///
/// ```text
/// b[k] ~ N(0, 1)   Intercept ~ t₃(8, 10)   sigma ~ half-t₃(10)   y ~ N(Intercept + (X - X̄) b, sigma)
/// ```
/// Generates `b_Intercept` = Intercept - X̄ b, the intercept of the raw predictors.
#[derive(Debug, Clone, PartialEq)]
pub struct CentredRegression {
    centred: DataMatrix,
    column_means: Vec<f64>,
    y: Vec<f64>,
}

/// Parameters of [`CentredRegression`].
#[derive(Debug, Clone)]
pub struct CentredRegressionParameters<T> {
    /// Coefficients.
    pub b: Vec<T>,
    /// Intercept at the predictors' means.
    pub intercept: T,
    /// Residual standard deviation.
    pub sigma: T,
}

impl CentredRegression {
    /// The regression of `y` on the columns of `x` (without a column of ones).
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`], [`Error::Dimension`] for unequal lengths.
    pub fn new(x: &DataMatrix, y: Vec<f64>) -> Result<Self, Error> {
        check_data("y", &y)?;
        check_design(x, y.len())?;
        let n = y.len() as f64;
        let column_means: Vec<f64> = (0..x.n_cols()).map(|k| x.rows().map(|row| row[k]).sum::<f64>() / n).collect();
        let centred = Array2::from_shape_fn((x.n_rows(), x.n_cols()), |(i, k)| x.row(i)[k] - column_means[k]);
        Ok(Self { centred: centred.into(), column_means, y })
    }
}

impl Model for CentredRegression {
    type Parameters<T: Real> = CentredRegressionParameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> CentredRegressionParameters<T> {
        CentredRegressionParameters {
            b: space.vector("b", self.centred.n_cols()),
            intercept: space.real("Intercept"),
            sigma: space.positive("sigma"),
        }
    }

    fn log_prior<T: Real>(&self, p: &CentredRegressionParameters<T>, lp: &mut LogP<T>) {
        lp.normal(&p.b, &0.0, &1.0);
        lp.student_t(&p.intercept, &3.0, &8.0, &10.0);
        lp.half_student_t(&p.sigma, &3.0, &10.0);
    }

    fn log_likelihood<T: Real>(&self, p: &CentredRegressionParameters<T>, lp: &mut LogP<T>) {
        lp.normal_glm(&self.y, &self.centred, &p.intercept, &p.b, &p.sigma);
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    fn generated(&self, p: &CentredRegressionParameters<Value>, _: &mut Stream, out: &mut Values) {
        out.set("b_Intercept", p.intercept.value() - linear_predictor(&self.column_means, &p.b));
    }

    fn predict(&self, p: &CentredRegressionParameters<Value>, rng: &mut Stream, out: &mut Values) {
        let mean = |row| p.intercept.value() + linear_predictor(row, &p.b);
        let y: Vec<f64> = self.centred.rows().map(|row| mean(row) + p.sigma.value() * rng.normal()).collect();
        out.set_vector("y", &y);
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        let Ok(t) = rand_distr::StudentT::new(3.0) else { return false };
        let mut draw = |scale: f64| scale * rand_distr::Distribution::<f64>::sample(&t, rng);
        let (intercept, sigma) = (8.0 + draw(10.0), draw(10.0).abs());
        out.set_vector("b", &normals(rng, self.centred.n_cols(), 0.0, 1.0)).set("Intercept", intercept).set("sigma", sigma);
        true
    }
}

/// A straight line with informative normal priors: y ~ N(alpha + beta x, sigma), sigma flat.
///
/// With x on its raw scale (calendar years) alpha and beta are correlated almost perfectly: a test of metric adaptation.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    x: DataMatrix,
    y: Vec<f64>,
    alpha_prior: (f64, f64),
    beta_prior: (f64, f64),
}

/// Parameters of [`Trend`].
#[derive(Debug, Clone)]
pub struct TrendParameters<T> {
    /// Intercept.
    pub alpha: T,
    /// Slope.
    pub beta: T,
    /// Residual standard deviation.
    pub sigma: T,
}

impl Trend {
    /// The line through (x, y) with priors given as (mean, standard deviation).
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`], [`Error::Dimension`] for unequal lengths, [`Error::InvalidSetting`] for a prior that is none.
    pub fn new(x: &[f64], y: Vec<f64>, alpha_prior: (f64, f64), beta_prior: (f64, f64)) -> Result<Self, Error> {
        check_data("y", &y)?;
        check_length("x", y.len(), x.len())?;
        check_data("x", x)?;
        for (mean, sd) in [alpha_prior, beta_prior] {
            check::in_range("prior mean", mean, mean.is_finite(), "finite")?;
            check::positive("prior standard deviation", sd)?;
        }
        Ok(Self { x: DataMatrix::from_columns(&[x])?, y, alpha_prior, beta_prior })
    }
}

impl Model for Trend {
    type Parameters<T: Real> = TrendParameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> TrendParameters<T> {
        TrendParameters { alpha: space.real("alpha"), beta: space.real("beta"), sigma: space.positive("sigma") }
    }

    fn log_prior<T: Real>(&self, p: &TrendParameters<T>, lp: &mut LogP<T>) {
        lp.normal(&p.alpha, &self.alpha_prior.0, &self.alpha_prior.1);
        lp.normal(&p.beta, &self.beta_prior.0, &self.beta_prior.1);
    }

    fn log_likelihood<T: Real>(&self, p: &TrendParameters<T>, lp: &mut LogP<T>) {
        lp.normal_glm(&self.y, &self.x, &p.alpha, &[p.beta], &p.sigma);
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    fn predict(&self, p: &TrendParameters<Value>, rng: &mut Stream, out: &mut Values) {
        let mean = |row: &[f64]| p.alpha.value() + p.beta.value() * row[0];
        let y: Vec<f64> = self.x.rows().map(|row| mean(row) + p.sigma.value() * rng.normal()).collect();
        out.set_vector("y", &y);
    }
}

/// Logistic regression: beta\[k\] ~ N(0, `coefficient_sd`), y ~ Bernoulli(1/(1 + exp(-X beta))).
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticRegression {
    x: DataMatrix,
    y: Vec<bool>,
    coefficient_sd: f64,
}

/// Parameters of [`LogisticRegression`].
#[derive(Debug, Clone)]
pub struct LogisticRegressionParameters<T> {
    /// Coefficients, one per column.
    pub beta: Vec<T>,
}

impl LogisticRegression {
    /// The regression of `y` on the columns of `x`.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotFinite`], [`Error::Dimension`] for unequal lengths, [`Error::InvalidSetting`] for `coefficient_sd`.
    pub fn new(x: DataMatrix, y: Vec<bool>, coefficient_sd: f64) -> Result<Self, Error> {
        if y.is_empty() {
            return Err(Error::Empty { what: "y" });
        }
        check_design(&x, y.len())?;
        check::positive("coefficient_sd", coefficient_sd)?;
        Ok(Self { x, y, coefficient_sd })
    }

    /// Simulated data: predictors N(0, 1), coefficients N(0, 1)/√d, prior standard deviation 1.
    ///
    /// # Errors
    /// [`Error::Empty`] for no rows or columns.
    pub fn simulated(n_observations: usize, n_coefficients: usize, seed: u64) -> Result<Self, Error> {
        let mut rng = Stream::new(seed);
        let x = Array2::from_shape_fn((n_observations, n_coefficients), |_| rng.normal());
        let beta = normals(&mut rng, n_coefficients, 0.0, (n_coefficients as f64).sqrt().recip());
        let eta = x.dot(&ndarray::Array1::from(beta));
        let y = eta.iter().map(|&e| rng.uniform() < 1.0 / (1.0 + (-e).exp())).collect();
        Self::new(x.into(), y, 1.0)
    }

    /// The design matrix.
    #[must_use]
    pub fn design(&self) -> &DataMatrix {
        &self.x
    }

    /// The responses.
    #[must_use]
    pub fn responses(&self) -> &[bool] {
        &self.y
    }
}

impl Model for LogisticRegression {
    type Parameters<T: Real> = LogisticRegressionParameters<T>;

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> LogisticRegressionParameters<T> {
        LogisticRegressionParameters { beta: space.vector("beta", self.x.n_cols()) }
    }

    fn log_prior<T: Real>(&self, p: &LogisticRegressionParameters<T>, lp: &mut LogP<T>) {
        lp.normal(&p.beta, &0.0, &self.coefficient_sd);
    }

    fn log_likelihood<T: Real>(&self, p: &LogisticRegressionParameters<T>, lp: &mut LogP<T>) {
        lp.bernoulli_logit_glm(&self.y, &self.x, &0.0, &p.beta);
    }

    fn n_observations(&self) -> Option<usize> {
        Some(self.y.len())
    }

    fn predict(&self, p: &LogisticRegressionParameters<Value>, rng: &mut Stream, out: &mut Values) {
        let probability = |row| 1.0 / (1.0 + (-linear_predictor(row, &p.beta)).exp());
        let y: Vec<u8> = self.x.rows().map(|row| u8::from(rng.uniform() < probability(row))).collect();
        out.set_vector("y", &y);
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        out.set_vector("beta", &normals(rng, self.x.n_cols(), 0.0, self.coefficient_sd));
        true
    }
}
