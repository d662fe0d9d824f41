//! Normalizing flows: a normal distribution bent by invertible layers, with every derivative written by hand.
//!
//! | layers | per draw | density elsewhere | for |
//! |---|---|---|---|
//! | [`planar`](NormalizingFlow::planar) | 4d | a scalar equation per layer | bends and splits in few dimensions |
//! | [`radial`](NormalizingFlow::radial) | 4d | closed form | humps and holes |
//! | [`real_nvp`](NormalizingFlow::real_nvp) | a small network | closed form | strong dependence, funnels, tens of dimensions |
//! | [`nice`](NormalizingFlow::nice) | a small network | closed form | the same without changes of scale |
//! | [`iaf`](NormalizingFlow::iaf) | a small network | closed form, coordinate by coordinate | dependence in an order of the coordinates |

mod affine;
mod approximation;
mod layer;
mod network;
mod planar;
mod radial;

use crate::error::{Error, check};
use crate::rng::Stream;
use crate::vi::approximation::{Approximation, Closure, Family, check_start};
use crate::vi::families::check_memory;

use affine::Affine;
use approximation::FlowApproximation;
use layer::Layer;
use planar::Planar;
use radial::Radial;

/// A kind of layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Planar,
    Radial,
    RealNvp,
    Nice,
    Iaf,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Planar => "planar",
            Self::Radial => "radial",
            Self::RealNvp => "RealNVP",
            Self::Nice => "NICE",
            Self::Iaf => "IAF",
        }
    }

    fn has_network(self) -> bool {
        !matches!(self, Self::Planar | Self::Radial)
    }
}

/// A family of distributions that invertible layers make of a normal distribution with independent coordinates, whose means and scales are parameters too.
///
/// It starts as that normal distribution: layers start as the identity. A learning rate of 0.005 suits them, with more draws per gradient than a normal family asks for, 50 or 100;
/// targets with separate modes want [annealing](crate::vi::Vi::annealing). The entropy is not known in closed form. To train a proposal, take a Rényi bound of order 1/2 rather than the importance-weighted
/// bound: under the latter no draw without weight pulls the flow back, and so flexible a family runs away.
///
/// ```
/// use posterity::model::{WithGradient, zoo::toy::Rosenbrock};
/// use posterity::step_rules::Adam;
/// use posterity::vi::{MeanField, NormalizingFlow, Objective, Vi};
/// let target = WithGradient(Rosenbrock);
/// let vi = |vi: Vi| vi.objective(Objective::elbo(50)).step_rule(Adam::new(0.005)).n_iterations(1000).fit(&target, 1);
/// let (flow, normal) = (vi(Vi::new(NormalizingFlow::real_nvp(4)))?, vi(Vi::new(MeanField))?);
/// // The log evidence is 0: the bound is minus the divergence from the target.
/// assert!(flow.elbo() > -0.2 && normal.elbo() < -0.35);
/// # Ok::<(), posterity::Error>(())
/// ```
///
/// *Costs* per draw one pass of all layers forwards and two backwards. *Not* for a posterior that is nearly normal, where [`FullRank`](crate::vi::FullRank) is faster and as good. *References* Rezende & Mohamed 2015,
/// <https://arxiv.org/abs/1505.05770> (planar, radial); Dinh, Krueger & Bengio 2015, <https://arxiv.org/abs/1410.8516> (NICE); Dinh, Sohl-Dickstein & Bengio 2017,
/// <https://arxiv.org/abs/1605.08803> (`RealNVP`); Kingma et al. 2016, <https://arxiv.org/abs/1606.04934> (IAF).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalizingFlow {
    /// Runs of layers of one kind.
    layers: Vec<(Kind, usize)>,
    hidden: usize,
    n_hidden: usize,
}

impl NormalizingFlow {
    fn of(kind: Kind, n_layers: usize) -> Self {
        Self { layers: vec![(kind, n_layers)], hidden: 16, n_hidden: 1 }
    }

    /// Planar layers, each a ridge or a trench across the space.
    #[must_use]
    pub fn planar(n_layers: usize) -> Self {
        Self::of(Kind::Planar, n_layers)
    }

    /// Radial layers, each moving points away from a centre or towards it.
    #[must_use]
    pub fn radial(n_layers: usize) -> Self {
        Self::of(Kind::Radial, n_layers)
    }

    /// Affine coupling layers: in turns, one half of the coordinates is shifted and scaled by networks of the other half. Needs d >= 2.
    #[must_use]
    pub fn real_nvp(n_layers: usize) -> Self {
        Self::of(Kind::RealNvp, n_layers)
    }

    /// Additive coupling layers, as [`real_nvp`](NormalizingFlow::real_nvp) without scales: they keep volumes. Needs d >= 2.
    #[must_use]
    pub fn nice(n_layers: usize) -> Self {
        Self::of(Kind::Nice, n_layers)
    }

    /// Inverse autoregressive layers: each coordinate is shifted and scaled by a network of those before it, in turns of those after it. Needs d >= 2.
    #[must_use]
    pub fn iaf(n_layers: usize) -> Self {
        Self::of(Kind::Iaf, n_layers)
    }

    /// The layers of another flow after these; its networks get the width and depth of these.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.layers.extend(next.layers);
        self
    }

    /// Units in each hidden level of the networks; 16. With fewer than d - 1, autoregressive layers let coordinates share their context.
    #[must_use]
    pub fn hidden(mut self, width: usize) -> Self {
        self.hidden = width;
        self
    }

    /// Hidden levels of the networks; 1.
    #[must_use]
    pub fn n_hidden(mut self, n_hidden: usize) -> Self {
        self.n_hidden = n_hidden;
        self
    }

    /// Checks all settings.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] names the first one out of range: no layers, networks without units or hidden levels, or more than 65 536 layers or units or 1024 hidden levels.
    pub fn validate(&self) -> Result<(), Error> {
        let n_layers = self.n_layers();
        check::in_range("number of layers", n_layers as f64, (1..=65_536).contains(&n_layers), "from 1 to 65536")?;
        check::in_range("hidden", self.hidden as f64, (1..=65_536).contains(&self.hidden), "from 1 to 65536")?;
        check::in_range("n_hidden", self.n_hidden as f64, (1..=1024).contains(&self.n_hidden), "from 1 to 1024")
    }

    fn n_layers(&self) -> usize {
        self.layers.iter().fold(0, |total, (_, n)| total.saturating_add(*n))
    }

    fn has_networks(&self) -> bool {
        self.layers.iter().any(|(kind, n)| *n > 0 && kind.has_network())
    }

    /// Parameters in d dimensions, at most.
    fn most_parameters(&self, dim: usize) -> Option<usize> {
        let (mut before, mut of_network) = (dim, 0_usize);
        for width in std::iter::repeat_n(self.hidden, self.n_hidden).chain([dim.checked_mul(2)?]) {
            of_network = of_network.checked_add(width.checked_mul(before.checked_add(1)?)?)?;
            before = width;
        }
        let of_layer = if self.has_networks() { of_network } else { dim.checked_mul(2)?.checked_add(1)? };
        self.n_layers().checked_mul(of_layer)
    }
}

impl Family for NormalizingFlow {
    fn name(&self) -> String {
        let mut parts: Vec<(Kind, usize)> = Vec::new();
        for (kind, n_layers) in &self.layers {
            match parts.last_mut() {
                Some((last, n)) if last == kind => *n = n.saturating_add(*n_layers),
                _ => parts.push((*kind, *n_layers)),
            }
        }
        let parts: Vec<String> = parts.iter().map(|(kind, n)| format!("{n} {}", kind.name())).collect();
        let networks =
            if self.has_networks() { format!(", {} x {} hidden units", self.n_hidden, self.hidden) } else { String::new() };
        format!("normalizing flow, {} layers{networks}", parts.join(" + "))
    }

    fn closed_under(&self) -> Closure {
        Closure::LinearMaps
    }

    fn start(&self, dim: usize, scale: f64, rng: &mut Stream) -> Result<Box<dyn Approximation>, Error> {
        self.validate()?;
        check_start(dim, scale)?;
        if self.has_networks() {
            check::at_least("dimension", dim, 2, "at least 2 for coupling and autoregressive layers")?;
        }
        check_memory("number of layers", self.n_layers(), self.most_parameters(dim))?;
        let hidden = vec![self.hidden; self.n_hidden];
        let layer = |(i, kind): (usize, Kind)| -> Box<dyn Layer> {
            let reversed = i % 2 == 1;
            match kind {
                Kind::Planar => Box::new(Planar::new(dim)),
                Kind::Radial => Box::new(Radial::new(dim)),
                Kind::RealNvp | Kind::Nice => Box::new(Affine::coupling(dim, reversed, kind == Kind::RealNvp, &hidden)),
                Kind::Iaf => Box::new(Affine::autoregressive(dim, reversed, &hidden)),
            }
        };
        let kinds = self.layers.iter().flat_map(|(kind, n)| std::iter::repeat_n(*kind, *n));
        let layers = kinds.enumerate().map(layer).collect();
        Ok(Box::new(FlowApproximation::new(dim, scale, layers, rng)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vi::families::check::check_family;

    #[test]
    fn planar_and_radial_derivatives_agree_with_differences() {
        for dim in [1, 2, 5] {
            check_family(&NormalizingFlow::planar(3), dim);
            check_family(&NormalizingFlow::radial(3), dim);
        }
    }

    #[test]
    fn coupling_derivatives_agree_with_differences() {
        for dim in [2, 5] {
            check_family(&NormalizingFlow::real_nvp(3).hidden(3), dim);
            check_family(&NormalizingFlow::real_nvp(2).hidden(3).n_hidden(2), dim);
            check_family(&NormalizingFlow::nice(3).hidden(4), dim);
        }
    }

    #[test]
    fn autoregressive_derivatives_agree_with_differences() {
        for (dim, hidden) in [(2, 3), (5, 8), (5, 2)] {
            check_family(&NormalizingFlow::iaf(2).hidden(hidden), dim);
            check_family(&NormalizingFlow::iaf(2).hidden(hidden).n_hidden(2), dim);
        }
    }

    #[test]
    fn mixed_layers_agree_with_differences() {
        let mixed = NormalizingFlow::planar(1).then(NormalizingFlow::real_nvp(2)).then(NormalizingFlow::radial(1));
        check_family(&mixed.hidden(3), 3);
    }
}
