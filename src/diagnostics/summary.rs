//! One table for a run: every quantity with its estimates, their precision, and whether any of it can be trusted.

use std::fmt::{self, Display, Formatter};

use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::chains::{Chains, mean, variance};
use super::quantile::of_sorted;
use super::ranks::NormalScores;
use super::table::Table;
use super::warning::{Quantity, Warning};
use super::{energy, ess, mcse, rhat};
use crate::draws::Draws;

/// Largest R̂ that passes.
const RHAT_LIMIT: f64 = 1.01;
/// Least effective sample size per chain.
const ESS_PER_CHAIN: usize = 100;
/// Least E-BFMI.
const BFMI_LIMIT: f64 = 0.3;
/// Number of chains from which on R̂ is worth its name.
const ENOUGH_CHAINS: usize = 4;
/// Rows printed unless the alternate form `{:#}` asks for all.
const ROWS_SHOWN: usize = 100;

/// Estimates and diagnostics of one element of the posterior.
///
/// Estimates are NaN if a draw is; a diagnostic is `None` where its function in [`diagnostics`](crate::diagnostics) says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SummaryRow {
    /// Name of the element, as `theta[3]`.
    pub name: String,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
    /// Monte Carlo standard error of the mean.
    pub mcse_mean: Option<f64>,
    /// Monte Carlo standard error of the standard deviation.
    pub mcse_sd: Option<f64>,
    /// 5 % quantile.
    pub q05: f64,
    /// Median.
    pub q50: f64,
    /// 95 % quantile.
    pub q95: f64,
    /// Effective sample size in the bulk.
    pub ess_bulk: Option<f64>,
    /// Effective sample size in the tails.
    pub ess_tail: Option<f64>,
    /// Rank-normalised split R̂.
    pub r_hat: Option<f64>,
}

/// Summary of a run. `Display` prints a line about the run, an aligned table and the warnings in words; the alternate form `{:#}`
/// prints all rows of a long table.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    sampler: String,
    n_chains: usize,
    n_draws: usize,
    n_warmup: usize,
    seed: u64,
    rows: Vec<SummaryRow>,
    warnings: Vec<Warning>,
}

impl Draws {
    /// Estimates, their precision and the diagnostics of every element of the posterior, with warnings in words.
    ///
    /// ```
    /// # use posterity::{draws::{Attributes, Draws, Group, SampleStats}, model::Variable, rng::Stream};
    /// let mut stream = Stream::new(1);
    /// let values = ndarray::Array3::from_shape_simple_fn((4, 500, 1), || stream.normal());
    /// let posterior = Group::new(vec![Variable::new("mu", &[])], values)?;
    /// let draws = Draws::new(posterior, SampleStats::new(4, 500), Attributes::new("independent", 1))?;
    /// let summary = draws.summary();
    /// assert!(summary.is_trustworthy());
    /// println!("{summary}");
    /// # Ok::<(), posterity::Error>(())
    /// ```
    #[must_use]
    pub fn summary(&self) -> Summary {
        let half = self.n_draws() / 2;
        let scores = NormalScores::new(2 * half * self.n_chains());
        let values = self.posterior().values();
        let names = self.posterior().column_names();
        let rows: Vec<SummaryRow> =
            names.into_iter().enumerate().map(|(k, name)| row(name, values.index_axis(Axis(2), k), &scores)).collect();
        let warnings = warnings(self, &rows);
        Summary {
            sampler: self.attributes().sampler.clone(),
            n_chains: self.n_chains(),
            n_draws: self.n_draws(),
            n_warmup: self.attributes().n_warmup,
            seed: self.attributes().seed,
            rows,
            warnings,
        }
    }
}

impl Summary {
    /// All elements in the order of the posterior's columns.
    #[must_use]
    pub fn rows(&self) -> &[SummaryRow] {
        &self.rows
    }

    /// One element by name, as `theta[3]`.
    #[must_use]
    pub fn row(&self, name: &str) -> Option<&SummaryRow> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Reasons not to trust the run; empty for a clean one.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// True if no warning is about the validity of the estimates: only slowness is forgiven.
    #[must_use]
    pub fn is_trustworthy(&self) -> bool {
        !self.warnings.iter().any(Warning::is_about_validity)
    }

    /// Largest R̂ of all elements that have one.
    #[must_use]
    pub fn max_r_hat(&self) -> Option<f64> {
        self.rows.iter().filter_map(|row| row.r_hat).max_by(f64::total_cmp)
    }

    /// Smallest bulk effective sample size of all elements that have one.
    #[must_use]
    pub fn min_ess_bulk(&self) -> Option<f64> {
        self.rows.iter().filter_map(|row| row.ess_bulk).min_by(f64::total_cmp)
    }

    /// Smallest tail effective sample size of all elements that have one.
    #[must_use]
    pub fn min_ess_tail(&self) -> Option<f64> {
        self.rows.iter().filter_map(|row| row.ess_tail).min_by(f64::total_cmp)
    }
}

/// All numbers of one element from one sort of its draws and one of its split chains.
fn row(name: String, draws: ArrayView2<'_, f64>, scores: &NormalScores) -> SummaryRow {
    let mut sorted: Vec<f64> = draws.iter().copied().collect();
    let (mean, sd) = (mean(&sorted), variance(&sorted).sqrt());
    sorted.sort_unstable_by(f64::total_cmp);
    let broken = sorted.is_empty() || sorted.iter().any(|x| x.is_nan());
    let quantile = |probability| if broken { f64::NAN } else { of_sorted(&sorted, probability) };
    let (q05, q50, q95) = (quantile(0.05), quantile(0.5), quantile(0.95));
    let mut row =
        SummaryRow { name, mean, sd, mcse_mean: None, mcse_sd: None, q05, q50, q95, ess_bulk: None, ess_tail: None, r_hat: None };
    if let Some(chains) = Chains::new(draws) {
        let split = chains.split();
        let normalised = scores.normalise(&split);
        row.mcse_mean = mcse::of_mean(&chains);
        row.mcse_sd = mcse::of_sd(&chains);
        row.ess_bulk = ess::ess(&normalised);
        row.ess_tail = ess::tail(&chains, &sorted);
        row.r_hat = rhat::rank_rhat(&split, &normalised, scores);
    }
    row
}

fn warnings(draws: &Draws, rows: &[SummaryRow]) -> Vec<Warning> {
    let (n_chains, n_draws) = (draws.n_chains(), draws.n_draws());
    let total = n_chains * n_draws;
    let values = draws.posterior().values();
    let mut warnings = Vec::new();

    if draws.attributes().stopped_early {
        warnings.push(Warning::StoppedEarly { n_draws });
    }
    if n_draws < Chains::LEAST_DRAWS {
        warnings.push(Warning::TooFewDraws { n_draws });
    }
    let columns = || rows.iter().zip(values.axis_iter(Axis(2)));
    let broken = columns().filter(|(_, column)| column.iter().any(|x| !x.is_finite()));
    let names: Vec<String> = broken.map(|(row, _)| row.name.clone()).collect();
    if !names.is_empty() {
        warnings.push(Warning::NonFinite { names });
    }
    let chains = stuck_chains(draws);
    if !chains.is_empty() {
        warnings.push(Warning::Stuck { chains });
    }

    let worst = select(rows, |row| row.r_hat, |r_hat| r_hat > RHAT_LIMIT, |a, b| b.total_cmp(a));
    if !worst.is_empty() {
        warnings.push(Warning::Rhat { worst });
    }
    let needed = ESS_PER_CHAIN * n_chains;
    let worst = select(rows, |row| row.ess_bulk.filter(|_| varies(row)), |ess| ess < needed as f64, f64::total_cmp);
    if !worst.is_empty() {
        warnings.push(Warning::EssBulk { worst, needed });
    }
    let worst = select(rows, |row| row.ess_tail.filter(|_| varies(row)), |ess| ess < needed as f64, f64::total_cmp);
    if !worst.is_empty() {
        warnings.push(Warning::EssTail { worst, needed });
    }

    let count_of = |flag| draws.sample_stats().count_flags(flag).map_or(0, |counts| counts.iter().sum());
    let count = count_of("diverging");
    if count > 0 {
        warnings.push(Warning::Divergences { count, total });
    }
    let count = count_of("reached_max_treedepth");
    if count > 0 {
        warnings.push(Warning::TreeDepth { count, total });
    }
    if let Some(energies) = draws.sample_stats().float("energy") {
        let bfmi = energy::bfmi(energies).into_iter().enumerate();
        let chains: Vec<(usize, f64)> =
            bfmi.filter_map(|(chain, value)| Some((chain, value?))).filter(|&(_, value)| value < BFMI_LIMIT).collect();
        if !chains.is_empty() {
            warnings.push(Warning::Energy { chains });
        }
    }
    if n_chains < ENOUGH_CHAINS {
        warnings.push(Warning::FewChains { n_chains });
    }
    warnings
}

/// False for an element that has the same value in every draw, as the diagonal of a correlation matrix: it needs no draws.
fn varies(row: &SummaryRow) -> bool {
    row.sd != 0.0
}

/// The elements whose diagnostic fails, the worst one first.
fn select(
    rows: &[SummaryRow],
    diagnostic: impl Fn(&SummaryRow) -> Option<f64>,
    fails: impl Fn(f64) -> bool,
    order: impl Fn(&f64, &f64) -> std::cmp::Ordering,
) -> Vec<Quantity> {
    let values = rows.iter().filter_map(|row| Some((row, diagnostic(row)?)));
    let mut worst: Vec<Quantity> =
        values.filter(|&(_, value)| fails(value)).map(|(row, value)| Quantity { name: row.name.clone(), value }).collect();
    worst.sort_by(|a, b| order(&a.value, &b.value));
    worst
}

/// Chains whose draws are all the same.
fn stuck_chains(draws: &Draws) -> Vec<usize> {
    if draws.n_draws() < 2 || draws.posterior().variables().is_empty() {
        return Vec::new();
    }
    let chains = draws.posterior().values().outer_iter().enumerate();
    chains.filter(|(_, chain)| chain.outer_iter().all(|draw| draw == chain.row(0))).map(|(chain, _)| chain).collect()
}

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} chains x {} draws", self.sampler, self.n_chains, self.n_draws)?;
        if self.n_warmup > 0 {
            write!(f, " after {} of warm-up", self.n_warmup)?;
        }
        writeln!(f, ", seed {}", self.seed)?;

        let shown = if f.alternate() { self.rows.len() } else { self.rows.len().min(ROWS_SHOWN) };
        Table::new(&self.rows[..shown]).fmt(f)?;
        if shown < self.rows.len() {
            writeln!(f, "... and {} more rows ({{:#}} prints all)", self.rows.len() - shown)?;
        }

        if self.warnings.is_empty() {
            write!(f, "No warnings")?;
            if let (Some(r_hat), Some(bulk), Some(tail)) = (self.max_r_hat(), self.min_ess_bulk(), self.min_ess_tail()) {
                write!(f, ": R-hat at most {r_hat:.3}, ESS at least {bulk:.0} in the bulk and {tail:.0} in the tails")?;
            }
            return writeln!(f, ".");
        }
        let title = if self.is_trustworthy() { "Hint:" } else { "Do not trust these draws yet:" };
        writeln!(f, "{title}")?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "  * {warning}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::{Attributes, Group, SampleStats, StatValues};
    use crate::model::Variable;
    use crate::rng::Stream;
    use ndarray::{Array2, Array3};

    /// Independent normal draws with standard deviations 1, 10⁻³, 10⁶, and a constant; changed by `edit`.
    fn draws(n_chains: usize, n_draws: usize, edit: impl FnOnce(&mut Array3<f64>, &mut SampleStats, &mut Attributes)) -> Draws {
        let mut stream = Stream::new(4);
        let scale = [1.0, 1e-3, 1e6, 0.0];
        let mut values = Array3::from_shape_fn((n_chains, n_draws, 4), |(_, _, k)| 1.0 + scale[k] * stream.normal());
        let mut stats = SampleStats::new(n_chains, n_draws);
        let mut attributes = Attributes::new("nuts", 42);
        attributes.n_warmup = 500;
        edit(&mut values, &mut stats, &mut attributes);
        let variables = vec![Variable::new("mu", &[]), Variable::new("a_long_name_of_a_vector", &[2]), Variable::new("one", &[])];
        Draws::new(Group::new(variables, values).unwrap(), stats, attributes).unwrap()
    }

    #[test]
    fn a_clean_run_says_so_in_one_line() {
        let summary = draws(4, 500, |_, _, _| {}).summary();
        assert!(summary.is_trustworthy() && summary.warnings().is_empty());
        let text = summary.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "nuts: 4 chains x 500 draws after 500 of warm-up, seed 42");
        assert!(lines[6].starts_with("No warnings: R-hat at most 1.00"), "{text}");
        assert_eq!(lines.len(), 7);
        assert!(lines.iter().all(|line| !line.ends_with(' ')), "{text}");
    }

    #[test]
    fn rows_are_the_functions_of_the_module() {
        let draws = draws(4, 101, |_, _, _| {});
        for row in draws.summary().rows() {
            let x = draws.element(&row.name).unwrap();
            assert_eq!(row.mcse_mean, crate::diagnostics::mcse_mean(x));
            assert_eq!(row.mcse_sd, crate::diagnostics::mcse_sd(x));
            assert_eq!(row.ess_bulk, crate::diagnostics::ess_bulk(x));
            assert_eq!(row.ess_tail, crate::diagnostics::ess_tail(x));
            assert_eq!(row.r_hat, crate::diagnostics::rhat(x));
            assert_eq!(Some(row.q05), crate::diagnostics::quantile(x, 0.05));
        }
    }

    #[test]
    fn every_fault_is_named() {
        type Edit = fn(&mut Array3<f64>, &mut SampleStats, &mut Attributes);
        let flags = |stats: &mut SampleStats, name| {
            let set = Array2::from_shape_fn(stats_dim(stats), |(chain, draw)| chain == 1 && draw < 3);
            stats.push(name, StatValues::Flag(set)).unwrap();
        };
        fn stats_dim(stats: &SampleStats) -> (usize, usize) {
            (stats.n_chains(), stats.n_draws())
        }
        let (name, text) = ("a_long_name_of_a_vector[0]", |d: Draws| {
            let summary = d.summary();
            assert!(!summary.is_trustworthy());
            summary.to_string()
        });
        let shift: Edit = |values, _, _| values.slice_mut(ndarray::s![3, .., 1]).mapv_inplace(|x| x + 2e-3);
        let found = draws(4, 500, shift).summary();
        assert!(matches!(&found.warnings()[0], Warning::Rhat { worst } if worst.len() == 1 && worst[0].name == name));
        assert!(text(draws(4, 500, shift)).contains(&format!("R-hat is above 1.01 for {name} (1.")));

        let found = text(draws(4, 60, |_, _, _| {}));
        assert!(found.contains("bulk ESS is below 400 (100 per chain) for "), "{found}");
        assert!(found.contains("tail ESS is below 400"), "{found}");
        assert!(!found.contains("for one") && !found.contains(", one ("), "a constant needs no draws: {found}");

        let found = text(draws(4, 500, |values, _, _| values[[0, 0, 0]] = f64::INFINITY));
        assert!(found.contains("NaN or infinite draws in mu:"), "{found}");

        let found = text(draws(4, 500, |values, _, _| values.index_axis_mut(Axis(0), 2).fill(1.0)));
        assert!(found.contains("chain 2 did not move"), "{found}");

        let found = text(draws(2, 500, |_, _, attributes| attributes.stopped_early = true));
        assert!(found.contains("stopped early, after 500 draws") && found.contains("Only 2 chains"), "{found}");

        let found = draws(4, 500, |_, stats, _| flags(stats, "diverging")).summary();
        assert_eq!(found.warnings(), [Warning::Divergences { count: 3, total: 2000 }]);
        let found = draws(4, 500, |_, stats, _| flags(stats, "reached_max_treedepth")).summary();
        assert_eq!(found.warnings(), [Warning::TreeDepth { count: 3, total: 2000 }]);
        assert!(found.is_trustworthy() && found.to_string().contains("Hint:"));

        let slow = Array2::from_shape_fn((4, 500), |(chain, i)| if chain == 3 { i as f64 } else { (i % 2) as f64 });
        let found = draws(4, 500, |_, stats, _| stats.push("energy", StatValues::Float(slow)).unwrap()).summary();
        assert!(matches!(found.warnings(), [Warning::Energy { chains }] if chains.len() == 1 && chains[0].0 == 3));

        for n_draws in [0, 1, 3] {
            assert!(text(draws(4, n_draws, |_, _, _| {})).contains("too few for any diagnostic"));
        }
    }

    #[test]
    fn long_tables_are_cut_and_the_alternate_form_is_not() {
        let group = Group::new(vec![Variable::new("x", &[150])], Array3::zeros((4, 10, 150))).unwrap();
        let summary = Draws::new(group, SampleStats::new(4, 10), Attributes::new("nuts", 1)).unwrap().summary();
        assert!(summary.to_string().contains("... and 50 more rows"));
        assert!(format!("{summary:#}").contains("x[149]"));
    }
}
