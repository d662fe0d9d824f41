//! The program's input: one JSON object.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::Array2;
use posterity::parvi::{Bandwidth, CloudStart, Kernel};
use posterity::step_rules::{AdaGrad, Adam, Coin, RmsProp, Sgd, StepRule};
use serde::Deserialize;

use super::AnyError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) target: Option<String>,
    pub(crate) posterior: Option<PathBuf>,
    pub(crate) dim: Option<usize>,
    #[serde(default)]
    pub(crate) flow: FlowName,
    kernel: Option<KernelName>,
    bandwidth: Option<f64>,
    #[serde(default)]
    pub(crate) step_rule: Rule,
    #[serde(default = "hundred")]
    pub(crate) n_particles: usize,
    #[serde(default = "thousand")]
    pub(crate) n_iterations: usize,
    #[serde(default)]
    start: Start,
    pub(crate) minibatch: Option<usize>,
    #[serde(default = "one")]
    pub(crate) seed: u64,
    pub(crate) threads: Option<usize>,
}

fn hundred() -> usize {
    100
}

fn thousand() -> usize {
    1000
}

fn one() -> u64 {
    1
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FlowName {
    #[default]
    Svgd,
    CoordinateSvgd,
    Blob,
    Gfsd,
    Ksdd,
    Lawgd,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KernelName {
    Rbf,
    Imq,
}

/// A step rule with its settings; those left out are the rule's own.
#[derive(Debug, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Rule {
    Coin { alpha: Option<f64>, initial_bound: Option<f64> },
    Adam { learning_rate: f64 },
    RmsProp { learning_rate: f64, decay: Option<f64> },
    AdaGrad { learning_rate: f64 },
    Sgd { learning_rate: f64, momentum: Option<f64> },
}

impl Default for Rule {
    fn default() -> Self {
        Self::Coin { alpha: None, initial_bound: None }
    }
}

impl Rule {
    pub(crate) fn build(&self) -> Arc<dyn StepRule> {
        match *self {
            Self::Coin { alpha, initial_bound } => {
                Arc::new(Coin::new().alpha(alpha.unwrap_or(0.0)).initial_bound(initial_bound.unwrap_or(0.0)))
            }
            Self::Adam { learning_rate } => Arc::new(Adam::new(learning_rate)),
            Self::RmsProp { learning_rate, decay } => {
                let rule = RmsProp::new(learning_rate);
                Arc::new(decay.map_or(rule, |decay| rule.decay(decay)))
            }
            Self::AdaGrad { learning_rate } => Arc::new(AdaGrad::new(learning_rate)),
            Self::Sgd { learning_rate, momentum } => Arc::new(Sgd::new(learning_rate).momentum(momentum.unwrap_or(0.0))),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Start {
    Normal { sd: f64 },
    Prior,
    Positions(Vec<Vec<f64>>),
}

impl Default for Start {
    fn default() -> Self {
        Self::Normal { sd: 1.0 }
    }
}

impl Input {
    /// Reads a file, or the standard input.
    pub(crate) fn read(path: Option<&str>) -> Result<Self, AnyError> {
        let (name, text) = match path {
            Some(path) => (path, std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?),
            None => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text)?;
                ("standard input", text)
            }
        };
        let mut input: Self = serde_json::from_str(&text).map_err(|e| format!("{name}: {e}"))?;
        if let (Some(path), Some(posterior)) = (path, &mut input.posterior) {
            *posterior = Path::new(path).parent().unwrap_or(Path::new(".")).join(&posterior);
        }
        Ok(input)
    }

    fn bandwidth(&self) -> Bandwidth {
        match (self.bandwidth, self.flow) {
            (Some(length), _) => Bandwidth::Fixed(length),
            (None, FlowName::Ksdd) => Bandwidth::Fixed(1.0),
            (None, _) => Bandwidth::Median,
        }
    }

    pub(crate) fn kernel(&self) -> Kernel {
        match self.kernel {
            None | Some(KernelName::Rbf) => Kernel::Rbf(self.bandwidth()),
            Some(KernelName::Imq) => Kernel::Imq(self.bandwidth()),
        }
    }

    /// The bandwidth, for flows that have the Gaussian kernel only.
    pub(crate) fn rbf_bandwidth(&self) -> Result<Bandwidth, AnyError> {
        match self.kernel {
            None | Some(KernelName::Rbf) => Ok(self.bandwidth()),
            Some(KernelName::Imq) => Err("this flow has the kernel rbf only".into()),
        }
    }

    /// Refuses settings that the flow has no use for.
    pub(crate) fn check(&self) -> Result<(), AnyError> {
        let lawgd = matches!(self.flow, FlowName::Lawgd);
        if lawgd && (self.kernel.is_some() || self.bandwidth.is_some()) {
            return Err("lawgd has neither kernel nor bandwidth".into());
        }
        if (lawgd || matches!(self.flow, FlowName::Ksdd)) && self.minibatch.is_some() {
            return Err("ksdd and lawgd have no minibatch".into());
        }
        Ok(())
    }

    pub(crate) fn start(&self) -> Result<CloudStart, AnyError> {
        Ok(match &self.start {
            Start::Normal { sd } => CloudStart::Normal { sd: *sd },
            Start::Prior => CloudStart::Prior,
            Start::Positions(rows) => {
                let dim = rows.first().map_or(0, Vec::len);
                if let Some(row) = rows.iter().position(|row| row.len() != dim) {
                    return Err(format!("start.positions[{row}] has {} coordinates, the first {dim}", rows[row].len()).into());
                }
                CloudStart::Positions(Array2::from_shape_vec((rows.len(), dim), rows.concat())?)
            }
        })
    }
}
