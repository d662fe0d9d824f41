//! The table of a cloud of particles.

use std::fmt::{self, Display, Formatter};

use ndarray::{ArrayView1, Axis};

use super::particles::Warning;
use crate::diagnostics::quantile;

/// Rows printed unless the alternate form `{:#}` asks for all.
const ROWS_SHOWN: usize = 100;

/// Moments and quantiles of one element over the particles.
///
/// R̂ and effective sample sizes are of chains and mean nothing here: particles are neither independent nor random draws.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ParticleSummaryRow {
    /// Name of the element, as `theta[3]`.
    pub name: String,
    /// Mean over the particles.
    pub mean: f64,
    /// Standard deviation of the cloud (divisor N).
    pub sd: f64,
    /// 5 % quantile.
    pub q05: f64,
    /// Median.
    pub q50: f64,
    /// 95 % quantile.
    pub q95: f64,
}

impl ParticleSummaryRow {
    pub(super) fn new(name: String, values: ArrayView1<'_, f64>) -> Self {
        let n = values.len() as f64;
        let mean = values.sum() / n;
        let sd = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        let quantile = |probability| quantile(values.insert_axis(Axis(0)), probability).unwrap_or(f64::NAN);
        Self { name, mean, sd, q05: quantile(0.05), q50: quantile(0.5), q95: quantile(0.95) }
    }
}

/// Summary of a cloud. `Display` prints a line about the run, an aligned table and the warnings in words; the alternate form `{:#}` prints all
/// rows of a long table.
///
/// ```
/// use posterity::model::zoo::EightSchoolsNoncentered;
/// use posterity::parvi::{ParticleFlow, Svgd};
/// let particles = ParticleFlow::coin(Svgd::default()).n_particles(20).n_iterations(200).run(&EightSchoolsNoncentered::rubin(), 1)?;
/// let summary = particles.summary();
/// assert!(summary.row("mu").is_some_and(|mu| mu.q05 < mu.mean && mu.mean < mu.q95));
/// // 20 particles are few for 10 dimensions.
/// assert!(summary.to_string().contains("variances come out too small"));
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ParticleSummary {
    title: String,
    rows: Vec<ParticleSummaryRow>,
    warnings: Vec<Warning>,
}

impl ParticleSummary {
    pub(super) fn new(title: String, rows: Vec<ParticleSummaryRow>, warnings: Vec<Warning>) -> Self {
        Self { title, rows, warnings }
    }

    /// All elements, in the order of the target's variables.
    #[must_use]
    pub fn rows(&self) -> &[ParticleSummaryRow] {
        &self.rows
    }

    /// One element by name, as `theta[3]`.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&ParticleSummaryRow> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Reasons to distrust the particles.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl Display for ParticleSummary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let shown = if f.alternate() { self.rows.len() } else { self.rows.len().min(ROWS_SHOWN) };
        let rows = &self.rows[..shown];
        let header = ["", "mean", "sd", "5%", "50%", "95%"].map(str::to_owned);
        let cells: Vec<[String; 6]> = std::iter::once(header).chain(rows.iter().map(cells)).collect();
        let widths: [usize; 6] = std::array::from_fn(|k| cells.iter().map(|row| row[k].chars().count()).max().unwrap_or(0));
        for row in &cells {
            write!(f, "{:1$}", row[0], widths[0])?;
            for (cell, width) in row.iter().zip(widths).skip(1) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        if shown < self.rows.len() {
            writeln!(f, "... and {} more rows", self.rows.len() - shown)?;
        }
        for warning in &self.warnings {
            writeln!(f, "Warning: {warning}")?;
        }
        Ok(())
    }
}

/// Three significant digits of the standard deviation, and all numbers of a row to the same decimal.
fn cells(row: &ParticleSummaryRow) -> [String; 6] {
    let ParticleSummaryRow { name, mean, sd, q05, q50, q95 } = row;
    let largest = [mean, sd, q05, q95].into_iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    let unit = if *sd > 0.0 && sd.is_finite() { *sd } else { largest };
    let last = if unit > 0.0 && unit.is_finite() { unit.log10().floor() as i32 - 2 } else { -2 };
    let number = |x: f64| {
        if last < -7 || !(largest < 1e7) { format!("{x:.4e}") } else { format!("{x:.0$}", usize::try_from(-last).unwrap_or(0)) }
    };
    [name.clone(), number(*mean), number(*sd), number(*q05), number(*q50), number(*q95)]
}
