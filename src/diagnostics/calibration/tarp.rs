//! Tests of accuracy with random points: is the truth as far from a reference point as the draws are?
//!
//! ```text
//! r = #{l: d(θ_l, ρ) < d(θ*, ρ)}  uniform on 0, …, L        u = (r + U)/(L + 1), U ~ U(0, 1)        Kolmogorov-Smirnov test of the u
//! d(a, b)² = Σₖ ((aₖ - bₖ)/sₖ)²
//! ```
//! One number per simulation measures the whole parameter vector, correlations included. The scales s are quartile distances over
//! a simulation's draws *and* truth: as they do not tell which is the truth, they leave r uniform.

use std::fmt::{self, Debug, Display, Formatter};

use rand::RngExt as _;

use super::problem::{CalibrationProblem, known_log_likelihoods};
use super::ranks::{Place, Use, place};
use super::sbc::p_text;
use super::simulations::{Simulations, finite, same};
use super::uniformity::{counts, kolmogorov_smirnov};
use super::warning::CalibrationWarning;
use crate::error::{Error, Result, check};
use crate::parallel::map_indexed;
use crate::rng::Stream;

/// Steps of the curve of expected coverage.
const N_STEPS: usize = 100;

type OfData<'r, D> = Box<dyn Fn(&D, &mut Stream) -> Vec<f64> + Sync + 'r>;

/// Where references come from.
enum References<'r, D> {
    Likelihood,
    HeldOut,
    OfData(OfData<'r, D>),
}

/// Tests of accuracy with random points: is the truth as far from a reference point as the draws are? See
/// [`CalibrationRun`](super::CalibrationRun) for an example.
///
/// The reference ρ must, given the data, be independent of truth and draws; then ranks of distances are uniform for a right
/// sampler. Only if ρ depends on the data does the reverse hold: with references independent of them, a sampler that returns the
/// prior passes. So by default ρ is chosen, by its likelihood, among fresh draws from the prior: it knows the data, and never saw
/// θ* or the sampler. Where the problem has no likelihood, a held-out draw with noise takes its place, with a warning: it follows
/// the sampler, and so cannot see one that ignores the data.
///
/// Lemos, Coogan, Hezaveh & Perreault-Levasseur (2023), *Sampling-based accuracy testing of posterior estimators for general
/// inference*, <https://arxiv.org/abs/2302.03026>. The test is made on the u, not on the curve of expected coverage probability,
/// whose values are sorted and dependent; that curve and its bootstrap are for pictures.
///
/// *Not* in place of [`Sbc`](super::Sbc): a shift is seen better by the ranks of the coordinates, and only they say what is
/// wrong.
///
/// Defaults: references by likelihood among 100 draws from the prior, 500 bootstrap samples for bands of 95 %.
pub struct Tarp<'r, D> {
    references: References<'r, D>,
    n_candidates: usize,
    n_bootstrap: usize,
    level: f64,
}

impl<D: Sync> Default for Tarp<'_, D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D> Debug for Tarp<'_, D> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let references = match self.references {
            References::Likelihood => "by likelihood",
            References::HeldOut => "held-out draws",
            References::OfData(_) => "a function of the data",
        };
        let mut debug = f.debug_struct("Tarp");
        debug.field("references", &references).field("n_candidates", &self.n_candidates);
        debug.field("n_bootstrap", &self.n_bootstrap).field("level", &self.level).finish()
    }
}

impl<'r, D: Sync> Tarp<'r, D> {
    /// References by likelihood.
    #[must_use]
    pub fn new() -> Self {
        Self { references: References::Likelihood, n_candidates: 100, n_bootstrap: 500, level: 0.95 }
    }

    /// References from a function of the data and a stream: one number per parameter, anywhere in the space, best near where the
    /// posterior should be. It must know nothing of the true parameters or of the draws.
    #[must_use]
    pub fn references(mut self, of_data: impl Fn(&D, &mut Stream) -> Vec<f64> + Sync + 'r) -> Self {
        self.references = References::OfData(Box::new(of_data));
        self
    }

    /// References from one draw of each simulation, which is then left out of the others, plus normal noise of the draws' scale.
    /// They cannot see a sampler that ignores the data.
    #[must_use]
    pub fn held_out_references(mut self) -> Self {
        self.references = References::HeldOut;
        self
    }

    /// Draws from the prior among which the reference is chosen; 100. Those that are no parameters ([`Error::PriorDraw`]) are left out. The likelihood is evaluated once at each of them per
    /// simulation.
    #[must_use]
    pub fn candidates(mut self, n: usize) -> Self {
        self.n_candidates = n;
        self
    }

    /// Number of bootstrap samples for the bands of the curve; 500.
    #[must_use]
    pub fn bootstrap(mut self, n: usize) -> Self {
        self.n_bootstrap = n;
        self
    }

    /// Probability of each pointwise band of the curve; 0.95.
    #[must_use]
    pub fn band(mut self, level: f64) -> Self {
        self.level = level;
        self
    }

    /// Places every truth among its draws by distance from the reference, and tests the places.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], also for held-out references of a single draw; [`Error::Simulation`] around
    /// [`Error::Dimension`] or [`Error::NotFinite`] for a reference, [`Error::TestFunction`] for a log-likelihood that is NaN,
    /// [`Error::ZeroWeights`] if all candidates for a reference have likelihood zero, so that a rule of one's own is needed, or what the problem
    /// reports.
    pub fn test<P: CalibrationProblem<Data = D>>(&self, problem: &P, simulations: &Simulations<D>) -> Result<TarpReport> {
        check::open_unit("level of the band", self.level)?;
        check::at_least("candidates", self.n_candidates, 1, "at least 1")?;
        check::at_least("bootstrap samples", self.n_bootstrap, 2, "at least 2")?;
        let has_likelihood = problem.log_likelihood(simulations.truth(0), simulations.datum(0))?.is_some();
        let source = match &self.references {
            References::OfData(of_data) => Source::OfData(of_data),
            References::Likelihood if has_likelihood => Source::Likelihood(self.candidate_points(problem, simulations)?),
            References::Likelihood | References::HeldOut => {
                check::at_least("draws", simulations.n_draws(), 2, "at least 2 where one is held out as a reference")?;
                Source::HeldOut
            }
        };
        let places = simulations.map(|i| place_one(problem, simulations, &source, i))?;
        let uniforms: Vec<f64> = places.iter().map(|place| place.uniform).collect();
        let mut warnings = simulations.warnings();
        if matches!(source, Source::HeldOut) {
            warnings.push(CalibrationWarning::HeldOutReferences);
        }
        Ok(TarpReport {
            n_draws: simulations.n_draws() - usize::from(matches!(source, Source::HeldOut)),
            ranks: places.iter().map(|place| place.rank).collect(),
            p_value: kolmogorov_smirnov(&uniforms),
            curve: curve(&uniforms, self.n_bootstrap, self.level, &mut simulations.shared_stream(Use::Bootstrap, 0)),
            uniforms,
            warnings,
        })
    }

    /// Fresh draws from the prior, the same for all simulations: they are independent of all truths and draws.
    fn candidate_points<P: CalibrationProblem<Data = D>>(
        &self,
        problem: &P,
        simulations: &Simulations<D>,
    ) -> Result<Vec<Vec<f64>>> {
        let dim = simulations.parameter_names().len();
        let one = |slot: usize| {
            match problem.simulate(&mut simulations.shared_stream(Use::Candidates, slot)) {
                // Any choice of candidates that knows nothing of truths and draws will do: this one is left out.
                Err(Error::PriorDraw { .. }) => Ok(None),
                simulated => checked(simulated?.0, dim).map(Some),
            }
        };
        let all = map_indexed(self.n_candidates, simulations.threads(), one).into_iter();
        all.filter_map(Result::transpose).collect()
    }
}

/// References as they are used.
enum Source<'s, 'r, D> {
    OfData(&'s OfData<'r, D>),
    Likelihood(Vec<Vec<f64>>),
    HeldOut,
}

fn checked(reference: Vec<f64>, dim: usize) -> Result<Vec<f64>> {
    same("coordinates of a reference", dim, reference.len())?;
    finite("reference", reference.iter())?;
    Ok(reference)
}

fn place_one<P: CalibrationProblem>(
    problem: &P,
    simulations: &Simulations<P::Data>,
    source: &Source<'_, '_, P::Data>,
    index: usize,
) -> Result<Place> {
    let (truth, data) = (simulations.truth(index), simulations.datum(index));
    let mut rng = simulations.stream(Use::References, index);
    let mut draws: Vec<&[f64]> = simulations.rows(index).collect();
    let held_out = match source {
        Source::HeldOut => Some(draws.remove(rng.random_range(0..draws.len()))),
        _ => None,
    };
    let scales = scales(truth, &draws);
    let reference = match source {
        Source::OfData(of_data) => checked(of_data(data, &mut rng), truth.len())?,
        Source::Likelihood(candidates) => choose(problem, candidates, data, &mut rng)?,
        Source::HeldOut => held_out.unwrap_or(&[]).iter().zip(&scales).map(|(x, scale)| x + scale * rng.normal()).collect(),
    };
    let squared_distance = |x: &[f64]| {
        let terms = x.iter().zip(&reference).zip(&scales);
        terms.map(|((x, reference), scale)| ((x - reference) / scale).powi(2)).sum::<f64>()
    };
    let mut rng = simulations.stream(Use::Distances, index);
    Ok(place(squared_distance(truth), draws.iter().map(|draw| squared_distance(draw)), &mut rng))
}

/// A candidate drawn with probabilities proportional to its likelihood.
fn choose<P: CalibrationProblem>(problem: &P, candidates: &[Vec<f64>], data: &P::Data, rng: &mut Stream) -> Result<Vec<f64>> {
    let mut best = (f64::NEG_INFINITY, 0);
    let points: Vec<&[f64]> = candidates.iter().map(Vec::as_slice).collect();
    for (k, log_likelihood) in known_log_likelihoods(problem, &points, data)?.into_iter().enumerate() {
        // The largest sum of log weight and Gumbel variable.
        let score = log_likelihood - (-rng.uniform_positive().ln()).ln();
        if score > best.0 {
            best = (score, k);
        }
    }
    // A reference taken from these would not know the data.
    if best.0 == f64::NEG_INFINITY {
        return Err(Error::ZeroWeights { what: "likelihoods of the candidate references" });
    }
    Ok(candidates[best.1].clone())
}

/// Scale of every coordinate over draws and truth: the distance of the quartiles, of the extremes if that is 0, or 1.
fn scales(truth: &[f64], draws: &[&[f64]]) -> Vec<f64> {
    let of = |k: usize| {
        let mut values: Vec<f64> = draws.iter().map(|draw| draw[k]).chain([truth[k]]).collect();
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len() - 1;
        let quartiles = values[last - last / 4] - values[last / 4];
        let range = values[last] - values[0];
        [quartiles, range].into_iter().find(|&scale| scale > 0.0 && scale.is_finite()).unwrap_or(1.0)
    };
    (0..truth.len()).map(of).collect()
}

/// The share of the numbers below 0, 1/100, …, 1 with pointwise bands from resampled simulations, all by one stream.
fn curve(uniforms: &[f64], n_bootstrap: usize, level: f64, rng: &mut Stream) -> Vec<EcpPoint> {
    let n = uniforms.len();
    let mut replicates = vec![Vec::new(); N_STEPS + 1];
    let mut resampled = vec![0.0; n];
    for _ in 0..n_bootstrap {
        resampled.fill_with(|| uniforms[rng.random_range(0..n)]);
        for (replicates, share) in replicates.iter_mut().zip(cumulative(&resampled)) {
            replicates.push(share);
        }
    }
    let mut points = Vec::with_capacity(N_STEPS + 1);
    for ((step, coverage), mut shares) in cumulative(uniforms).into_iter().enumerate().zip(replicates) {
        shares.sort_unstable_by(f64::total_cmp);
        let size = shares.len() as f64;
        let mean = shares.iter().sum::<f64>() / size;
        let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / (size - 1.0);
        let cut = (0.5 * (1.0 - level) * size) as usize;
        points.push(EcpPoint {
            alpha: step as f64 / N_STEPS as f64,
            coverage,
            lower: shares[cut],
            upper: shares[shares.len() - 1 - cut],
            standard_error: variance.sqrt(),
        });
    }
    points
}

fn cumulative(uniforms: &[f64]) -> Vec<f64> {
    let mut below = 0;
    let shares = counts(uniforms, N_STEPS).into_iter().map(|count| {
        below += count;
        below as f64 / uniforms.len() as f64
    });
    std::iter::once(0.0).chain(shares).collect()
}

/// One point of the curve of expected coverage probability.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct EcpPoint {
    /// Nominal coverage.
    pub alpha: f64,
    /// Share of the simulations with u < α: α itself for a right sampler.
    pub coverage: f64,
    /// Lower edge of the bootstrap band.
    pub lower: f64,
    /// Upper edge.
    pub upper: f64,
    /// Standard deviation over the bootstrap samples.
    pub standard_error: f64,
}

/// The outcome of tests with random points. `Display` prints a few lines and the warnings in words.
#[derive(Debug, Clone, PartialEq)]
pub struct TarpReport {
    n_draws: usize,
    ranks: Vec<usize>,
    uniforms: Vec<f64>,
    p_value: f64,
    curve: Vec<EcpPoint>,
    warnings: Vec<CalibrationWarning>,
}

impl TarpReport {
    /// p-value of the Kolmogorov-Smirnov test of [`TarpReport::uniforms`].
    #[must_use]
    pub fn p_value(&self) -> f64 {
        self.p_value
    }

    /// The number of draws nearer to the reference than the truth, of every simulation.
    #[must_use]
    pub fn ranks(&self) -> &[usize] {
        &self.ranks
    }

    /// The places u on the unit interval: uniform for a right sampler. References that hit the middle of the posteriors make them
    /// large where the draws are too narrow, small where they are too wide; references far away make a U and a hump of it.
    #[must_use]
    pub fn uniforms(&self) -> &[f64] {
        &self.uniforms
    }

    /// Expected coverage at nominal coverages 0, 0.01, …, 1.
    #[must_use]
    pub fn curve(&self) -> &[EcpPoint] {
        &self.curve
    }

    /// Draws per simulation that the truth was placed among.
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

impl Display for TarpReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "Tests with random points: {} simulations, {} draws each", self.ranks.len(), self.n_draws)?;
        let mean = self.uniforms.iter().sum::<f64>() / self.uniforms.len() as f64;
        writeln!(
            f,
            "p = {}; {:.1} % of the draws are nearer to the reference than the truth",
            p_text(self.p_value),
            100.0 * mean
        )?;
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
    fn scales_are_quartile_distances() {
        let draws: Vec<Vec<f64>> = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0].map(|x| vec![x, 5.0, f64::from(x == 7.0)]).into();
        let draws: Vec<&[f64]> = draws.iter().map(Vec::as_slice).collect();
        assert_eq!(scales(&[8.0, 5.0, 0.0], &draws), [4.0, 1.0, 1.0]);
    }

    /// A bootstrap whose stream starts anew in every sample has a standard error of exactly 0.
    #[test]
    fn the_bootstrap_has_the_binomial_standard_error() {
        let uniforms: Vec<f64> = (0..400).map(|i| (i as f64 + 0.5) / 400.0).collect();
        let curve = curve(&uniforms, 2000, 0.95, &mut Stream::new(7));
        assert_eq!(curve.len(), 101);
        assert_eq!((curve[0].alpha, curve[0].coverage, curve[100].alpha, curve[100].coverage), (0.0, 0.0, 1.0, 1.0));
        for point in &curve[5..96] {
            let binomial = (point.alpha * (1.0 - point.alpha) / 400.0).sqrt();
            assert!((point.coverage - point.alpha).abs() < 1e-9);
            // A standard deviation from 2000 samples has a relative error of 1.6 %; four of them and a half.
            assert!((point.standard_error / binomial - 1.0).abs() < 0.075, "{point:?} {binomial}");
            // 1.96 standard errors, and a count of 1/400 for the steps.
            let half = 0.5 * (point.upper - point.lower);
            assert!((half - 1.96 * binomial).abs() < 0.006, "{point:?}");
        }
    }
}
