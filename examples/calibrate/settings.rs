//! The program's settings: flags, a JSON file, or both.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::AnyError;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ModelName {
    Gaussian,
    LinearRegression,
    EightSchools,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SamplerName {
    Exact,
    Narrow,
    Wide,
    Shift,
    Prior,
    Correlation,
    Nuts,
    Hmc,
    Mala,
    RandomWalk,
    AdviMeanField,
    AdviFullRank,
    Bam,
    Pathfinder,
    Laplace,
}

impl SamplerName {
    /// True if it is the exact posterior, or something made from it.
    fn needs_exact(self) -> bool {
        use SamplerName::{Correlation, Exact, Narrow, Prior, Shift, Wide};
        matches!(self, Exact | Narrow | Wide | Shift | Prior | Correlation)
    }

    /// True if it fits an approximation, whose draws may be weighted.
    pub(crate) fn is_variational(self) -> bool {
        use SamplerName::{AdviFullRank, AdviMeanField, Bam, Laplace, Pathfinder};
        matches!(self, AdviMeanField | AdviFullRank | Bam | Pathfinder | Laplace)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) model: ModelName,
    pub(crate) sampler: SamplerName,
    pub(crate) dim: usize,
    pub(crate) observations: usize,
    pub(crate) simulations: usize,
    pub(crate) draws: usize,
    pub(crate) warmup: usize,
    pub(crate) thin: usize,
    pub(crate) weighted: bool,
    pub(crate) proposals: usize,
    pub(crate) iterations: usize,
    pub(crate) allow_failures: f64,
    pub(crate) level: f64,
    pub(crate) seed: u64,
    pub(crate) threads: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: ModelName::Gaussian,
            sampler: SamplerName::Exact,
            dim: 2,
            observations: 20,
            simulations: 500,
            draws: 99,
            warmup: 300,
            thin: 5,
            weighted: true,
            proposals: 2000,
            iterations: 1000,
            allow_failures: 0.0,
            level: 1e-3,
            seed: 1,
            threads: None,
        }
    }
}

impl Settings {
    /// Flags `--name value` named as the fields are; anything else is a JSON file, whose fields the flags replace.
    pub(crate) fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, AnyError> {
        let mut fields = Map::new();
        let mut flags = Map::new();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.strip_prefix("--") {
                Some(name) => {
                    let value = arguments.next().ok_or(format!("{argument} needs a value"))?;
                    flags.insert(name.replace('-', "_"), serde_json::from_str(&value).unwrap_or(Value::String(value)));
                }
                None => {
                    let text = std::fs::read_to_string(&argument).map_err(|e| format!("{argument}: {e}"))?;
                    fields = serde_json::from_str(&text).map_err(|e| format!("{argument}: {e}"))?;
                }
            }
        }
        fields.extend(flags);
        let settings: Self = serde_json::from_value(Value::Object(fields))?;
        if settings.sampler.needs_exact() && settings.model == ModelName::EightSchools {
            return Err("eight_schools has no exact posterior: choose a Markov chain or a variational fit".into());
        }
        if settings.sampler.is_variational() && settings.proposals < settings.draws {
            return Err("proposals must be at least as many as draws".into());
        }
        for (name, n) in [("dim", settings.dim), ("observations", settings.observations), ("thin", settings.thin)] {
            if n == 0 {
                return Err(format!("{name} must be at least 1").into());
            }
        }
        Ok(settings)
    }
}
