//! What a flow of particles leaves behind.

use std::collections::BTreeMap;
use std::fmt;

use ndarray::{Array2, Array3, ArrayView2, Axis};

use super::kernel::{Bandwidth, Kernel};
use super::summary::{ParticleSummary, ParticleSummaryRow};
use crate::draws::{Attributes, Draws, Group, SampleStats};
use crate::error::Error;
use crate::mcmc::Start;
use crate::model::{Target, Variable};
use crate::parvi::CloudStart;
use crate::step_rules::Averaging;

/// What a run knows about itself.
#[derive(Debug, Clone)]
pub(super) struct Description {
    pub(super) flow: String,
    pub(super) step_rule: String,
    pub(super) n_iterations: usize,
    pub(super) seed: u64,
    pub(super) seconds: f64,
    pub(super) n_evaluations: u64,
    /// Coordinates that the flow moves.
    pub(super) dim: usize,
    pub(super) particles_wanted: Option<usize>,
    pub(super) largest_move: Option<Move>,
    /// Further settings by name, in words.
    pub(super) settings: Vec<(String, String)>,
}

/// What the draws are to know beyond flow, rule, seed and the number of iterations.
pub(super) fn settings(start: &CloudStart, minibatch: Option<usize>, averaging: Option<Averaging>) -> Vec<(String, String)> {
    let start = match start {
        CloudStart::Normal { sd } => format!("normal, sd {sd}"),
        CloudStart::Prior => "prior".to_owned(),
        CloudStart::Positions(_) => "given".to_owned(),
    };
    let minibatch = minibatch.map(|size| ("minibatch".to_owned(), size.to_string()));
    let averaging = averaging.map(|averaging| ("averaging".to_owned(), format!("{averaging:?}")));
    [("start".to_owned(), start)].into_iter().chain(minibatch).chain(averaging).collect()
}

/// How far the coordinate that moves most has gone of late.
#[derive(Debug, Clone)]
pub(super) struct Move {
    pub(super) name: String,
    /// Change of its mean in standard deviations, or of the logarithm of its standard deviation.
    pub(super) share: f64,
    /// The iteration from which on it moved.
    pub(super) since: usize,
}

/// Largest change that counts as rest. Coin runs of 1000 iterations on the planar targets and eight schools end at 0.001 to 0.065; runs of 20, or
/// minibatches, at 0.1 to 2.
const STILL: f64 = 0.1;

/// A cloud of equally weighted particles that stands for a posterior.
#[derive(Debug, Clone)]
pub struct Particles {
    positions: Array2<f64>,
    constrained: Array3<f64>,
    variables: Vec<Variable>,
    coords: BTreeMap<String, Vec<String>>,
    description: Description,
}

impl Particles {
    pub(super) fn new<T: Target + ?Sized>(target: &T, positions: Array2<f64>, description: Description) -> Result<Self, Error> {
        let variables = target.variables()?;
        let mut values = Vec::new();
        for position in positions.rows() {
            target.constrain(&position.to_vec(), &mut values)?;
        }
        let n_columns = variables.iter().map(Variable::size).sum();
        let n = positions.nrows();
        let found = values.len();
        let constrained = Array3::from_shape_vec((1, n, n_columns), values).map_err(|_| Error::Dimension {
            what: "constrained values",
            expected: n * n_columns,
            found,
        })?;
        Ok(Self { positions, constrained, variables, coords: target.coords(), description })
    }

    /// The particles in unconstrained coordinates, of shape (particle, coordinate).
    #[must_use]
    pub fn positions(&self) -> ArrayView2<'_, f64> {
        self.positions.view()
    }

    /// The constrained values as one chain, a draw per particle. The order of particles means nothing: diagnostics of chains do not apply to
    /// them.
    ///
    /// # Errors
    /// [`Error::DuplicateVariable`] if the target names two variables alike.
    pub fn draws(&self) -> Result<Draws, Error> {
        let d = &self.description;
        let mut attributes = Attributes::new(&format!("{}, {}", d.flow, d.step_rule), d.seed)
            .with_setting("flow", &d.flow)
            .with_setting("step_rule", &d.step_rule)
            .with_setting("n_iterations", d.n_iterations);
        attributes.settings.extend(d.settings.iter().cloned());
        attributes.sampling_seconds = vec![d.seconds];
        attributes.sampling_gradient_evaluations = vec![d.n_evaluations];
        let group = Group::new(self.variables.clone(), self.constrained.clone())?;
        let mut draws = Draws::new(group, SampleStats::new(1, self.positions.nrows()), attributes)?;
        for (dim, labels) in &self.coords {
            draws = draws.with_coords(dim, labels.clone())?;
        }
        Ok(draws)
    }

    /// Iterations done.
    #[must_use]
    pub fn n_iterations(&self) -> usize {
        self.description.n_iterations
    }

    /// Evaluations of a particle's gradient, and of Hessians times vectors.
    #[must_use]
    pub fn n_evaluations(&self) -> u64 {
        self.description.n_evaluations
    }

    /// Wall time in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.description.seconds
    }

    /// Starts `n_chains` chains, one at each of the first particles: their order means nothing.
    ///
    /// ```
    /// use posterity::mcmc::{Nuts, Run, Sampler};
    /// use posterity::model::zoo::EightSchoolsNoncentered;
    /// use posterity::parvi::{ParticleFlow, Svgd};
    /// let model = EightSchoolsNoncentered::rubin();
    /// let particles = ParticleFlow::coin(Svgd::default()).n_particles(10).n_iterations(100).run(&model, 1)?;
    /// let draws = Nuts::default().sample(&model, Run::new(1).warmup(300).draws(300).start(particles.start(4)))?;
    /// assert_eq!(draws.n_chains(), 4);
    /// # Ok::<(), posterity::Error>(())
    /// ```
    #[must_use]
    pub fn start(&self, n_chains: usize) -> Start {
        Start::Positions(self.positions.rows().into_iter().take(n_chains).map(|row| row.to_vec()).collect())
    }

    /// The name of the flow with the settings that matter.
    #[must_use]
    pub fn flow(&self) -> &str {
        &self.description.flow
    }

    /// The name of the step rule with the settings that matter.
    #[must_use]
    pub fn step_rule(&self) -> &str {
        &self.description.step_rule
    }

    /// The seed of the run.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.description.seed
    }

    /// How far the cloud still moves: the change of a mean over the last tenth to fifth of the iterations in standard deviations, or of the
    /// logarithm of a standard deviation, whichever is larger, for the unconstrained coordinate where it is largest; infinite for one that spread out
    /// from a single value or collapsed to one. `None` for one particle, and before the first iteration.
    ///
    /// A learning rate far too small hardly moves anything and looks like rest: the kernel Stein discrepancy
    /// ([`ksd`](crate::diagnostics::ksd)) tells the two apart.
    #[must_use]
    pub fn largest_move(&self) -> Option<f64> {
        let Description { largest_move, n_iterations, .. } = &self.description;
        largest_move.as_ref().filter(|moved| moved.since < *n_iterations).map(|moved| moved.share)
    }

    /// Mean, standard deviation and quantiles of every constrained element over the particles, with the warnings.
    #[must_use]
    pub fn summary(&self) -> ParticleSummary {
        let names = self.variables.iter().flat_map(Variable::element_names);
        let columns = self.constrained.index_axis(Axis(0), 0);
        let rows = names.zip(columns.columns()).map(|(name, column)| ParticleSummaryRow::new(name, column)).collect();
        let d = &self.description;
        let title = format!(
            "{}, {}: {} particles, {} iterations, seed {}",
            d.flow,
            d.step_rule,
            self.positions.nrows(),
            d.n_iterations,
            d.seed
        );
        ParticleSummary::new(title, rows, self.warnings())
    }

    /// What to distrust.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let n_particles = self.positions.nrows();
        let Description { dim, particles_wanted, largest_move, n_iterations, .. } = &self.description;
        let mut warnings = Vec::new();
        if let Some(wanted) = particles_wanted.filter(|&wanted| n_particles < wanted) {
            warnings.push(Warning::FewParticles { n_particles, dim: *dim, wanted });
        } else if n_particles <= *dim {
            warnings.push(Warning::SingularCovariance { n_particles, dim: *dim });
        }
        if let Some(Move { name, share, since }) = largest_move.as_ref().filter(|moved| moved.share > STILL) {
            let n_iterations = n_iterations - since;
            warnings.push(Warning::StillMoving { name: name.clone(), share: *share, n_iterations });
        }
        warnings
    }
}

/// A reason to distrust the particles; its text says what to do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// So few particles for the dimension that variances come out too small.
    FewParticles {
        /// Number of particles.
        n_particles: usize,
        /// Dimension of the target.
        dim: usize,
        /// Number from which variances are right to about a tenth.
        wanted: usize,
    },
    /// No more particles than dimensions, and no law known for the flow: whatever it does, their covariance is singular.
    SingularCovariance {
        /// Number of particles.
        n_particles: usize,
        /// Dimension of the target.
        dim: usize,
    },
    /// The cloud had not come to rest.
    StillMoving {
        /// The unconstrained coordinate that moved most.
        name: String,
        /// Change of its mean in standard deviations, or of the logarithm of its standard deviation.
        share: f64,
        /// Number of the last iterations in which they moved so far.
        n_iterations: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewParticles { n_particles, dim, wanted } => {
                write!(f, "{n_particles} particles in {dim} dimensions: variances come out too small; take ")?;
                // Named to those who need several times as many: never to one who uses it, or a kernel per coordinate.
                let imq = Kernel::Imq(Bandwidth::Median).particles_wanted(*dim);
                let others = imq.is_some_and(|imq| *wanted > 3 * imq);
                if !others || *wanted <= 100_000 {
                    write!(f, "{wanted} or more{}", if others { ", or " } else { "" })?;
                }
                f.write_str(if others {
                    "SVGD with the IMQ kernel, or with a kernel per coordinate if correlations are weak"
                } else {
                    ""
                })
            }
            Self::SingularCovariance { n_particles, dim } => {
                write!(f, "{n_particles} particles in {dim} dimensions: their covariance is singular; take several times {dim}")
            }
            Self::StillMoving { name, share, n_iterations } if share.is_infinite() => write!(
                f,
                "the particles had not come to rest: {name} spread out from a single value or collapsed to one in the last {n_iterations} \
                 iterations; run longer"
            ),
            Self::StillMoving { name, share, n_iterations } => write!(
                f,
                "the particles had not come to rest: mean or spread of {name} changed by {share:.2} of its standard deviation in the last \
                 {n_iterations} iterations; run longer, with minibatches take larger ones or average the iterates, with a learning rate change it"
            ),
        }
    }
}
