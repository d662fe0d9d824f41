//! Every partial derivative against difference quotients, for data and parameters, scalars and slices; Hessian-vector products.

use super::super::log_mix;
use super::{Statements, statements, try_evaluate, value};
use crate::autodiff::{Accumulator, DataMatrix, Dual, Element, Lower, Tape};
use crate::transforms::cholesky_correlation;

/// Truncation of order h² and rounding of order 1e-16/h are both below 1e-9 relative to the derivatives' size.
const H: f64 = 1e-5;

fn assert_close(what: std::fmt::Arguments<'_>, found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{what}: {found} against {expected}");
}

fn gradient_at(statements: &impl Statements, x: &[f64]) -> (f64, Vec<f64>) {
    let mut gradient = vec![0.0; x.len()];
    let value = Tape::new().gradient(x, &mut gradient, |x| try_evaluate(statements, x).unwrap());
    (value, gradient)
}

fn moved(x: &[f64], direction: &[f64], h: f64) -> Vec<f64> {
    x.iter().zip(direction).map(|(x, d)| x + h * d).collect()
}

/// Compares the gradient at `x` with central differences.
fn check_gradient(name: &str, statements: &impl Statements, x: &[f64]) -> f64 {
    let (total, gradient) = gradient_at(statements, x);
    for i in 0..x.len() {
        let direction: Vec<f64> = (0..x.len()).map(|k| if k == i { 1.0 } else { 0.0 }).collect();
        let [above, below] = [H, -H].map(|h| gradient_at(statements, &moved(x, &direction, h)).0);
        assert_close(format_args!("{name}, derivative {i} at {x:?}"), gradient[i], (above - below) / (2.0 * H));
    }
    total
}

/// Compares the gradient at `x`, and a Hessian-vector product by a tape of duals, with central differences.
fn check(name: &str, statements: &impl Statements, x: &[f64]) -> f64 {
    let total = check_gradient(name, statements, x);
    let (_, gradient) = gradient_at(statements, x);
    let direction: Vec<f64> = (0..x.len()).map(|i| (1.3 * i as f64 + 0.4).cos()).collect();
    let [above, below] = [H, -H].map(|h| gradient_at(statements, &moved(x, &direction, h)).1);
    let duals: Vec<Dual> = x.iter().zip(&direction).map(|(&value, &d)| Dual { value, tangents: [d] }).collect();
    let mut of_duals = vec![Dual::constant(0.0); x.len()];
    let dual_total = Tape::new().gradient(&duals, &mut of_duals, |x| try_evaluate(statements, x).unwrap());
    let along: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
    assert_close(format_args!("{name}, value over duals"), dual_total.value, total);
    assert_close(format_args!("{name}, directional derivative"), dual_total.tangents[0], along);
    for i in 0..x.len() {
        assert_close(format_args!("{name}, gradient {i} over duals"), of_duals[i].value, gradient[i]);
        let slope = (above[i] - below[i]) / (2.0 * H);
        assert_close(format_args!("{name}, H·v {i} at {x:?}"), of_duals[i].tangents[0], slope);
    }
    total
}

/// One tracked scalar at a time, all other arguments data.
macro_rules! one_at_a_time {
    ($name:ident; [$($done:expr),*] []) => {};
    ($name:ident; [$($done:expr),*] [$first:expr $(, $rest:expr)*]) => {
        let single = statements!(|x, lp| lp.$name($(&$done[0],)* &x[0] $(, &$rest[0])*));
        check_gradient(concat!(stringify!($name), ", one scalar"), &single, &[$first[0]]);
        one_at_a_time!($name; [$($done,)* $first] [$($rest),*]);
    };
}

/// All mixtures of data and parameters at three rows: derivatives, and the same value.
macro_rules! family {
    ($name:ident($($argument:ident = $values:expr),+)) => {{
        one_at_a_time!($name; [] [$($values),+]);
        let all = [$($values),+].concat();
        let first: Vec<f64> = [$($values),+].iter().map(|a| a[0]).collect();
        let scalars = statements!(|x, lp| {
            let mut next = x.iter();
            $(let $argument = next.next().unwrap();)+
            lp.$name($($argument),+);
        });
        check(concat!(stringify!($name), ", scalars"), &scalars, &first);
        let slices = statements!(|x, lp| {
            let mut next = x.chunks(3);
            $(let $argument = next.next().unwrap();)+
            lp.$name($($argument),+);
        });
        let of_slices = check(concat!(stringify!($name), ", slices"), &slices, &all);
        let data = statements!(|_x, lp| lp.$name($(&$values),+));
        let of_data = value(&data, &[]).unwrap();
        assert!((of_slices - of_data).abs() < 1e-12 * of_data.abs().max(1.0));
        family!(@broadcast $name($($values),+));
    }};
    (@broadcast $name:ident($y:expr $(, $values:expr)+)) => {
        let broadcast = statements!(|x, lp| {
            let mut next = x.iter();
            lp.$name(&$y, $({ let _ = $values; next.next().unwrap() }),+);
        });
        let first: Vec<f64> = [$($values),+].iter().map(|a| a[0]).collect();
        check_gradient(concat!(stringify!($name), ", data and scalars"), &broadcast, &first);
    };
}

#[test]
fn continuous_families() {
    family!(normal(y = [0.3, -1.2, 2.5], a = [0.7, 0.1, -0.4], b = [1.9, 0.8, 1.3]));
    family!(half_normal(y = [0.3, 1.2, 2.5], a = [1.9, 0.8, 1.3]));
    family!(log_normal(y = [0.3, 1.2, 2.5], a = [0.7, 0.1, -0.4], b = [1.9, 0.8, 1.3]));
    family!(student_t(y = [0.3, -1.2, 2.5], df = [3.4, 25.0, 1.1], a = [0.7, 0.1, -0.4], b = [1.9, 0.8, 1.3]));
    family!(half_student_t(y = [0.3, 1.2, 2.5], df = [3.4, 25.0, 1.1], b = [1.9, 0.8, 1.3]));
    family!(cauchy(y = [0.3, -1.2, 2.5], a = [0.7, 0.1, -0.4], b = [1.9, 0.8, 1.3]));
    family!(half_cauchy(y = [0.3, 1.2, 2.5], a = [1.9, 0.8, 1.3]));
    family!(gamma(y = [0.3, 1.2, 2.5], a = [2.7, 0.6, 14.0], b = [1.9, 0.8, 1.3]));
    family!(inverse_gamma(y = [0.3, 1.2, 2.5], a = [2.7, 0.6, 14.0], b = [1.9, 0.8, 1.3]));
    family!(beta(y = [0.3, 0.8, 0.55], a = [2.7, 0.6, 14.0], b = [1.9, 0.8, 23.0]));
    family!(exponential(y = [0.3, 1.2, 2.5], a = [1.9, 0.8, 1.3]));
    family!(uniform(y = [0.3, 1.2, 1.7], a = [-0.7, 0.1, -0.4], b = [1.9, 1.8, 3.3]));
    family!(logistic(y = [0.3, -1.2, 2.5], a = [0.7, 0.1, -0.4], b = [1.9, 0.8, 1.3]));
    family!(laplace(y = [0.3, -1.2, 2.5], a = [0.7, 0.1, -0.4], b = [1.9, 0.8, 1.3]));
}

#[test]
fn mixtures() {
    family!(normal_mixture(
        y = [0.3, -1.2, 2.5],
        w = [0.3, 0.6, 0.8],
        a = [0.7, 0.1, -0.4],
        s = [1.9, 0.8, 1.3],
        b = [-0.7, 1.1, 2.4],
        r = [0.9, 1.8, 0.4]
    ));
    let mix = statements!(|x, lp| lp.add(log_mix(x[0], x[1], x[2])));
    let first = check("log_mix", &mix, &[0.3, -1.2, 0.4]);
    approx::assert_relative_eq!(first, (0.3 * (-1.2_f64).exp() + 0.7 * 0.4_f64.exp()).ln(), max_relative = 1e-14);
    assert!((value(&mix, &[0.3, -2000.0, -2001.0]).unwrap() - (-2000.0 + (0.3 + 0.7 * (-1.0_f64).exp()).ln())).abs() < 1e-12);
    assert_eq!(value(&mix, &[0.3, f64::NEG_INFINITY, f64::NEG_INFINITY]).unwrap(), f64::NEG_INFINITY);
    assert_eq!(value(&mix, &[0.0, 5.0, 1.5]).unwrap(), 1.5);
    // A weight of exactly 0 has the derivative N1/N2 - 1, though the first component has no share.
    let weight = statements!(|x, lp| lp.normal_mixture(&0.4, &x[0], &0.0, &1.0, &0.0, &2.0));
    let mut gradient = [0.0];
    Tape::new().gradient(&[0.0], &mut gradient, |x| try_evaluate(&weight, x).unwrap());
    approx::assert_relative_eq!(gradient[0], 2.0 * (-0.08 + 0.02_f64).exp() - 1.0, max_relative = 1e-12);
}

/// A statement about counts with scalar and with slice parameters.
macro_rules! counts {
    ($name:ident($($data:expr),+; $first:expr $(, $second:expr)?)) => {{
        let slices = statements!(|x, lp| {
            let mut next = x.chunks(3);
            let first = next.next().unwrap();
            lp.$name($(&$data,)+ first $(, { let _ = $second; next.next().unwrap() })?);
        });
        let of_slices = check(concat!(stringify!($name), ", slices"), &slices, &[$first $(, $second)?].concat());
        let data = statements!(|_x, lp| lp.$name($(&$data,)+ &$first $(, &$second)?));
        assert!((of_slices - value(&data, &[]).unwrap()).abs() < 1e-12 * of_slices.abs().max(1.0));
        let scalars = statements!(|x, lp| lp.$name($(&$data,)+ &x[0] $(, { let _ = $second; &x[1] })?));
        let _all = [$first $(, $second)?];
        check(concat!(stringify!($name), ", scalars"), &scalars, &_all.map(|a| a[0]));
        let one = statements!(|x, lp| lp.$name($(&$data,)+ &x[0] $(, &$second[0])?));
        check_gradient(concat!(stringify!($name), ", one scalar"), &one, &[$first[0]]);
    }};
}

#[test]
fn families_of_counts() {
    counts!(bernoulli([true, false, true]; [0.3, 0.6, 0.9]));
    counts!(bernoulli_logit([true, false, true]; [0.3, -1.6, -0.9]));
    counts!(binomial([3_u32, 0, 7], [5_u64, 4, 7]; [0.3, 0.6, 0.9]));
    counts!(binomial([3_u32, 0, 7], 7_u64; [0.3, 0.6, 0.9]));
    counts!(binomial_logit([3_u32, 0, 7], [5_u64, 4, 7]; [0.3, -1.6, -0.9]));
    counts!(poisson([3_u16, 0, 400]; [2.3, 0.6, 390.0]));
    counts!(poisson_log([3_u16, 0, 40]; [0.3, -1.6, 3.9]));
    counts!(neg_binomial([3_u8, 0, 40]; [2.3, 0.6, 30.0], [1.7, 0.4, 33.0]));
    counts!(neg_binomial([30_u8, 14, 15]; [2.3, 0.6, 30.0], [1.7, 0.4, 33.0]));
    let dispersion = statements!(|x, lp| lp.neg_binomial(&[3_u8, 0, 40], &7.5, &x[0]));
    check_gradient("neg_binomial, one dispersion", &dispersion, &[1.3]);
    // Five rows of three categories; probabilities are moved along the simplex.
    let probabilities = statements!(|x, lp| {
        let rest = -(x[0] + x[1]) + 1.0;
        lp.categorical(&[2_u8, 0, 2, 1, 2], &[x[0], x[1], rest]);
    });
    check("categorical", &probabilities, &[0.2, 0.5]);
    let logits = statements!(|x, lp| lp.categorical_logit(&[2_u8, 0, 2, 1, 2], x));
    let total = check("categorical_logit", &logits, &[0.2, 1.5, -0.7]);
    let normaliser = (0.2_f64.exp() + 1.5_f64.exp() + (-0.7_f64).exp()).ln();
    approx::assert_relative_eq!(total, 0.2 + 1.5 - 2.1 - 5.0 * normaliser, max_relative = 1e-13);
}

#[test]
fn families_of_vectors() {
    let x = [0.9, 0.1, -0.6, 0.3, -0.4, 1.0, 1.5, 0.3, 0.8, -0.2, 0.1, 2.0];
    let covariance = statements!(|x, lp| {
        let entries = Lower::from_entries(3, x[6..].to_vec()).unwrap();
        lp.multi_normal(&x[..3], &x[3..6], &entries);
    });
    check("multi_normal", &covariance, &x);
    let factor = statements!(|x, lp| {
        let entries = Lower::from_entries(3, x[6..].to_vec()).unwrap();
        lp.multi_normal_cholesky(&x[..3], &x[3..6], &entries);
    });
    check("multi_normal_cholesky", &factor, &x);
    let data_factor = statements!(|x, lp| {
        let entries = Lower::from_entries(3, vec![1.5, 0.3, 0.8, -0.2, 0.1, 2.0]).unwrap();
        lp.multi_normal_cholesky(x, &0.25, &entries);
        lp.multi_normal(&[0.1, 0.2, 0.3], &x[1], &entries);
    });
    check_gradient("multi_normal of data", &data_factor, &x[..3]);
    let dirichlet = statements!(|x, lp| {
        let rest = -(x[0] + x[1]) + 1.0;
        lp.dirichlet(&[x[0], x[1], rest], &x[2..]);
        lp.dirichlet(&[0.2, 0.3, 0.5], &x[2..]);
        lp.dirichlet(&[0.2, 0.3, 0.5], &x[2]);
        lp.dirichlet(&[x[0], x[1], rest], &1.6);
    });
    check("dirichlet", &dirichlet, &[0.2, 0.5, 0.8, 2.6, 13.1]);
    let lkj = statements!(|x, lp| {
        let factor = cholesky_correlation(4, &x[1..], &mut Accumulator::new());
        lp.lkj_cholesky(&factor, &x[0]);
        lp.lkj_cholesky(&factor, &2.5);
        lp.lkj_cholesky(&Lower::from_entries(2, vec![1.0, 0.6, 0.8]).unwrap(), &x[0]);
    });
    check("lkj_cholesky", &lkj, &[1.7, 0.3, -0.4, 0.9, 0.2, -0.6, 0.5]);
}

/// A matrix of 9 rows and 3 columns.
fn design() -> DataMatrix {
    ndarray::Array2::from_shape_fn((9, 3), |(i, j)| (1.7 * i as f64 + 0.6 * j as f64).sin()).into()
}

#[test]
fn generalised_linear_models() {
    let x = [0.4, 0.7, -0.3, 1.1];
    let logit = statements!(|x, lp| lp.bernoulli_logit_glm(&[1_u8, 0, 0, 1, 1, 1, 0, 1, 0], &design(), &x[0], &x[1..]));
    let by_hand = statements!(|x, lp| {
        let eta: Vec<T> = design().dot(&x[1..]).unwrap().into_iter().map(|e| e + x[0]).collect();
        lp.bernoulli_logit(&[1_u8, 0, 0, 1, 1, 1, 0, 1, 0], &eta);
    });
    let total = check("bernoulli_logit_glm", &logit, &x);
    approx::assert_relative_eq!(total, value(&by_hand, &x).unwrap(), max_relative = 1e-13);
    let log = statements!(|x, lp| lp.poisson_log_glm(&[1_u8, 0, 0, 3, 1, 1, 0, 1, 7], &design(), &x[0], &x[1..]));
    let by_hand = statements!(|x, lp| {
        let rate: Vec<T> = design().dot(&x[1..]).unwrap().into_iter().map(|e| (e + x[0]).exp()).collect();
        lp.poisson(&[1_u8, 0, 0, 3, 1, 1, 0, 1, 7], &rate);
    });
    let total = check("poisson_log_glm", &log, &x);
    approx::assert_relative_eq!(total, value(&by_hand, &x).unwrap(), max_relative = 1e-13);
    let data = [0.1, -0.4, 2.0, 1.1, 0.3, -0.7, 0.9, 0.0, 0.5];
    let normal = statements!(|x, lp| {
        let y = [0.1, -0.4, 2.0, 1.1, 0.3, -0.7, 0.9, 0.0, 0.5];
        lp.normal_glm(&y, &design(), &x[0], &x[1..4], &x[4]);
    });
    let by_hand = statements!(|x, lp| {
        let y = [0.1, -0.4, 2.0, 1.1, 0.3, -0.7, 0.9, 0.0, 0.5];
        let mean: Vec<T> = design().dot(&x[1..4]).unwrap().into_iter().map(|e| e + x[0]).collect();
        lp.normal(&y, &mean, &x[4]);
    });
    let at = [0.4, 0.7, -0.3, 1.1, 0.8];
    let total = check("normal_glm", &normal, &at);
    approx::assert_relative_eq!(total, value(&by_hand, &at).unwrap(), max_relative = 1e-13);
    // Every argument a parameter, with an offset and an error of each row; coefficients as data.
    let vectors = statements!(|x, lp| {
        lp.normal_glm(&x[..9], &design(), &x[9..18], &[0.7, -0.3, 1.1], &x[18..]);
        lp.poisson_log_glm(&[1_u8, 0, 0, 3, 1, 1, 0, 1, 7], &design(), &x[..9], &[0.7, -0.3, 1.1]);
        lp.bernoulli_logit_glm(&[1_u8, 0, 0, 1, 1, 1, 0, 1, 0], &design(), &0.4, &x[..3]);
    });
    let scales = [0.9, 1.4, 0.8, 1.0, 1.2, 0.7, 0.6, 1.9, 1.1];
    check_gradient("glm of vectors", &vectors, &[&data[..], &[0.2; 9], &scales].concat());
}
