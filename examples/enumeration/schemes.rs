//! Resampling schemes as exact laws of ancestors, from their definitions.

/// A scheme, or one of two ways of getting it wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Independent draws.
    Multinomial,
    /// One uniform point in each of N intervals.
    Stratified,
    /// The same point in each of N intervals.
    Systematic,
    /// Slot i survives with probability w_i / max w; otherwise it gets a multinomial draw.
    Killing,
    /// Wrong: N sorted multinomial draws, of which the first is overwritten by the reference.
    SortedOverwrite,
    /// Wrong: systematic resampling of the N - 1 free particles, as if there were no reference.
    SystematicFree,
    /// The same with the uniform point on a grid of this many midpoints.
    SystematicFreeOnGrid(usize),
}

type Law = Vec<(Vec<usize>, f64)>;

impl Scheme {
    pub(crate) const VALID: [Self; 4] = [Self::Multinomial, Self::Stratified, Self::Systematic, Self::Killing];

    /// The law of (slot of the reference, ancestors) given the reference's parent, for weights that sum to 1.
    ///
    /// For a valid scheme with law r of the ancestors a, and a slot I uniform on all: P(I = i, a | a_I = k) = r(a) / (N w_k) where a_i = k.
    pub(crate) fn conditional(self, weights: &[f64], parent: usize) -> Vec<(usize, Vec<usize>, f64)> {
        let n = weights.len();
        match self {
            Self::SortedOverwrite => {
                let overwrite = |(mut a, p): (Vec<usize>, f64)| {
                    a.sort_unstable();
                    a[0] = parent;
                    (0, a, p)
                };
                multinomial(weights, n).into_iter().map(overwrite).collect()
            }
            Self::SystematicFree | Self::SystematicFreeOnGrid(_) => {
                let put_first = |(a, p): (Vec<usize>, f64)| (0, [&[parent], a.as_slice()].concat(), p);
                systematic(weights, n - 1, self.grid()).into_iter().map(put_first).collect()
            }
            _ => {
                let mut out = Vec::new();
                for (a, r) in self.law(weights) {
                    let slots = (0..n).filter(|&i| a[i] == parent);
                    out.extend(slots.map(|i| (i, a.clone(), r / (n as f64 * weights[parent]))));
                }
                out
            }
        }
    }

    fn law(self, weights: &[f64]) -> Law {
        let n = weights.len();
        match self {
            Self::Multinomial | Self::SortedOverwrite => multinomial(weights, n),
            Self::Systematic | Self::SystematicFree | Self::SystematicFreeOnGrid(_) => systematic(weights, n, self.grid()),
            Self::Stratified => super::product(&strata(weights)),
            Self::Killing => {
                let largest = weights.iter().copied().fold(0.0, f64::max);
                let slot = |i: usize| {
                    let survives = weights[i] / largest;
                    let law = weights.iter().enumerate();
                    law.map(|(k, w)| (1.0 - survives) * w + if k == i { survives } else { 0.0 }).collect()
                };
                super::product(&(0..n).map(slot).collect::<Vec<Vec<f64>>>())
            }
        }
    }

    fn grid(self) -> Option<usize> {
        if let Self::SystematicFreeOnGrid(n_points) = self { Some(n_points) } else { None }
    }
}

fn multinomial(weights: &[f64], n: usize) -> Law {
    super::product(&vec![weights.to_vec(); n])
}

/// Per interval [i, i + 1) / n, the fraction of it that belongs to each parent.
fn strata(weights: &[f64]) -> Vec<Vec<f64>> {
    let n = weights.len();
    let edges = edges(weights, n);
    let overlap = |i: usize, k: usize| (edges[k + 1].min(i as f64 + 1.0) - edges[k].max(i as f64)).max(0.0);
    (0..n).map(|i| (0..n).map(|k| overlap(i, k)).collect()).collect()
}

/// Piecewise constant in the one uniform point u: integrated over the pieces, or summed over a grid.
fn systematic(weights: &[f64], n: usize, grid: Option<usize>) -> Law {
    let edges = edges(weights, n);
    let mut breaks: Vec<f64> = edges.iter().map(|e| e.fract()).chain([0.0, 1.0]).collect();
    breaks.sort_by(f64::total_cmp);
    let parent = |position: f64| (0..weights.len()).find(|&k| position < edges[k + 1]).unwrap_or(weights.len() - 1);
    let chance = |piece: &[f64]| match grid {
        None => piece[1] - piece[0],
        Some(m) => (0..m).filter(|&j| (piece[0]..piece[1]).contains(&((j as f64 + 0.5) / m as f64))).count() as f64 / m as f64,
    };
    let outcome = |piece: &[f64]| {
        let u = 0.5 * (piece[0] + piece[1]);
        ((0..n).map(|i| parent(i as f64 + u)).collect(), chance(piece))
    };
    breaks.windows(2).map(outcome).filter(|(_, p)| *p > 0.0).collect()
}

/// n x cumulative weights, from 0 to n.
fn edges(weights: &[f64], n: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let mut edges = vec![0.0];
    for w in weights {
        sum += w;
        edges.push(sum * n as f64);
    }
    edges
}
