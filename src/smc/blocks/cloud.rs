//! Blocks on weighted clouds: reweight, resample, move; and what they make together.
//!
//! ```text
//! a cloud stands for a measure    γ(f) = E[exp(log-evidence) Σ Wⁱ f(xⁱ)]
//! Reweight(g)                     γ → g γ          (g may be random, with mean g)
//! Resample                        γ → γ            (weights become equal: their mean moves on)
//! Each(K)                         γ → γ K          (= γ if K preserves γ)
//! ```
//! *References* W. R. Gilks and C. Berzuini 2001, doi:10.1111/1467-9868.00280; N. Chopin 2002, doi:10.1093/biomet/89.3.539; P. Del Moral, A.
//! Doucet and A. Jasra 2006, doi:10.1111/j.1467-9868.2006.00553.x.

use std::convert::Infallible;

use rand::RngExt;

use super::Block;
use super::combinators::Compose;
use super::pseudo_marginal::{Propose, PseudoMarginal, PseudoMarginalInfo, WeightedPoint};
use super::random_weight::{Exact, RandomLogWeight};
use crate::error::{DensityError, Error};
use crate::parallel::Threads;
use crate::rng::Stream;
use crate::smc::SmcError;
use crate::weights::{Resample as When, Selection, WeightConfig, WeightError, WeightMachine};

/// Particles of any kind with their weights.
///
/// ```
/// use posterity::rng::Stream;
/// use posterity::smc::blocks::{Metropolis, WeightedCloud, temper};
/// use posterity::weights::WeightConfig;
/// // Prior N(0, 1), likelihood exp(-(x - 2)² / 2): the evidence is exp(-1) / √2.
/// let log_prior = |x: &f64| -0.5 * x * x;
/// let log_likelihood = |x: &f64| -0.5 * (x - 2.0).powi(2);
/// let walk = |x: &f64, rng: &mut Stream| (x + rng.normal(), 0.0);
/// let mut rng = Stream::new(3);
/// let mut cloud = WeightedCloud::draw(1000, WeightConfig::default(), &mut rng, |rng| rng.normal())?;
/// temper(&mut cloud, &[0.3, 1.0], |x| Ok(log_likelihood(x)), |exponent| {
///     Metropolis::new(walk, move |x: &f64| Ok(log_prior(x) + exponent * log_likelihood(x)))
/// }, &mut rng)?;
/// assert!((cloud.log_evidence() - (-1.0 - 0.5 * 2.0_f64.ln())).abs() < 0.15);
/// assert!((cloud.expectation(|x| *x) - 1.0).abs() < 0.15);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct WeightedCloud<P> {
    particles: Vec<P>,
    machine: WeightMachine,
    increments: Vec<f64>,
}

impl<P> WeightedCloud<P> {
    /// `n` particles drawn independently, of equal weight.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] as [`WeightConfig::validate`], and for no particles.
    pub fn draw(n: usize, config: WeightConfig, rng: &mut Stream, mut f: impl FnMut(&mut Stream) -> P) -> Result<Self, Error> {
        crate::error::check::at_least("n_particles", n, 1, "at least 1")?;
        let mut machine = WeightMachine::new(config, rng.random())?;
        machine.start(&vec![0.0; n], &Threads::serial()).map_err(weight_error(0))?;
        Ok(Self { particles: (0..n).map(|_| f(rng)).collect(), machine, increments: vec![0.0; n] })
    }

    /// The particles.
    #[must_use]
    pub fn particles(&self) -> &[P] {
        &self.particles
    }

    /// Weights, log-evidence and effective sample size.
    #[must_use]
    pub fn machine(&self) -> &WeightMachine {
        &self.machine
    }

    /// Log of the evidence estimate: of the total mass of the measure that the cloud stands for, which is 1 at first.
    #[must_use]
    pub fn log_evidence(&self) -> f64 {
        self.machine.log_evidence()
    }

    /// The weighted mean Σ Wⁱ f(xⁱ).
    pub fn expectation(&self, mut f: impl FnMut(&P) -> f64) -> f64 {
        let weighted = self.particles.iter().zip(self.machine.relative_weights());
        weighted.map(|(x, w)| w * f(x)).sum::<f64>() / self.machine.sum_of_weights()
    }
}

/// An error of the weight machine, in its step.
fn weight_error(step: u64) -> impl Fn(WeightError) -> Error {
    move |error| SmcError::<Infallible>::at(step as usize)(error).into()
}

/// Multiplies every weight by one drawn for its particle: the measure γ becomes g γ, with g the mean of the random weight.
#[derive(Debug, Clone, Copy)]
pub struct Reweight<W>(pub W);

impl<P, W: RandomLogWeight<P>> Block<WeightedCloud<P>> for Reweight<W> {
    /// Effective sample size afterwards.
    type Info = f64;

    /// # Errors
    /// [`Error::Density`] for any error of the weight but a recoverable one, which is weight 0 (NaN and +∞ are errors here); [`Error::Sampling`] if no weight is left.
    fn step(&mut self, cloud: &mut WeightedCloud<P>, rng: &mut Stream) -> Result<f64, Error> {
        for (increment, particle) in cloud.increments.iter_mut().zip(&cloud.particles) {
            *increment = match self.0.draw(particle, rng) {
                Ok(drawn) => drawn.map_or(f64::NEG_INFINITY, |drawn| drawn.log_weight),
                Err(error @ (DensityError::NotANumber | DensityError::PositiveInfinity)) => return Err(error.into()),
                Err(error) if error.is_recoverable() => f64::NEG_INFINITY,
                Err(error) => return Err(error.into()),
            };
        }
        let step = cloud.machine.step();
        cloud.machine.tilt(&cloud.increments, &Threads::serial()).map_err(weight_error(step))?;
        cloud.machine.commit_tilt();
        Ok(cloud.machine.ess())
    }
}

/// Resamples: the cloud stands for the same measure afterwards, with weights that are all their mean.
#[derive(Debug, Clone, Copy, Default)]
pub struct Resample(
    /// When: `Auto` goes by the effective sample size and the threshold of the cloud's [`WeightConfig`].
    pub When,
);

impl<P: Clone> Block<WeightedCloud<P>> for Resample {
    /// True if the cloud was resampled.
    type Info = bool;

    fn step(&mut self, cloud: &mut WeightedCloud<P>, _rng: &mut Stream) -> Result<bool, Error> {
        let (n, threads) = (cloud.particles.len(), Threads::serial());
        let error = weight_error(cloud.machine.step());
        let selection = Selection { resample: self.0, n_resample: n, copies: 1, log_eta: None, pinned: None };
        let selected = cloud.machine.select(selection, &threads).map_err(&error)?;
        if selected.resampled {
            cloud.particles = cloud.machine.ancestors().iter().map(|&a| cloud.particles[a as usize].clone()).collect();
        }
        cloud.increments.fill(0.0);
        cloud.machine.commit(&cloud.increments, &threads).map_err(error)?;
        Ok(selected.resampled)
    }
}

/// Moves every particle by a Markov kernel; weights stay. Preserves what the kernel preserves.
#[derive(Debug, Clone, Copy)]
pub struct Each<B>(pub B);

impl<P, B: Block<P>> Block<WeightedCloud<P>> for Each<B> {
    /// What the kernel says, particle by particle.
    type Info = Vec<B::Info>;

    fn step(&mut self, cloud: &mut WeightedCloud<P>, rng: &mut Stream) -> Result<Vec<B::Info>, Error> {
        cloud.particles.iter_mut().map(|particle| self.0.step(particle, rng)).collect()
    }
}

/// Metropolis-Hastings on an exact log density, for points that carry no weight: [`PseudoMarginal`] with the weight computed afresh, which is
/// right because it is not random. *Costs* two evaluations per step.
#[derive(Debug, Clone)]
pub struct Metropolis<Q, F>(PseudoMarginal<Q, Exact<F>>);

impl<Q, F> Metropolis<Q, F> {
    /// A kernel of a proposal and a log density.
    pub fn new(proposal: Q, log_density: F) -> Self {
        Self(PseudoMarginal::new(proposal, Exact(log_density)))
    }
}

impl<P, Q, F> Block<P> for Metropolis<Q, F>
where
    P: Clone,
    Q: Propose<P>,
    F: FnMut(&P) -> Result<f64, DensityError>,
{
    type Info = PseudoMarginalInfo;

    /// # Errors
    /// [`DensityError::Rejected`] in [`Error::Density`] if the point itself has density 0.
    fn step(&mut self, point: &mut P, rng: &mut Stream) -> Result<PseudoMarginalInfo, Error> {
        let Some(mut state) = WeightedPoint::draw(point.clone(), self.0.weight_mut(), rng)? else {
            return Err(DensityError::Rejected { reason: "the chain's current state has zero density" }.into());
        };
        let info = self.0.step(&mut state, rng)?;
        *point = state.point;
        Ok(info)
    }
}

/// Resample-move: reweight by `weight`, resample if the effective sample size asks for it, move by `kernel`.
///
/// If the cloud stands for γ and the kernel preserves the reweighted g γ, the cloud stands for g γ afterwards.
pub fn resample_move<W, B>(weight: W, kernel: B) -> Compose<Reweight<W>, Compose<Resample, Each<B>>> {
    Compose(Reweight(weight), Compose(Resample::default(), Each(kernel)))
}

/// Tempering: a [`resample_move`] per exponent, from the prior that the cloud stands for to prior × likelihood^(last exponent).
///
/// ```text
/// γ_λ(dx) = p(dx) L(x)^λ      weights L^(λ' - λ)      moves that preserve γ_λ'
/// ```
/// `kernel(λ)` makes the kernel that preserves γ_λ. The exponents are chosen by the caller, increasing; the evidence is unbiased then.
///
/// # Errors
/// [`Error::InvalidSetting`] for exponents that do not increase from 0, and what the blocks report.
pub fn temper<P, B>(
    cloud: &mut WeightedCloud<P>,
    exponents: &[f64],
    mut log_likelihood: impl FnMut(&P) -> Result<f64, DensityError>,
    mut kernel: impl FnMut(f64) -> B,
    rng: &mut Stream,
) -> Result<(), Error>
where
    P: Clone,
    B: Block<P>,
{
    let mut before = 0.0;
    for &exponent in exponents {
        let holds = exponent > before && exponent.is_finite();
        crate::error::check::in_range("exponent", exponent, holds, "finite, and above 0 and the one before")?;
        let power = exponent - before;
        let weight = Exact(|x: &P| log_likelihood(x).map(|l| power * l));
        resample_move(weight, kernel(exponent)).step(cloud, rng)?;
        before = exponent;
    }
    Ok(())
}
