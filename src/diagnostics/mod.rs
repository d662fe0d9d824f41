//! Can the draws be trusted, and how precise are their averages?
//!
//! Every function about chains takes one quantity as an array of shape (chain, draw) and returns an [`Option`]: `None` where the number does not
//! exist, which is said at each function. In common to all: a NaN anywhere, fewer than 4 draws per chain or no chain give `None`, never
//! a panic and never a number that looks fine.
//!
//! The definitions are those of Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), *Rank-normalization, folding, and localization: an
//! improved R̂ for assessing convergence of MCMC*, Bayesian Analysis 16(2), <https://doi.org/10.1214/20-BA1221>, with the conventions of
//! ArviZ, so that the numbers of both agree. Two differences are deliberate: [`rhat()`] exists for a single chain too (its halves are
//! compared, as in R's `posterior`), and "constant" means exactly constant, not "a range below 1e-15", so that no diagnostic depends on
//! the unit of measurement.
//!
//! [`Draws::summary`](crate::draws::Draws::summary) puts all of it together and warns in words.
//!
//! # Importance weights
//!
//! [`Psis`] smooths the largest of a set of importance weights and says by Pareto k̂ whether averages under them can be trusted; [`pareto_k`]
//! is that number alone.
//!
//! # How well does a model predict?
//!
//! [`Loo`], leave-one-out cross-validation from one fit, estimates the log predictive density of each observation given all others, says by k̂
//! for which of them the estimate is unreliable, and how large its Monte Carlo error is. [`Waic`] is the older approximation that does not know
//! when it fails. [`compare`] puts models of the same observations side by side. Observations must be independent given the parameters, and
//! single ones must be what is to be predicted: for the future of a series, or a group that is new as a whole, it is the wrong picture.
//!
//! Log likelihoods come from [`Draws::loo`](crate::draws::Draws::loo) where a run kept them, or from [`PointwiseLogLikelihood`], a block of
//! observations at a time: of a function, or of a target evaluated again at the draws. Draws may have weights, as those of a variational fit or of
//! a cloud.
//!
//! Definitions and estimates are those of Vehtari, Gelman & Gabry (2017), *Practical Bayesian model evaluation using leave-one-out cross-validation
//! and WAIC*, <https://doi.org/10.1007/s11222-016-9696-4>, as in the R package loo.
//!
//! # Samples that are no chains
//!
//! [`Points`] of any origin, weighted or not, are compared with each other or with a density:
//!
//! | function | compares points with | asks for |
//! |---|---|---|
//! | [`ksd`], [`SteinKernel`] | a density | scores at the points, as [`scores_of`] evaluates them |
//! | [`energy_distance`] | other points | nothing |
//! | [`mmd_squared`] | other points | a bandwidth |
//!
//! None of them is 0 for an exact sample of finite size: compare with the same number of exact draws, or take the unbiased forms, which are 0 on
//! average. A small kernel Stein discrepancy does not show that the weights of separate modes are right, since the score does not know them:
//! look at a distance between samples beside it. The cost of each is that of all pairs of points, and no matrix of them is stored.
//! [`SteinThinning`] picks the few points of a sample that stand best for a density.
//!
//! # Samplers
//!
//! Is a sampler right on average over the data that a model can produce? It is checked by simulation, for anything that turns data into draws:
//!
//! | step | type |
//! |---|---|
//! | describe the model | [`CalibrationProblem`]; [`ModelProblem`] for a [`Target`](crate::model::Target) that can simulate |
//! | simulate and sample, on threads | [`CalibrationRun`] gives [`Simulations`] |
//! | rank of the truth among the draws in coordinates, log-likelihood, products and functions of one's own | [`Sbc`] gives [`SbcReport`] |
//! | distance of the truth from a reference point among those of the draws | [`Tarp`] gives [`TarpReport`] |
//!
//! What stays invisible is an error that is right on average over the prior predictive distribution, or that shows at rare data only: draws at data
//! of one's own are not certified by it.

mod autocovariance;
mod calibration;
mod chains;
mod discrepancy;
mod energy;
mod ess;
mod mcse;
mod pareto;
mod predictive;
mod psis;
mod quantile;
mod ranks;
mod rhat;
mod summary;
mod table;
mod warning;

pub use autocovariance::{autocorrelation, autocovariance};
pub use calibration::{
    CalibrationProblem, CalibrationRun, CalibrationWarning, Deviation, EcdfBand, EcpPoint, FailedSimulation, ModelProblem, Sbc,
    SbcReport, SbcRow, Simulations, Tarp, TarpReport,
};
pub use discrepancy::{
    Points, Preconditioner, SteinKernel, SteinThinning, energy_distance, energy_distance_unbiased, ksd, median_distance,
    mmd_squared, mmd_squared_unbiased, scores_of, unconstrained_draws,
};
pub use energy::bfmi;
pub use ess::{ess_bulk, ess_mean, ess_quantile, ess_sd, ess_tail};
pub use mcse::{mcse_mean, mcse_quantile, mcse_sd};
pub use predictive::{
    Compared, Comparison, Loo, PointwiseLogLikelihood, PointwiseLoo, PointwiseWaic, PredictiveEstimate, Waic, compare,
};
pub use psis::{Psis, Reliability, pareto_k};
pub use quantile::quantile;
pub use rhat::{rhat, split_rhat};
pub use summary::{Summary, SummaryRow};
pub use warning::{Quantity, Warning};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;
    use ndarray::{Array2, array};

    /// Chains that are the same in every language: a linear congruential generator u, and x' = ±0.7 x + u - 1/2.
    fn series(kind: &str, n_chains: usize, n_draws: usize) -> Array2<f64> {
        let mut state = 12_345_u64;
        let mut out = Array2::zeros((n_chains, n_draws));
        for mut chain in out.rows_mut() {
            let mut x = 0.0;
            for value in &mut chain {
                state = (1_103_515_245 * state + 12_345) % (1 << 31);
                let u = (state as f64 + 0.5) / f64::from(1_u32 << 31);
                *value = match kind {
                    "cauchy" => (std::f64::consts::PI * (u - 0.5)).tan(),
                    "whole" => (4.0 * u).floor(),
                    _ => {
                        x = if kind == "ar" { 0.7 } else { -0.7 } * x + u - 0.5;
                        x
                    }
                };
            }
        }
        out
    }

    /// `arviz` 0.23.4 on the same series: rhat(rank), ess(bulk, tail, mean, sd, quantile 0.3), mcse(mean, sd, quantile 0.3).
    #[rustfmt::skip]
    const ARVIZ: [(&str, usize, usize, [f64; 9]); 5] = [
        ("ar", 4, 250, [1.012943254426512, 201.6768577844299, 394.2591592315353, 203.0450832467888, 345.3545221571048,
            318.277520412168, 0.02742796036498699, 0.01351724500271153, 0.030345329322422926]),
        ("antithetic", 3, 101, [1.015913628910061, 743.1363764158988, 225.7250377447777, 743.1363764158988, 105.66892878723546,
            422.33491177831786, 0.015402356926837274, 0.028028711901077596, 0.03401790728327092]),
        ("cauchy", 4, 100, [1.0042911240513899, 422.5498708002688, 374.88069567676484, 404.40894395303764, 418.05129575804364,
            435.92893005946144, 1.4908680334476798, 11.894067239495293, 0.09957502010179925]),
        ("whole", 2, 75, [0.9978395373450382, 164.42047274329394, 121.68629623316833, 165.8830482332601, 136.20896801117257,
            165.54958909478376, 0.08464132309614887, 0.03931250681139253, 0.0]),
        ("ar", 1, 6, [f64::NAN, 4.668907502301862, 4.668907502301862, 4.668907502301862, 4.668907502301862, 4.668907502301862,
            0.08476676060184248, 0.031071988759570925, 0.11330218631017488]),
    ];

    #[test]
    fn numbers_agree_with_arviz() {
        for (kind, n_chains, n_draws, expected) in ARVIZ {
            let draws = series(kind, n_chains, n_draws);
            let x = draws.view();
            let found = [
                rhat(x),
                ess_bulk(x),
                ess_tail(x),
                ess_mean(x),
                ess_sd(x),
                ess_quantile(x, 0.3),
                mcse_mean(x),
                mcse_sd(x),
                mcse_quantile(x, 0.3),
            ];
            for (i, (found, expected)) in found.into_iter().zip(expected).enumerate() {
                // ArviZ does not give R-hat for one chain.
                if !expected.is_nan() {
                    let found = found.unwrap();
                    assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{kind} {n_draws} [{i}]: {found} {expected}");
                }
            }
        }
    }

    fn normal(n_chains: usize, n_draws: usize) -> Array2<f64> {
        let mut stream = Stream::new(11);
        Array2::from_shape_simple_fn((n_chains, n_draws), || stream.normal())
    }

    #[test]
    fn chains_that_drift_together_are_seen_by_the_split() {
        let mut draws = normal(4, 1000);
        draws.indexed_iter_mut().for_each(|((_, i), x)| *x += i as f64 / 500.0);
        // The definition of 1992, without the split.
        let means: Vec<f64> = draws.rows().into_iter().map(|chain| chains::mean(&chain.to_vec())).collect();
        let within = draws.rows().into_iter().map(|chain| chains::variance(&chain.to_vec())).sum::<f64>() / 4.0;
        let unsplit = (0.999 + chains::variance(&means) / within).sqrt();
        assert!(unsplit < 1.01, "{unsplit}");
        // Half-chain means 1 apart, variance within 1 + 1/12: R² = 1 + (2/7) / 1.083 = 1.26.
        assert!(rhat(draws.view()).unwrap() > 1.09);
        assert!(rhat(draws.slice(ndarray::s![..1, ..])).unwrap() > 1.09, "one chain");
    }

    #[test]
    fn a_shift_among_heavy_tails_is_seen_by_the_ranks() {
        let mut stream = Stream::new(12);
        let mut draws = Array2::from_shape_simple_fn((4, 1000), || stream.normal() / stream.normal());
        draws.row_mut(0).mapv_inplace(|x| x + 2.0);
        assert!(split_rhat(draws.view()).unwrap() < 1.01, "the plain definition must miss it");
        assert!(rhat(draws.view()).unwrap() > 1.05);
    }

    #[test]
    fn another_spread_is_seen_by_the_folding() {
        let mut draws = normal(4, 1000);
        draws.row_mut(0).mapv_inplace(|x| 3.0 * x);
        assert!(split_rhat(draws.view()).unwrap() < 1.01);
        assert!(rhat(draws.view()).unwrap() > 1.05);
    }

    #[test]
    fn nothing_depends_on_the_unit_or_the_offset() {
        let draws = normal(4, 200);
        let scaled = draws.mapv(|x| 2.0_f64.powi(-100) * x);
        assert_eq!(ess_mean(draws.view()), ess_mean(scaled.view()));
        assert_eq!(ess_bulk(draws.view()), ess_bulk(scaled.view()));
        assert_eq!(rhat(draws.view()), rhat(scaled.view()));
    }

    #[test]
    fn edge_cases_have_the_documented_values() {
        let all = |x: &Array2<f64>| {
            let x = x.view();
            [
                rhat(x),
                split_rhat(x),
                ess_bulk(x),
                ess_tail(x),
                ess_mean(x),
                ess_sd(x),
                mcse_mean(x),
                mcse_sd(x),
                mcse_quantile(x, 0.5),
            ]
        };
        let mut broken = normal(4, 100);
        broken[[2, 50]] = f64::NAN;
        for unusable in [Array2::zeros((4, 3)), Array2::zeros((4, 0)), Array2::zeros((0, 4)), broken] {
            assert_eq!(all(&unusable), [None; 9]);
        }
        let size = Some(808.0);
        let constant = [None, None, size, size, size, size, Some(0.0), None, Some(0.0)];
        assert_eq!(all(&Array2::from_elem((4, 202), 0.1)), constant);

        // Infinite draws: what needs moments does not exist, what needs ranks does.
        let mut infinite = normal(4, 100);
        infinite[[1, 7]] = f64::INFINITY;
        infinite[[2, 8]] = f64::NEG_INFINITY;
        let found = all(&infinite).map(|x| x.is_some());
        assert_eq!(found, [true, false, true, true, false, false, false, false, true]);

        // Chains that stand still at different places.
        let still = Array2::from_shape_fn((4, 100), |(chain, _)| chain as f64);
        assert_eq!(rhat(still.view()), Some(f64::INFINITY));
        assert_eq!(ess_quantile(still.view(), f64::NAN), None);
        assert_eq!(mcse_quantile(still.view(), -0.1), None);
        // Four draws, the fewest there may be.
        assert!(all(&array![[1.0, 3.0, 2.0, 4.0], [2.0, 0.0, 1.0, 5.0]]).iter().all(Option::is_some));
    }

    #[test]
    fn antithetic_chains_stay_below_the_cap() {
        let draws = Array2::from_shape_fn((4, 100), |(_, i)| if i % 2 == 0 { 1.0 } else { -1.0 });
        // The alternation itself: S log10 S.
        assert!((ess_mean(draws.view()).unwrap() - 400.0 * 400.0_f64.log10()).abs() < 1e-9);
    }
}
