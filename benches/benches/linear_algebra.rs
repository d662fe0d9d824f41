//! The library's linear algebra against plain loops, and its symmetric eigenvalues against faer, in turns on the same machine.
//!
//! `cargo bench -p posterity-benches --bench linear_algebra`, on LAPACK with `--features openblas-system` (set `OPENBLAS_NUM_THREADS=1`
//! for one thread against one). Every call copies its input, on both sides. Exits with 1 if results differ.

use std::process::ExitCode;

use faer::{Mat, Side};
use ndarray::{ArrayView1, ArrayView2};
use posterity::linalg;
use posterity::rng::Stream;
use posterity_benches::stopwatch::compare_within;
use posterity_benches::{discrepancy, filter, plain_loops};

/// Seconds per row of the table.
const BUDGET: f64 = 0.5;

/// A function that leaves its result in the vector that it is given.
type Operation<'a, R> = Box<dyn FnMut(&mut Vec<f64>) -> R + 'a>;

/// Two ways to the same numbers.
struct Row<'a> {
    operation: &'static str,
    /// Length of the result.
    size: usize,
    library: Operation<'a, Result<(), posterity::Error>>,
    floor: Operation<'a, ()>,
}

/// Inputs of order n.
struct Input {
    /// Symmetric with eigenvalues in about [1, 2.4].
    symmetric: Vec<f64>,
    /// Its Cholesky factor.
    factor: Vec<f64>,
    /// Without symmetry: the same plus a random part, so that pivots are exchanged.
    general: Vec<f64>,
    vector: Vec<f64>,
}

impl Input {
    fn new(n: usize) -> Self {
        let mut rng = Stream::new(n as u64);
        let b: Vec<f64> = (0..n * n).map(|_| rng.uniform() - 0.5).collect();
        let mut symmetric: Vec<f64> = (0..n * n)
            .map(|i| {
                let (x, y) = (&b[i / n * n..][..n], &b[i % n * n..][..n]);
                x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>() * 4.0 / n as f64
            })
            .collect();
        (0..n).for_each(|i| symmetric[i * n + i] += 1.0);
        let mut factor = symmetric.clone();
        plain_loops::cholesky(&mut factor, n);
        let general = symmetric.iter().map(|s| s + 4.0 * (rng.uniform() - 0.5)).collect();
        let vector = (0..n).map(|_| rng.normal()).collect();
        Self { symmetric, factor, general, vector }
    }
}

/// A copy of `from` in `out`, without allocation once `out` is large enough.
fn copy(from: &[f64], out: &mut Vec<f64>) {
    out.clear();
    out.extend_from_slice(from);
}

fn rows(n: usize, input: &Input) -> Result<Vec<Row<'_>>, ndarray::ShapeError> {
    let Input { symmetric, factor, general, vector } = input;
    let symmetric_view = ArrayView2::from_shape((n, n), symmetric)?;
    let general_view = ArrayView2::from_shape((n, n), general)?;
    let vector_view = ArrayView1::from(vector);
    let symmetric_faer = Mat::from_fn(n, n, |i, j| symmetric[i * n + j]);
    let mut scratch = Vec::new();
    Ok(vec![
        Row {
            operation: "cholesky",
            size: n * n,
            library: Box::new(move |out| {
                copy(symmetric, out);
                linalg::cholesky_in_place(out, n).map_err(|e| e.named("matrix"))
            }),
            floor: Box::new(move |out| {
                copy(symmetric, out);
                plain_loops::cholesky(out, n);
            }),
        },
        Row {
            operation: "solve_lower",
            size: n,
            library: Box::new(move |out| {
                copy(vector, out);
                linalg::solve_lower(factor, n, out).map_err(|e| e.named("factor"))
            }),
            floor: Box::new(move |out| {
                copy(vector, out);
                plain_loops::solve_lower(factor, n, out);
            }),
        },
        Row {
            operation: "solve_lower_transposed",
            size: n,
            library: Box::new(move |out| {
                copy(vector, out);
                linalg::solve_lower_transposed(factor, n, out).map_err(|e| e.named("factor"))
            }),
            floor: Box::new(move |out| {
                copy(vector, out);
                plain_loops::solve_lower_transposed(factor, n, out);
            }),
        },
        Row {
            operation: "solve (LU)",
            size: n,
            library: Box::new(move |out| {
                *out = linalg::solve(general_view, vector_view)?.into_raw_vec_and_offset().0;
                Ok(())
            }),
            floor: Box::new(move |out| {
                copy(general, &mut scratch);
                copy(vector, out);
                plain_loops::solve(&mut scratch, n, out);
            }),
        },
        Row {
            operation: "matmul",
            size: n * n,
            library: Box::new(move |out| {
                *out = linalg::matmul(general_view, symmetric_view)?.into_raw_vec_and_offset().0;
                Ok(())
            }),
            floor: Box::new(move |out| {
                out.resize(n * n, 0.0);
                plain_loops::matmul(general, symmetric, n, out);
            }),
        },
        Row {
            operation: "symmetric_eigen",
            size: n,
            library: Box::new(move |out| {
                *out = linalg::symmetric_eigen(symmetric_view)?.values.into_raw_vec_and_offset().0;
                Ok(())
            }),
            floor: Box::new(move |out| {
                out.clear();
                if let Ok(eigen) = symmetric_faer.self_adjoint_eigen(Side::Lower) {
                    out.extend(eigen.S().column_vector().iter());
                }
            }),
        },
    ])
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let filter = filter();
    println!("{:<24} {:>5} {:>10} {:>10} {:>7}", "operation", "n", "us", "floor", "ratio");
    let mut passed = true;
    for n in [10, 50, 100, 300] {
        let input = Input::new(n);
        for mut row in rows(n, &input)?.into_iter().filter(|row| row.operation.contains(&filter)) {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            (row.library)(&mut ours)?;
            (row.floor)(&mut theirs);
            // Condition numbers are below 1e4 and orders below 1e3: rounding stays below 1e4 · 1e3 · 2.2e-16 = 2e-9.
            let difference = discrepancy(&ours, &theirs);
            if !(difference <= 2e-9 && ours.len() == row.size) {
                println!("{:<24} {n:>5} the results differ by {difference:.1e}", row.operation);
                passed = false;
                continue;
            }
            let comparison = compare_within(
                BUDGET,
                || (row.library)(&mut ours).map_or(f64::NAN, |()| ours[0]),
                || {
                    (row.floor)(&mut theirs);
                    theirs[0]
                },
            );
            let (us, floor, ratio) = (comparison.first, comparison.second, comparison.ratio);
            println!("{:<24} {n:>5} {us:>10.2} {floor:>10.2} {ratio:>7.2}", row.operation);
        }
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
