//! The engine's conditional sweeps against the kernel multiplied out.

use std::sync::Arc;

use posterity::Error;
use posterity::model::{LookAhead, Proposal, StateSpaceModel, TransitionDensity};
use posterity::rng::Stream;
use posterity::smc::{Auxiliary, Bootstrap, ConditionalConfig, ConditionalSmc, Guided, PathSampling, Pin, SmcError};
use posterity::weights::{ResampleError, Scheme};

use super::enumeration::oracle::{self, Hmm, Kernel, Sweep};
use super::enumeration::{guided, three_steps};

/// A finite hidden Markov model as a state-space model.
#[derive(Debug, Clone)]
struct Finite(Arc<Hmm>);

fn draw(law: &[f64], rng: &mut Stream) -> usize {
    let mut rest = rng.uniform();
    for (x, p) in law.iter().enumerate() {
        if rest < *p {
            return x;
        }
        rest -= p;
    }
    law.len() - 1
}

impl StateSpaceModel for Finite {
    type State = usize;

    fn n_steps(&self) -> usize {
        self.0.n_steps()
    }

    fn initial(&self, rng: &mut Stream) -> usize {
        draw(&self.0.initial, rng)
    }

    fn transition(&self, t: usize, x: &usize, rng: &mut Stream) -> usize {
        draw(&self.0.transition[t - 1][*x], rng)
    }

    fn log_observation(&self, t: usize, x: &usize) -> f64 {
        self.0.potentials[t][*x].ln()
    }
}

impl TransitionDensity for Finite {
    fn log_initial(&self, x: &usize) -> f64 {
        self.0.initial[*x].ln()
    }

    fn log_transition(&self, t: usize, from: &usize, to: &usize) -> f64 {
        self.0.transition(t, *from, *to).ln()
    }
}

impl Proposal for Finite {
    fn propose_initial(&self, rng: &mut Stream) -> usize {
        draw(&self.0.first_law(), rng)
    }

    fn log_proposal_initial(&self, x: &usize) -> f64 {
        self.0.first_law()[*x].ln()
    }

    fn propose(&self, t: usize, from: &usize, rng: &mut Stream) -> usize {
        draw(&self.0.move_law(t, *from), rng)
    }

    fn log_proposal(&self, t: usize, from: &usize, to: &usize) -> f64 {
        self.0.move_law(t, *from)[*to].ln()
    }
}

impl LookAhead for Finite {
    fn log_look_ahead(&self, t: usize, x: &usize) -> f64 {
        self.0.look_ahead(t, *x).ln()
    }
}

const SCHEMES: [(Scheme, oracle::Scheme); 4] = [
    (Scheme::Multinomial, oracle::Scheme::Multinomial),
    (Scheme::Stratified, oracle::Scheme::Stratified),
    (Scheme::Systematic, oracle::Scheme::Systematic),
    (Scheme::Killing, oracle::Scheme::Killing),
];

const PATHS: [(PathSampling, oracle::PathSampling); 3] = [
    (PathSampling::Genealogy, oracle::PathSampling::Genealogy),
    (PathSampling::Ancestor, oracle::PathSampling::Ancestor),
    (PathSampling::Backward, oracle::PathSampling::Backward),
];

const N_PARTICLES: usize = 3;

/// How often each path (column) followed each reference (row) in `n` sweeps of the engine.
fn counts<M: Pin<Path = Vec<usize>>>(model: M, hmm: &Hmm, config: ConditionalConfig, n: u64, first_seed: u64) -> Vec<Vec<f64>>
where
    M::Error: std::fmt::Debug,
{
    let mut kernel = ConditionalSmc::new(model, config).unwrap();
    let mut seed = first_seed;
    let mut path = Vec::new();
    let row = |code| {
        let reference = hmm.path(code);
        let mut row = vec![0.0; hmm.n_paths()];
        for _ in 0..n {
            seed += 1;
            path.clone_from(&reference);
            kernel.sweep(&mut path, seed).unwrap();
            row[hmm.code(&path)] += 1.0;
        }
        row
    };
    (0..hmm.n_paths()).map(row).collect()
}

/// Pearson's statistic of all rows together, as a standard normal number by the cube root (Wilson and Hilferty 1931). Cells that expect
/// fewer than 5 are merged per row.
fn z_score(counts: &[Vec<f64>], kernel: &Kernel) -> f64 {
    let (mut statistic, mut freedom) = (0.0, 0.0);
    for (counts, law) in counts.iter().zip(&kernel.rows) {
        let n: f64 = counts.iter().sum();
        let (mut rare, mut rare_expected) = (0.0, 0.0);
        for (count, p) in counts.iter().zip(law) {
            let expected = n * p;
            if expected < 5.0 {
                rare += count;
                rare_expected += expected;
            } else {
                statistic += (count - expected).powi(2) / expected;
                freedom += 1.0;
            }
        }
        if rare_expected >= 1.0 {
            statistic += (rare - rare_expected).powi(2) / rare_expected;
            freedom += 1.0;
        }
        freedom -= 1.0;
    }
    let spread = 2.0 / (9.0 * freedom);
    ((statistic / freedom).cbrt() - (1.0 - spread)) / f64::sqrt(spread)
}

/// The test rejects above this: the chance is 3.4e-6 per comparison, 5e-4 for all of this file.
const LIMIT: f64 = 4.5;

fn compare<M: Pin<Path = Vec<usize>> + Clone>(model: M, hmm: &Hmm, n: u64, seed: u64)
where
    M::Error: std::fmt::Debug,
{
    for (scheme, exact_scheme) in SCHEMES {
        for (path_sampling, exact_path_sampling) in PATHS {
            for ess_threshold in [2.0, 0.7] {
                let config = ConditionalConfig::new(N_PARTICLES).scheme(scheme).ess_threshold(ess_threshold);
                let counts = counts(model.clone(), hmm, config.path_sampling(path_sampling), n, seed);
                let kernel = Sweep {
                    scheme: exact_scheme,
                    n_particles: N_PARTICLES,
                    path_sampling: exact_path_sampling,
                    ess_threshold,
                    first_slot_fixed: false,
                }
                .kernel(hmm);
                let z = z_score(&counts, &kernel);
                assert!(z < LIMIT, "{scheme:?}, {path_sampling:?}, threshold {ess_threshold}: z = {z}");
            }
        }
    }
}

#[test]
fn sweeps_have_the_exact_kernel_with_the_bootstrap_filter() {
    let hmm = Arc::new(three_steps());
    compare(Bootstrap(Finite(hmm.clone())), &hmm, 1500, 1_000_000);
}

#[test]
fn sweeps_have_the_exact_kernel_with_the_guided_filter() {
    let hmm = Arc::new(guided(false));
    compare(Guided(Finite(hmm.clone())), &hmm, 1000, 2_000_000);
}

#[test]
fn sweeps_have_the_exact_kernel_with_the_auxiliary_filter() {
    let hmm = Arc::new(guided(true));
    compare(Auxiliary(Guided(Finite(hmm.clone()))), &hmm, 1000, 3_000_000);
}

/// The same test tells the engine's kernels from those of known mistakes, on the same sweeps on which it finds nothing wrong with the right
/// ones. The bias of a fixed first slot is small, and takes more sweeps.
#[test]
fn the_comparison_rejects_the_kernels_of_known_mistakes() {
    use oracle::{PathSampling as Path, Scheme as Exact};
    let (long, short) = (Arc::new(three_steps()), Arc::new(Hmm::two_states()));
    let mistakes = [
        (&long, 1500, (Scheme::Multinomial, PathSampling::Genealogy), (Exact::SortedOverwrite, Path::Genealogy, true)),
        (&long, 1500, (Scheme::Systematic, PathSampling::Genealogy), (Exact::SystematicFree, Path::Genealogy, true)),
        (&short, 60_000, (Scheme::Stratified, PathSampling::Genealogy), (Exact::Stratified, Path::Genealogy, true)),
        (&long, 1500, (Scheme::Multinomial, PathSampling::Ancestor), (Exact::Multinomial, Path::Genealogy, false)),
        (&long, 1500, (Scheme::Multinomial, PathSampling::Backward), (Exact::Multinomial, Path::Genealogy, false)),
    ];
    for (hmm, n, (scheme, path_sampling), (wrong_scheme, wrong_path_sampling, first_slot_fixed)) in mistakes {
        let config = ConditionalConfig::new(N_PARTICLES).scheme(scheme).path_sampling(path_sampling);
        let counts = counts(Bootstrap(Finite(hmm.clone())), hmm, config, n, 4_000_000);
        let exact = |scheme, path_sampling, first_slot_fixed| {
            Sweep { scheme, n_particles: N_PARTICLES, path_sampling, ess_threshold: 2.0, first_slot_fixed }.kernel(hmm)
        };
        let right = |pair: (Scheme, PathSampling)| {
            let scheme = SCHEMES.iter().find(|s| s.0 == pair.0).unwrap().1;
            exact(scheme, PATHS.iter().find(|p| p.0 == pair.1).unwrap().1, false)
        };
        let z = z_score(&counts, &exact(wrong_scheme, wrong_path_sampling, first_slot_fixed));
        let z_right = z_score(&counts, &right((scheme, path_sampling)));
        println!("{scheme:?}, {path_sampling:?}: z = {z_right:.2}, with the mistake {z:.1}");
        assert!(z > LIMIT && z_right < LIMIT, "{scheme:?}, {path_sampling:?}: z = {z_right}, with the mistake {z}");
    }
}

#[test]
fn settings_and_paths_that_do_not_fit_are_refused() {
    let model = || Bootstrap(Finite(Arc::new(three_steps())));
    let refused = |config| ConditionalSmc::new(model(), config).map(|_| ()).unwrap_err();
    let one = refused(ConditionalConfig::new(1));
    assert!(matches!(one, SmcError::Setting(Error::InvalidSetting { setting: "n_particles", .. })), "{one}");
    for scheme in [Scheme::Residual, Scheme::Ssp] {
        let SmcError::Setting(Error::Sampling { source }) = refused(ConditionalConfig::new(4).scheme(scheme)) else { panic!() };
        assert_eq!(source.downcast_ref(), Some(&ResampleError::NoConditional { scheme }));
    }
    assert!(matches!(
        refused(ConditionalConfig::new(4).ess_threshold(f64::NAN)),
        SmcError::Setting(Error::InvalidSetting { setting: "ess_threshold", .. })
    ));
    let mut kernel = ConditionalSmc::new(model(), ConditionalConfig::new(4)).unwrap();
    let mut path = vec![0, 1];
    let error = kernel.sweep(&mut path, 1).unwrap_err();
    assert!(matches!(error, SmcError::Setting(Error::Dimension { expected: 3, found: 2, .. })), "{error}");
    assert_eq!(path, [0, 1]);
    // After an error the kernel goes on, and a path of the model comes out.
    let mut path = kernel.first_path(2).unwrap();
    let info = kernel.sweep(&mut path, 3).unwrap();
    assert_eq!((path.len(), kernel.update_rates().len(), info.n_resampled), (3, 3, 2));
}

#[test]
fn a_seed_repeats_a_sweep_on_any_number_of_threads() {
    let model = posterity::model::zoo::Ar1 { rho: 0.9, sigma_x: 1.0, sigma_y: 1.0, y: vec![0.3; 6] };
    let run = |threads| {
        let config = ConditionalConfig::new(10_000).scheme(Scheme::Systematic).threads(threads);
        let mut kernel = ConditionalSmc::new(Bootstrap(&model), config).unwrap();
        let mut path = kernel.first_path(1).unwrap();
        let infos: Vec<_> = (2..4).map(|seed| kernel.sweep(&mut path, seed).unwrap()).collect();
        (path, infos)
    };
    use posterity::parallel::Threads;
    let serial = run(Threads::serial());
    assert_eq!(run(Threads::new(2).unwrap()), serial);
    assert_eq!(run(Threads::new(4).unwrap()), serial);
}
