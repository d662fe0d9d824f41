//! The program's input: one JSON object.

use std::io::Read;
use std::path::{Path, PathBuf};

use posterity::vi::Objective;
use serde::{Deserialize, Serialize};

use super::AnyError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) posterior: PathBuf,
    #[serde(default)]
    pub(crate) method: Method,
    bound: Option<Bound>,
    alpha: Option<f64>,
    k: Option<usize>,
    pub(crate) n_iterations: Option<usize>,
    pub(crate) n_draws: Option<usize>,
    #[serde(default = "one")]
    pub(crate) seed: u64,
}

fn one() -> u64 {
    1
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    MeanField,
    #[default]
    FullRank,
    LowRank,
    Bam,
    Gsm,
    NaturalGradient,
    Laplace,
    Pathfinder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Bound {
    Elbo,
    Iwelbo,
    Renyi,
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
        if let Some(path) = path {
            input.posterior = Path::new(path).parent().unwrap_or(Path::new(".")).join(&input.posterior);
        }
        Ok(input)
    }

    /// Draws per gradient: of each bound, for an importance-weighted one.
    pub(crate) fn k(&self) -> usize {
        self.k.unwrap_or(if matches!(self.bound, None | Some(Bound::Elbo)) { 10 } else { 20 })
    }

    /// The bound, if the method climbs one.
    pub(crate) fn bound_name(&self) -> Option<&'static str> {
        self.method.climbs_a_bound().then_some(match self.bound {
            None | Some(Bound::Elbo) => "elbo",
            Some(Bound::Iwelbo) => "iwelbo",
            Some(Bound::Renyi) => "renyi",
        })
    }

    pub(crate) fn objective(&self) -> Result<Objective, AnyError> {
        match (self.bound, self.alpha) {
            (None | Some(Bound::Elbo), None) => Ok(Objective::elbo(self.k())),
            (Some(Bound::Iwelbo), None) => Ok(Objective::iwelbo(self.k())),
            (Some(Bound::Renyi), alpha) => Ok(Objective::renyi(alpha.unwrap_or(0.5), self.k())),
            (_, Some(_)) => Err("alpha goes with the bound renyi only".into()),
        }
    }

    /// Refuses settings that the method has no use for.
    pub(crate) fn check(&self) -> Result<(), AnyError> {
        if !self.method.climbs_a_bound() && (self.bound.is_some() || self.alpha.is_some() || self.k.is_some()) {
            return Err("this method climbs no bound: leave out bound, alpha and k".into());
        }
        Ok(())
    }
}
