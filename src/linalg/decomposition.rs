//! Decompositions of ndarray views: eigenvalues, singular values, QR, Cholesky, a general solve and the matrix product.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, CowArray, Ix2};

use super::{add_scaled, cholesky_in_place, dense, dot};
use crate::error::{Error, Result};

/// `A = V diag(λ) V'` of a symmetric matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigen {
    /// The n eigenvalues, ascending.
    pub values: Array1<f64>,
    /// The n x n orthogonal matrix with the eigenvectors in its columns.
    pub vectors: Array2<f64>,
}

/// The thin singular value decomposition `A = U diag(σ) V'` of an m x n matrix, k = min(m, n).
#[derive(Debug, Clone, PartialEq)]
pub struct Svd {
    /// Left singular vectors in columns, m x k.
    pub u: Array2<f64>,
    /// The k singular values, descending.
    pub values: Array1<f64>,
    /// Right singular vectors in columns, n x k.
    pub v: Array2<f64>,
}

/// The thin decomposition `A = Q R` of an m x n matrix, k = min(m, n).
#[derive(Debug, Clone, PartialEq)]
pub struct Qr {
    /// Orthonormal columns, m x k.
    pub q: Array2<f64>,
    /// Upper triangular with a diagonal that is not negative, k x n.
    pub r: Array2<f64>,
}

fn check_square(what: &'static str, a: &ArrayView2<'_, f64>) -> Result<()> {
    if a.nrows() == a.ncols() { Ok(()) } else { Err(Error::Dimension { what, expected: a.nrows(), found: a.ncols() }) }
}

/// The matrix in standard layout, checked to be finite.
fn finite_rows<'a>(what: &'static str, a: &'a ArrayView2<'_, f64>) -> Result<CowArray<'a, f64, Ix2>> {
    match a.iter().enumerate().find(|(_, v)| !v.is_finite()) {
        Some((index, &value)) => Err(Error::NotFinite { what, index, value }),
        None => Ok(a.as_standard_layout()),
    }
}

/// Turns every column so that its entry of largest size is positive, and the partner's column with it: signs do not depend on the back
/// end then.
fn fix_signs(vectors: &mut Array2<f64>, mut partner: Option<&mut Array2<f64>>) {
    for j in 0..vectors.ncols() {
        let mut column = vectors.column_mut(j);
        let largest = column.iter().fold(0.0_f64, |best, &v| if v.abs() > best.abs() { v } else { best });
        if largest < 0.0 {
            column.mapv_inplace(|v| -v);
            if let Some(partner) = partner.as_deref_mut() {
                partner.column_mut(j).mapv_inplace(|v| -v);
            }
        }
    }
}

/// Eigenvalues (ascending) and orthonormal eigenvectors of a symmetric n x n matrix, of which only the lower triangle counts.
///
/// Each eigenvector's entry of largest size is positive.
///
/// ```
/// use ndarray::array;
/// let eigen = posterity::linalg::symmetric_eigen(array![[2.0, 1.0], [1.0, 2.0]].view())?;
/// assert!((eigen.values[0] - 1.0).abs() < 1e-14 && (eigen.values[1] - 3.0).abs() < 1e-14);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// # Errors
/// [`Error::Dimension`] if it is not square, [`Error::NotFinite`] (index row-major), [`Error::NoConvergence`].
pub fn symmetric_eigen(a: ArrayView2<'_, f64>) -> Result<Eigen> {
    check_square("symmetric matrix", &a)?;
    let rows = finite_rows("symmetric matrix", &a)?;
    if a.is_empty() {
        return Ok(Eigen { values: Array1::zeros(0), vectors: Array2::zeros((0, 0)) });
    }
    let failed = Error::NoConvergence { what: "symmetric eigenvalues" };
    let (values, mut vectors) = dense::symmetric_eigen(&rows.view()).ok_or(failed)?;
    fix_signs(&mut vectors, None);
    Ok(Eigen { values, vectors })
}

/// The thin singular value decomposition of an m x n matrix; each left vector's entry of largest size is positive.
///
/// # Errors
/// [`Error::NotFinite`] (index row-major), [`Error::NoConvergence`].
pub fn svd(a: ArrayView2<'_, f64>) -> Result<Svd> {
    let rows = finite_rows("matrix", &a)?;
    if a.is_empty() {
        return Ok(Svd { u: Array2::zeros((a.nrows(), 0)), values: Array1::zeros(0), v: Array2::zeros((a.ncols(), 0)) });
    }
    let failed = Error::NoConvergence { what: "singular values" };
    let (mut u, values, mut v) = dense::svd(&rows.view()).ok_or(failed)?;
    fix_signs(&mut u, Some(&mut v));
    Ok(Svd { u, values, v })
}

/// The lower Cholesky factor of a symmetric positive definite n x n matrix, of which only the lower triangle counts.
///
/// # Errors
/// [`Error::Dimension`] if it is not square, [`Error::NotPositiveDefinite`] (also for NaN and infinite entries).
pub fn cholesky(a: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    check_square("matrix", &a)?;
    let n = a.nrows();
    let mut entries: Vec<f64> = a.iter().copied().collect();
    cholesky_in_place(&mut entries, n).map_err(|error| error.named("matrix"))?;
    Ok(Array2::from_shape_fn((n, n), |(i, j)| entries[i * n + j]))
}

/// Solves `A x = b` for a general n x n matrix by LU with partial pivoting.
///
/// # Errors
/// [`Error::Dimension`], [`Error::NotFinite`], [`Error::Singular`] if a pivot is exactly zero.
pub fn solve(a: ArrayView2<'_, f64>, b: ArrayView1<'_, f64>) -> Result<Array1<f64>> {
    check_square("matrix", &a)?;
    if b.len() != a.nrows() {
        return Err(Error::Dimension { what: "right-hand side", expected: a.nrows(), found: b.len() });
    }
    let rows = finite_rows("matrix", &a)?;
    if let Some((index, &value)) = b.iter().enumerate().find(|(_, v)| !v.is_finite()) {
        return Err(Error::NotFinite { what: "right-hand side", index, value });
    }
    let mut x = b.to_vec();
    if !x.is_empty() {
        dense::solve(&rows.view(), &mut x).map_err(|pivot| Error::Singular { what: "matrix", pivot })?;
    }
    Ok(Array1::from_vec(x))
}

/// The matrix product of an m x k and a k x n matrix.
///
/// # Errors
/// [`Error::Dimension`] if the inner dimensions differ.
pub fn matmul(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    if a.ncols() != b.nrows() {
        return Err(Error::Dimension { what: "rows of the second factor", expected: a.ncols(), found: b.nrows() });
    }
    Ok(a.dot(&b))
}

/// The thin QR decomposition of an m x n matrix by Householder reflections.
///
/// The diagonal of R is not negative, which makes the decomposition unique for full column rank.
///
/// # Errors
/// [`Error::NotFinite`] (index row-major).
pub fn qr(a: ArrayView2<'_, f64>) -> Result<Qr> {
    finite_rows("matrix", &a)?;
    let (m, n) = a.dim();
    let k = m.min(n);
    // Columns of A as contiguous vectors; reflector j replaces column j from entry j on, scaled to v'v = 2.
    let mut columns: Vec<Vec<f64>> = a.columns().into_iter().map(|column| column.to_vec()).collect();
    let mut r = Array2::zeros((k, n));
    let mut signs = vec![1.0; k];
    for j in 0..k {
        let (done, rest) = columns.split_at_mut(j + 1);
        let reflector = &mut done[j][j..];
        let alpha = reflect(reflector);
        for (offset, column) in rest.iter_mut().enumerate() {
            let projection = dot(reflector, &column[j..]);
            add_scaled(&mut column[j..], -projection, reflector);
            r[(j, j + 1 + offset)] = column[j];
        }
        r[(j, j)] = alpha;
        for i in 0..j {
            r[(i, j)] = done[j][i];
        }
        signs[j] = if alpha < 0.0 { -1.0 } else { 1.0 };
    }
    let mut q = Array2::zeros((m, k));
    for j in 0..k {
        let mut unit = vec![0.0; m];
        unit[j] = signs[j];
        for i in (0..=j).rev() {
            let reflector = &columns[i][i..];
            let projection = dot(reflector, &unit[i..]);
            add_scaled(&mut unit[i..], -projection, reflector);
        }
        q.column_mut(j).assign(&ArrayView1::from(&unit));
    }
    for (mut row, &sign) in r.rows_mut().into_iter().zip(&signs) {
        row.mapv_inplace(|v| v * sign);
    }
    Ok(Qr { q, r })
}

/// Replaces a vector by the Householder vector v (v'v = 2, or 0 for the zero vector) that maps it to α e₁, and returns α.
fn reflect(x: &mut [f64]) -> f64 {
    // Scaled, so that squares neither overflow nor vanish.
    let scale = x.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    if scale == 0.0 {
        return 0.0;
    }
    x.iter_mut().for_each(|v| *v /= scale);
    let norm = dot(x, x).sqrt();
    let alpha = if x[0] > 0.0 { -norm } else { norm };
    x[0] -= alpha;
    let length = (0.5 * dot(x, x)).sqrt();
    x.iter_mut().for_each(|v| *v /= length);
    alpha * scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use ndarray::{Array, array, s};
    use proptest::prelude::*;
    use rand::RngExt;

    fn random(m: usize, n: usize, seed: u64) -> Array2<f64> {
        let mut random = Stream::new(seed);
        Array::from_shape_simple_fn((m, n), || random.random_range(-1.0..1.0))
    }

    fn assert_near(a: &Array2<f64>, b: &Array2<f64>) {
        assert_eq!(a.dim(), b.dim());
        // Backward errors of orthogonal decompositions are a small multiple of the size times eps, here relative to the Frobenius norm.
        let size = a.nrows().max(a.ncols()) as f64;
        let norm = 1.0 + b.iter().map(|v| v * v).sum::<f64>().sqrt();
        let error = (a - b).iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        assert!(error <= 2.0 * size * f64::EPSILON * norm, "error {error:e}, norm {norm}");
    }

    fn assert_orthonormal(q: &Array2<f64>) {
        assert_near(&q.t().dot(q), &Array2::eye(q.ncols()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn decompositions_reconstruct(m in 1usize..70, n in 1usize..70, seed in 0u64..1000) {
            let a = random(m, n, seed);
            let k = m.min(n);

            let f = svd(a.view()).unwrap();
            assert_near(&(&f.u * &f.values).dot(&f.v.t()), &a);
            prop_assert!(f.values.iter().all(|v| *v >= 0.0) && f.values.windows(2).into_iter().all(|w| w[0] >= w[1]));
            prop_assert_eq!((f.u.dim(), f.v.dim()), ((m, k), (n, k)));
            assert_orthonormal(&f.u);
            assert_orthonormal(&f.v);

            let f = qr(a.view()).unwrap();
            assert_near(&f.q.dot(&f.r), &a);
            assert_orthonormal(&f.q);
            prop_assert!((0..k).all(|i| f.r[(i, i)] >= 0.0 && (0..i).all(|j| f.r[(i, j)] == 0.0)));

            let symmetric = a.slice(s![..k, ..k]).to_owned() + a.slice(s![..k, ..k]).t();
            let mut lower = symmetric.clone();
            (0..k).for_each(|i| lower.slice_mut(s![i, i + 1..]).fill(7.0)); // never read
            let f = symmetric_eigen(lower.view()).unwrap();
            assert_near(&(&f.vectors * &f.values).dot(&f.vectors.t()), &symmetric);
            assert_orthonormal(&f.vectors);
            prop_assert!(f.values.windows(2).into_iter().all(|w| w[0] <= w[1]));
            // A transposed view is read as what it shows.
            prop_assert_eq!(symmetric_eigen(symmetric.t()).unwrap().values, symmetric_eigen(symmetric.view()).unwrap().values);

            let gram = a.dot(&a.t()) + Array2::<f64>::eye(m);
            let l = cholesky(gram.view()).unwrap();
            assert_near(&l.dot(&l.t()), &gram);
            let x = random(m, 1, seed + 1).remove_axis(ndarray::Axis(1));
            let found = solve(gram.view(), gram.dot(&x).view()).unwrap();
            // Forward error: condition at most 1 + mn.
            let bound = 4.0 * f64::EPSILON * (m * (1 + m * n)) as f64;
            prop_assert!((&found - &x).iter().all(|v| v.abs() <= bound));
        }
    }

    #[test]
    fn known_values_and_signs() {
        let f = symmetric_eigen(array![[2.0, 1.0], [1.0, 2.0]].view()).unwrap();
        let h = 0.5f64.sqrt();
        assert!((&f.values - &array![1.0, 3.0]).iter().all(|v| v.abs() < 1e-15 * 4.0));
        assert!((f.vectors[(0, 1)] - h).abs() < 4e-16 && (f.vectors[(1, 1)] - h).abs() < 4e-16);
        let f = svd(array![[-3.0, 0.0], [0.0, 2.0], [0.0, 0.0]].view()).unwrap();
        assert!((&f.values - &array![3.0, 2.0]).iter().all(|v| v.abs() < 4e-15));
        assert!((f.u[(0, 0)] - 1.0).abs() < 4e-16 && (f.v[(0, 0)] + 1.0).abs() < 4e-16);
        let f = qr(array![[-3.0, 1.0], [4.0, 2.0]].view()).unwrap();
        assert!((&f.r - &array![[5.0, 1.0], [0.0, 2.0]]).iter().all(|v| v.abs() < 4e-15));
        // A rotation, asymmetric: the transposed system has another solution.
        let x = solve(array![[0.0, -2.0], [1.0, 0.0]].view(), array![4.0, 3.0].view()).unwrap();
        assert_eq!(x, array![3.0, -2.0]);
        assert_eq!(matmul(array![[1.0, 2.0]].view(), array![[3.0], [4.0]].view()).unwrap(), array![[11.0]]);
    }

    #[test]
    fn qr_of_zero_and_extreme_columns() {
        let f = qr(array![[0.0, 1e200], [0.0, 1e200], [0.0, 1e-200]].view()).unwrap();
        assert_orthonormal(&f.q);
        assert_eq!(f.r[(0, 0)], 0.0);
        assert!((f.r[(1, 1)].hypot(f.r[(0, 1)]) / 1e200 - 2f64.sqrt()).abs() < 1e-15);
        let large = qr(array![[3e300], [4e300]].view()).unwrap();
        assert!((large.r[(0, 0)] / 5e300 - 1.0).abs() < 1e-15);
    }

    #[test]
    fn errors_are_typed() {
        let wide = Array2::<f64>::zeros((2, 3));
        assert!(matches!(symmetric_eigen(wide.view()), Err(Error::Dimension { expected: 2, found: 3, .. })));
        assert!(matches!(cholesky(wide.view()), Err(Error::Dimension { .. })));
        assert!(matches!(matmul(wide.view(), wide.view()), Err(Error::Dimension { expected: 3, found: 2, .. })));
        assert!(matches!(solve(wide.view(), array![1.0, 2.0].view()), Err(Error::Dimension { .. })));
        let singular = array![[1.0, 2.0], [2.0, 4.0]];
        assert!(matches!(solve(singular.view(), array![1.0, 2.0].view()), Err(Error::Singular { pivot: 1, .. })));
        assert!(matches!(solve(singular.view(), array![1.0].view()), Err(Error::Dimension { expected: 2, found: 1, .. })));
        assert!(matches!(solve(singular.view(), array![f64::NAN, 1.0].view()), Err(Error::NotFinite { index: 0, .. })));
        assert!(matches!(cholesky(singular.view()), Err(Error::NotPositiveDefinite { pivot: 1, .. })));
        for bad in [f64::NAN, f64::INFINITY] {
            let a = array![[1.0, 0.0], [bad, 1.0]];
            assert!(matches!(symmetric_eigen(a.view()), Err(Error::NotFinite { index: 2, .. })));
            assert!(matches!(svd(a.view()), Err(Error::NotFinite { index: 2, .. })));
            assert!(matches!(qr(a.view()), Err(Error::NotFinite { index: 2, .. })));
            assert!(matches!(cholesky(a.view()), Err(Error::NotPositiveDefinite { pivot: 1, .. })));
        }
        let empty = Array2::<f64>::zeros((0, 0));
        assert_eq!(symmetric_eigen(empty.view()).unwrap().values.len(), 0);
        assert_eq!(svd(Array2::zeros((3, 0)).view()).unwrap().u.dim(), (3, 0));
        assert_eq!(qr(Array2::zeros((0, 3)).view()).unwrap().r.dim(), (0, 3));
        assert_eq!(cholesky(empty.view()).unwrap().dim(), (0, 0));
        assert_eq!(solve(empty.view(), Array1::zeros(0).view()).unwrap().len(), 0);
    }
}
