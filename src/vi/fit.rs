//! What every fit leaves behind: the approximation, draws from it, and how good they are.

use std::collections::BTreeMap;
use std::time::Instant;

use ndarray::{Array2, Array3, ArrayView2, Axis};

use super::approximation::Approximation;
use super::bridge::Bridge;
use super::families::check_memory;
use super::summary::{FitSummary, FitSummaryRow};
use super::warning::Warning;
use crate::diagnostics::{Psis, Reliability};
use crate::draws::{Attributes, Draws, Group, SampleStats, StatValues};
use crate::error::{DensityError, Error, StartFailure};
use crate::mcmc::Start;
use crate::model::{Target, Variable};
use crate::parallel::{Threads, map_indexed};
use crate::rng::{Purpose, Stream};

/// Draws per block: each block has a random stream of its own.
const BLOCK: usize = 256;

/// Start points that are made of fewer draws.
const MOST_STARTS: usize = 1 << 16;

/// What a run knows about itself when it hands over its approximation.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) method: String,
    /// Further settings by name, in words.
    pub(super) settings: Vec<(String, String)>,
    pub(super) seed: u64,
    pub(super) started: Instant,
    pub(super) n_gradient_evaluations: u64,
    /// Evaluations of the log density alone.
    pub(super) n_density_evaluations: u64,
    /// Draws dropped on the way.
    pub(super) n_failed: u64,
    pub(super) n_iterations: usize,
    /// Estimates of the bound on the way.
    pub(super) bounds: Vec<f64>,
    pub(super) warnings: Vec<Warning>,
}

impl Record {
    pub(super) fn new(method: String, seed: u64) -> Self {
        Self {
            method,
            settings: Vec::new(),
            seed,
            started: Instant::now(),
            n_gradient_evaluations: 0,
            n_density_evaluations: 0,
            n_failed: 0,
            n_iterations: 0,
            bounds: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn with_setting(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A fitted approximation q, with draws from it that are weighted by importance.
///
/// The weights p/q, Pareto-smoothed, correct what q misses, as far as q covers the posterior; [`Fit::pareto_k`] says how far that is: below 0.5 good, up to 0.7 usable, above that
/// neither q nor its weighted draws should be trusted. [`Fit::summary`] shows both side by side.
#[derive(Debug, Clone)]
pub struct Fit {
    approximation: Box<dyn Approximation>,
    positions: Array2<f64>,
    log_densities: Vec<f64>,
    log_approximations: Vec<f64>,
    psis: Psis,
    n_failed_draws: usize,
    constrained: Array3<f64>,
    variables: Vec<Variable>,
    coords: BTreeMap<String, Vec<String>>,
    record: Record,
    seconds: f64,
}

impl Fit {
    /// Weighs and judges an approximation from elsewhere, from this many draws.
    ///
    /// ```
    /// use ndarray::array;
    /// use posterity::model::{WithGradient, zoo::analytic::Gaussian};
    /// use posterity::vi::{Fit, normal};
    /// let target = WithGradient(Gaussian::new(array![1.0], &array![[2.0]])?);
    /// let fit = Fit::from_approximation(&target, normal(&[0.0], array![[3.0]].view())?, 10_000, 1)?;
    /// assert!((fit.summary().rows()[0].mean - 1.0).abs() < 0.1);
    /// # Ok::<(), posterity::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Dimension`] for an approximation of another dimension than the target, [`Error::InvalidSetting`] for no draws or too many for the memory,
    /// [`Error::NoUsableDraw`], [`Error::Density`] for a fatal error of the target.
    pub fn from_approximation<T: Target + ?Sized>(
        target: &T,
        approximation: Box<dyn Approximation>,
        n_draws: usize,
        seed: u64,
    ) -> Result<Self, Error> {
        Self::assess(target, approximation, Record::new("given approximation".to_owned(), seed), n_draws, Threads::shared())
    }

    /// Draws from an approximation, evaluates the target there and weighs the draws.
    pub(super) fn assess<T: Target + ?Sized>(
        target: &T,
        mut approximation: Box<dyn Approximation>,
        record: Record,
        n_draws: usize,
        threads: Threads,
    ) -> Result<Self, Error> {
        let dim = approximation.dim();
        if target.dim()? != dim {
            return Err(Error::Dimension { what: "dimension of the approximation", expected: target.dim()?, found: dim });
        }
        crate::error::check::at_least("n_draws", n_draws, 1, "at least 1")?;
        let variables = target.variables()?;
        let n_columns: usize = variables.iter().map(Variable::size).sum();
        // Beside coordinates and values, the densities, ratios and weights of every draw, and what sorts them.
        check_memory("n_draws", n_draws, n_draws.checked_mul(dim + n_columns + 8))?;
        let mut positions = Array2::zeros((n_draws, dim));
        let mut log_approximations = vec![0.0; n_draws];
        let blocks = positions.as_slice_mut().unwrap_or_default().chunks_mut(BLOCK * dim);
        for (block, (positions, log_densities)) in blocks.zip(log_approximations.chunks_mut(BLOCK)).enumerate() {
            let mut rng = Stream::keyed(record.seed, Purpose::Approximation, 0, block as u64);
            approximation.sample(&mut rng, positions, log_densities);
        }
        let (log_densities, last) = evaluate(target, positions.view(), &log_approximations, threads)?;
        let n_failed_draws = log_densities.iter().filter(|x| x.is_nan()).count();
        let both = log_densities.iter().zip(&log_approximations);
        let log_ratios: Vec<f64> = both.map(|(p, q)| if p.is_nan() { f64::NEG_INFINITY } else { p - q }).collect();
        if log_ratios.iter().all(|&x| x == f64::NEG_INFINITY) {
            return Err(Error::NoUsableDraw { n_draws, cause: last.unwrap_or(StartFailure::ZeroDensity) });
        }
        let psis = Psis::new(&log_ratios)?;
        let mut values = Vec::new();
        for position in positions.rows() {
            target.constrain(&position.to_vec(), &mut values)?;
        }
        let found = values.len();
        let constrained = Array3::from_shape_vec((1, n_draws, n_columns), values).map_err(|_| Error::Dimension {
            what: "constrained values",
            expected: n_draws * n_columns,
            found,
        })?;
        let (coords, seconds) = (target.coords(), record.started.elapsed().as_secs_f64());
        Ok(Self {
            approximation,
            positions,
            log_densities,
            log_approximations,
            psis,
            n_failed_draws,
            constrained,
            variables,
            coords,
            record,
            seconds,
        })
    }

    /// The approximation q on the unconstrained space.
    #[must_use]
    pub fn approximation(&self) -> &dyn Approximation {
        self.approximation.as_ref()
    }

    /// Draws from q in unconstrained coordinates, of shape (draw, coordinate).
    #[must_use]
    pub fn positions(&self) -> ArrayView2<'_, f64> {
        self.positions.view()
    }

    /// Log density of the target at every draw, up to the target's own constant; NaN where it could not be evaluated.
    #[must_use]
    pub fn log_densities(&self) -> &[f64] {
        &self.log_densities
    }

    /// Log density of q at every draw.
    #[must_use]
    pub fn log_approximations(&self) -> &[f64] {
        &self.log_approximations
    }

    /// The Pareto-smoothed importance weights of the draws.
    #[must_use]
    pub fn psis(&self) -> &Psis {
        &self.psis
    }

    /// Pareto k̂ of the importance weights; `None` where they have no tail to speak of, as those of an exact approximation, or too few draws.
    #[must_use]
    pub fn pareto_k(&self) -> Option<f64> {
        self.psis.pareto_k()
    }

    /// The evidence lower bound, the mean of the log ratios of the draws at which the target could be evaluated: -∞ where its density is zero at any of them.
    #[must_use]
    pub fn elbo(&self) -> f64 {
        let ratios = self.evaluated_log_ratios();
        ratios.iter().sum::<f64>() / ratios.len() as f64
    }

    /// Standard error of [`Fit::elbo`]; ∞ where that is -∞ or from one draw.
    #[must_use]
    pub fn elbo_mcse(&self) -> f64 {
        let ratios = self.evaluated_log_ratios();
        let (n, elbo) = (ratios.len() as f64, self.elbo());
        if ratios.len() < 2 || elbo == f64::NEG_INFINITY {
            return f64::INFINITY;
        }
        (ratios.iter().map(|a| (a - elbo).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt()
    }

    /// Log ratio log p - log q of every draw; -∞, a weight of zero, where the target could not be evaluated. With the draws' positions they go to
    /// [`PointwiseLogLikelihood::weighted`](crate::diagnostics::PointwiseLogLikelihood::weighted), for cross-validation.
    #[must_use]
    pub fn log_ratios(&self) -> Vec<f64> {
        let both = self.log_densities.iter().zip(&self.log_approximations);
        both.map(|(p, q)| if p.is_nan() { f64::NEG_INFINITY } else { p - q }).collect()
    }

    fn evaluated_log_ratios(&self) -> Vec<f64> {
        let both = self.log_densities.iter().zip(&self.log_approximations);
        both.map(|(p, q)| p - q).filter(|a| !a.is_nan()).collect()
    }

    /// Estimate of the log evidence, the log mean of the smoothed importance ratios: of log ∫ exp(log density), so of the evidence if the model's densities are normalised. As good as k̂
    /// says.
    #[must_use]
    pub fn log_evidence(&self) -> f64 {
        self.psis.log_mean_ratio()
    }

    /// The draws from q as they are, as one chain of constrained values. Statistics of each draw: `lp`, the target's log density; `log_q`; and `log_weight`, normalised. Their averages
    /// are those of q, not of the posterior: see [`Fit::importance_draws`].
    ///
    /// # Errors
    /// [`Error::DuplicateVariable`] if the target names two variables alike.
    pub fn draws(&self) -> Result<Draws, Error> {
        self.select(&(0..self.positions.nrows()).collect::<Vec<_>>(), true)
    }

    /// Draws with replacement by their weights, as one chain of constrained values: they stand for the posterior, as well as k̂ says, and all weigh the same. `seed` chooses which.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for no draws; as [`Fit::draws`].
    pub fn importance_draws(&self, n_draws: usize, seed: u64) -> Result<Draws, Error> {
        crate::error::check::at_least("n_draws", n_draws, 1, "at least 1")?;
        check_memory("n_draws", n_draws, n_draws.checked_mul(self.constrained.len_of(Axis(2)) + 3))?;
        self.select(&self.psis.resample(n_draws, &mut Stream::keyed(seed, Purpose::Resampling, 0, 0)), false)
    }

    fn select(&self, indices: &[usize], is_raw: bool) -> Result<Draws, Error> {
        let row = |values: &[f64]| Array2::from_shape_fn((1, indices.len()), |(_, i)| values[indices[i]]);
        let mut stats = SampleStats::new(1, indices.len());
        let columns =
            [("lp", &self.log_densities[..]), ("log_q", &self.log_approximations), ("log_weight", self.psis.log_weights())];
        // Resampled draws weigh the same.
        for (name, values) in columns.into_iter().take(if is_raw { 3 } else { 2 }) {
            stats.push(name, StatValues::Float(row(values)))?;
        }
        let record = &self.record;
        let mut attributes =
            Attributes::new(&record.method, record.seed).with_setting("draws", if is_raw { "q" } else { "resampled" });
        attributes.settings.extend(record.settings.iter().cloned());
        if let Some(k) = self.pareto_k() {
            attributes = attributes.with_setting("pareto_k", format!("{k:.2}"));
        }
        attributes.sampling_seconds = vec![self.seconds];
        attributes.sampling_gradient_evaluations = vec![record.n_gradient_evaluations];
        let group = Group::new(self.variables.clone(), self.constrained.select(Axis(1), indices))?;
        let mut draws = Draws::new(group, stats, attributes)?;
        for (dim, labels) in &self.coords {
            draws = draws.with_coords(dim, labels.clone())?;
        }
        Ok(draws)
    }

    /// Start points for `n_chains` chains: draws picked by their weights without replacement, so that all differ as long as there are as many of positive weight; beyond those, they are used
    /// again, up to 65 536 points.
    ///
    /// ```
    /// use posterity::mcmc::{Nuts, Run, Sampler};
    /// use posterity::model::zoo::EightSchoolsNoncentered;
    /// use posterity::vi::{MeanField, Vi};
    /// let model = EightSchoolsNoncentered::rubin();
    /// let fit = Vi::new(MeanField).n_iterations(500).fit(&model, 1)?;
    /// let draws = Nuts::default().sample(&model, Run::new(1).warmup(300).draws(300).start(fit.start(4)))?;
    /// assert_eq!(draws.n_chains(), 4);
    /// # Ok::<(), posterity::Error>(())
    /// ```
    #[must_use]
    pub fn start(&self, n_chains: usize) -> Start {
        let mut rng = Stream::keyed(self.record.seed, Purpose::Resampling, 0, 0);
        // The largest sums of log weights and Gumbel variables are a sample without replacement.
        let keyed = self.psis.log_weights().iter().map(|log_weight| log_weight - (-rng.uniform_positive().ln()).ln());
        let mut chosen: Vec<(f64, usize)> = keyed.zip(0..).filter(|(key, _)| *key > f64::NEG_INFINITY).collect();
        chosen.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let n_points = n_chains.min(chosen.len().max(MOST_STARTS));
        let points = chosen.iter().cycle().take(n_points);
        Start::Positions(points.map(|(_, i)| self.positions.row(*i).to_vec()).collect())
    }

    /// The path from q to the posterior for an SMC sampler: a target whose prior is q and whose likelihood is p/q.
    ///
    /// ```
    /// use posterity::model::zoo::EightSchoolsNoncentered;
    /// use posterity::smc::sampler::SmcSampler;
    /// use posterity::vi::{MeanField, Vi};
    /// let model = EightSchoolsNoncentered::rubin();
    /// let fit = Vi::new(MeanField).n_iterations(500).fit(&model, 1)?;
    /// let result = SmcSampler::tempering().n_particles(1000).sample(&fit.bridge(&model)?, 1)?;
    /// // q is near the posterior: few steps are needed.
    /// assert!(result.inverse_temperatures().len() <= 5);
    /// # Ok::<(), posterity::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Dimension`] for a target of another dimension than q.
    pub fn bridge<'t, T: Target + ?Sized>(&self, target: &'t T) -> Result<Bridge<'t, T>, Error> {
        Bridge::new(target, self.approximation.clone())
    }

    /// Name of the method, with the settings that matter.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.record.method
    }

    /// Seed of the run.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.record.seed
    }

    /// Gradient evaluations of the target.
    #[must_use]
    pub fn n_gradient_evaluations(&self) -> u64 {
        self.record.n_gradient_evaluations
    }

    /// Evaluations of the target's log density alone, the draws included.
    #[must_use]
    pub fn n_density_evaluations(&self) -> u64 {
        self.record.n_density_evaluations + self.log_densities.len() as u64
    }

    /// Draws during the optimisation that were dropped, as the target could not be evaluated there.
    #[must_use]
    pub fn n_failed(&self) -> u64 {
        self.record.n_failed
    }

    /// Iterations done; 0 for a method without any.
    #[must_use]
    pub fn n_iterations(&self) -> usize {
        self.record.n_iterations
    }

    /// Estimates of the bound on the way, one per iteration; of several paths, one path after the other. No lower bounds where groups
    /// of draws without any density were left out, as the warnings then say, and of the tempered density while it is annealed.
    #[must_use]
    pub fn bounds(&self) -> &[f64] {
        &self.record.bounds
    }

    /// Wall time in seconds, the draws included.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// What to distrust.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = self.record.warnings.clone();
        let n_draws = self.log_densities.len();
        if self.n_failed_draws > 0 {
            warnings.push(Warning::UnusableDraws { n_failed: self.n_failed_draws, n_draws });
        }
        let n_zero = self.log_densities.iter().filter(|x| **x == f64::NEG_INFINITY).count();
        if n_zero > 0 {
            warnings.push(Warning::ZeroDensityDraws { n_zero, n_draws });
        }
        let limit = self.psis.pareto_k_limit();
        match (self.psis.reliability(), self.pareto_k()) {
            (Reliability::Unreliable, Some(pareto_k)) => warnings.push(Warning::ParetoK { pareto_k, limit }),
            (Reliability::Unknown, _) => warnings.push(Warning::NoParetoK { n_draws }),
            _ => {}
        }
        warnings
    }

    /// Means, standard deviations and quantiles of every constrained element, reweighted and as q has them, with the warnings.
    #[must_use]
    pub fn summary(&self) -> FitSummary {
        let names = self.variables.iter().flat_map(Variable::element_names);
        let columns = self.constrained.index_axis(Axis(0), 0);
        let weights = self.psis.weights();
        let rows = names.zip(columns.columns()).map(|(name, x)| FitSummaryRow::new(name, x, &weights)).collect();
        let quality = match self.pareto_k() {
            Some(k) => format!("Pareto k-hat {k:.2}"),
            None => "no Pareto k-hat".to_owned(),
        };
        let title = format!(
            "{}: {quality}, ELBO {:.2} (MCSE {:.2}), log evidence {:.2}, {} draws, {} gradient evaluations, seed {}",
            self.method(),
            self.elbo(),
            self.elbo_mcse(),
            self.log_evidence(),
            self.positions.nrows(),
            self.n_gradient_evaluations(),
            self.seed()
        );
        FitSummary::new(title, rows, self.warnings())
    }
}

/// Log densities at positions, NaN where the target fails recoverably or the log density of q is not finite, and the last failure.
fn evaluate<T: Target + ?Sized>(
    target: &T,
    positions: ArrayView2<'_, f64>,
    log_approximations: &[f64],
    threads: Threads,
) -> Result<(Vec<f64>, Option<StartFailure>), Error> {
    let n = positions.nrows();
    let block = |block: usize| -> Result<(Vec<f64>, Option<StartFailure>), Error> {
        let mut evaluator = target.evaluator()?;
        let mut last = None;
        let rows = block * BLOCK..n.min((block + 1) * BLOCK);
        let mut log_densities = Vec::with_capacity(rows.len());
        for i in rows {
            let position = positions.row(i);
            let position = position.as_slice().map_or_else(|| position.to_vec(), <[f64]>::to_vec);
            let is_usable = log_approximations[i].is_finite() && position.iter().all(|x| x.is_finite());
            let value = if is_usable { evaluator.log_density(&position) } else { Err(DensityError::NotANumber) };
            let value = value.and_then(|value| match value {
                f64::INFINITY => Err(DensityError::PositiveInfinity),
                _ if value.is_nan() => Err(DensityError::NotANumber),
                _ => Ok(value),
            });
            log_densities.push(match value {
                Ok(value) => value,
                Err(error) if error.is_recoverable() => {
                    last = Some(StartFailure::Failed(error));
                    f64::NAN
                }
                Err(error) => return Err(error.into()),
            });
        }
        Ok((log_densities, last))
    };
    let mut log_densities = Vec::with_capacity(n);
    let mut last = None;
    for result in threads.install(|| map_indexed(n.div_ceil(BLOCK), None, block)) {
        let (values, failure) = result?;
        log_densities.extend(values);
        last = failure.or(last);
    }
    Ok((log_densities, last))
}
