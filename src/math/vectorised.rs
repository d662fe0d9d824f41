#![allow(unsafe_code)]
//! `exp`, `ln` and the logistic functions over slices, with the same bits on every machine.
//!
//! Each kernel is one branch-free scalar function, which the compiler turns into SIMD code: once for the baseline of the target and, on
//! x86-64, once more for AVX2, chosen at run time. No kernel contains a fused multiply-add, so every vector width rounds in the same places
//! and the choice never changes a result. Errors stay below 1 unit in the last place for `exp` and `ln` (1 unit of the smallest
//! subnormal where the result is subnormal).
//!
//! The reductions are Cody and Waite's: `x = k log 2 + r` with `log 2` split in two for `exp`, and `x = 2ᵏ (1 + f)` with
//! `log(1 + f) = 2 artanh(f / (2 + f))` for `ln`; W. J. Cody and W. Waite, *Software Manual for the Elementary Functions*, 1980. The
//! polynomials are Chebyshev fits computed at 40 digits.
//!
//! This is, with its child [`single`] (the same for `f32`, as far as a transformer needs it), the one module of the crate that contains
//! `unsafe`: the calls of the AVX2 copies, each behind the run-time check.

/// 41 fractional bits of log 2: `k` times it is exact for every exponent `k`.
const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fefa_3000);
const LN_2_LOW: f64 = 2.823_529_056_303_157_7e-13;
/// Adding it rounds to an integer and leaves that integer in the low bits of the sum.
const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52

/// (eʳ - 1 - r) / r² on |r| <= log(2)/2, highest power first; fit error 1.4e-18.
const EXP: [f64; 11] = [
    2.0914707069612355e-9,
    2.510524515390137e-8,
    2.7557273594799413e-7,
    2.755725533255441e-6,
    2.480158732558584e-5,
    1.9841269874873975e-4,
    1.3888888888883737e-3,
    8.33333333332612e-3,
    4.166666666666667e-2,
    1.666666666666667e-1,
    0.5,
];

/// (2 artanh(s)/s - 2) / s² in z = s² on s² <= 0.02944, highest power first; fit error 3.1e-16, which is 5e-18 of the logarithm.
const LN: [f64; 7] = [
    0.14616484198366603,
    0.1533171880828007,
    0.18182889209266595,
    0.22222211133642084,
    0.2857142862598255,
    0.3999999999989949,
    0.666666666666667,
];

#[inline(always)]
fn polynomial<const N: usize>(coefficients: &[f64; N], x: f64) -> f64 {
    let mut value = coefficients[0];
    for c in &coefficients[1..] {
        value = value * x + c;
    }
    value
}

#[inline(always)]
fn exp_kernel(x: f64) -> f64 {
    let bounded = if x > 710.0 { 710.0 } else { x };
    let bounded = if bounded < -750.0 { -750.0 } else { bounded };
    let k = (bounded * std::f64::consts::LOG2_E + ROUND) - ROUND;
    let high = bounded - k * LN_2_HIGH;
    let low = k * LN_2_LOW;
    let r = high - low;
    let value = 1.0 + (high - (low - r * r * polynomial(&EXP, r)));
    // 2^k in two factors, so that only the last product can round into the subnormals.
    let half = (k * 0.5 + ROUND) - ROUND;
    let scaled = value * power_of_two(half) * power_of_two(k - half);
    if x.is_nan() { x } else { scaled }
}

/// 2^k for an integer -1022 <= k <= 1023.
#[inline(always)]
fn power_of_two(k: f64) -> f64 {
    f64::from_bits((k + (ROUND + 1023.0)).to_bits() << 52)
}

/// log(x) + correction for positive normal x and a small correction.
#[inline(always)]
fn ln_normal(x: f64, exponent_offset: f64, correction: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const MANTISSA: u64 = (1 << 52) - 1;
    const TWO_52: u64 = 0x4330_0000_0000_0000;
    let shifted = x.to_bits().wrapping_add(0x3ff0_0000_0000_0000 - SQRT_HALF);
    let k = f64::from_bits((shifted >> 52) | TWO_52) - (4_503_599_627_370_496.0 + 1023.0) + exponent_offset;
    let f = f64::from_bits((shifted & MANTISSA).wrapping_add(SQRT_HALF)) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let tail = z * polynomial(&LN, z);
    let half_square = 0.5 * f * f;
    k * LN_2_HIGH - ((half_square - (s * (half_square + tail) + (k * LN_2_LOW + correction))) - f)
}

#[inline(always)]
fn ln_kernel(x: f64) -> f64 {
    let subnormal = x < f64::MIN_POSITIVE;
    let scaled = if subnormal { x * 18_014_398_509_481_984.0 } else { x };
    let value = ln_normal(scaled, if subnormal { -54.0 } else { 0.0 }, 0.0);
    let value = if x == f64::INFINITY { f64::INFINITY } else { value };
    let value = if x == 0.0 { f64::NEG_INFINITY } else { value };
    let value = if x < 0.0 { f64::NAN } else { value };
    if x.is_nan() { x } else { value }
}

/// log(1 + e) for 0 <= e <= 1: the logarithm of the rounded sum plus the part lost in it.
#[inline(always)]
fn ln_1p_kernel(e: f64) -> f64 {
    let sum = 1.0 + e;
    ln_normal(sum, 0.0, (e - (sum - 1.0)) / sum)
}

#[inline(always)]
fn logistic_from(x: f64, e: f64) -> f64 {
    (if x >= 0.0 { 1.0 } else { e }) / (1.0 + e)
}

/// tanh |x| = -m / (2 + m) with m = exp(-2|x|) - 1, which is formed without the 1: 2ᵏ (eʳ - 1) + (2ᵏ - 1).
#[inline(always)]
fn tanh_kernel(x: f64) -> f64 {
    let doubled = -2.0 * x.abs();
    let bounded = if doubled < -60.0 { -60.0 } else { doubled };
    let k = (bounded * std::f64::consts::LOG2_E + ROUND) - ROUND;
    let high = bounded - k * LN_2_HIGH;
    let low = k * LN_2_LOW;
    let r = high - low;
    let power = power_of_two(k);
    let m = power * (high - (low - r * r * polynomial(&EXP, r))) + (power - 1.0);
    if x.is_nan() { x } else { (-m / (2.0 + m)).copysign(x) }
}

#[inline(always)]
fn softplus_from(x: f64, e: f64) -> f64 {
    let value = (if x > 0.0 { x } else { 0.0 }) + ln_1p_kernel(e);
    if x.is_nan() { x } else { value }
}

/// Sums lane by lane, then folds the lanes as a tree: an order fixed by the length.
#[inline(always)]
fn sum_lanes(x: &[f64], term: impl Fn(f64) -> f64) -> f64 {
    let (chunks, rest) = x.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for chunk in chunks {
        for i in 0..8 {
            lanes[i] += term(chunk[i]);
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(rest) {
        *lane += term(v);
    }
    fold_lanes(lanes)
}

#[inline(always)]
fn fold_lanes(lanes: [f64; 8]) -> f64 {
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

/// Declares a public function that runs the best copy of its body, and both copies in a module of the same name.
macro_rules! dispatched {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2, the copy's only requirement.
                return unsafe { $name::avx2($($arg),*) };
            }
            $name::portable($($arg),*)
        }
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            #[inline]
            pub(super) fn portable($($arg: $ty),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            pub(super) fn avx2($($arg: $ty),*) $(-> $out)? $body
        }
    };
}

dispatched! {
    /// Replaces every element by its exponential.
    ///
    /// ```
    /// let mut x = [0.0, f64::NEG_INFINITY, 1.0];
    /// posterity::math::vectorised::exp_in_place(&mut x);
    /// assert_eq!(x[..2], [1.0, 0.0]);
    /// assert!((x[2] - std::f64::consts::E).abs() < 1e-15);
    /// ```
    pub fn exp_in_place(x: &mut [f64]) {
        for v in x.iter_mut() {
            *v = exp_kernel(*v);
        }
    }
}

dispatched! {
    /// Replaces every element by its natural logarithm: -∞ at 0, NaN below.
    pub fn ln_in_place(x: &mut [f64]) {
        for v in x.iter_mut() {
            *v = ln_kernel(*v);
        }
    }
}

dispatched! {
    /// Replaces every element by its logistic function `1 / (1 + e⁻ˣ)`.
    pub fn inv_logit_in_place(x: &mut [f64]) {
        for v in x.iter_mut() {
            let e = exp_kernel(-v.abs());
            *v = logistic_from(*v, e);
        }
    }
}

dispatched! {
    /// Replaces every element by its hyperbolic tangent, to 3 units in the last place.
    ///
    /// ```
    /// let mut x = [0.0, f64::INFINITY, -1e-300];
    /// posterity::math::vectorised::tanh_in_place(&mut x);
    /// assert_eq!(x, [0.0, 1.0, -1e-300]);
    /// ```
    pub fn tanh_in_place(x: &mut [f64]) {
        for v in x.iter_mut() {
            *v = tanh_kernel(*v);
        }
    }
}

dispatched! {
    /// Replaces every element by `log(1 + eˣ)`.
    pub fn log1p_exp_in_place(x: &mut [f64]) {
        for v in x.iter_mut() {
            let e = exp_kernel(-v.abs());
            *v = softplus_from(*v, e);
        }
    }
}

dispatched! {
    /// Replaces every `x` by `log(1 + eˣ)` and writes its derivative, the logistic function of `x`, to `derivative`.
    ///
    /// Both share one exponential: the log density and the gradient of a Bernoulli observation under a logit. Elements past the end of
    /// the shorter slice stay untouched.
    pub fn log1p_exp_with_derivative(x: &mut [f64], derivative: &mut [f64]) {
        for (v, d) in x.iter_mut().zip(derivative.iter_mut()) {
            let e = exp_kernel(-v.abs());
            *d = logistic_from(*v, e);
            *v = softplus_from(*v, e);
        }
    }
}

dispatched! {
    /// `out = Σₖ cₖ xₖ` over columns `xₖ` of the length of `out`, stored one after the other in `columns`: a small matrix, by columns, times
    /// a vector. Columns without a coefficient do not count. Each element is summed in the order of the columns.
    ///
    /// ```
    /// let mut out = [0.0; 2];
    /// posterity::math::vectorised::combine_columns(&[1.0, 2.0, 10.0, 20.0], &[3.0, 0.5], &mut out);
    /// assert_eq!(out, [8.0, 16.0]);
    /// ```
    pub fn combine_columns(columns: &[f64], coefficients: &[f64], out: &mut [f64]) {
        let n = out.len();
        let (chunks, rest) = out.as_chunks_mut::<16>();
        let first_of_rest = n - rest.len();
        for (i, chunk) in chunks.iter_mut().enumerate() {
            let mut sums = [0.0; 16];
            for (column, &c) in columns.chunks_exact(n).zip(coefficients) {
                for (sum, &x) in sums.iter_mut().zip(&column[16 * i..16 * i + 16]) {
                    *sum += c * x;
                }
            }
            *chunk = sums;
        }
        rest.fill(0.0);
        if n > 0 {
            for (column, &c) in columns.chunks_exact(n).zip(coefficients) {
                for (sum, &x) in rest.iter_mut().zip(&column[first_of_rest..]) {
                    *sum += c * x;
                }
            }
        }
    }
}

dispatched! {
    /// `Σ log(1 + exp(xᵢ))`, as in the log-likelihood of a logistic regression; NaN if an element is.
    ///
    /// Much cheaper than [`log1p_exp_in_place`] and a sum: 512 elements share one logarithm, that of the product of their
    /// `1 + exp(-|xᵢ|)`, each in [1, 2]. The absolute error stays below 1e-16 per element beside the rounding of the sum.
    ///
    /// ```
    /// let sum = posterity::math::vectorised::sum_log1p_exp(&[0.0, 1000.0, f64::NEG_INFINITY]);
    /// assert!((sum - 2_f64.ln() - 1000.0).abs() < 1e-12);
    /// ```
    pub fn sum_log1p_exp(x: &[f64]) -> f64 {
        let mut total = 0.0;
        for part in x.chunks(512) {
            let (mut positive, mut products) = ([0.0; 8], [1.0; 8]);
            let (chunks, rest) = part.as_chunks::<8>();
            for chunk in chunks {
                for i in 0..8 {
                    positive[i] += if chunk[i] > 0.0 { chunk[i] } else { 0.0 };
                    products[i] *= 1.0 + exp_kernel(-chunk[i].abs());
                }
            }
            for (i, &v) in rest.iter().enumerate() {
                positive[i] += if v > 0.0 { v } else { 0.0 };
                products[i] *= 1.0 + exp_kernel(-v.abs());
            }
            let product = products.iter().product::<f64>();
            total += fold_lanes(positive) + ln_kernel(product);
        }
        total
    }
}

dispatched! {
    /// The largest element; NaN if one is NaN, -∞ if there is none.
    pub(crate) fn max(x: &[f64]) -> f64 {
        let (chunks, rest) = x.as_chunks::<8>();
        let mut lanes = [f64::NEG_INFINITY; 8];
        let mut ordered = [true; 8];
        for chunk in chunks {
            for i in 0..8 {
                lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
                ordered[i] &= !chunk[i].is_nan();
            }
        }
        let mut largest = f64::NEG_INFINITY;
        for &v in lanes.iter().chain(rest) {
            if v.is_nan() {
                return f64::NAN;
            }
            largest = if v > largest { v } else { largest };
        }
        if ordered == [true; 8] { largest } else { f64::NAN }
    }
}

dispatched! {
    /// `Σ exp(xᵢ - shift)`, in fixed blocks folded in order.
    pub(crate) fn sum_exp_shifted(x: &[f64], shift: f64) -> f64 {
        let mut total = 0.0;
        for block in x.chunks(super::super::blocks::BLOCK) {
            total += sum_lanes(block, #[inline(always)] |v| exp_kernel(v - shift));
        }
        total
    }
}

dispatched! {
    /// `sum[i] = x[i] + y[i]` over the shortest of the three; returns the largest sum as [`max`] does.
    pub(crate) fn add_max(x: &[f64], y: &[f64], sum: &mut [f64]) -> f64 {
        for ((sum, x), y) in sum.iter_mut().zip(x).zip(y) {
            *sum = x + y;
        }
        max(sum)
    }
}

/// `out[i] = exp(x[i] - shift)`; returns the largest entry (NaN left out), sum and sum of squares of the exponentials, lane by lane.
#[inline(always)]
fn max_exp_lanes(x: &[f64], shift: f64, out: &mut [f64]) -> (f64, f64, f64) {
    let n = x.len().min(out.len());
    let (mut largest, mut sums, mut squares) = ([f64::NEG_INFINITY; 8], [0.0; 8], [0.0; 8]);
    let (x_chunks, x_rest) = x[..n].as_chunks::<8>();
    let (out_chunks, out_rest) = out[..n].as_chunks_mut::<8>();
    for (x, out) in x_chunks.iter().zip(out_chunks) {
        for i in 0..8 {
            largest[i] = if x[i] > largest[i] { x[i] } else { largest[i] };
            out[i] = exp_kernel(x[i] - shift);
        }
        for i in 0..8 {
            sums[i] += out[i];
            squares[i] += out[i] * out[i];
        }
    }
    for (i, (x, out)) in x_rest.iter().zip(out_rest).enumerate() {
        largest[i] = if *x > largest[i] { *x } else { largest[i] };
        *out = exp_kernel(x - shift);
        sums[i] += *out;
        squares[i] += *out * *out;
    }
    let largest = largest.into_iter().fold(f64::NEG_INFINITY, |a, b| if b > a { b } else { a });
    (largest, fold_lanes(sums), fold_lanes(squares))
}

dispatched! {
    /// `out[i] = exp(x[i] - shift)` for a block; returns the largest `x` (NaN left out), and the sum and the sum of squares of the
    /// exponentials, NaN if one is.
    pub(crate) fn max_exp(x: &[f64], shift: f64, out: &mut [f64]) -> (f64, f64, f64) {
        max_exp_lanes(x, shift, out)
    }
}

dispatched! {
    /// `sum[i] = x[i] + y[i]`, `out[i] = exp(sum[i] - shift)` for a block; returns what [`max_exp`] does.
    pub(crate) fn add_exp(x: &[f64], y: &[f64], shift: f64, sum: &mut [f64], out: &mut [f64]) -> (f64, f64, f64) {
        for ((sum, x), y) in sum.iter_mut().zip(x).zip(y) {
            *sum = x + y;
        }
        max_exp_lanes(sum, shift, out)
    }
}

dispatched! {
    /// The sum of a block, lane by lane.
    pub(crate) fn sum(x: &[f64]) -> f64 {
        sum_lanes(x, #[inline(always)] |v| v)
    }
}

dispatched! {
    /// The sum of products over the shorter of two slices, lane by lane.
    pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
        let n = x.len().min(y.len());
        let (x_chunks, x_rest) = x[..n].as_chunks::<8>();
        let (y_chunks, y_rest) = y[..n].as_chunks::<8>();
        let mut lanes = [0.0; 8];
        for (a, b) in x_chunks.iter().zip(y_chunks) {
            for i in 0..8 {
                lanes[i] += a[i] * b[i];
            }
        }
        for (lane, (a, b)) in lanes.iter_mut().zip(x_rest.iter().zip(y_rest)) {
            *lane += a * b;
        }
        fold_lanes(lanes)
    }
}

// After the macro that its functions are declared with.
pub(crate) mod single;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use rand::RngExt;

    const SPECIAL: [f64; 12] = [
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MIN_POSITIVE,
        5e-324,
        f64::MAX,
        f64::MIN,
        1.0,
        -1.0,
        f64::EPSILON,
    ];

    /// Distance in units of the last place of the reference, with the unit of the smallest subnormal as the least.
    fn ulps(found: f64, expected: f64) -> f64 {
        if found == expected || (found.is_nan() && expected.is_nan()) {
            return 0.0;
        }
        let unit = (expected.abs().next_up() - expected.abs()).max(5e-324);
        (found - expected).abs() / unit
    }

    fn exponents() -> Vec<f64> {
        let mut random = Stream::new(1);
        let mut x = SPECIAL.to_vec();
        x.extend((0..100_000).map(|_| random.random_range(-750.0..712.0)));
        x.extend((0..100_000).map(|_| random.random_range(-1.5..1.5)));
        x.extend((0..20_000).map(|_| random.random_range(-746.0..-707.0)));
        x.extend((0..1000).map(|i| (f64::from(i) - 500.0) * std::f64::consts::LN_2 * 0.5));
        x.extend((0..340).flat_map(|i| [10f64.powi(-i), -(10f64.powi(-i))]));
        x
    }

    fn positives() -> Vec<f64> {
        let mut random = Stream::new(2);
        let mut x = SPECIAL.to_vec();
        // All bit patterns of positive numbers, subnormals included, then near 1 and near the seams of the reduction.
        x.extend((0..100_000).map(|_| f64::from_bits(random.random_range(0..0x7ff0_0000_0000_0000u64))));
        x.extend((0..100_000).map(|_| random.random_range(0.5..2.0)));
        x.extend((0..100_000).map(|_| 1.0 + random.random_range(-1e-3..1e-3)));
        x.extend((0..20_000).map(|_| f64::from_bits(random.random_range(0..0x0010_0000_0000_0000u64))));
        x.extend((-1074..1024).map(|k| 2f64.powi(k)));
        x
    }

    /// Largest error against the standard library, whose own is below 1 unit.
    fn worst(x: &[f64], f: impl Fn(&mut [f64]), reference: impl Fn(f64) -> f64) -> (f64, f64) {
        let mut y = x.to_vec();
        f(&mut y);
        let errors = x.iter().zip(&y).map(|(&x, &y)| (ulps(y, reference(x)), x));
        errors.fold((0.0, 0.0), |a, b| if b.0 > a.0 || b.0.is_nan() { b } else { a })
    }

    #[test]
    fn exp_and_ln_agree_with_the_standard_library() {
        let (error, at) = worst(&exponents(), exp_in_place, f64::exp);
        assert!(error <= 1.0, "exp: {error} ulp at {at:e}");
        let (error, at) = worst(&positives(), ln_in_place, f64::ln);
        assert!(error <= 1.0, "ln: {error} ulp at {at:e}");
    }

    #[test]
    fn logistic_functions_agree_with_the_scalar_ones() {
        // Up to four roundings more than exp and ln1p themselves, on both sides.
        let (error, at) = worst(&exponents(), inv_logit_in_place, crate::math::inv_logit);
        assert!(error <= 3.0, "inv_logit: {error} ulp at {at:e}");
        let (error, at) = worst(&exponents(), log1p_exp_in_place, crate::math::log1p_exp);
        assert!(error <= 3.0, "log1p_exp: {error} ulp at {at:e}");
    }

    #[test]
    fn the_hyperbolic_tangent_agrees_with_the_standard_library() {
        let (error, at) = worst(&exponents(), tanh_in_place, f64::tanh);
        assert!(error <= 3.0, "tanh: {error} ulp at {at:e}");
    }

    #[test]
    fn logistic_pair_equals_the_single_functions() {
        let x = exponents();
        let (mut a, mut b, mut value, mut slope) = (x.clone(), x.clone(), x.clone(), vec![7.0; x.len()]);
        log1p_exp_in_place(&mut a);
        inv_logit_in_place(&mut b);
        log1p_exp_with_derivative(&mut value, &mut slope);
        assert!(a.iter().zip(&value).all(|(p, q)| p.to_bits() == q.to_bits()));
        assert!(b.iter().zip(&slope).all(|(p, q)| p.to_bits() == q.to_bits()));
        let (mut short, mut long) = ([0.0], [9.0; 2]);
        log1p_exp_with_derivative(&mut short, &mut long);
        assert_eq!(long, [0.5, 9.0]);
    }

    /// The dispatched function and the portable copy of it.
    type Pair = (fn(&mut [f64]), fn(&mut [f64]));

    #[test]
    fn dispatched_and_portable_give_the_same_bits() {
        let pairs: [Pair; 5] = [
            (exp_in_place, exp_in_place::portable),
            (ln_in_place, ln_in_place::portable),
            (inv_logit_in_place, inv_logit_in_place::portable),
            (log1p_exp_in_place, log1p_exp_in_place::portable),
            (tanh_in_place, tanh_in_place::portable),
        ];
        for x in [exponents(), positives()] {
            for (index, (dispatched, portable)) in pairs.iter().enumerate() {
                let (mut a, mut b) = (x.clone(), x.clone());
                dispatched(&mut a);
                portable(&mut b);
                for i in 0..x.len() {
                    assert_eq!(a[i].to_bits(), b[i].to_bits(), "function {index} at {:e}", x[i]);
                }
                // One at a time, where nothing is vectorised.
                for i in (0..x.len()).step_by(97) {
                    let mut single = [x[i]];
                    dispatched(&mut single);
                    assert_eq!(single[0].to_bits(), a[i].to_bits());
                }
            }
            let finite: Vec<f64> = x.iter().copied().filter(|v| v.is_finite() && v.abs() < 1e3).collect();
            for n in [0, 1, 7, 8, 9, 1023, 1025, finite.len()] {
                let x = &finite[..n];
                assert_eq!(sum_exp_shifted(x, 2.5).to_bits(), sum_exp_shifted::portable(x, 2.5).to_bits());
                assert_eq!(sum(x).to_bits(), sum::portable(x).to_bits());
                assert_eq!(dot(x, x).to_bits(), dot::portable(x, x).to_bits());
                assert_eq!(sum_log1p_exp(x).to_bits(), sum_log1p_exp::portable(x).to_bits());
                let (mut a, mut b) = (vec![0.0; n / 3], vec![0.0; n / 3]);
                combine_columns(x, &[0.3, -1.7, 2.9], &mut a);
                combine_columns::portable(x, &[0.3, -1.7, 2.9], &mut b);
                assert_eq!(a, b);
                let expected = |i: usize| 0.0 + 0.3 * x[i] - 1.7 * x[n / 3 + i] + 2.9 * x[n / 3 * 2 + i];
                (0..n / 3).for_each(|i| assert_eq!(a[i], expected(i)));
                assert_eq!(max(x), max::portable(x));
                assert_eq!(max(x), x.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            }
        }
    }

    #[test]
    fn the_sum_of_softplus_is_the_sum() {
        let mut terms: Vec<f64> = exponents().into_iter().filter(|x| x.abs() < 1e6).collect();
        let found = sum_log1p_exp(&terms);
        log1p_exp_in_place(&mut terms);
        let expected: f64 = terms.iter().sum();
        assert!((found / expected - 1.0).abs() < 1e-13, "{found} {expected}");
        // Small terms are exact to 1e-16 each.
        assert!((sum_log1p_exp(&[-30.0; 1000]) - 1000.0 * (-30_f64).exp().ln_1p()).abs() < 1e-13);
        assert!(sum_log1p_exp(&[0.0, f64::NAN]).is_nan());
        assert_eq!(sum_log1p_exp(&[0.0, f64::INFINITY]), f64::INFINITY);
        assert_eq!(sum_log1p_exp(&[]), 0.0);
    }
}
