//! Mixtures of several members of a family.
//!
//! ```text
//! φ = (ω, φ₁ … φ_K)      q(z) = Σ_c w_c q_c(z; φ_c),   w = softmax(ω)
//! c ~ Categorical(w),  z = T_c(ε; φ_c)       responsibility r_c(z) = w_c q_c(z) / q(z)
//! ∇z log q = Σ_c r_c ∇z log q_c,   ∇ω_c log q = r_c - w_c,   ∇φ_c log q = r_c ∇φ_c log q_c
//! ```
//! Log densities and scores are those of the whole mixture, whichever component a draw is from. The choice of c is noise whose
//! law depends on ω: its score 1(c) - w, times what the draw adds to the bound beyond the others, is the gradient in ω, and the
//! components move by the path of their own draws. That is unbiased for every bound, and has no noise at q = p where
//! [`Estimator::StickingTheLanding`](crate::vi::Estimator::StickingTheLanding) has none. Components are chosen independently for
//! every draw: numbers per component fixed in advance would have less variance in the evidence lower bound, but draws that depend
//! on each other bias its leave-one-out baselines, and all gradients of other bounds.
//!
//! *Costs* K densities per draw. *Not* a way to find modes: components go to those that they start near, which the default start
//! looks for by paths of Pathfinder, and k̂ does not see a mode without a component. *References* Morningstar et al. 2021, <https://arxiv.org/abs/2003.01687>; Graves 2016, <https://arxiv.org/abs/1607.05690>.

use std::ops::Range;
use std::sync::Arc;

use ndarray::Array2;

use crate::error::{Error, check};
use crate::math::log_sum_exp;
use crate::rng::Stream;
use crate::vi::approximation::{Approximation, Closure, Family, check_parameters, check_start};
use crate::vi::families::{check_evaluation, check_memory};
use crate::vi::shifted::Shifted;
use crate::vi::start::Frame;

/// Share of the variance at the start that lies between the components.
const BETWEEN: f64 = 0.75;

/// Components beyond these are taken for a mistake.
const MOST_COMPONENTS: usize = 1 << 16;

/// The family of mixtures of K members of another family, with weights that are fitted too.
///
/// [`Vi`](crate::vi::Vi) looks for separate modes by default, with eight paths of [`Pathfinder`](crate::vi::Pathfinder) per
/// component that start around the first mode, 8 and 16 of its standard deviations away, and gives a component to each mode, those
/// of largest mass first. With two components, all of 50 runs found both modes of equal widths 8 standard deviations apart, in 3
/// and in 5 dimensions, and nearly nine in ten at 30 standard deviations; but a second mode of half the width, 8 standard deviations of the first
/// one away, is found by half of the runs in three dimensions, and by a fifth in five. Where one mode only is found, and from any other
/// [`FamilyStart`](crate::vi::FamilyStart), the components start at random centres whose mean is the origin, spread so that the
/// whole has the scale asked for: for a target of several modes that should reach them, which
/// [`Vi::initial_scale`](crate::vi::Vi::initial_scale) sets. Families that are
/// [closed under no map](Closure::Nothing), such as [`Gamma`](crate::vi::Gamma), are spread by random steps of their
/// parameters instead, of at most about 1, and keep their supports.
///
/// ```
/// use posterity::rng::Stream;
/// use posterity::vi::{Family, MeanField, Mixture};
/// let q = Mixture::new(MeanField, 3).start(2, 1.0, &mut Stream::new(1))?;
/// // A weight and four parameters per component.
/// assert_eq!(q.parameters().len(), 15);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mixture {
    family: Arc<dyn Family>,
    n_components: usize,
}

impl Mixture {
    /// Mixtures of `n_components` members of a family.
    #[must_use]
    pub fn new(family: impl Family + 'static, n_components: usize) -> Self {
        Self { family: Arc::new(family), n_components }
    }

    /// The mixture of given components. Its parameters are theirs; the weights, positive up to a common factor, stay as they are.
    ///
    /// ```
    /// use ndarray::array;
    /// use posterity::vi::{Mixture, normal};
    /// let components = vec![normal(&[-2.0], array![[1.0]].view())?, normal(&[1.0], array![[4.0]].view())?];
    /// let q = Mixture::fixed(components, vec![1.0, 2.0])?;
    /// assert!(q.mean().unwrap()[0].abs() < 1e-12);
    /// # Ok::<(), posterity::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Empty`] for no components; [`Error::Dimension`] for dimensions or numbers that do not fit;
    /// [`Error::InvalidSetting`] for a weight that is not positive and finite; what [`Approximation::log_density_gradient`] says
    /// of a component that has no density but at its own draws.
    pub fn fixed(components: Vec<Box<dyn Approximation>>, weights: Vec<f64>) -> Result<Box<dyn Approximation>, Error> {
        if weights.len() != components.len() {
            let (expected, found) = (components.len(), weights.len());
            return Err(Error::Dimension { what: "weights of a mixture", expected, found });
        }
        weights.iter().try_for_each(|&weight| check::positive("weight of a component", weight))?;
        let log_weights = weights.iter().map(|w| w.ln()).collect();
        Ok(Box::new(MixtureOf::new(components, log_weights, false)?))
    }

    pub(in crate::vi) fn n_components(&self) -> usize {
        self.n_components
    }

    /// Components around the origin that have a standard deviation of `scale` together.
    fn spread(&self, n: usize, dim: usize, scale: f64, rng: &mut Stream) -> Result<Vec<Box<dyn Approximation>>, Error> {
        let k = n as f64;
        let between = if n == 1 { 0.0 } else { BETWEEN };
        let mut centres = vec![0.0; n * dim];
        rng.fill_normal(&mut centres);
        let mut components = Vec::with_capacity(n);
        for c in 0..n {
            let mut component = self.family.start(dim, scale * (1.0_f64 - between).sqrt(), rng)?;
            let is_to_spread = component.is_reparameterised() && between > 0.0;
            components.push(if is_to_spread && self.closed_under() == Closure::Nothing {
                let step = scale.min(1.0) * between.sqrt();
                let parameters: Vec<f64> = component.parameters().iter().map(|x| x + step * rng.normal()).collect();
                component.set_parameters(&parameters)?;
                component
            } else if is_to_spread {
                let mean = |i: usize| centres.iter().skip(i).step_by(dim).sum::<f64>() / k;
                let spread = scale * (between * k / (k - 1.0)).sqrt();
                let centre = (0..dim).map(|i| spread * (centres[c * dim + i] - mean(i))).collect();
                Box::new(Shifted::new(component, centre, &vec![1.0; dim])?)
            } else {
                component
            });
        }
        Ok(components)
    }

    /// A member whose components stand at several modes, in the units of each; those that share a mode are spread there.
    pub(in crate::vi) fn start_at(
        &self,
        modes: Vec<Frame>,
        scale: f64,
        rng: &mut Stream,
    ) -> Result<Box<dyn Approximation>, Error> {
        let n_modes = modes.len();
        let mut components = Vec::with_capacity(self.n_components);
        for (index, mode) in modes.into_iter().enumerate() {
            let n = (index..self.n_components).step_by(n_modes).count();
            for component in self.spread(n, mode.centre.len(), scale, rng)? {
                components.push(mode.clone().around(component)?);
            }
        }
        Ok(Box::new(MixtureOf::new(components, vec![0.0; self.n_components], true)?))
    }
}

impl Family for Mixture {
    fn name(&self) -> String {
        format!("mixture of {} x {}", self.n_components, self.family.name())
    }

    fn closed_under(&self) -> Closure {
        self.family.closed_under()
    }

    fn as_mixture(&self) -> Option<&Mixture> {
        Some(self)
    }

    fn start(&self, dim: usize, scale: f64, rng: &mut Stream) -> Result<Box<dyn Approximation>, Error> {
        check_start(dim, scale)?;
        let (setting, n) = ("number of components", self.n_components);
        check::in_range(setting, n as f64, (1..=MOST_COMPONENTS).contains(&n), "from 1 to 65536")?;
        let n_parameters = self.family.start(dim, scale, &mut Stream::new(0))?.parameters().len();
        check_memory(setting, n, n.checked_mul(n_parameters.saturating_add(dim + 1)))?;
        let components = self.spread(self.n_components, dim, scale, rng)?;
        Ok(Box::new(MixtureOf::new(components, vec![0.0; self.n_components], true)?))
    }
}

/// A member of [`Mixture`].
#[derive(Debug, Clone)]
struct MixtureOf {
    parameters: Vec<f64>,
    dim: usize,
    components: Vec<Box<dyn Approximation>>,
    /// Where the parameters of each component begin, and where the last ones end. Those before the first are ω.
    offsets: Vec<usize>,
    log_weights: Vec<f64>,
    weights: Vec<f64>,
    has_parameter_scores: bool,
    /// The component of every draw, n.
    chosen: Vec<usize>,
    /// The draws and their scores, n x d.
    draws: Vec<f64>,
    scores: Vec<f64>,
    /// r of the draws, n x K.
    responsibilities: Vec<f64>,
    /// log w_c q_c, then r_c, at the latest position, K.
    latest: Vec<f64>,
    gradient: Vec<f64>,
    score: Vec<f64>,
    /// The largest number of draws that every component has room for.
    room: usize,
    /// What is gathered for one component: rows of d numbers, and a number for each draw.
    rows: Vec<f64>,
    values: Vec<f64>,
}

impl MixtureOf {
    /// From components and the logarithms of their weights, up to a constant, which are parameters or not.
    fn new(mut components: Vec<Box<dyn Approximation>>, logits: Vec<f64>, has_free_weights: bool) -> Result<Self, Error> {
        let Some(first) = components.first() else { return Err(Error::Empty { what: "components of a mixture" }) };
        let dim = first.dim();
        let mut has_parameter_scores = true;
        let mut parameters = if has_free_weights { logits.clone() } else { Vec::new() };
        let mut offsets = vec![parameters.len()];
        let (mut position, mut gradient) = (vec![0.0; dim], vec![0.0; dim]);
        for component in &mut components {
            if component.dim() != dim {
                return Err(Error::Dimension { what: "dimension of a component", expected: dim, found: component.dim() });
            }
            // A family that has no density elsewhere than at its own draws says so here.
            component.sample(&mut Stream::new(0), &mut position, &mut [0.0]);
            component.log_density_gradient(&position, &mut gradient)?;
            parameters.extend_from_slice(component.parameters());
            offsets.push(parameters.len());
            has_parameter_scores &= component.parameter_scores_at(&[], &[], &mut vec![0.0; component.parameters().len()]);
        }
        let mut mixture = Self {
            dim,
            offsets,
            has_parameter_scores,
            latest: vec![0.0; components.len()],
            components,
            log_weights: Vec::new(),
            weights: Vec::new(),
            chosen: Vec::new(),
            draws: Vec::new(),
            scores: Vec::new(),
            responsibilities: Vec::new(),
            gradient,
            score: vec![0.0; dim],
            room: 0,
            rows: Vec::new(),
            values: Vec::new(),
            parameters: Vec::new(),
        };
        mixture.weigh(&logits);
        mixture.parameters = vec![0.0; parameters.len()];
        mixture.set_parameters(&parameters)?;
        Ok(mixture)
    }

    fn has_free_weights(&self) -> bool {
        self.offsets.first().is_some_and(|&n| n > 0)
    }

    fn range(&self, component: usize) -> Range<usize> {
        self.offsets[component]..self.offsets[component + 1]
    }

    /// Takes on weights proportional to the exponentials of these.
    fn weigh(&mut self, logits: &[f64]) {
        let total = log_sum_exp(logits);
        self.log_weights.clear();
        self.log_weights.extend(logits.iter().map(|x| x - total));
        self.weights.clear();
        self.weights.extend(self.log_weights.iter().map(|x| x.exp()));
    }

    fn choose(&self, uniform: f64) -> usize {
        let mut reached = 0.0;
        let last = self.weights.len() - 1;
        let is_reached = |w: &f64| {
            reached += w;
            uniform < reached
        };
        self.weights[..last].iter().position(is_reached).unwrap_or(last)
    }

    /// The log density and score at a position; leaves the responsibilities in `latest`.
    fn evaluate(&mut self, position: &[f64], score: &mut [f64]) -> Result<f64, Error> {
        score.fill(0.0);
        let mut total = f64::NEG_INFINITY;
        for (c, component) in self.components.iter_mut().enumerate() {
            let joint = self.log_weights[c] + component.log_density_gradient(position, &mut self.gradient)?;
            // `score` is the sum with weights exp(log w_c q_c - total) throughout.
            let largest = total.max(joint);
            if largest > f64::NEG_INFINITY {
                let next = largest + ((total - largest).exp() + (joint - largest).exp()).ln();
                let (keep, add) = ((total - next).exp(), (joint - next).exp());
                for (s, g) in score.iter_mut().zip(&self.gradient) {
                    *s *= keep;
                    if add > 0.0 {
                        *s += add * g;
                    }
                }
                total = next;
            }
            self.latest[c] = joint;
        }
        self.latest.iter_mut().for_each(|joint| *joint = if *joint > f64::NEG_INFINITY { (*joint - total).exp() } else { 0.0 });
        Ok(total)
    }

    /// Draws of one component, as rows of a matrix.
    fn gather(chosen: &[usize], component: usize, dim: usize, matrix: &[f64], rows: &mut Vec<f64>) {
        rows.clear();
        for (_, row) in chosen.iter().zip(matrix.chunks_exact(dim)).filter(|(c, _)| **c == component) {
            rows.extend_from_slice(row);
        }
    }

    /// *Adds* the scores in the parameters at n positions, whose responsibilities, n x K, are given.
    fn add_parameter_scores(&mut self, positions: &[f64], responsibilities: &[f64], coefficients: &[f64], out: &mut [f64]) {
        let n_components = self.components.len();
        for c in 0..n_components {
            let own = responsibilities.iter().skip(c).step_by(n_components);
            self.values.clear();
            self.values.extend(coefficients.iter().zip(own).map(|(a, r)| if *a == 0.0 { 0.0 } else { a * r }));
            if self.has_free_weights() {
                out[c] += self.values.iter().sum::<f64>() - self.weights[c] * coefficients.iter().sum::<f64>();
            }
            let range = self.range(c);
            self.components[c].parameter_scores_at(positions, &self.values, &mut out[range]);
        }
    }
}

impl Approximation for MixtureOf {
    fn dim(&self) -> usize {
        self.dim
    }

    fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        check_parameters(self.parameters.len(), parameters)?;
        self.chosen.clear();
        for c in 0..self.components.len() {
            let range = self.range(c);
            if let Err(error) = self.components[c].set_parameters(&parameters[range]) {
                for before in 0..c {
                    let range = self.range(before);
                    self.components[before].set_parameters(&self.parameters[range])?;
                }
                return Err(error);
            }
        }
        if self.has_free_weights() {
            self.weigh(&parameters[..self.components.len()]);
        }
        self.parameters.copy_from_slice(parameters);
        Ok(())
    }

    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        let (dim, n, n_components) = (self.dim, log_densities.len(), self.components.len());
        if n > self.room {
            // However many of the draws fall to a component from now on, nothing is allocated.
            self.room = n;
            self.rows.resize(draws.len(), 0.0);
            self.values.resize(n, 0.0);
            let mut unused = Stream::new(0);
            self.components.iter_mut().for_each(|component| component.sample(&mut unused, &mut self.rows, &mut self.values));
        }
        self.chosen.clear();
        for _ in 0..n {
            self.chosen.push(self.choose(rng.uniform()));
        }
        for (c, component) in self.components.iter_mut().enumerate() {
            let n_own = self.chosen.iter().filter(|chosen| **chosen == c).count();
            self.rows.resize(n_own * dim, 0.0);
            self.values.resize(n_own, 0.0);
            component.sample(rng, &mut self.rows, &mut self.values);
            let own = self.chosen.iter().zip(draws.chunks_exact_mut(dim)).filter(|(chosen, _)| **chosen == c);
            own.zip(self.rows.chunks_exact(dim)).for_each(|((_, draw), row)| draw.copy_from_slice(row));
        }
        self.draws.clear();
        self.draws.extend_from_slice(draws);
        self.responsibilities.clear();
        self.responsibilities.reserve(n * n_components);
        let mut scores = std::mem::take(&mut self.scores);
        scores.resize(draws.len(), 0.0);
        for ((draw, score), log_density) in draws.chunks_exact(dim).zip(scores.chunks_exact_mut(dim)).zip(log_densities) {
            *log_density = self.evaluate(draw, score).unwrap_or(f64::NAN);
            self.responsibilities.extend_from_slice(&self.latest);
        }
        self.scores = scores;
    }

    fn scores(&mut self, out: &mut [f64]) {
        let rows = out.chunks_exact_mut(self.dim).zip(self.scores.chunks_exact(self.dim)).zip(&self.chosen);
        rows.for_each(|((out, score), _)| out.copy_from_slice(score));
    }

    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]) {
        for c in 0..self.components.len() {
            let range = self.range(c);
            Self::gather(&self.chosen, c, self.dim, cotangents, &mut self.rows);
            self.components[c].pull_back(&self.rows, &mut out[range]);
        }
    }

    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        let n = coefficients.len().min(self.chosen.len());
        let (draws, responsibilities) = (std::mem::take(&mut self.draws), std::mem::take(&mut self.responsibilities));
        self.add_parameter_scores(&draws, &responsibilities, &coefficients[..n], out);
        (self.draws, self.responsibilities) = (draws, responsibilities);
    }

    fn parameter_scores_at(&mut self, positions: &[f64], coefficients: &[f64], out: &mut [f64]) -> bool {
        if !self.has_parameter_scores {
            return false;
        }
        let mut score = std::mem::take(&mut self.score);
        for (position, &coefficient) in positions.chunks_exact(self.dim).zip(coefficients).filter(|(_, c)| **c != 0.0) {
            if self.evaluate(position, &mut score).is_ok() {
                let responsibilities = std::mem::take(&mut self.latest);
                self.add_parameter_scores(position, &responsibilities, &[coefficient], out);
                self.latest = responsibilities;
            }
        }
        self.score = score;
        true
    }

    fn has_parameter_scores(&self) -> bool {
        self.has_parameter_scores
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        check_evaluation(self.dim, position, gradient)?;
        self.evaluate(position, gradient)
    }

    fn is_reparameterised(&self) -> bool {
        self.components.iter().all(|component| component.is_reparameterised())
    }

    fn has_noise_scores(&self) -> bool {
        self.has_free_weights() || self.components.iter().any(|component| component.has_noise_scores())
    }

    fn noise_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        for c in 0..self.components.len() {
            let range = self.range(c);
            Self::gather(&self.chosen, c, 1, coefficients, &mut self.rows);
            if self.has_free_weights() {
                let total: f64 = self.chosen.iter().zip(coefficients).map(|(_, coefficient)| coefficient).sum();
                out[c] += self.rows.iter().sum::<f64>() - self.weights[c] * total;
            }
            self.components[c].noise_scores(&self.rows, &mut out[range]);
        }
    }

    fn mean(&self) -> Option<Vec<f64>> {
        let mut mean = vec![0.0; self.dim];
        for (component, weight) in self.components.iter().zip(&self.weights) {
            mean.iter_mut().zip(component.mean()?).for_each(|(m, own)| *m += weight * own);
        }
        Some(mean)
    }

    fn covariance(&self) -> Option<Array2<f64>> {
        let mean = self.mean()?;
        let mut covariance = Array2::zeros((self.dim, self.dim));
        for (component, &weight) in self.components.iter().zip(&self.weights) {
            covariance.scaled_add(weight, &component.covariance()?);
            let deviation: Vec<f64> = component.mean()?.iter().zip(&mean).map(|(own, m)| own - m).collect();
            for ((i, j), entry) in covariance.indexed_iter_mut() {
                *entry += weight * deviation[i] * deviation[j];
            }
        }
        Some(covariance)
    }

    fn clone_box(&self) -> Box<dyn Approximation> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vi::families::check::{check_at, check_family, check_moments, check_normalised};
    use crate::vi::{FullRank, MeanField, StudentT, normal};
    use ndarray::array;

    fn two_normals() -> Box<dyn Approximation> {
        let first = normal(&[1.0, 2.0], array![[2.0, 0.5], [0.5, 1.0]].view()).unwrap();
        let second = normal(&[-3.0, 0.5], array![[0.5, -0.2], [-0.2, 0.3]].view()).unwrap();
        Mixture::fixed(vec![first, second], vec![3.0, 1.0]).unwrap()
    }

    #[test]
    fn derivatives_agree_with_differences() {
        check_family(&Mixture::new(FullRank, 3), 2);
        check_family(&Mixture::new(Mixture::new(MeanField, 2), 2), 1);
        let mut fixed = two_normals();
        let parameters = fixed.parameters().to_vec();
        check_at(fixed.as_mut(), &parameters, 9);
    }

    #[test]
    fn a_fixed_mixture_has_the_density_written_out() {
        let mut q = two_normals();
        let mut gradient = [0.0; 2];
        let found = q.log_density_gradient(&[0.5, 1.0], &mut gradient).unwrap();
        let density = |x: [f64; 2], s: [f64; 3]| {
            let determinant = s[0] * s[2] - s[1] * s[1];
            let form = s[2] * x[0] * x[0] - 2.0 * s[1] * x[0] * x[1] + s[0] * x[1] * x[1];
            (-0.5 * form / determinant).exp() / (std::f64::consts::TAU * determinant.sqrt())
        };
        let expected = 0.75 * density([-0.5, -1.0], [2.0, 0.5, 1.0]) + 0.25 * density([3.5, 0.5], [0.5, -0.2, 0.3]);
        assert!((found - expected.ln()).abs() < 1e-13);
        let mean = q.mean().unwrap();
        assert!(mean[0].abs() < 1e-14 && (mean[1] - 1.625).abs() < 1e-14);
        // Law of total covariance: 0.75 * 2 + 0.25 * 0.5 + 0.75 * 1 + 0.25 * 9.
        assert!((q.covariance().unwrap()[[0, 0]] - 4.625).abs() < 1e-13);
    }
    /// The mean of the choices is the weights', and the normal components have moments of their own.
    #[test]
    fn moments_are_those_of_the_draws() {
        check_moments(two_normals().as_mut());
        let mut q = Mixture::new(FullRank, 2).start(2, 1.0, &mut Stream::new(5)).unwrap();
        let mut parameters = q.parameters().to_vec();
        parameters[0] = 1.0;
        q.set_parameters(&parameters).unwrap();
        check_moments(q.as_mut());
    }

    #[test]
    fn densities_integrate_to_one() {
        let mut q = Mixture::new(StudentT::mean_field(), 3).start(1, 2.0, &mut Stream::new(5)).unwrap();
        check_normalised(q.as_mut());
    }

    /// A component that has left, to where the others' densities underflow, neither has nor takes a part.
    #[test]
    fn components_may_be_far_apart() {
        let far = normal(&[1e200], array![[1.0]].view()).unwrap();
        let mut q = Mixture::fixed(vec![normal(&[0.0], array![[1.0]].view()).unwrap(), far], vec![1.0, 1.0]).unwrap();
        let mut gradient = [0.0];
        let found = q.log_density_gradient(&[0.5], &mut gradient).unwrap();
        assert!((found + 0.125 + 0.5 * std::f64::consts::TAU.ln() + 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(gradient, [-0.5]);
        // Nowhere near any.
        assert_eq!(q.log_density_gradient(&[-1e190], &mut gradient).unwrap(), f64::NEG_INFINITY);
        assert!(gradient[0].is_finite());
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let component = || normal(&[0.0], array![[1.0]].view()).unwrap();
        let other = normal(&[0.0, 0.0], array![[1.0, 0.0], [0.0, 1.0]].view()).unwrap();
        assert!(matches!(Mixture::fixed(vec![], vec![]), Err(Error::Empty { .. })));
        assert!(matches!(Mixture::fixed(vec![component()], vec![]), Err(Error::Dimension { .. })));
        assert!(matches!(Mixture::fixed(vec![component(), other], vec![1.0; 2]), Err(Error::Dimension { .. })));
        for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(Mixture::fixed(vec![component()], vec![weight]), Err(Error::InvalidSetting { .. })));
        }
        let start = |k| Mixture::new(MeanField, k).start(1, 1.0, &mut Stream::new(1));
        assert!(matches!(start(0), Err(Error::InvalidSetting { .. })));
        // The second component refuses; the first one and the weights are as before.
        let mut q = start(2).unwrap();
        let before = q.parameters().to_vec();
        assert!(matches!(q.set_parameters(&[1.0, 2.0, 3.0, 4.0, 5.0, 800.0]), Err(Error::InvalidSetting { .. })));
        assert_eq!(q.parameters(), before);
        check_at(q.as_mut(), &before, 1);
    }
}
