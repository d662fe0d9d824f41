//! The program's input: JSON, and a series in CSV.

use std::fs;
use std::path::{Path, PathBuf};

use posterity::weights::Scheme;
use serde::{Deserialize, Serialize};

use super::AnyError;

pub(crate) const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "filter INPUT.json",
  "type": "object",
  "required": ["model", "parameters", "series", "n_particles"],
  "additionalProperties": false,
  "properties": {
    "model": { "enum": ["lg1d", "sv", "track2d", "bearings"] },
    "parameters": {
      "description": "lg1d: rho, sigma_x, sigma_y; sv: mu, rho, sigma; track2d: damping, q, sigma_y; bearings: damping, pull, sigma_x, sigma_y",
      "type": "object", "additionalProperties": { "type": "number" }
    },
    "series": { "type": "string", "description": "CSV file with a header, relative to this file; an empty field or NaN is a missing observation" },
    "columns": {
      "type": "array", "items": { "type": "string" },
      "description": "columns of the series; default y (lg1d, sv), yx and yy (track2d), b1 and b2 (bearings)"
    },
    "n_steps": { "type": "integer", "minimum": 1, "description": "use the first rows only" },
    "algorithm": { "enum": ["bootstrap", "guided", "auxiliary", "auxiliary_guided"], "default": "bootstrap", "description": "guided ones: lg1d only" },
    "scheme": { "enum": ["multinomial", "residual", "stratified", "systematic", "ssp", "killing"], "default": "systematic" },
    "ess_threshold": { "type": "number", "minimum": 0, "default": 0.5, "description": "resample below this fraction of n_particles; above 1: always" },
    "n_particles": { "type": "integer", "minimum": 1 },
    "seed": { "type": "integer", "minimum": 0, "default": 1 },
    "repetitions": { "type": "integer", "minimum": 1, "default": 1, "description": "runs with seeds seed, seed + 1, ..." },
    "threads": { "type": "integer", "minimum": 1, "description": "default: all; the result does not depend on it" }
  }
}"#;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ModelName {
    Lg1d,
    Sv,
    Track2d,
    Bearings,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Algorithm {
    #[default]
    Bootstrap,
    Guided,
    Auxiliary,
    AuxiliaryGuided,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) model: ModelName,
    pub(crate) parameters: serde_json::Map<String, serde_json::Value>,
    series: PathBuf,
    columns: Option<Vec<String>>,
    n_steps: Option<usize>,
    #[serde(default)]
    pub(crate) algorithm: Algorithm,
    #[serde(default)]
    pub(crate) scheme: Scheme,
    #[serde(default = "half")]
    pub(crate) ess_threshold: f64,
    pub(crate) n_particles: usize,
    #[serde(default = "one")]
    pub(crate) seed: u64,
    #[serde(default = "once")]
    pub(crate) repetitions: usize,
    pub(crate) threads: Option<usize>,
}

fn half() -> f64 {
    0.5
}

fn one() -> u64 {
    1
}

fn once() -> usize {
    1
}

impl Input {
    pub(crate) fn read(path: &Path) -> Result<Self, AnyError> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut input: Self = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        if input.repetitions == 0 {
            return Err("repetitions is 0, but must be at least 1".into());
        }
        input.series = path.parent().unwrap_or(Path::new(".")).join(&input.series);
        Ok(input)
    }

    /// The number named `name`.
    pub(crate) fn parameter(&self, name: &str) -> Result<f64, AnyError> {
        let value = self.parameters.get(name).and_then(serde_json::Value::as_f64);
        value.ok_or_else(|| format!("parameters.{name} must be a number").into())
    }

    /// The columns of the series, one row per step; `default` if the input names none.
    pub(crate) fn rows<const K: usize>(&self, default: [&str; K]) -> Result<Vec<[f64; K]>, AnyError> {
        let at = self.series.display();
        let mut reader = csv::Reader::from_path(&self.series).map_err(|e| format!("{at}: {e}"))?;
        let names = self.columns.clone().unwrap_or_else(|| default.map(str::to_owned).to_vec());
        if names.len() != K {
            return Err(format!("columns: expected {K}, found {}", names.len()).into());
        }
        let header = reader.headers().map_err(|e| format!("{at}: {e}"))?.clone();
        let column = |name: &String| header.iter().position(|h| h == name).ok_or_else(|| format!("{at}: no column {name}"));
        let columns = names.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let mut rows = Vec::new();
        for (line, record) in reader.records().enumerate().take(self.n_steps.unwrap_or(usize::MAX)) {
            let record = record.map_err(|e| format!("{at}: {e}"))?;
            let mut row = [0.0; K];
            for (value, &c) in row.iter_mut().zip(&columns) {
                let field = record[c].trim();
                *value = if field.is_empty() {
                    f64::NAN
                } else {
                    field.parse().map_err(|_| format!("{at}: row {line}: `{field}`"))?
                };
                if value.is_infinite() {
                    return Err(format!("{at}: row {line}: `{field}` is not finite").into());
                }
            }
            rows.push(row);
        }
        if rows.is_empty() { Err(format!("{at}: no rows").into()) } else { Ok(rows) }
    }
}
