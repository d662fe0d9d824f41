//! The exact kernel of conditional sequential Monte Carlo on a finite hidden Markov model.
//!
//! Every path that the algorithm can take is multiplied out: free particles' states x ancestors and slot of the reference x final choice.
//! Clouds that differ in nothing that matters later are merged on the way. Nothing of the library is called: this is the oracle that its
//! code is compared with.

mod model;
mod schemes;

use std::collections::BTreeMap;

pub(crate) use model::Hmm;
pub(crate) use schemes::Scheme;

/// How the new path is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathSampling {
    /// Backwards along the ancestors.
    Genealogy,
    /// The same, but the reference's ancestor is drawn anew at every step.
    Ancestor,
    /// The same, but only at steps before which the cloud is resampled.
    AncestorWhenResampled,
    /// Anew at every step, after the forward pass.
    Backward,
}

/// A conditional sweep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sweep {
    pub(crate) scheme: Scheme,
    pub(crate) n_particles: usize,
    pub(crate) path_sampling: PathSampling,
    /// Resample when ESS < threshold x N.
    pub(crate) ess_threshold: f64,
    /// True if the reference starts in slot 0, false if in a slot drawn uniformly.
    pub(crate) first_slot_fixed: bool,
}

/// What decides the rest of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cloud {
    pinned: usize,
    /// The particles of the last generation, or of all if they are needed later: state, and bits of the weight.
    generations: Vec<Vec<(usize, u64)>>,
    /// Each particle's path as a number; empty if it is not needed.
    paths: Vec<usize>,
}

/// The kernel of a sweep over paths: `rows[i][j]` is the probability of path j given reference i. Paths are numbered with x_0 as the most
/// significant digit.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub(crate) rows: Vec<Vec<f64>>,
    /// Outcomes of the sweep that were multiplied out, clouds merged.
    pub(crate) n_outcomes: u64,
}

impl Kernel {
    /// The law after one sweep from `law`.
    pub(crate) fn apply(&self, law: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; law.len()];
        for (p, row) in law.iter().zip(&self.rows) {
            for (out, k) in out.iter_mut().zip(row) {
                *out += p * k;
            }
        }
        out
    }

    /// The law after many sweeps.
    pub(crate) fn stationary(&self) -> Vec<f64> {
        let n = self.rows.len();
        let mut law = vec![1.0 / n as f64; n];
        for _ in 0..100_000 {
            let next = self.apply(&law);
            let change = total_variation(&next, &law);
            law = next;
            if change < 1e-16 {
                break;
            }
        }
        law
    }
}

/// Half the sum of absolute differences.
pub(crate) fn total_variation(a: &[f64], b: &[f64]) -> f64 {
    0.5 * a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>()
}

/// The largest absolute difference.
pub(crate) fn max_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

impl Sweep {
    /// The exact kernel.
    pub(crate) fn kernel(&self, hmm: &Hmm) -> Kernel {
        let mut kernel = Kernel { rows: Vec::new(), n_outcomes: 0 };
        for code in 0..hmm.n_paths() {
            let row = if hmm.joint(code) > 0.0 {
                self.row(hmm, &hmm.path(code), &mut kernel.n_outcomes)
            } else {
                // Not a path of the model: no sweep starts there.
                (0..hmm.n_paths()).map(|j| f64::from(u8::from(j == code))).collect()
            };
            kernel.rows.push(row);
        }
        kernel
    }

    fn row(&self, hmm: &Hmm, reference: &[usize], n_outcomes: &mut u64) -> Vec<f64> {
        let mut clouds = self.start(hmm, reference, n_outcomes);
        for t in 1..hmm.n_steps() {
            let mut next = BTreeMap::new();
            for (cloud, p) in &clouds {
                self.advance(hmm, t, reference[t], cloud, *p, &mut next, n_outcomes);
            }
            clouds = next;
        }
        let mut row = vec![0.0; hmm.n_paths()];
        for (cloud, p) in &clouds {
            if self.path_sampling == PathSampling::Backward {
                backward(hmm, &cloud.generations, hmm.n_steps() - 1, None, 0, *p, &mut row);
            } else {
                let weights = weights(cloud);
                let total: f64 = weights.iter().sum();
                for (path, w) in cloud.paths.iter().zip(weights) {
                    row[*path] += p * w / total;
                }
            }
        }
        row
    }

    fn start(&self, hmm: &Hmm, reference: &[usize], n_outcomes: &mut u64) -> BTreeMap<Cloud, f64> {
        let n = self.n_particles;
        let mut clouds = BTreeMap::new();
        let n_slots = if self.first_slot_fixed { 1 } else { n };
        for pinned in 0..n_slots {
            let laws: Vec<Vec<f64>> =
                (0..n).map(|i| if i == pinned { point(hmm, reference[0]) } else { hmm.first_law() }).collect();
            for (states, p) in product(&laws) {
                let generation = states.iter().map(|&x| (x, hmm.first_weight(x).to_bits())).collect();
                let paths = if self.path_sampling == PathSampling::Backward { Vec::new() } else { states };
                *clouds.entry(Cloud { pinned, generations: vec![generation], paths }).or_insert(0.0) += p / n_slots as f64;
                *n_outcomes += 1;
            }
        }
        clouds
    }

    /// One step of all particles, the reference's going to `x_reference`.
    #[expect(clippy::too_many_arguments, reason = "a recursion written as one function")]
    fn advance(
        &self,
        hmm: &Hmm,
        t: usize,
        x_reference: usize,
        cloud: &Cloud,
        p: f64,
        next: &mut BTreeMap<Cloud, f64>,
        n_outcomes: &mut u64,
    ) {
        let n = self.n_particles;
        let states: Vec<usize> = last(cloud).iter().map(|(x, _)| *x).collect();
        let carried = weights(cloud);
        let eta: Vec<f64> = states.iter().map(|&x| hmm.look_ahead(t, x)).collect();
        let tilted: Vec<f64> = carried.iter().zip(&eta).map(|(w, eta)| w * eta).collect();
        let total: f64 = tilted.iter().sum();
        let chances: Vec<f64> = tilted.iter().map(|w| w / total).collect();
        let ess = total * total / tilted.iter().map(|w| w * w).sum::<f64>();
        let resampled = ess < self.ess_threshold * n as f64;

        let redrawn = match self.path_sampling {
            PathSampling::Ancestor => true,
            PathSampling::AncestorWhenResampled => resampled,
            PathSampling::Genealogy | PathSampling::Backward => false,
        };
        let parents: Vec<f64> = if redrawn {
            let connected: Vec<f64> = (0..n).map(|k| carried[k] * hmm.transition(t, states[k], x_reference)).collect();
            let total: f64 = connected.iter().sum();
            connected.iter().map(|w| w / total).collect()
        } else {
            (0..n).map(|k| f64::from(u8::from(k == cloud.pinned))).collect()
        };
        for (parent, &p_parent) in parents.iter().enumerate().filter(|(_, p)| **p > 0.0) {
            let choices =
                if resampled { self.scheme.conditional(&chances, parent) } else { vec![(parent, (0..n).collect(), 1.0)] };
            for (slot, ancestors, p_ancestors) in choices {
                let laws: Vec<Vec<f64>> = ancestors
                    .iter()
                    .enumerate()
                    .map(|(i, &a)| if i == slot { point(hmm, x_reference) } else { hmm.move_law(t, states[a]) })
                    .collect();
                for (children, p_children) in product(&laws) {
                    let generation = (0..n).map(|i| {
                        let a = ancestors[i];
                        let base = if resampled { 1.0 / eta[a] } else { carried[i] };
                        (children[i], (base * hmm.weight(t, states[a], children[i])).to_bits())
                    });
                    let generation = generation.collect();
                    let mut cloud_next = Cloud { pinned: slot, generations: Vec::new(), paths: Vec::new() };
                    if self.path_sampling == PathSampling::Backward {
                        cloud_next.generations.clone_from(&cloud.generations);
                    } else {
                        let extend = |(&a, &x): (&usize, &usize)| cloud.paths[a] * hmm.n_states() + x;
                        cloud_next.paths = ancestors.iter().zip(&children).map(extend).collect();
                    }
                    cloud_next.generations.push(generation);
                    *next.entry(cloud_next).or_insert(0.0) += p * p_parent * p_ancestors * p_children;
                    *n_outcomes += 1;
                }
            }
        }
    }
}

/// Adds the law of paths drawn backwards from step `t`, given what was drawn after it: the state of step t + 1, and the path's number so far.
fn backward(hmm: &Hmm, generations: &[Vec<(usize, u64)>], t: usize, after: Option<usize>, code: usize, p: f64, row: &mut [f64]) {
    let connect = |x: usize| after.map_or(1.0, |after| hmm.transition(t + 1, x, after));
    let mut by_state = vec![0.0; hmm.n_states()];
    for &(x, bits) in &generations[t] {
        by_state[x] += f64::from_bits(bits) * connect(x);
    }
    let total: f64 = by_state.iter().sum();
    for (x, w) in by_state.iter().enumerate().filter(|(_, w)| **w > 0.0) {
        let place = hmm.n_states().pow((hmm.n_steps() - 1 - t) as u32);
        let (code, p) = (code + x * place, p * w / total);
        if t == 0 {
            row[code] += p;
        } else {
            backward(hmm, generations, t - 1, Some(x), code, p, row);
        }
    }
}

fn last(cloud: &Cloud) -> &[(usize, u64)] {
    cloud.generations.last().map_or(&[], Vec::as_slice)
}

fn weights(cloud: &Cloud) -> Vec<f64> {
    last(cloud).iter().map(|(_, bits)| f64::from_bits(*bits)).collect()
}

fn point(hmm: &Hmm, x: usize) -> Vec<f64> {
    (0..hmm.n_states()).map(|i| f64::from(u8::from(i == x))).collect()
}

/// All outcomes of independent draws with positive probability.
fn product(laws: &[Vec<f64>]) -> Vec<(Vec<usize>, f64)> {
    let mut out = vec![(Vec::new(), 1.0)];
    for law in laws {
        let extend = |(head, p): &(Vec<usize>, f64)| {
            let (head, p) = (head.clone(), *p);
            let positive = law.iter().enumerate().filter(|(_, q)| **q > 0.0);
            positive.map(move |(x, q)| ([head.as_slice(), &[x]].concat(), p * q)).collect::<Vec<_>>()
        };
        out = out.iter().flat_map(extend).collect();
    }
    out
}
