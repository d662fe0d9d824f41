//! Statements by rows and pointwise, and every error by its variant.

use super::super::*;
use super::{Statements, statements, value};
use crate::autodiff::{DataMatrix, Lower, Tape, Value};
use crate::error::DensityError;
use crate::model::LogP;

/// 150 rows: more than two blocks.
const ROWS: usize = 150;

fn column(f: impl Fn(f64) -> f64) -> Vec<f64> {
    (0..ROWS).map(|i| f(i as f64)).collect()
}

fn outcomes(modulus: usize) -> Vec<u64> {
    (0..ROWS).map(|i| (i * i % 7 % modulus) as u64).collect()
}

fn design() -> DataMatrix {
    ndarray::Array2::from_shape_fn((ROWS, 5), |(i, j)| (0.7 * i as f64 + 1.3 * j as f64).sin()).into()
}

/// The terms of all rows, and what rows 3, 70 and 149 add with their gradient.
fn check_rows(name: &str, statements: &impl Statements, x: &[f64]) {
    let values: Vec<Value> = x.iter().map(|&x| Value(x)).collect();
    let mut lp = LogP::pointwise(None);
    statements.add(&values, &mut lp);
    assert!(lp.take_error().is_none(), "{name}");
    let terms = lp.into_terms();
    assert_eq!(terms.len(), ROWS, "{name}");
    let total = value(statements, x).unwrap();
    assert!((terms.iter().sum::<f64>() - total).abs() < 1e-10 * total.abs(), "{name}: pointwise terms");
    assert!(terms.iter().any(|t| (t - terms[0]).abs() > 1e-3), "{name}: terms are told apart");
    let gradient_of = |rows: &[usize]| {
        let mut gradient = vec![0.0; x.len()];
        let total = Tape::new().gradient(x, &mut gradient, |x| {
            let mut lp = LogP::for_rows(rows.to_vec(), ROWS);
            statements.add(x, &mut lp);
            assert!(lp.take_error().is_none(), "{name}");
            lp.into_accumulator().finish()
        });
        (total, gradient)
    };
    let (chosen, rest): (Vec<usize>, Vec<usize>) = (0..ROWS).partition(|i| [3, 70, 149].contains(i));
    let (all, of_chosen, of_rest) = (gradient_of(&(0..ROWS).collect::<Vec<_>>()), gradient_of(&chosen), gradient_of(&rest));
    assert!((of_chosen.0 - (terms[3] + terms[70] + terms[149])).abs() < 1e-11 * of_chosen.0.abs().max(1.0), "{name}: rows");
    for i in 0..x.len() {
        let sum = of_chosen.1[i] + of_rest.1[i];
        assert!((sum - all.1[i]).abs() < 1e-9 * all.1[i].abs().max(1.0), "{name}: gradient {i} of rows");
    }
}

#[test]
fn rows_and_pointwise_terms_sum_to_the_whole() {
    let coefficients = [0.3, 0.7, -0.4, 0.2, 0.5, -0.1];
    check_rows("normal", &statements!(|x, lp| lp.normal(&column(f64::sin), &x[0], &x[1])), &coefficients);
    let gamma = statements!(|x, lp| lp.gamma(&column(|i| 0.2 + i / 50.0), &x[0], &x[1]));
    check_rows("gamma", &gamma, &coefficients);
    let mixture = statements!(|x, lp| lp.normal_mixture(&column(|i| 2.0 * i.sin()), &x[0], &x[2], &x[1], &x[3], &x[4]));
    check_rows("normal_mixture", &mixture, &coefficients);
    check_rows("bernoulli_logit", &statements!(|x, lp| lp.bernoulli_logit(&outcomes(2), &x[0])), &coefficients);
    check_rows("poisson_log", &statements!(|x, lp| lp.poisson_log(&outcomes(5), &x[0])), &coefficients);
    check_rows("neg_binomial", &statements!(|x, lp| lp.neg_binomial(&outcomes(5), &x[0], &x[1])), &coefficients);
    check_rows("binomial", &statements!(|x, lp| lp.binomial(&outcomes(5), &6_u8, &x[0])), &coefficients);
    check_rows("categorical_logit", &statements!(|x, lp| lp.categorical_logit(&outcomes(5), &x[..5])), &coefficients);
    let simplex = statements!(|x, lp| lp.categorical(&outcomes(2), &[x[0], -x[0] + 1.0]));
    check_rows("categorical", &simplex, &coefficients);
    let logit = statements!(|x, lp| lp.bernoulli_logit_glm(&outcomes(2), &design(), &x[0], &x[1..]));
    check_rows("bernoulli_logit_glm", &logit, &coefficients);
    let log = statements!(|x, lp| lp.poisson_log_glm(&outcomes(5), &design(), &x[0], &x[1..]));
    check_rows("poisson_log_glm", &log, &coefficients);
    let normal = statements!(|x, lp| lp.normal_glm(&column(f64::sin), &design(), &x[0], &x[1..6], &x[1]));
    check_rows("normal_glm", &normal, &coefficients);
}

/// Asserts that the result is an error about this parameter.
macro_rules! parameter {
    ($result:expr, $distribution:literal, $parameter:literal) => {
        match $result {
            Err(DensityError::Parameter { distribution, parameter, .. }) => {
                assert_eq!((distribution, parameter), ($distribution, $parameter));
            }
            other => panic!("{}.{}: {other:?}", $distribution, $parameter),
        }
    };
}

#[test]
fn parameters_out_of_their_domain_are_named() {
    let nan = f64::NAN;
    parameter!(Normal::new(nan, 1.0), "normal", "mean");
    parameter!(Normal::new(0.0, 0.0), "normal", "sd");
    parameter!(HalfNormal::new(nan), "half_normal", "sd");
    parameter!(LogNormal::new(0.0, -1.0), "log_normal", "sigma");
    parameter!(StudentT::new(0.0, 0.0, 1.0), "student_t", "df");
    parameter!(StudentT::new(1.0, f64::INFINITY, 1.0), "student_t", "location");
    parameter!(StudentT::new(1.0, 0.0, nan), "student_t", "scale");
    parameter!(HalfStudentT::new(1.0, 0.0), "half_student_t", "scale");
    parameter!(Cauchy::new(0.0, 0.0), "cauchy", "scale");
    parameter!(HalfCauchy::new(-1.0), "half_cauchy", "scale");
    parameter!(Gamma::new(0.0, 1.0), "gamma", "shape");
    parameter!(Gamma::new(1.0, f64::INFINITY), "gamma", "rate");
    parameter!(InverseGamma::new(1.0, nan), "inverse_gamma", "scale");
    parameter!(Beta::new(1.0, 0.0), "beta", "b");
    parameter!(Exponential::new(0.0), "exponential", "rate");
    parameter!(Uniform::new(1.0, 1.0), "uniform", "upper");
    parameter!(Uniform::new(nan, 1.0), "uniform", "lower");
    parameter!(Logistic::new(0.0, 0.0), "logistic", "scale");
    parameter!(Laplace::new(nan, 1.0), "laplace", "location");
    parameter!(NormalMixture::new(1.1, 0.0, 1.0, 0.0, 1.0), "normal_mixture", "weight");
    parameter!(NormalMixture::new(0.5, 0.0, 1.0, 0.0, 0.0), "normal_mixture", "sd2");
    parameter!(Bernoulli::new(1.1), "bernoulli", "p");
    parameter!(Binomial::new(3, nan), "binomial", "p");
    parameter!(Poisson::new(-1.0), "poisson", "rate");
    parameter!(Poisson::new(1e30), "poisson", "rate");
    parameter!(NegBinomial::new(1.0, 0.0), "neg_binomial", "dispersion");
    parameter!(NegBinomial::new(nan, 1.0), "neg_binomial", "mean");
    parameter!(Categorical::new(vec![0.5, 0.6]), "categorical", "sum of probabilities");
    parameter!(Categorical::new(vec![1.5, -0.5]), "categorical", "probabilities");
    parameter!(Categorical::from_logits(vec![0.0, nan]), "categorical_logit", "logits");
    parameter!(Dirichlet::new(vec![1.0, 0.0]), "dirichlet", "concentration");
    parameter!(LkjCholesky::new(3, 0.0), "lkj_cholesky", "eta");
    let identity = Lower::from_fn(2, |i, j| if i == j { 1.0 } else { 0.0 });
    parameter!(MultiNormal::new(vec![0.0, nan], identity), "multi_normal", "mean");
    let eta = statements!(|x, lp| lp.bernoulli_logit(&1_u8, &x[0]));
    parameter!(value(&eta, &[nan]), "bernoulli_logit", "eta");
    let sd = statements!(|x, lp| lp.normal(&[0.0, 1.0], &0.0, x));
    parameter!(value(&sd, &[1.0, -1.0]), "normal", "sd");
}

/// The error on a tape.
fn failure(statements: &impl Statements, x: &[f64]) -> Option<DensityError> {
    let mut error = None;
    Tape::new().gradient(x, &mut vec![0.0; x.len()], |x| {
        let result = super::try_evaluate(statements, x);
        error = result.as_ref().err().cloned();
        result.unwrap_or(x[0])
    });
    error
}

#[test]
fn data_and_lengths_are_checked() {
    // NaN data are told from parameters where derivatives are recorded.
    let nan = statements!(|x, lp| lp.normal_mixture(&[0.0, f64::NAN], &x[0], &0.0, &1.0, &0.0, &1.0));
    assert!(matches!(failure(&nan, &[0.5]), Some(DensityError::Data { distribution: "normal_mixture", index: 1, .. })));
    assert!(value(&nan, &[0.5]).unwrap().is_nan());
    let nan = statements!(|x, lp| lp.gamma(&[1.0, 1.0, f64::NAN], &x[0], &x[0]));
    assert!(matches!(failure(&nan, &[0.5]), Some(DensityError::Data { distribution: "gamma", index: 2, .. })));
    let nan = statements!(|x, lp| lp.normal_glm(&[f64::NAN; ROWS], &design(), &x[0], &[0.0; 5], &1.0));
    assert!(matches!(failure(&nan, &[0.5]), Some(DensityError::Data { distribution: "normal", index: 0, .. })));
    let none = statements!(|x, lp| lp.poisson(&[0_u8; 0], &x[0]));
    assert!(matches!(value(&none, &[0.5]), Err(DensityError::NoData { distribution: "poisson" })));
    let lengths = statements!(|x, lp| lp.binomial(&[1_u8, 2], &[3_u8; 3], &x[0]));
    assert!(matches!(value(&lengths, &[0.5]), Err(DensityError::Length { what: "binomial", expected: 2, found: 3 })));
    let lengths = statements!(|x, lp| lp.bernoulli_logit_glm(&outcomes(2), &design(), &x[0], x));
    assert!(matches!(value(&lengths, &[0.5; 4]), Err(DensityError::Length { expected: 5, found: 4, .. })));
    let indefinite = statements!(|x, lp| lp.multi_normal(
        &[0.0; 2],
        &0.0,
        &Lower::from_fn(2, |i, j| if i == j { 1.0 } else { 2.0 + 0.0 * x[0].value() })
    ));
    assert!(matches!(value(&indefinite, &[0.0]), Err(DensityError::NotPositiveDefinite { pivot: 1, .. })));
    // A variate that is a parameter and NaN makes the density NaN, which the evaluator reports.
    let variate = statements!(|x, lp| {
        lp.uniform(&x[0], &0.0, &1.0);
        lp.beta(&x[0], &1.0, &1.0);
    });
    assert!(value(&variate, &[f64::NAN]).unwrap().is_nan());
    // Outside of the support: zero density.
    let outside = statements!(|x, lp| lp.dirichlet(&[0.5, 0.6], &x[0]));
    assert_eq!(value(&outside, &[1.0]).unwrap(), f64::NEG_INFINITY);
    let outside = statements!(|x, lp| lp.bernoulli_logit_glm(&vec![2_u8; ROWS], &design(), &x[0], &[0.0; 5]));
    assert_eq!(value(&outside, &[1.0]).unwrap(), f64::NEG_INFINITY);
}
