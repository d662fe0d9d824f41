//! Separate modes of a posterior, at which the components of a mixture start.
//!
//! ```text
//! N(m₁, S₁)                  of the path from which every fit starts
//! x ~ N(m₁, c² diag S₁)      starts of eight further paths per component, c = 8 and 16 in turn
//! the end of a path is another mode if the log density dips on the straight lines from there to all modes known
//! ```
//! The paths of the first mode end in the densest one nearly always, as each starts at the densest of several points near the origin. *Costs* as many evaluations as eight paths of
//! [`Pathfinder`](super::Pathfinder) per component, and fifteen densities per path and mode. *Not* a search of the space: a mode is missed whose basin none of the starts is in, be it far
//! away or small. From N(0, I) in three dimensions one of half the width, 8 away, is found in 24 of 50 runs, in five dimensions in 10; one of the same width nearly always. Where the density has one mode, but level lines that are bent, two ends of it may pass for modes; the components go on from there.

use super::fit::Record;
use super::pathfinder::{PathSettings, follow, is_fatal};
use super::start::{Frame, N_PATHS};
use crate::error::Error;
use crate::mcmc::Start;
use crate::model::{Evaluator, Target};
use crate::rng::{Purpose, Stream};

/// Paths for each component.
const PATHS_PER_COMPONENT: usize = 8;
/// Paths at most, however many components.
const MOST_PATHS: usize = 128;
/// Distances of their starts from the first mode, in its standard deviations, in turn.
const DISTANCES: [f64; 2] = [8.0, 16.0];
/// Points between two modes at which the log density may dip.
const N_POINTS: usize = 15;
/// Dip that separates, in nats.
const DIP: f64 = 0.5;
/// Modes whose log mass is less than the largest by more than this are left out.
const NEGLIGIBLE: f64 = 10.0;

/// A mode, with its log density and an estimate of its log mass up to a constant.
struct Mode {
    frame: Frame,
    log_density: f64,
    log_mass: f64,
}

/// Evaluates densities, and counts.
struct Densities<'t> {
    evaluator: Box<dyn Evaluator + 't>,
    n_evaluations: u64,
}

impl Densities<'_> {
    /// The log density, NaN where it cannot be evaluated.
    fn at(&mut self, position: &[f64]) -> Result<f64, Error> {
        self.n_evaluations += 1;
        match self.evaluator.log_density(position) {
            Ok(value) => Ok(value),
            Err(error) if error.is_recoverable() => Ok(f64::NAN),
            Err(error) => Err(error.into()),
        }
    }

    /// `None` for a frame without density, or in which nothing can be fitted.
    fn mode(&mut self, frame: &Frame) -> Result<Option<Mode>, Error> {
        if frame.centre.iter().any(|x| !x.is_finite()) {
            return Ok(None);
        }
        let log_density = self.at(&frame.centre)?;
        let log_mass = log_density + frame.log_volume;
        let is_usable = log_density.is_finite() && log_mass.is_finite();
        Ok(is_usable.then(|| Mode { frame: frame.clone(), log_density, log_mass }))
    }

    fn are_separate(&mut self, a: &Mode, b: &Mode) -> Result<bool, Error> {
        let least = a.log_density.min(b.log_density) - DIP;
        let mut position = vec![0.0; a.frame.centre.len()];
        for point in 1..=N_POINTS {
            let share = point as f64 / (N_POINTS + 1) as f64;
            let ends = a.frame.centre.iter().zip(&b.frame.centre);
            position.iter_mut().zip(ends).for_each(|(x, (a, b))| *x = (1.0 - share) * a + share * b);
            // Where there is no density is a dip too.
            if !(self.at(&position)? >= least) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The first mode and those separate from it and from each other that further paths find, by estimated mass: at most `n`, and at least one.
pub(super) fn separate_modes<T: Target + ?Sized>(
    target: &T,
    first: Frame,
    n: usize,
    record: &mut Record,
) -> Result<Vec<Frame>, Error> {
    let mut densities = Densities { evaluator: target.evaluator()?, n_evaluations: 0 };
    let first_mode = densities.mode(&first)?;
    let Some(mode) = first_mode else {
        record.n_density_evaluations += densities.n_evaluations;
        return Ok(vec![first]);
    };
    let mut modes = vec![mode];
    for index in 0..PATHS_PER_COMPONENT.saturating_mul(n).min(MOST_PATHS) {
        let mut rng = Stream::keyed(record.seed, Purpose::Variational, 0, 1 + index as u64);
        let distance = DISTANCES[index % DISTANCES.len()];
        let start = first.centre.iter().zip(&first.scales).map(|(m, s)| m + distance * s * rng.normal()).collect();
        // The draws along a path are keyed by its number; those of the first mode have the lower ones.
        let path_index = index + N_PATHS;
        let (path, cost) = follow(target, PathSettings::default(), &Start::Positions(vec![start]), record.seed, path_index);
        record.n_gradient_evaluations += cost.n_gradient_evaluations;
        record.n_density_evaluations += cost.n_density_evaluations;
        let frame = match path {
            Ok(path) => Frame::of(&path.normal, first.covariance.is_some())?,
            Err(error) if is_fatal(&error) => return Err(error),
            Err(_) => continue,
        };
        let Some(mode) = densities.mode(&frame)? else { continue };
        let mut is_new = true;
        for known in &modes {
            is_new = is_new && densities.are_separate(&mode, known)?;
        }
        if is_new {
            modes.push(mode);
        }
    }
    record.n_density_evaluations += densities.n_evaluations;
    modes.sort_by(|a, b| b.log_mass.total_cmp(&a.log_mass));
    let least = modes[0].log_mass - NEGLIGIBLE;
    Ok(modes.into_iter().take(n).filter(|mode| mode.log_mass >= least).map(|mode| mode.frame).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DensityError;
    use crate::model::zoo::analytic::Gaussian;
    use crate::model::{Density, WithGradient};
    use ndarray::array;

    /// (1 - w) N((1, 1, 1), I) + w N((9, 1, 1), I).
    struct Pair(f64);

    impl Density for Pair {
        fn dim(&self) -> usize {
            3
        }

        fn log_density_gradient(&self, z: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
            let square = |mean: [f64; 3]| z.iter().zip(mean).map(|(z, m)| (z - m).powi(2)).sum::<f64>();
            let first = (1.0 - self.0).ln() - 0.5 * square([1.0; 3]);
            let second = self.0.ln() - 0.5 * square([9.0, 1.0, 1.0]);
            let total = crate::math::log_add_exp(first, second);
            let (r, s) = ((first - total).exp(), (second - total).exp());
            for ((g, z), mean) in gradient.iter_mut().zip(z).zip([9.0, 1.0, 1.0]) {
                *g = r * (1.0 - z) + s * (mean - z);
            }
            Ok(total)
        }
    }

    fn found(target: &impl Target, first: Frame, n: usize, seed: u64) -> Vec<Frame> {
        separate_modes(target, first, n, &mut Record::new(String::new(), seed)).unwrap()
    }

    fn frame(centre: Vec<f64>) -> Frame {
        Frame { scales: vec![1.0; centre.len()], centre, log_volume: 0.0, covariance: None }
    }

    /// Over 50 seeds the second mode is never missed ([`sweep`]).
    #[test]
    fn the_other_mode_is_found_and_the_larger_one_comes_first() {
        for (weight, first) in [(0.3, 1.0), (0.7, 9.0)] {
            let modes = found(&WithGradient(Pair(weight)), frame(vec![1.0; 3]), 3, 1);
            assert_eq!(modes.len(), 2);
            assert!((modes[0].centre[0] - first).abs() < 0.3 && (modes[1].centre[0] - (10.0 - first)).abs() < 0.3, "{modes:?}");
        }
        assert_eq!(found(&WithGradient(Pair(0.3)), frame(vec![1.0; 3]), 1, 1).len(), 1);
    }

    #[test]
    fn a_mode_without_mass_is_none() {
        assert_eq!(found(&WithGradient(Pair(1e-6)), frame(vec![1.0; 3]), 2, 1).len(), 1);
    }

    #[test]
    fn one_mode_is_one() {
        let gaussian = WithGradient(Gaussian::new(array![1.0, -2.0], &array![[1.0, 0.9], [0.9, 1.0]]).unwrap());
        for seed in 0..20 {
            assert_eq!(found(&gaussian, frame(vec![1.0, -2.0]), 4, seed).len(), 1);
        }
    }

    /// Equal masses: correlations of 0.9 in 20 dimensions, of which the marginal deviations overstate the volume by a factor of e²⁰, and none.
    #[test]
    fn correlations_are_no_mass() {
        let dim = 20;
        let correlated = array![[0.9_f64]].broadcast((dim, dim)).unwrap().to_owned() + 0.1 * ndarray::Array2::<f64>::eye(dim);
        let components = vec![
            crate::vi::normal(&vec![0.0; dim], correlated.view()).unwrap(),
            crate::vi::normal(&vec![8.0; dim], ndarray::Array2::<f64>::eye(dim).view()).unwrap(),
        ];
        let pair = crate::vi::Mixture::fixed(components, vec![1.0, 1.0]).unwrap();
        let density = std::sync::Mutex::new(pair);
        struct Shared(std::sync::Mutex<Box<dyn crate::vi::Approximation>>);
        impl Density for Shared {
            fn dim(&self) -> usize {
                20
            }
            fn log_density_gradient(&self, z: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
                self.0.lock().unwrap().log_density_gradient(z, gradient).map_err(|_| DensityError::NotANumber)
            }
        }
        let target = WithGradient(Shared(density));
        // Eigenvalues 0.9 · 20 + 0.1 once and 0.1 else.
        let first = Frame { log_volume: 0.5 * (18.1_f64.ln() + 19.0 * 0.1_f64.ln()), ..frame(vec![0.0; dim]) };
        assert_eq!(found(&target, first, 2, 1).len(), 2);
        let overstated = frame(vec![0.0; dim]);
        assert_eq!(found(&target, overstated, 2, 1).len(), 1);
    }

    #[test]
    #[ignore = "a sweep over 50 seeds"]
    fn sweep() {
        let n_missed = (0..50).filter(|&seed| found(&WithGradient(Pair(0.3)), frame(vec![1.0; 3]), 2, seed).len() < 2).count();
        println!("missed by {n_missed} of 50");
        assert_eq!(n_missed, 0);
    }
}
