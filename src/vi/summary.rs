//! The table of a fit.

use std::fmt::{self, Display, Formatter};

use ndarray::ArrayView1;

use super::warning::Warning;

/// Rows printed unless the alternate form `{:#}` asks for all.
const ROWS_SHOWN: usize = 100;

/// Moments and quantiles of one element.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FitSummaryRow {
    /// Name of the element, as `theta[3]`.
    pub name: String,
    /// Mean of the reweighted draws.
    pub mean: f64,
    /// Standard deviation of the reweighted draws.
    pub sd: f64,
    /// Standard error of the mean.
    pub mcse: f64,
    /// 5 % quantile of the reweighted draws.
    pub q05: f64,
    /// Median of the reweighted draws.
    pub q50: f64,
    /// 95 % quantile of the reweighted draws.
    pub q95: f64,
    /// Mean of the draws as they are.
    pub raw_mean: f64,
    /// Standard deviation of the draws as they are.
    pub raw_sd: f64,
}

impl FitSummaryRow {
    /// From the values of all draws and their weights, of sum 1. Values that count must be numbers: one NaN makes its moments NaN.
    pub(super) fn new(name: String, values: ArrayView1<'_, f64>, weights: &[f64]) -> Self {
        let n = values.len() as f64;
        let raw_mean = values.sum() / n;
        let raw_sd = (values.iter().map(|x| (x - raw_mean).powi(2)).sum::<f64>() / n).sqrt();
        let counted = || values.iter().zip(weights).filter(|(_, w)| **w > 0.0);
        let mean: f64 = counted().map(|(x, w)| w * x).sum();
        let sd = counted().map(|(x, w)| w * (x - mean).powi(2)).sum::<f64>().sqrt();
        let mcse = counted().map(|(x, w)| (w * (x - mean)).powi(2)).sum::<f64>().sqrt();
        let mut sorted: Vec<(f64, f64)> = counted().map(|(x, w)| (*x, *w)).collect();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let quantile = |probability| weighted_quantile(&sorted, probability);
        Self { name, mean, sd, mcse, q05: quantile(0.05), q50: quantile(0.5), q95: quantile(0.95), raw_mean, raw_sd }
    }
}

/// The smallest value at which the weights reach the probability, from values in ascending order with their weights.
fn weighted_quantile(sorted: &[(f64, f64)], probability: f64) -> f64 {
    let mut reached = 0.0;
    for (value, weight) in sorted {
        reached += weight;
        if reached >= probability {
            return *value;
        }
    }
    sorted.last().map_or(f64::NAN, |(value, _)| *value)
}

/// Summary of a fit. `Display` prints a line about it, an aligned table and the warnings in words; the alternate form `{:#}` prints all rows of a long table.
#[derive(Debug, Clone, PartialEq)]
pub struct FitSummary {
    title: String,
    rows: Vec<FitSummaryRow>,
    warnings: Vec<Warning>,
}

impl FitSummary {
    pub(super) fn new(title: String, rows: Vec<FitSummaryRow>, warnings: Vec<Warning>) -> Self {
        Self { title, rows, warnings }
    }

    /// All elements, in the order of the target's variables.
    #[must_use]
    pub fn rows(&self) -> &[FitSummaryRow] {
        &self.rows
    }

    /// One element by name, as `theta[3]`.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&FitSummaryRow> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Reasons to distrust the fit.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl Display for FitSummary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let shown = if f.alternate() { self.rows.len() } else { self.rows.len().min(ROWS_SHOWN) };
        let header = ["", "mean", "sd", "mcse", "5%", "50%", "95%", "q mean", "q sd"].map(str::to_owned);
        let cells: Vec<[String; 9]> = std::iter::once(header).chain(self.rows[..shown].iter().map(cells)).collect();
        let widths: [usize; 9] = std::array::from_fn(|k| cells.iter().map(|row| row[k].chars().count()).max().unwrap_or(0));
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
fn cells(row: &FitSummaryRow) -> [String; 9] {
    let FitSummaryRow { name, mean, sd, mcse, q05, q50, q95, raw_mean, raw_sd } = row;
    let largest = [mean, sd, q05, q95, raw_mean, raw_sd].into_iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    let unit = if *sd > 0.0 && sd.is_finite() { *sd } else { largest };
    let last = if unit > 0.0 && unit.is_finite() { unit.log10().floor() as i32 - 2 } else { -2 };
    let number = |x: f64| {
        if last < -7 || !(largest < 1e7) { format!("{x:.4e}") } else { format!("{x:.0$}", usize::try_from(-last).unwrap_or(0)) }
    };
    let numbers = [mean, sd, mcse, q05, q50, q95, raw_mean, raw_sd].map(|x| number(*x));
    let mut cells = std::array::from_fn(|_| String::new());
    cells[0].clone_from(name);
    cells[1..].clone_from_slice(&numbers);
    cells
}
