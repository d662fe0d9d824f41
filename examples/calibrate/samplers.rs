//! Samplers by name. One more is a name in [`SamplerName`], and an arm in [`draw`] that returns an array (draw, unconstrained
//! coordinate).

use ndarray::{Array2, Axis, s};
use posterity::Error;
use posterity::diagnostics::unconstrained_draws;
use posterity::mcmc::{Hmc, Mala, Nuts, RandomWalk, Run, Sampler};
use posterity::model::Target;
use posterity::parallel::Threads;
use posterity::rng::Stream;
use posterity::vi::{Bam, Fit, FullRank, Laplace, MeanField, Pathfinder, Vi};

use super::models::{CalibratedModel, Normal};
use super::settings::{SamplerName, Settings};

/// Draws in unconstrained coordinates, and k̂ of a variational fit.
pub(crate) struct Sampled {
    pub(crate) draws: Array2<f64>,
    pub(crate) pareto_k: Option<f64>,
}

pub(crate) fn draw<M: CalibratedModel>(settings: &Settings, model: &M, seed: u64) -> Result<Sampled, Error> {
    let (n, threads) = (settings.proposals, Threads::serial());
    match settings.sampler {
        SamplerName::Nuts => chain(&Nuts::default(), settings, model, seed),
        SamplerName::Hmc => chain(&Hmc::default(), settings, model, seed),
        SamplerName::Mala => chain(&Mala::default(), settings, model, seed),
        SamplerName::RandomWalk => chain(&RandomWalk::default(), settings, model, seed),
        SamplerName::AdviMeanField => ascent(Vi::new(MeanField), settings, model, seed),
        SamplerName::AdviFullRank => ascent(Vi::new(FullRank), settings, model, seed),
        SamplerName::Bam => Ok(fitted(&Bam::default().n_draws(n).threads(threads).fit(model, seed)?, settings)),
        SamplerName::Pathfinder => Ok(fitted(&Pathfinder::default().n_draws(n).threads(threads).fit(model, seed)?, settings)),
        SamplerName::Laplace => Ok(fitted(&Laplace::default().n_draws(n).threads(threads).fit(model, seed)?, settings)),
        wrong_or_exact => {
            // The settings admit these for models with an exact posterior only.
            let posterior = model.exact()?.ok_or(Error::UnknownModel { name: "with an exact posterior".to_owned() })?;
            let draws = transformed(wrong_or_exact, &posterior, settings.draws, &mut Stream::new(seed));
            Ok(Sampled { draws, pareto_k: None })
        }
    }
}

fn ascent(vi: Vi, settings: &Settings, target: &impl Target, seed: u64) -> Result<Sampled, Error> {
    let vi = vi.n_iterations(settings.iterations).n_draws(settings.proposals).threads(Threads::serial());
    Ok(fitted(&vi.fit(target, seed)?, settings))
}

/// Draws of the approximation, picked by their weights or as they come.
fn fitted(fit: &Fit, settings: &Settings) -> Sampled {
    let draws = match settings.weighted {
        true => fit.positions().select(Axis(0), &fit.psis().resample(settings.draws, &mut Stream::new(fit.seed()))),
        false => fit.positions().slice(s![..settings.draws, ..]).to_owned(),
    };
    Sampled { draws, pareto_k: fit.pareto_k() }
}

/// One chain, from which the run keeps every so many draws.
fn chain(sampler: &impl Sampler, settings: &Settings, target: &impl Target, seed: u64) -> Result<Sampled, Error> {
    let run = Run::new(seed).chains(1).warmup(settings.warmup).draws(settings.draws * settings.thin).threads(1);
    Ok(Sampled { draws: unconstrained_draws(target, &sampler.sample(target, run)?)?, pareto_k: None })
}

/// Exact draws, or ones that are wrong in a known way.
pub(crate) fn transformed(sampler: SamplerName, posterior: &Normal, n: usize, rng: &mut Stream) -> Array2<f64> {
    let d = posterior.mean.len();
    let mut draws = Array2::zeros((n, d));
    for mut draw in draws.rows_mut() {
        let common = rng.normal();
        let z: Vec<f64> = (0..d).map(|_| rng.normal()).collect();
        let z: Vec<f64> = match sampler {
            SamplerName::Narrow => z.iter().map(|z| 0.7 * z).collect(),
            SamplerName::Wide => z.iter().map(|z| 1.4 * z).collect(),
            SamplerName::Shift => z.iter().map(|z| z + 0.5).collect(),
            SamplerName::Correlation => z.iter().map(|z| 0.9_f64.sqrt() * common + 0.1_f64.sqrt() * z).collect(),
            _ => z,
        };
        for (k, entry) in draw.iter_mut().enumerate() {
            let row = &posterior.factor[k * d..k * d + k + 1];
            *entry = match sampler {
                // Both models have a standard normal prior.
                SamplerName::Prior => z[k],
                _ => posterior.mean[k] + row.iter().zip(&z).map(|(l, z)| l * z).sum::<f64>(),
            };
        }
    }
    draws
}
