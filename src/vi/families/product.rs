//! Independent blocks of coordinates, each with a family of its own.
//!
//! ```text
//! q(z) = Π_b q_b(z_b; φ_b),   φ = (φ₁, φ₂, ..)
//! ```
//! *Costs* what the blocks cost. *Not* where coordinates of different blocks are correlated and standard deviations matter: like all independent approximations, the optimum is too narrow there.

use std::sync::Arc;

use ndarray::Array2;

use crate::error::{Error, check};
use crate::model::Target;
use crate::rng::Stream;
use crate::vi::approximation::{Approximation, Closure, Family, check_parameters, check_start};
use crate::vi::families::check_evaluation;

/// A family for each of several blocks of coordinates, and one for all that is left: for models whose parameters have different supports.
///
/// ```
/// use posterity::prelude::*;
/// use posterity::vi::{self, MeanField, Product, Vi};
///
/// struct Mixed;
///
/// impl Model for Mixed {
///     type Parameters<T: Real> = (T, T);
///     fn parameters<T: Real>(&self, space: &mut Space<'_, T>) -> (T, T) { (space.real("mu"), space.positive("tau")) }
///     fn log_prior<T: Real>(&self, (mu, tau): &(T, T), lp: &mut LogP<T>) {
///         lp.normal(mu, &1.0, &2.0);
///         lp.gamma(tau, &3.0, &2.0);
///     }
///     fn log_likelihood<T: Real>(&self, _: &(T, T), _: &mut LogP<T>) {}
/// }
///
/// let family = Product::new(MeanField).variable(&Mixed, "tau", vi::Gamma::default())?;
/// let fit = Vi::new(family).n_iterations(3000).fit(&Mixed, 1)?;
/// // Both are of the right family, so the approximation is exact, and the evidence that of a density of integral 1.
/// assert!(fit.elbo().abs() < 0.01);
/// # Ok::<(), posterity::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Product {
    blocks: Vec<Part>,
    rest: Arc<dyn Family>,
}

/// Coordinates and their family.
type Part = (Vec<usize>, Arc<dyn Family>);

impl Product {
    /// This family for all coordinates, as long as there are no blocks.
    #[must_use]
    pub fn new(rest: impl Family + 'static) -> Self {
        Self { blocks: Vec::new(), rest: Arc::new(rest) }
    }

    /// A family for these coordinates of the unconstrained space, counted from 0, in this order.
    #[must_use]
    pub fn block(mut self, coordinates: impl IntoIterator<Item = usize>, family: impl Family + 'static) -> Self {
        self.blocks.push((coordinates.into_iter().collect(), Arc::new(family)));
        self
    }

    /// A family for the coordinates of one variable of a target.
    ///
    /// # Errors
    /// [`Error::UnknownVariable`] if no coordinate of the target is the variable's; [`Error::NoParameters`] and what else the target's description makes go wrong.
    pub fn variable<T: Target + ?Sized>(self, target: &T, name: &str, family: impl Family + 'static) -> Result<Self, Error> {
        let belongs = |i: &usize| {
            let coordinate = target.coordinate_name(*i);
            coordinate.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        };
        let coordinates: Vec<usize> = (0..target.dim()?).filter(belongs).collect();
        if coordinates.is_empty() {
            return Err(Error::UnknownVariable { name: name.to_owned() });
        }
        Ok(self.block(coordinates, family))
    }

    /// All blocks on ℝᵈ, that of the rest last.
    fn partition(&self, dim: usize) -> Result<Vec<Part>, Error> {
        let mut is_free = vec![true; dim];
        for &coordinate in self.blocks.iter().flat_map(|(coordinates, _)| coordinates) {
            let free = is_free.get_mut(coordinate);
            let rule = "below the dimension, and in one block only";
            check::in_range("coordinate of a block", coordinate as f64, free.as_deref() == Some(&true), rule)?;
            is_free[coordinate] = false;
        }
        let rest: Vec<usize> = (0..dim).filter(|&i| is_free[i]).collect();
        let rest = (!rest.is_empty()).then(|| (rest, self.rest.clone()));
        Ok(self.blocks.iter().cloned().chain(rest).collect())
    }
}

impl Family for Product {
    fn name(&self) -> String {
        let blocks: Vec<String> = self.blocks.iter().map(|(_, family)| family.name()).collect();
        format!("{} x {}", blocks.join(" x "), self.rest.name())
    }

    fn closed_under(&self) -> Closure {
        let families = self.blocks.iter().map(|(_, family)| family).chain([&self.rest]);
        families.map(|family| family.closed_under()).min().unwrap_or(Closure::Nothing).min(Closure::Scaling)
    }

    /// Also [`Error::InvalidSetting`] for a coordinate that does not exist or stands in two blocks, [`Error::NoParameters`] for an empty block.
    fn start(&self, dim: usize, scale: f64, rng: &mut Stream) -> Result<Box<dyn Approximation>, Error> {
        check_start(dim, scale)?;
        let (mut blocks, mut parameters) = (Vec::new(), Vec::new());
        let mut knows_scores_elsewhere = true;
        for (coordinates, family) in self.partition(dim)? {
            let mut approximation = family.start(coordinates.len(), scale, rng)?;
            let n_parameters = approximation.parameters().len();
            knows_scores_elsewhere &= approximation.parameter_scores_at(&[], &[], &mut vec![0.0; n_parameters]);
            parameters.extend_from_slice(approximation.parameters());
            blocks.push(Block { coordinates, approximation, scratch: Vec::new(), log_densities: Vec::new() });
        }
        Ok(Box::new(Blocks { dim, parameters, blocks, knows_scores_elsewhere, n_draws: 0 }))
    }
}

/// An approximation of some coordinates.
#[derive(Debug, Clone)]
struct Block {
    coordinates: Vec<usize>,
    approximation: Box<dyn Approximation>,
    /// What the block reads or writes, a row per draw.
    scratch: Vec<f64>,
    log_densities: Vec<f64>,
}

impl Block {
    fn n_parameters(&self) -> usize {
        self.approximation.parameters().len()
    }

    /// Copies the block's columns of a matrix of `dim` columns into the scratch memory.
    fn gather(&mut self, matrix: &[f64], dim: usize) {
        self.scratch.clear();
        for row in matrix.chunks_exact(dim) {
            self.scratch.extend(self.coordinates.iter().map(|&i| row[i]));
        }
    }

    /// The inverse of [`Block::gather`].
    fn scatter(&self, matrix: &mut [f64], dim: usize) {
        for (row, values) in matrix.chunks_exact_mut(dim).zip(self.scratch.chunks_exact(self.coordinates.len())) {
            self.coordinates.iter().zip(values).for_each(|(&i, value)| row[i] = *value);
        }
    }
}

/// A member of [`Product`].
#[derive(Debug, Clone)]
struct Blocks {
    dim: usize,
    parameters: Vec<f64>,
    blocks: Vec<Block>,
    /// Whether all blocks have scores in the parameters at any position.
    knows_scores_elsewhere: bool,
    n_draws: usize,
}

impl Blocks {
    /// Blocks with their parts of a vector like the parameters.
    fn parts<'a>(&'a mut self, mut vector: &'a mut [f64]) -> impl Iterator<Item = (&'a mut Block, &'a mut [f64])> {
        self.blocks.iter_mut().map(move |block| {
            let (part, rest) = std::mem::take(&mut vector).split_at_mut(block.n_parameters());
            vector = rest;
            (block, part)
        })
    }
}

impl Approximation for Blocks {
    fn dim(&self) -> usize {
        self.dim
    }

    fn parameters(&self) -> &[f64] {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: &[f64]) -> Result<(), Error> {
        check_parameters(self.parameters.len(), parameters)?;
        let mut set = |parameters: &[f64]| {
            let mut rest = parameters;
            self.blocks.iter_mut().try_for_each(|block| {
                let (part, tail) = rest.split_at(block.n_parameters());
                rest = tail;
                block.approximation.set_parameters(part)
            })
        };
        if let Err(error) = set(parameters) {
            set(&self.parameters)?;
            self.n_draws = 0;
            return Err(error);
        }
        self.n_draws = 0;
        self.parameters.copy_from_slice(parameters);
        Ok(())
    }

    fn sample(&mut self, rng: &mut Stream, draws: &mut [f64], log_densities: &mut [f64]) {
        self.n_draws = log_densities.len();
        log_densities.fill(0.0);
        for block in &mut self.blocks {
            block.scratch.resize(self.n_draws * block.coordinates.len(), 0.0);
            block.log_densities.resize(self.n_draws, 0.0);
            block.approximation.sample(rng, &mut block.scratch, &mut block.log_densities);
            block.scatter(draws, self.dim);
            log_densities.iter_mut().zip(&block.log_densities).for_each(|(total, part)| *total += part);
        }
    }

    fn scores(&mut self, out: &mut [f64]) {
        for block in self.blocks.iter_mut().filter(|_| self.n_draws > 0) {
            block.scratch.resize(self.n_draws * block.coordinates.len(), 0.0);
            block.approximation.scores(&mut block.scratch);
            block.scatter(out, self.dim);
        }
    }

    fn pull_back(&mut self, cotangents: &[f64], out: &mut [f64]) {
        let dim = self.dim;
        for (block, out) in self.parts(out) {
            block.gather(cotangents, dim);
            block.approximation.pull_back(&block.scratch, out);
        }
    }

    fn parameter_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        for (block, out) in self.parts(out) {
            block.approximation.parameter_scores(coefficients, out);
        }
    }

    fn parameter_scores_at(&mut self, positions: &[f64], coefficients: &[f64], out: &mut [f64]) -> bool {
        if self.knows_scores_elsewhere {
            let dim = self.dim;
            for (block, out) in self.parts(out) {
                block.gather(positions, dim);
                block.approximation.parameter_scores_at(&block.scratch, coefficients, out);
            }
        }
        self.knows_scores_elsewhere
    }

    fn has_parameter_scores(&self) -> bool {
        self.blocks.iter().all(|block| block.approximation.has_parameter_scores())
    }

    fn log_density_gradient(&mut self, position: &[f64], gradient: &mut [f64]) -> Result<f64, Error> {
        check_evaluation(self.dim, position, gradient)?;
        let mut total = 0.0;
        for block in &mut self.blocks {
            block.gather(position, self.dim);
            block.log_densities.resize(block.coordinates.len(), 0.0);
            total += block.approximation.log_density_gradient(&block.scratch, &mut block.log_densities)?;
            block.coordinates.iter().zip(&block.log_densities).for_each(|(&i, g)| gradient[i] = *g);
        }
        Ok(total)
    }

    fn is_reparameterised(&self) -> bool {
        self.blocks.iter().all(|block| block.approximation.is_reparameterised())
    }

    fn has_noise_scores(&self) -> bool {
        self.blocks.iter().any(|block| block.approximation.has_noise_scores())
    }

    fn noise_scores(&mut self, coefficients: &[f64], out: &mut [f64]) {
        for (block, out) in self.parts(out) {
            block.approximation.noise_scores(coefficients, out);
        }
    }

    fn entropy(&self) -> Option<f64> {
        self.blocks.iter().map(|block| block.approximation.entropy()).sum()
    }

    fn entropy_gradient(&self, coefficient: f64, out: &mut [f64]) -> bool {
        if self.entropy().is_none() {
            return false;
        }
        let mut start = 0;
        self.blocks.iter().all(|block| {
            let end = start + block.n_parameters();
            let part = &mut out[start..end];
            start = end;
            block.approximation.entropy_gradient(coefficient, part)
        })
    }

    fn mean(&self) -> Option<Vec<f64>> {
        let mut mean = vec![0.0; self.dim];
        for block in &self.blocks {
            block.coordinates.iter().zip(block.approximation.mean()?).for_each(|(&i, value)| mean[i] = value);
        }
        Some(mean)
    }

    fn covariance(&self) -> Option<Array2<f64>> {
        let mut covariance = Array2::zeros((self.dim, self.dim));
        for block in &self.blocks {
            for ((i, j), value) in block.approximation.covariance()?.indexed_iter() {
                covariance[[block.coordinates[i], block.coordinates[j]]] = *value;
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
    use crate::vi::families::check::check_family;
    use crate::vi::{Beta, FullRank, Gamma, MeanField, Mixture, Reparameterisation};

    fn mixed() -> Product {
        let rejection = Reparameterisation::AcceptanceRejection { augmentation: 1 };
        Product::new(MeanField).block([4, 1], FullRank).block([2], Gamma::default().reparameterisation(rejection))
    }

    #[test]
    fn derivatives_agree_with_differences() {
        check_family(&mixed(), 6);
        check_family(&mixed().block([0, 3, 5], FullRank), 6);
    }

    /// Scores at any position come with the block that has them, and not with one that lacks them.
    #[test]
    fn scores_in_the_parameters_are_those_of_the_blocks() {
        let mut q = mixed().start(6, 0.5, &mut Stream::new(1)).unwrap();
        assert!(q.parameter_scores_at(&[], &[], &mut [0.0; 13]) && q.has_parameter_scores());
        let rejection = Reparameterisation::AcceptanceRejection { augmentation: 0 };
        check_family(&Mixture::new(Product::new(MeanField).block([1], Beta::default().reparameterisation(rejection)), 2), 2);
    }

    #[test]
    fn blocks_stand_where_they_belong() {
        let mut q = mixed().start(6, 0.5, &mut Stream::new(1)).unwrap();
        let mut parameters = vec![0.0; 5 + 2 + 6];
        (parameters[0], parameters[1], parameters[3], parameters[5]) = (4.0, 1.0, 0.3, 2.0);
        parameters[7..10].copy_from_slice(&[10.0, 30.0, 50.0]);
        q.set_parameters(&parameters).unwrap();
        let mean = q.mean().unwrap();
        assert_eq!((mean[4], mean[1], mean[0], mean[3], mean[5]), (4.0, 1.0, 10.0, 30.0, 50.0));
        // Shape 1 and ln mean 2: E ln z = 2 - 0.5772.
        assert!((mean[2] - 1.422784335098467).abs() < 1e-12);
        let covariance = q.covariance().unwrap();
        assert!(
            (covariance[[4, 1]] - 0.3).abs() < 1e-12 && (covariance[[1, 4]] - 0.3).abs() < 1e-12 && covariance[[4, 2]] == 0.0
        );
        assert_eq!(mixed().name(), "full-rank normal x gamma by acceptance-rejection, B = 1 x mean-field normal");
    }

    /// A block that refuses leaves the blocks before it, too, as they were.
    #[test]
    fn parameters_are_taken_on_together_or_not_at_all() {
        let mut q = Product::new(Gamma::default()).block([0], MeanField).start(2, 0.5, &mut Stream::new(1)).unwrap();
        let before = (q.parameters().to_vec(), q.mean().unwrap());
        assert!(q.set_parameters(&[3.0, 0.1, 0.0, 100.0]).is_err());
        assert_eq!((q.parameters().to_vec(), q.mean().unwrap()), before);
    }

    #[test]
    fn blocks_that_do_not_fit_are_refused() {
        let start = |product: Product| product.start(3, 1.0, &mut Stream::new(1)).map(|q| q.dim());
        assert_eq!(start(Product::new(MeanField)).unwrap(), 3);
        assert_eq!(start(Product::new(MeanField).block(0..3, Beta::default())).unwrap(), 3);
        for product in [
            Product::new(MeanField).block([3], MeanField),
            Product::new(MeanField).block([1, 1], MeanField),
            Product::new(MeanField).block([0, 1], MeanField).block([1], Beta::default()),
        ] {
            assert!(matches!(start(product), Err(Error::InvalidSetting { setting: "coordinate of a block", .. })));
        }
        assert!(matches!(start(Product::new(MeanField).block([], MeanField)), Err(Error::NoParameters)));
        let target = crate::model::zoo::EightSchoolsNoncentered::rubin();
        assert!(Product::new(MeanField).variable(&target, "tau", Gamma::default()).is_ok());
        assert!(matches!(Product::new(MeanField).variable(&target, "ta", Gamma::default()), Err(Error::UnknownVariable { .. })));
    }
}
