//! A proposal trained by an importance-weighted bound, as the place where an SMC sampler starts: the evidence beside its exact value.
//!
//! ```text
//! cargo run --release --example smc_from_proposal [-- --seed 1]
//!
//! deaths[i] ~ Binomial(5, logit⁻¹(alpha + beta dose[i]))     alpha ~ N(0, 5), beta ~ N(10, 10)
//! ```
//! The classic experiment of four doses has a skewed posterior that no normal distribution fits. An approximation q by the evidence lower bound says so by its k-hat; one by an
//! importance-weighted bound is wider than the posterior, and its weighted draws are better. Both hand over to an SMC sampler, which needs far fewer steps from q than from the prior, and is
//! exact from either. The evidence is known by quadrature over the two parameters.
//!
//! Data: Racine, Grieve, Flühler & Smith 1986, <https://doi.org/10.2307/2347264>.

#[path = "reference/mod.rs"]
#[allow(dead_code)]
mod reference;

use posterity::math::log_sum_exp;
use posterity::prelude::*;
use posterity::smc::sampler::{SamplerResult, SmcSampler};
use posterity::vi::{FullRank, Objective, Vi};

const DOSES: [f64; 4] = [-0.86, -0.30, -0.05, 0.73];
const DEATHS: [u64; 4] = [0, 1, 3, 5];
const ANIMALS: [u64; 4] = [5; 4];

struct Bioassay;

impl Model for Bioassay {
    type Parameters<T: Real> = (T, T);

    fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> (T, T) {
        (space.real("alpha"), space.real("beta"))
    }

    fn log_prior<T: Real>(&self, (alpha, beta): &(T, T), lp: &mut LogP<T>) {
        lp.normal(alpha, &0.0, &5.0);
        lp.normal(beta, &10.0, &10.0);
    }

    fn log_likelihood<T: Real>(&self, (alpha, beta): &(T, T), lp: &mut LogP<T>) {
        let logits: Vec<T> = DOSES.iter().map(|&dose| *beta * dose + *alpha).collect();
        lp.binomial_logit(&DEATHS, &ANIMALS, &logits);
    }

    fn sample_prior(&self, rng: &mut Stream, out: &mut Values) -> bool {
        out.set("alpha", 5.0 * rng.normal()).set("beta", 10.0 + 10.0 * rng.normal());
        true
    }
}

/// Log evidence and posterior means by the midpoint rule: alpha in ±6 and beta in ±7 prior standard deviations.
fn exact(model: &Bioassay) -> Result<(f64, [f64; 2]), posterity::Error> {
    const N: usize = 800;
    let mut evaluator = model.evaluator()?;
    let (width, height) = (60.0 / N as f64, 140.0 / N as f64);
    let (mut log_densities, mut points) = (Vec::new(), Vec::new());
    for i in 0..N {
        for j in 0..N {
            let point = [-30.0 + (i as f64 + 0.5) * width, -60.0 + (j as f64 + 0.5) * height];
            log_densities.push(evaluator.log_density(&point)?);
            points.push(point);
        }
    }
    let log_total = log_sum_exp(&log_densities);
    let mean = |k: usize| points.iter().zip(&log_densities).map(|(point, l)| point[k] * (l - log_total).exp()).sum();
    Ok((log_total + (width * height).ln(), [mean(0), mean(1)]))
}

fn main() -> Result<(), posterity::Error> {
    let seed = reference::seed(1)?;
    let model = Bioassay;
    let (log_evidence, means) = exact(&model)?;

    println!("approximation                    k-hat     ELBO   log evidence   alpha   beta   q: alpha   beta");
    let mut proposal = None;
    for objective in [Objective::elbo(20), Objective::iwelbo(20)] {
        let fit = Vi::new(FullRank).objective(objective).fit(&model, seed)?;
        let summary = fit.summary();
        let means =
            |raw: bool| summary.rows().iter().map(move |row| if raw { row.raw_mean } else { row.mean }).collect::<Vec<_>>();
        println!(
            "{:<32} {:>5.2}  {:>7.3}   {:>12.3}   {:>5.2}  {:>5.2}   {:>8.2}  {:>5.2}",
            fit.method(),
            fit.pareto_k().unwrap_or(f64::NAN),
            fit.elbo(),
            fit.log_evidence(),
            means(false)[0],
            means(false)[1],
            means(true)[0],
            means(true)[1],
        );
        proposal = Some(fit);
    }
    println!("{:<32} {:>5}  {:>7}   {log_evidence:>12.3}   {:>5.2}  {:>5.2}\n", "exact", "", "", means[0], means[1]);

    println!("SMC from        steps   log evidence (± s.e.)   alpha   beta   evaluations");
    let sampler = SmcSampler::tempering().n_particles(4000).waste_free(100);
    let row = |name: &str, result: &SamplerResult| -> Result<(), posterity::Error> {
        let (alpha, beta) = (result.draws.mean("alpha")?[[]], result.draws.mean("beta")?[[]]);
        let se = result.log_evidence_se.unwrap_or(f64::NAN);
        let (steps, evidence) = (result.stages.len(), result.log_evidence);
        println!("{name:<14} {steps:>6}   {evidence:>12.3} ± {se:.3}   {alpha:>7.2}  {beta:>5.2}   {:>11}", result.n_evaluations);
        Ok(())
    };
    row("the prior", &sampler.sample(&model, seed)?)?;
    if let Some(fit) = proposal {
        row("the proposal", &sampler.sample(&fit.bridge(&model)?, seed)?)?;
    }
    println!("{:<14} {:>6}   {log_evidence:>12.3}           {:>7.2}  {:>5.2}", "exact", "", means[0], means[1]);
    Ok(())
}
