//! The table of a summary: digits that the Monte Carlo error leaves standing, decimal points one below the other.

use std::fmt::{self, Display, Formatter};

use super::summary::SummaryRow;

const HEADER: [&str; 11] = ["", "mean", "mcse", "sd", "mcse_sd", "5%", "50%", "95%", "ess_bulk", "ess_tail", "r_hat"];

/// Cells of a table, header included.
#[derive(Debug)]
pub(crate) struct Table {
    cells: Vec<[String; HEADER.len()]>,
}

impl Table {
    pub(crate) fn new(rows: &[SummaryRow]) -> Self {
        Self { cells: rows.iter().map(cells).collect() }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names = self.cells.iter().map(|cells| cells[0].chars().count()).max().unwrap_or(0);
        // Characters of each column before the decimal point, and from it on.
        let mut widths = [(0, 0); HEADER.len()];
        for cells in &self.cells {
            for (width, cell) in widths.iter_mut().zip(cells) {
                let before = point(cell);
                width.0 = width.0.max(before);
                width.1 = width.1.max(cell.chars().count() - before);
            }
        }
        write!(f, "{:names$}", "")?;
        for (title, width) in HEADER.iter().zip(&mut widths).skip(1) {
            width.0 += title.len().saturating_sub(width.0 + width.1);
            write!(f, "  {title:>0$}", width.0 + width.1)?;
        }
        writeln!(f)?;
        for cells in &self.cells {
            write!(f, "{:names$}", cells[0])?;
            let mut pending = 0;
            for (cell, width) in cells.iter().zip(&widths).skip(1) {
                let before = point(cell);
                // Blanks behind a cell are written with the next one, so that no line ends in blanks.
                write!(f, "{:1$}{cell}", "", pending + 2 + width.0 - before)?;
                pending = width.1 - (cell.chars().count() - before);
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Characters before the decimal point or exponent.
fn point(cell: &str) -> usize {
    // "inf" and "-" have no digits: they end where whole numbers end.
    if !cell.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return cell.chars().count();
    }
    cell.chars().position(|c| c == '.' || c == 'e').unwrap_or(cell.chars().count())
}

fn cells(row: &SummaryRow) -> [String; HEADER.len()] {
    let style = Style::of(row);
    let optional = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| style.error(x));
    let whole = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.0}"));
    [
        row.name.clone(),
        style.number(row.mean),
        optional(row.mcse_mean),
        style.number(row.sd),
        optional(row.mcse_sd),
        style.number(row.q05),
        style.number(row.q50),
        style.number(row.q95),
        whole(row.ess_bulk),
        whole(row.ess_tail),
        row.r_hat.map_or_else(|| "-".to_owned(), |x| format!("{x:.3}")),
    ]
}

/// How the numbers of one row are written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    /// This many digits after the point.
    Fixed(usize),
    /// Exponents; the last digit stands for this power of ten.
    Scientific(i32),
    /// No error is known: this many significant digits.
    Significant(usize),
}

impl Style {
    /// Two significant digits of the mean's standard error.
    fn of(row: &SummaryRow) -> Self {
        let Some(error) = row.mcse_mean.filter(|e| e.is_finite() && *e > 0.0) else { return Self::Significant(4) };
        let last = error.log10().floor() as i32 - 1;
        let largest =
            [row.mean, row.sd, row.q05, row.q95].into_iter().filter(|x| x.is_finite()).fold(0.0_f64, |m, x| m.max(x.abs()));
        if last < -7 || largest >= 1e7 { Self::Scientific(last) } else { Self::Fixed(usize::try_from(-last).unwrap_or(0)) }
    }

    fn number(self, x: f64) -> String {
        if !x.is_finite() {
            return if x.is_nan() { "NaN".to_owned() } else { format!("{x}") };
        }
        if x == 0.0 {
            return "0".to_owned();
        }
        let exponent = x.abs().log10().floor() as i32;
        match self {
            Self::Fixed(digits) => format!("{x:.digits$}"),
            Self::Scientific(last) => format!("{x:.0$e}", usize::try_from(exponent - last).unwrap_or(0).min(16)),
            Self::Significant(digits) if (-4..7).contains(&exponent) => {
                let digits = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
                let text = format!("{x:.digits$}");
                if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
            }
            Self::Significant(digits) => format!("{x:.0$e}", digits - 1),
        }
    }

    /// A standard error: two significant digits, whatever the estimate's last digit.
    fn error(self, x: f64) -> String {
        match self {
            Self::Scientific(_) if x.is_finite() && x > 0.0 => format!("{x:.1e}"),
            _ => self.number(x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, mean: f64, mcse: Option<f64>, sd: f64) -> SummaryRow {
        SummaryRow {
            name: name.to_owned(),
            mean,
            sd,
            mcse_mean: mcse,
            mcse_sd: mcse,
            q05: mean - sd,
            q50: mean,
            q95: mean + sd,
            ess_bulk: Some(1234.4),
            ess_tail: None,
            r_hat: Some(1.0012),
        }
    }

    #[test]
    fn digits_follow_the_monte_carlo_error_and_points_are_aligned() {
        let rows = [
            row("mu", 1.234_567, Some(0.0123), 0.51),
            row("theta[1]", -123.456, Some(1.7), 30.0),
            row("tiny", 1.5e-9, Some(2e-11), 1e-9),
            row("one", 1.0, Some(0.0), 0.0),
        ];
        let text = Table::new(&rows).to_string();
        #[rustfmt::skip]
        let expected = [
            "                 mean     mcse         sd  mcse_sd           5%          50%         95%  ess_bulk  ess_tail  r_hat",
            "mu           1.235     0.012     0.510     0.012       0.725        1.235       1.745         1234         -  1.001",
            "theta[1]  -123.5       1.7      30.0       1.7      -153.5       -123.5       -93.5           1234         -  1.001",
            "tiny         1.500e-9  2.0e-11   1.000e-9  2.0e-11     5.00e-10     1.500e-9    2.500e-9      1234         -  1.001",
            "one          1         0         0         0           1            1           1             1234         -  1.001",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected, "\n{text}");
    }

    #[test]
    fn numbers_of_every_size() {
        assert_eq!(Style::Significant(4).number(0.1), "0.1");
        assert_eq!(Style::Significant(4).number(123_456.0), "123456");
        assert_eq!(Style::Significant(4).number(1e-12), "1.000e-12");
        assert_eq!(Style::Fixed(2).number(f64::NAN), "NaN");
        assert_eq!(Style::Fixed(2).number(f64::NEG_INFINITY), "-inf");
        assert_eq!(Style::of(&row("big", 3e9, Some(2e5), 1e7)).number(3e9), "3.00000e9");
    }
}
