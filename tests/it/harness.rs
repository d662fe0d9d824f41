//! What the tests of the MCMC engine share: hand-written densities, temporary folders, and the bitwise comparison of runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use posterity::DensityError;
use posterity::draws::{Draws, SampleStats, StatValues};
use posterity::model::{Density, Variable, WithGradient};

/// A density from a closure, which counts its evaluations.
pub(crate) struct Hand<F> {
    dim: usize,
    variables: Vec<Variable>,
    density: F,
    calls: AtomicUsize,
}

impl<F: Fn(&[f64], &mut [f64]) -> Result<f64, DensityError> + Sync> Hand<F> {
    /// A density over one vector `q`.
    pub(crate) fn target(dim: usize, density: F) -> WithGradient<Self> {
        Self::named(vec![Variable::new("q", &[dim])], density)
    }

    /// A density over these variables.
    pub(crate) fn named(variables: Vec<Variable>, density: F) -> WithGradient<Self> {
        let dim = variables.iter().map(Variable::size).sum();
        WithGradient(Self { dim, variables, density, calls: AtomicUsize::new(0) })
    }

    /// Number of evaluations since the last call of this function.
    pub(crate) fn take_calls(&self) -> usize {
        self.calls.swap(0, Ordering::Relaxed)
    }
}

impl<F: Fn(&[f64], &mut [f64]) -> Result<f64, DensityError> + Sync> Density for Hand<F> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn variables(&self) -> Vec<Variable> {
        self.variables.clone()
    }

    fn log_density_gradient(&self, position: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        (self.density)(position, gradient)
    }
}

/// ln of a Gamma(1, 1) variable, and two coordinates that follow it: skewed and correlated.
pub(crate) fn skewed(q: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
    g[0] = 1.0 - q[0].exp();
    let mut value = q[0] - q[0].exp();
    for i in 1..q.len() {
        let residual = q[i] - 0.5 * q[i - 1];
        value -= 0.5 * residual * residual;
        g[i] = -residual;
        g[i - 1] += 0.5 * residual;
    }
    Ok(value)
}

/// Independent normals around 0.
pub(crate) fn normal(sd: f64) -> impl Fn(&[f64], &mut [f64]) -> Result<f64, DensityError> + Sync {
    move |q, g| {
        g.iter_mut().zip(q).for_each(|(g, q)| *g = -q / sd / sd);
        Ok(-0.5 * q.iter().map(|q| (q / sd).powi(2)).sum::<f64>())
    }
}

/// A folder that vanishes with this value.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("posterity-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The file of a chain's checkpoint.
    pub(crate) fn chain(&self, index: usize) -> PathBuf {
        self.0.join(format!("chain-{index}.ckpt"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The first place where two runs differ in a bit: draws, statistics, tuning or number of evaluations; times do not count.
pub(crate) fn first_difference(a: &Draws, b: &Draws) -> Option<String> {
    let (a, b) = (bits(a), bits(b));
    if a.len() != b.len() {
        return Some(format!("{} and {} arrays", a.len(), b.len()));
    }
    for ((name, a), (other, b)) in a.iter().zip(&b) {
        if name != other || a.len() != b.len() {
            return Some(format!("{name} of {} and {other} of {} numbers", a.len(), b.len()));
        }
        if let Some(index) = a.iter().zip(b).position(|(a, b)| a != b) {
            return Some(format!("{name}, number {index}"));
        }
    }
    None
}

fn bits(draws: &Draws) -> Vec<(String, Vec<u64>)> {
    let of = |values: &mut dyn Iterator<Item = &f64>| values.map(|x| x.to_bits()).collect::<Vec<_>>();
    let mut all = vec![("posterior".to_owned(), of(&mut draws.posterior().values().iter()))];
    if let Some(group) = draws.log_likelihood() {
        all.push(("log likelihood".to_owned(), of(&mut group.values().iter())));
    }
    let mut push = |part: &str, stats: &SampleStats| {
        for stat in stats.iter() {
            let values = match &stat.values {
                StatValues::Float(values) => of(&mut values.iter()),
                StatValues::Integer(values) => values.iter().map(|&i| i as u64).collect(),
                StatValues::Flag(values) => values.iter().map(|&b| u64::from(b)).collect(),
            };
            all.push((format!("{part} {}", stat.name), values));
        }
    };
    push("sampling", draws.sample_stats());
    draws.warmup_stats().into_iter().for_each(|stats| push("warm-up", stats));
    let attributes = draws.attributes();
    all.push(("step sizes".to_owned(), of(&mut attributes.step_sizes.iter())));
    all.push(("metrics".to_owned(), of(&mut attributes.inverse_mass_matrices.iter().flatten())));
    all.push(("warm-up evaluations".to_owned(), attributes.warmup_gradient_evaluations.clone()));
    all.push(("evaluations".to_owned(), attributes.sampling_gradient_evaluations.clone()));
    all.push(("stopped early".to_owned(), vec![u64::from(attributes.stopped_early)]));
    all
}
