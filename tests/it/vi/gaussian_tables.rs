//! The tables of docs/validation/variational/gaussian.md.

use posterity::Error;
use posterity::model::zoo::posteriordb::ReferencePosterior;
use posterity::model::{Target, WithGradient};
use posterity::vi::{Bam, BamSchedule, FamilyStart, Fit, FullRank, Gsm, Laplace, MeanField, NaturalGradient, Pathfinder, Vi};

use super::gaussian_fits::{evaluations_needed, ten_dimensions};
use crate::data;

/// Median and range over the seeds.
fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let [first, .., last] = values[..] else { return "-".to_owned() };
    format!("{:.digits$} ({first:.digits$} to {last:.digits$})", values[values.len() / 2])
}

#[test]
#[ignore = "prints a table; half a minute"]
fn gradients_until_a_normal_target_is_matched() {
    let exact = ten_dimensions();
    let target = WithGradient(exact.clone());
    for batch_size in [5, 10, 20, 32] {
        for schedule in [BamSchedule::Constant, BamSchedule::Decaying] {
            let bam = Bam::default().schedule(schedule.clone()).batch_size(batch_size).start(FamilyStart::Origin);
            let bam = bam.averaged_share(0.0).tolerance(0.0).n_draws(1);
            let needed = evaluations_needed(&exact, |n, seed| bam.clone().n_iterations(n).fit(&target, seed).unwrap());
            println!("| BaM, B = {batch_size}, {schedule:?} | {} | {} to {} |", needed[10], needed[0], needed[19]);
        }
    }
    let gsm = Gsm::default().start(FamilyStart::Origin).averaged_share(0.0).tolerance(0.0).n_draws(1);
    let needed = evaluations_needed(&exact, |n, seed| gsm.clone().n_iterations(n).fit(&target, seed).unwrap());
    println!("| GSM, B = 2 | {} | {} to {} |", needed[10], needed[0], needed[19]);
    let natural =
        NaturalGradient::default().batch_size(2).start(FamilyStart::Origin).averaged_share(0.0).tolerance(0.0).n_draws(1);
    let needed = evaluations_needed(&exact, |n, seed| natural.clone().n_iterations(n).fit(&target, seed).unwrap());
    println!("| natural gradients, B = 2 | {} | {} to {} |", needed[10], needed[0], needed[19]);
}

/// Largest errors of the means of q, and of the reweighted draws, in standard deviations of the reference.
fn errors(posterior: &ReferencePosterior, fit: &Fit) -> (f64, f64) {
    let weights = fit.psis().weights();
    let n = posterior.mean.len();
    let (mut raw, mut weighted) = (vec![0.0; n], vec![0.0; n]);
    for (position, weight) in fit.positions().rows().into_iter().zip(&weights) {
        let values = posterior.values_at(&position.to_vec()).unwrap();
        for i in 0..n {
            raw[i] += values[i] / weights.len() as f64;
            if *weight > 0.0 {
                weighted[i] += weight * values[i];
            }
        }
    }
    let largest = |mean: &[f64]| (0..n).map(|i| (mean[i] - posterior.mean[i]).abs() / posterior.sd[i]).fold(0.0, f64::max);
    (largest(&raw), largest(&weighted))
}

#[test]
#[ignore = "prints a table; minutes"]
fn posteriors_with_reference_draws() {
    let Some(folder) = data::path("posteriordb") else { return };
    for name in [
        "eight_schools-eight_schools_noncentered",
        "eight_schools-eight_schools_centered",
        "kidiq-kidscore_momiq",
        "mesquite-mesquite",
        "nes1972-nes",
    ] {
        let posterior = ReferencePosterior::read(folder.join(format!("{name}.json"))).unwrap();
        let target: &dyn Target = posterior.target.as_ref();
        println!(
            "\n| {name} | k-hat | ELBO | error of q | after PSIS | gradients | densities | failed |\n|---|---|---|---|---|---|---|---|"
        );
        type Method<'a> = (&'a str, Box<dyn Fn(u64) -> Result<Fit, Error> + 'a>);
        let methods: [Method<'_>; 9] = [
            ("mean-field, 2000 it.", Box::new(|seed| Vi::new(MeanField).n_iterations(2000).fit(target, seed))),
            ("full rank, 2000 it.", Box::new(|seed| Vi::new(FullRank).n_iterations(2000).fit(target, seed))),
            ("BaM", Box::new(|seed| Bam::default().fit(target, seed))),
            (
                "BaM, constant, last iterate",
                Box::new(|seed| Bam::default().schedule(BamSchedule::Constant).averaged_share(0.0).fit(target, seed)),
            ),
            ("GSM", Box::new(|seed| Gsm::default().fit(target, seed))),
            ("natural gradients", Box::new(|seed| NaturalGradient::default().fit(target, seed))),
            ("Laplace", Box::new(|seed| Laplace::default().fit(target, seed))),
            ("Pathfinder, 1 path", Box::new(|seed| Pathfinder::default().n_paths(1).fit(target, seed))),
            ("Pathfinder, 4 paths", Box::new(|seed| Pathfinder::default().fit(target, seed))),
        ];
        for (method, fit) in &methods {
            let (fits, failures): (Vec<_>, Vec<_>) = (0..10).map(fit).partition(Result::is_ok);
            let fits: Vec<Fit> = fits.into_iter().flatten().collect();
            let column = |digits, f: &dyn Fn(&Fit) -> f64| spread(fits.iter().map(f).collect(), digits);
            println!(
                "| {method} | {} | {} | {} | {} | {} | {} | {} |",
                column(2, &|fit| fit.pareto_k().unwrap_or(f64::NAN)),
                column(2, &|fit| fit.elbo()),
                column(3, &|fit| errors(&posterior, fit).0),
                column(3, &|fit| errors(&posterior, fit).1),
                column(0, &|fit| fit.n_gradient_evaluations() as f64),
                column(0, &|fit| fit.n_density_evaluations() as f64),
                failures.len(),
            );
        }
    }
}
