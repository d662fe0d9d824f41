//! The exact kernel of conditional sequential Monte Carlo, multiplied out: valid forms leave the posterior where it is, wrong ones do not.

#[path = "../../../examples/enumeration/mod.rs"]
pub(crate) mod oracle;

use oracle::{Hmm, PathSampling, Scheme, Sweep, max_difference, total_variation};

pub(crate) const PATHS: [PathSampling; 4] =
    [PathSampling::Genealogy, PathSampling::Ancestor, PathSampling::AncestorWhenResampled, PathSampling::Backward];

/// Two states, three steps; transitions differ between steps.
pub(crate) fn three_steps() -> Hmm {
    let mut hmm = Hmm::two_states();
    hmm.transition.push(vec![vec![0.4, 0.6], vec![0.9, 0.1]]);
    hmm.potentials.push(vec![0.15, 1.1]);
    hmm
}

/// The same with proposals that are not the transitions, and a look-ahead.
pub(crate) fn guided(look_ahead: bool) -> Hmm {
    let mut hmm = three_steps();
    hmm.first_proposal = vec![0.3, 0.7];
    hmm.proposal = vec![vec![vec![0.5, 0.5], vec![0.6, 0.4]], vec![vec![0.2, 0.8], vec![0.7, 0.3]]];
    if look_ahead {
        hmm.look_ahead = vec![vec![0.5, 1.7], vec![1.2, 0.3]];
    }
    hmm
}

/// Three states, of which one cannot be seen at step 1.
fn three_states() -> Hmm {
    Hmm {
        initial: vec![0.5, 0.3, 0.2],
        transition: vec![
            vec![vec![0.6, 0.3, 0.1], vec![0.15, 0.7, 0.15], vec![0.05, 0.4, 0.55]],
            vec![vec![0.2, 0.3, 0.5], vec![0.1, 0.8, 0.1], vec![0.35, 0.25, 0.4]],
        ],
        potentials: vec![vec![0.9, 0.2, 0.4], vec![0.1, 0.7, 0.0], vec![0.6, 0.25, 0.05]],
        ..Hmm::default()
    }
}

fn sweep(scheme: Scheme, n_particles: usize, path_sampling: PathSampling) -> Sweep {
    Sweep { scheme, n_particles, path_sampling, ess_threshold: 2.0, first_slot_fixed: false }
}

/// The largest |πK - π| over all valid kernels with `n_particles`.
fn worst(hmm: &Hmm, n_particles: usize) -> f64 {
    let posterior = hmm.posterior();
    let mut worst: f64 = 0.0;
    for scheme in Scheme::VALID {
        for path_sampling in PATHS {
            for ess_threshold in [2.0, 0.7] {
                let kernel = Sweep { ess_threshold, ..sweep(scheme, n_particles, path_sampling) }.kernel(hmm);
                let error = max_difference(&kernel.apply(&posterior), &posterior);
                assert!(error <= 1e-12, "{scheme:?}, N = {n_particles}, {path_sampling:?}, threshold {ess_threshold}: {error:e}");
                worst = worst.max(error);
            }
        }
    }
    worst
}

// Rounding: at most a few thousand terms of relative error 1e-16 each; 1e-12 is the promise.

#[test]
fn every_valid_kernel_keeps_the_posterior_of_two_steps() {
    for n_particles in 2..=4 {
        worst(&Hmm::two_states(), n_particles);
    }
}

#[test]
fn every_valid_kernel_keeps_the_posterior_of_three_steps() {
    for n_particles in 2..=3 {
        worst(&three_steps(), n_particles);
    }
}

#[test]
fn every_valid_kernel_keeps_the_posterior_with_proposals_and_look_ahead() {
    worst(&guided(false), 2);
    worst(&guided(true), 2);
    worst(&guided(true), 3);
}

#[test]
fn every_valid_kernel_keeps_the_posterior_of_three_states() {
    worst(&three_states(), 2);
}

/// Two ways of getting the ancestors wrong: total variation distance to the posterior after one sweep from it, and of the law in the long
/// run.
#[test]
fn wrong_schemes_have_the_biases_known_for_them() {
    let Some(path) = crate::data::path("smc/csmc_exact.json") else { return };
    let known: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (hmm, posterior) = (Hmm::two_states(), Hmm::two_states().posterior());
    for n_particles in 2..=4 {
        // The reference figures for systematic resampling come from a grid of 2000 midpoints.
        let schemes = [
            ("iid", Scheme::Multinomial),
            ("sorted_overwrite", Scheme::SortedOverwrite),
            ("systematic_Nm1", Scheme::SystematicFreeOnGrid(2000)),
        ];
        for (name, scheme) in schemes {
            let known = &known[format!("{name}_N{n_particles}")];
            let wrong = Sweep { first_slot_fixed: true, ..sweep(scheme, n_particles, PathSampling::Genealogy) };
            let kernel = wrong.kernel(&hmm);
            let once = total_variation(&kernel.apply(&posterior), &posterior);
            let stationary = total_variation(&kernel.stationary(), &posterior);
            assert!((once - known["tv_after_one_sweep"].as_f64().unwrap()).abs() < 1e-9, "{name}, N = {n_particles}: {once}");
            assert!(
                (stationary - known["tv_stationary"].as_f64().unwrap()).abs() < 1e-9,
                "{name}, N = {n_particles}: {stationary}"
            );
        }
    }
    // Integrated exactly over the uniform point instead.
    let wrong = Sweep { first_slot_fixed: true, ..sweep(Scheme::SystematicFree, 3, PathSampling::Genealogy) };
    let once = total_variation(&wrong.kernel(&hmm).apply(&posterior), &posterior);
    assert!((once - 0.000_780_965_107).abs() < 1e-11, "{once}");
}

/// Under stratified resampling the slots are not exchangeable, and the reference must not always start in the same one. The other schemes
/// do not mind.
#[test]
fn a_fixed_first_slot_is_wrong_for_stratified_resampling_alone() {
    let (hmm, posterior) = (Hmm::two_states(), Hmm::two_states().posterior());
    for scheme in Scheme::VALID {
        let fixed = Sweep { first_slot_fixed: true, ..sweep(scheme, 3, PathSampling::Genealogy) };
        let bias = total_variation(&fixed.kernel(&hmm).apply(&posterior), &posterior);
        if scheme == Scheme::Stratified {
            assert!((bias - 0.0062).abs() < 1e-4, "{bias}");
        } else {
            assert!(bias < 1e-12, "{scheme:?}: {bias}");
        }
    }
}
