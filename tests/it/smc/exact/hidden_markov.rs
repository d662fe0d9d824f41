//! Hidden Markov models against enumeration of all paths.

use ndarray::{Array1, Array2, Array3, array};
use posterity::Error;
use posterity::rng::Stream;
use posterity::smc::exact::HiddenMarkov;

use super::{MISSING, shifted};

/// Three states, asymmetric; state 2 cannot be reached before step 2, state 0 has potential zero at step 1.
struct Chain {
    initial: Array1<f64>,
    transitions: Array3<f64>,
    log_potentials: Array2<f64>,
}

const NEVER: f64 = f64::NEG_INFINITY;

fn chain() -> Chain {
    Chain {
        initial: array![0.6, 0.4, 0.0],
        transitions: array![
            [[0.3, 0.7, 0.0], [0.9, 0.1, 0.0], [0.2, 0.2, 0.6]],
            [[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [1.0, 0.0, 0.0]],
            [[0.0, 0.4, 0.6], [0.3, 0.3, 0.4], [0.8, 0.15, 0.05]]
        ],
        log_potentials: array![[-1.0, -0.2, 3.0], [NEVER, -1.5, 0.3], [-2.0, 0.7, -0.4], [0.1, -0.6, -3.0]],
    }
}

impl Chain {
    fn model(&self) -> HiddenMarkov {
        HiddenMarkov::with_transitions(self.initial.view(), self.transitions.view(), self.log_potentials.view()).unwrap()
    }

    /// All paths of the first `n_steps` steps with their weights.
    fn paths(&self, n_steps: usize) -> Vec<(Vec<usize>, f64)> {
        let mut paths = vec![(vec![], 1.0)];
        for t in 0..n_steps {
            let extend = |(path, weight): &(Vec<usize>, f64)| {
                let (path, weight) = (path.clone(), *weight);
                (0..3).map(move |k| {
                    let move_in = path.last().map_or(self.initial[k], |&i| self.transitions[[t - 1, i, k]]);
                    ([path.as_slice(), &[k]].concat(), weight * move_in * self.log_potentials[[t, k]].exp())
                })
            };
            paths = paths.iter().flat_map(extend).collect();
        }
        paths
    }

    fn evidence(&self, n_steps: usize) -> f64 {
        self.paths(n_steps).iter().map(|(_, w)| w).sum()
    }
}

#[test]
fn hidden_markov_agrees_with_enumeration() {
    let chain = chain();
    let model = chain.model();
    let filter = model.filter().unwrap();
    let smoother = filter.smooth().unwrap();
    assert!((filter.log_evidence() - chain.evidence(4).ln()).abs() < 1e-12);
    let probability = |n: usize, holds: &dyn Fn(&[usize]) -> bool| -> f64 {
        chain.paths(n).iter().filter(|(path, _)| holds(path)).map(|(_, w)| w).sum::<f64>() / chain.evidence(n)
    };
    for t in 0..4 {
        let earlier = if t == 0 { 1.0 } else { chain.evidence(t) };
        assert!((filter.log_likelihoods()[t] - (chain.evidence(t + 1) / earlier).ln()).abs() < 1e-12);
        for i in 0..3 {
            assert!((filter.filtered()[[t, i]] - probability(t + 1, &|x| x[t] == i)).abs() < 1e-12);
            assert!((smoother.marginals()[[t, i]] - probability(4, &|x| x[t] == i)).abs() < 1e-12);
            for j in (0..3).filter(|_| t < 3) {
                assert!((smoother.pairwise()[[t, i, j]] - probability(4, &|x| x[t] == i && x[t + 1] == j)).abs() < 1e-12);
            }
        }
    }
    let (best, weight) = chain.paths(4).into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let found = model.viterbi().unwrap();
    assert_eq!(found.states().to_vec(), best);
    assert!((found.log_joint() - weight.ln()).abs() < 1e-12);

    // The oracle tells a transposed matrix from the right one.
    let mut transposed = chain.transitions.clone();
    for (mut to, from) in transposed.outer_iter_mut().zip(chain.transitions.outer_iter()) {
        to.assign(&from.t());
        to.outer_iter_mut().for_each(|mut row| row /= row.sum());
    }
    let wrong = HiddenMarkov::with_transitions(chain.initial.view(), transposed.view(), chain.log_potentials.view()).unwrap();
    assert!((wrong.filter().unwrap().log_evidence() - chain.evidence(4).ln()).abs() > 0.01);
}

/// The largest z-scores of the frequencies of paths with at least 20 expected draws (infinite if an impossible path is drawn), and of
/// those of shifted draws.
fn z_of_paths(seed: u64) -> [f64; 2] {
    let (chain, n) = (chain(), 20_000);
    let draws = chain.model().filter().unwrap().sample_paths(n, &mut Stream::new(seed)).unwrap();
    let (weights, total) = (chain.paths(4), chain.evidence(4));
    [draws.clone(), shifted(&draws, 1)].map(|draws| {
        let z = |(path, weight): &(Vec<usize>, f64)| {
            let p = weight / total;
            let expected = p * n as f64;
            let count = draws.outer_iter().filter(|draw| draw.iter().eq(path)).count() as f64;
            if p == 0.0 && count > 0.0 {
                f64::INFINITY
            } else if expected >= 20.0 {
                ((count - expected) / (expected * (1.0 - p)).sqrt()).abs()
            } else {
                0.0
            }
        };
        weights.iter().map(z).fold(0.0, f64::max)
    })
}

#[test]
fn sampled_paths_have_the_enumerated_probabilities() {
    // 12 z-scores, of which one exceeds 4.5 with probability 8e-5. Seeds 0 to 199: no failure, largest 4.1.
    let [right, shifted] = z_of_paths(1);
    assert!(right < 4.5);
    assert!(shifted > 10.0, "steps drawn apart are noticed");
}

#[test]
fn states_of_probability_e_to_minus_800_are_not_lost() {
    let still = array![[1.0, 0.0], [0.0, 1.0]];
    let half = array![0.5, 0.5];
    let model = HiddenMarkov::new(half.view(), still.view(), array![[0.0, -800.0], [NEVER, -900.0]].view()).unwrap();
    let filter = model.filter().unwrap();
    assert!((filter.log_evidence() - (0.5_f64.ln() - 1700.0)).abs() < 1e-10);
    assert_eq!(filter.smooth().unwrap().marginals(), array![[0.0, 1.0], [0.0, 1.0]]);
    assert_eq!(filter.sample_paths(3, &mut Stream::new(0)).unwrap(), Array2::<usize>::ones((3, 2)));
    assert_eq!(model.viterbi().unwrap().states(), array![1, 1]);
}

#[test]
fn errors_of_hidden_markov_models() {
    let (half, a, g) = (array![0.5, 0.5], array![[0.9, 0.1], [0.2, 0.8]], array![[0.0, 0.0], [0.0, 0.0]]);
    let build = |pi: &Array1<f64>, a: &Array2<f64>, g: &Array2<f64>| HiddenMarkov::new(pi.view(), a.view(), g.view());
    assert!(build(&half, &a, &g).is_ok());
    assert!(
        matches!(build(&array![0.5, 0.6], &a, &g), Err(Error::OutsideSupport { variable, .. }) if variable == "the sum of initial")
    );
    let negative = array![[0.9, 0.1], [-0.2, 1.2]];
    assert!(matches!(build(&half, &negative, &g), Err(Error::OutsideSupport { variable, .. }) if variable == "transition[1][0]"));
    let hole = array![[0.9, 0.1], [MISSING, 1.0]];
    assert!(matches!(build(&half, &hole, &g), Err(Error::OutsideSupport { .. })));
    assert!(matches!(build(&half, &array![[1.0]], &g), Err(Error::Dimension { expected: 2, found: 1, .. })));
    for bad in [MISSING, f64::INFINITY] {
        let g = array![[0.0, 0.0], [bad, 0.0]];
        assert!(matches!(build(&half, &a, &g), Err(Error::NotFinite { what: "log_potentials", index: 2, .. })));
    }
    assert!(matches!(build(&half, &a, &Array2::zeros((0, 2))), Err(Error::Empty { what: "log_potentials" })));
    assert!(matches!(build(&array![], &Array2::zeros((0, 0)), &Array2::zeros((1, 0))), Err(Error::Empty { what: "initial" })));
    let moves = HiddenMarkov::with_transitions(half.view(), Array3::zeros((2, 2, 2)).view(), g.view());
    assert!(matches!(moves, Err(Error::Dimension { what: "transitions", expected: 1, found: 2 })));

    // State 1 has a potential at step 1, but only state 0 can be there.
    let stuck = build(&array![1.0, 0.0], &array![[1.0, 0.0], [0.0, 1.0]], &array![[0.0, 0.0], [NEVER, 0.0]]).unwrap();
    assert!(matches!(stuck.filter(), Err(Error::Impossible { step: 1 })));
    assert!(matches!(stuck.viterbi(), Err(Error::Impossible { step: 1 })));
    let filter = build(&half, &a, &g).unwrap().filter().unwrap();
    assert!(matches!(filter.sample_paths(0, &mut Stream::new(0)), Err(Error::InvalidSetting { .. })));
}
