//! Simulation-based calibration: the rank of the truth among the draws is uniform, for every function of parameters and data.
//!
//! ```text
//! r = #{l: f(θ_l, x) < f(θ*, x)}  uniform on 0, …, L        ties are broken at random
//! ```

use std::fmt::{self, Debug, Display, Formatter};

use super::ecdf_band::{EcdfBand, EcdfTest};
use super::problem::{CalibrationProblem, LOG_LIKELIHOOD, known_log_likelihoods};
use super::ranks::{Place, Use, place};
use super::simulations::Simulations;
use super::uniformity::{Deviation, chi_squared, counts, divisor, holm};
use super::warning::CalibrationWarning;
use crate::error::{Error, Result, check};
use crate::parallel::map_indexed;
use crate::rng::Stream;

/// Rows printed unless the alternate form `{:#}` asks for all.
const ROWS_SHOWN: usize = 30;
/// A row's deviation is printed below this adjusted p-value.
const CONSPICUOUS: f64 = 0.01;

type Function<'f, D> = Box<dyn Fn(&[f64], &D) -> f64 + Sync + 'f>;

/// Simulation-based calibration: the rank of the truth among the draws is uniform, for every function of parameters and data. See
/// [`CalibrationRun`](super::CalibrationRun) for an example.
///
/// Functions that are tested:
///
/// - every coordinate. A U of ranks says that the draws are too narrow, a hump too wide, a slope that they are shifted;
/// - the log-likelihood. The coordinates alone pass a sampler that returns the prior, whatever the data; this one does not;
/// - products of pairs of coordinates, (θᵢ - mᵢ)(θⱼ - mⱼ), for wrong correlations, which neither of the others needs to see. mᵢ
///   is the median over the draws *and* the truth: as it does not know which of them is the truth, ranks stay uniform, and the
///   product does not depend on the origin;
/// - functions of one's own.
///
/// Each is tested by χ² over cells and by the exact test of a simultaneous band for the distribution function; twice the smaller
/// p-value counts, adjusted after Holm for the number of functions.
///
/// *Not* for judging whether a model fits data: truths come from the model itself.
///
/// Talts, Betancourt, Simpson, Vehtari & Gelman (2018), <https://arxiv.org/abs/1804.06788>; test functions that depend on the
/// data: Modrák et al. (2023), *Simulation-based calibration checking for Bayesian computation: the choice of test quantities
/// shapes sensitivity*, <https://arxiv.org/abs/2211.02383>.
///
/// Defaults: up to 20 cells and 45 pairs of coordinates, no functions of one's own, a band of 95 %.
pub struct Sbc<'f, D> {
    n_cells: Option<usize>,
    n_pairs: usize,
    level: f64,
    functions: Vec<(String, Function<'f, D>)>,
}

impl<D: Sync> Default for Sbc<'_, D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D> Debug for Sbc<'_, D> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.functions.iter().map(|(name, _)| name).collect();
        let mut debug = f.debug_struct("Sbc");
        debug.field("n_cells", &self.n_cells).field("n_pairs", &self.n_pairs).field("level", &self.level);
        debug.field("functions", &names).finish()
    }
}

impl<'f, D: Sync> Sbc<'f, D> {
    /// Coordinates, log-likelihood and up to 45 pairs.
    #[must_use]
    pub fn new() -> Self {
        Self { n_cells: None, n_pairs: 45, level: 0.95, functions: Vec::new() }
    }

    /// Number of cells for χ², a divisor of draws + 1; unless said the largest one up to 20 that leaves five simulations per
    /// cell.
    #[must_use]
    pub fn cells(mut self, n: usize) -> Self {
        self.n_cells = Some(n);
        self
    }

    /// Most pairs of coordinates whose products are tested; 45, which is all of 10 coordinates. Neighbours come first.
    #[must_use]
    pub fn pairs(mut self, most: usize) -> Self {
        self.n_pairs = most;
        self
    }

    /// Probability of the simultaneous band, for pictures; 0.95.
    #[must_use]
    pub fn band(mut self, level: f64) -> Self {
        self.level = level;
        self
    }

    /// Tests one more function of parameters and data. It may be infinite, but not NaN.
    #[must_use]
    pub fn function(mut self, name: &str, f: impl Fn(&[f64], &D) -> f64 + Sync + 'f) -> Self {
        self.functions.push((name.to_owned(), Box::new(f)));
        self
    }

    /// Ranks of all test functions, and what they say.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]; [`Error::Simulation`] around [`Error::TestFunction`] for a function that is NaN, or around what
    /// the problem reports.
    pub fn test<P: CalibrationProblem<Data = D>>(&self, problem: &P, simulations: &Simulations<D>) -> Result<SbcReport> {
        check::open_unit("level of the band", self.level)?;
        let n_ranks = simulations.n_draws() + 1;
        let cells = Cells::new(self.n_cells, n_ranks, simulations.n_simulations())?;
        let quantities = self.quantities(problem, simulations)?;
        let places = simulations.map(|i| {
            let mut simulation = OneSimulation::new(simulations, problem, i);
            quantities.iter().map(|quantity| simulation.place(quantity)).collect::<Result<Vec<Place>>>()
        })?;

        let ecdf_test = EcdfTest::new(simulations.n_simulations(), cells.ecdf);
        let mut rows = map_indexed(quantities.len(), simulations.threads(), |k| {
            let (ranks, uniforms): (Vec<usize>, Vec<f64>) = places.iter().map(|row| (row[k].rank, row[k].uniform)).unzip();
            let counts_of_cells = counts(&uniforms, cells.chi_squared);
            let counts_of_ecdf = counts(&uniforms, cells.ecdf);
            let (p_chi_squared, p_ecdf) = (chi_squared(&counts_of_cells), ecdf_test.p_value(&counts_of_ecdf));
            SbcRow {
                name: quantities[k].name(simulations.parameter_names()),
                p_chi_squared,
                p_ecdf,
                p_value: (2.0 * p_chi_squared.min(p_ecdf)).min(1.0),
                p_adjusted: 1.0,
                deviation: Deviation::of(&uniforms),
                ecdf: shares(&counts_of_ecdf),
                counts: counts_of_cells,
                ranks,
                n_draws: simulations.n_draws(),
            }
        });
        let p_values: Vec<f64> = rows.iter().map(|row| row.p_value).collect();
        rows.iter_mut().zip(holm(&p_values)).for_each(|(row, adjusted)| row.p_adjusted = adjusted);

        let mut warnings = simulations.warnings();
        if !quantities.iter().any(|quantity| matches!(quantity, Quantity::LogLikelihood)) {
            warnings.push(CalibrationWarning::NoLogLikelihood);
        }
        let dim = simulations.parameter_names().len();
        let (tested, total) = (pairs(dim).take(self.n_pairs).count(), dim * (dim - 1) / 2);
        if tested < total {
            warnings.push(CalibrationWarning::PairsLeftOut { tested, total });
        }
        if cells.are_spread {
            warnings.push(CalibrationWarning::SpreadRanks { n_draws: simulations.n_draws() });
        }
        Ok(SbcReport {
            n_simulations: simulations.n_simulations(),
            n_draws: simulations.n_draws(),
            rows,
            band: ecdf_test.band(self.level),
            warnings,
        })
    }

    fn quantities<P: CalibrationProblem<Data = D>>(
        &self,
        problem: &P,
        simulations: &Simulations<D>,
    ) -> Result<Vec<Quantity<'_, 'f, D>>> {
        let dim = simulations.parameter_names().len();
        let mut all: Vec<Quantity<'_, 'f, D>> = (0..dim).map(Quantity::Coordinate).collect();
        if problem.log_likelihood(simulations.truth(0), simulations.datum(0))?.is_some() {
            all.push(Quantity::LogLikelihood);
        }
        all.extend(pairs(dim).take(self.n_pairs).map(|(i, j)| Quantity::Product(i, j)));
        all.extend(self.functions.iter().map(|(name, f)| Quantity::Own(name, f)));
        Ok(all)
    }
}

/// Pairs of coordinates, neighbours first.
fn pairs(dim: usize) -> impl Iterator<Item = (usize, usize)> {
    (1..dim).flat_map(move |lag| (0..dim - lag).map(move |i| (i, i + lag)))
}

/// Numbers of cells of the two tests.
#[derive(Debug)]
struct Cells {
    chi_squared: usize,
    ecdf: usize,
    /// True if ranks do not fit into them evenly.
    are_spread: bool,
}

impl Cells {
    fn new(asked_for: Option<usize>, n_ranks: usize, n_simulations: usize) -> Result<Self> {
        let most = (n_simulations / 5).clamp(2, 20);
        let chi_squared = match asked_for {
            Some(n) => {
                let fits = n >= 2 && n_ranks.is_multiple_of(n);
                check::in_range("cells", n as f64, fits, "a divisor of draws + 1, at least 2")?;
                Some(n)
            }
            None => divisor(n_ranks, n_ranks.min(most).min(5), most),
        };
        let ecdf = divisor(n_ranks, n_ranks.min(20), 100);
        Ok(Self {
            chi_squared: chi_squared.unwrap_or(most),
            ecdf: ecdf.unwrap_or(100),
            are_spread: chi_squared.is_none() || ecdf.is_none(),
        })
    }
}

/// Cumulative shares, without the last, which is 1.
fn shares(counts: &[usize]) -> Vec<f64> {
    let total = counts.iter().sum::<usize>() as f64;
    let below = counts.iter().scan(0, |below, count| {
        *below += count;
        Some(*below as f64 / total)
    });
    below.take(counts.len() - 1).collect()
}

/// A test function.
enum Quantity<'s, 'f, D> {
    Coordinate(usize),
    LogLikelihood,
    Product(usize, usize),
    Own(&'s str, &'s Function<'f, D>),
}

impl<D> Quantity<'_, '_, D> {
    fn name(&self, parameters: &[String]) -> String {
        match self {
            Self::Coordinate(k) => parameters[*k].clone(),
            Self::LogLikelihood => LOG_LIKELIHOOD.to_owned(),
            Self::Product(i, j) => format!("{} * {}", parameters[*i], parameters[*j]),
            Self::Own(name, _) => (*name).to_owned(),
        }
    }
}

/// A simulation whose truth is being placed.
struct OneSimulation<'a, P: CalibrationProblem> {
    simulations: &'a Simulations<P::Data>,
    problem: &'a P,
    index: usize,
    /// Of each coordinate, over draws and truth.
    medians: Vec<f64>,
    values: Vec<f64>,
    rng: Stream,
}

impl<'a, P: CalibrationProblem> OneSimulation<'a, P> {
    fn new(simulations: &'a Simulations<P::Data>, problem: &'a P, index: usize) -> Self {
        let truth = simulations.truth(index);
        let median = |k: usize| {
            let mut values: Vec<f64> = simulations.rows(index).map(|row| row[k]).chain([truth[k]]).collect();
            let middle = values.len() / 2;
            *values.select_nth_unstable_by(middle, f64::total_cmp).1
        };
        let medians = (0..truth.len()).map(median).collect();
        Self { simulations, problem, index, medians, values: Vec::new(), rng: simulations.stream(Use::Ranks, index) }
    }

    fn place(&mut self, quantity: &Quantity<'_, '_, P::Data>) -> Result<Place> {
        let (simulations, medians, values) = (self.simulations, &self.medians, &mut self.values);
        let data = simulations.datum(self.index);
        // The truth, then the draws.
        let points = std::iter::once(simulations.truth(self.index)).chain(simulations.rows(self.index));
        values.clear();
        match quantity {
            Quantity::Coordinate(k) => values.extend(points.map(|point| point[*k])),
            Quantity::LogLikelihood => {
                values.extend(known_log_likelihoods(self.problem, &points.collect::<Vec<_>>(), data)?);
            }
            Quantity::Product(i, j) => {
                values.extend(points.map(|point| (point[*i] - medians[*i]) * (point[*j] - medians[*j])));
            }
            Quantity::Own(_, f) => values.extend(points.map(|point| f(point, data))),
        }
        if values.iter().any(|value| value.is_nan()) {
            return Err(Error::TestFunction { name: quantity.name(simulations.parameter_names()) });
        }
        Ok(place(values[0], values[1..].iter().copied(), &mut self.rng))
    }
}

/// What the ranks of one test function say.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SbcRow {
    /// Name of the function: that of a parameter, `log likelihood`, `a * b` of a product, or one's own.
    pub name: String,
    /// p-value of χ² over cells.
    pub p_chi_squared: f64,
    /// p-value of the simultaneous band.
    pub p_ecdf: f64,
    /// Twice the smaller one, at most 1.
    pub p_value: f64,
    /// The same after Holm's adjustment for the number of functions.
    pub p_adjusted: f64,
    /// How the ranks deviate, if they do.
    pub deviation: Deviation,
    /// The rank of every simulation, 0 to L.
    pub ranks: Vec<usize>,
    /// Ranks per cell of χ².
    pub counts: Vec<usize>,
    /// Share of the ranks below each point of the [band](SbcReport::band).
    pub ecdf: Vec<f64>,
    n_draws: usize,
}

impl SbcRow {
    /// Share of the truths inside of the draws' central interval of this probability, which should be that probability; (1 - p)/2
    /// · (L + 1) ranks are cut off at either end, rounded to a whole number.
    #[must_use]
    pub fn coverage(&self, probability: f64) -> f64 {
        let cut = (0.5 * (1.0 - probability) * (self.n_draws + 1) as f64).round() as usize;
        let inside = self.ranks.iter().filter(|&&rank| rank >= cut && rank + cut <= self.n_draws).count();
        inside as f64 / self.ranks.len() as f64
    }
}

/// The outcome of simulation-based calibration. `Display` prints a table and the warnings in words, `{:#}` all rows of a long
/// one.
#[derive(Debug, Clone, PartialEq)]
pub struct SbcReport {
    n_simulations: usize,
    n_draws: usize,
    rows: Vec<SbcRow>,
    band: EcdfBand,
    warnings: Vec<CalibrationWarning>,
}

impl SbcReport {
    /// p-value of all functions together: the smallest adjusted one.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        self.rows.iter().map(|row| row.p_adjusted).fold(1.0, f64::min)
    }

    /// One row per test function: coordinates, log-likelihood, products, one's own.
    #[must_use]
    pub fn rows(&self) -> &[SbcRow] {
        &self.rows
    }

    /// The row of a test function.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&SbcRow> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The functions whose adjusted p-value is below the level.
    pub fn rejected(&self, level: f64) -> impl Iterator<Item = &SbcRow> {
        self.rows.iter().filter(move |row| row.p_adjusted < level)
    }

    /// The simultaneous band for pictures of [`SbcRow::ecdf`].
    #[must_use]
    pub fn band(&self) -> &EcdfBand {
        &self.band
    }

    /// Number of simulations.
    #[must_use]
    pub fn n_simulations(&self) -> usize {
        self.n_simulations
    }

    /// Number of draws per simulation.
    #[must_use]
    pub fn n_draws(&self) -> usize {
        self.n_draws
    }

    /// What to bear in mind.
    #[must_use]
    pub fn warnings(&self) -> &[CalibrationWarning] {
        &self.warnings
    }
}

/// A p-value with two digits.
pub(super) fn p_text(p: f64) -> String {
    if p >= 0.001 || p == 0.0 { format!("{p:.3}") } else { format!("{p:.1e}") }
}

impl Display for SbcReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "Simulation-based calibration: {} simulations, {} draws each", self.n_simulations, self.n_draws)?;
        let shown = if f.alternate() { self.rows.len() } else { self.rows.len().min(ROWS_SHOWN) };
        let width = self.rows[..shown].iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        writeln!(f, "{:width$}  {:>8}  {:>8}  {:>10}", "", "p (χ²)", "p (ECDF)", "p adjusted")?;
        for row in &self.rows[..shown] {
            let [chi_squared, ecdf, adjusted] = [row.p_chi_squared, row.p_ecdf, row.p_adjusted].map(p_text);
            write!(f, "{:width$}  {chi_squared:>8}  {ecdf:>8}  {adjusted:>10}", row.name)?;
            if row.p_adjusted < CONSPICUOUS {
                write!(f, "  {}", row.deviation)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_start_with_neighbours_and_name_each_once() {
        assert_eq!(pairs(4).collect::<Vec<_>>(), [(0, 1), (1, 2), (2, 3), (0, 2), (1, 3), (0, 3)]);
        assert_eq!(pairs(1).count() + pairs(0).count(), 0);
        assert_eq!(pairs(10).count(), 45);
    }

    #[test]
    fn cells_divide_the_ranks() {
        let cells = |n_ranks, n| {
            let Cells { chi_squared, ecdf, are_spread } = Cells::new(None, n_ranks, n).unwrap();
            (chi_squared, ecdf, are_spread)
        };
        assert_eq!(cells(200, 1000), (20, 100, false));
        assert_eq!(cells(100, 200), (20, 100, false));
        assert_eq!(cells(100, 60), (10, 100, false));
        assert_eq!(cells(60, 1000), (20, 60, false));
        assert_eq!(cells(101, 1000), (20, 100, true));
        assert_eq!(cells(2, 1000), (2, 2, false));
        assert_eq!(cells(4, 20), (4, 4, false));
        for wrong in [0, 1, 3] {
            assert!(matches!(Cells::new(Some(wrong), 100, 1000), Err(Error::InvalidSetting { setting: "cells", .. })));
        }
        assert_eq!(Cells::new(Some(50), 100, 1000).unwrap().chi_squared, 50);
    }
}
