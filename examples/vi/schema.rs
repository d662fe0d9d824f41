//! What `--help` prints.

pub(crate) const SCHEMA: &str = r##"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "vi [INPUT.json], from the standard input without a file; vi --lines: one input per line of the standard input",
  "type": "object",
  "properties": {
    "input": {
      "type": "object",
      "required": ["posterior"],
      "additionalProperties": false,
      "properties": {
        "posterior": { "type": "string", "description": "a posteriordb file with reference figures; relative to the input file" },
        "method": { "enum": ["mean_field", "full_rank", "low_rank", "bam", "gsm", "natural_gradient", "laplace", "pathfinder"], "default": "full_rank" },
        "bound": { "enum": ["elbo", "iwelbo", "renyi"], "default": "elbo", "description": "of methods that climb a bound" },
        "alpha": { "type": "number", "minimum": 0, "default": 0.5, "description": "order of the bound renyi" },
        "k": { "type": "integer", "minimum": 1, "description": "draws per gradient; default: 10 for elbo, 20 otherwise" },
        "n_iterations": { "type": "integer", "minimum": 1, "description": "default: the method's own" },
        "n_draws": { "type": "integer", "minimum": 1, "description": "weighted draws at the end; default: the method's own" },
        "seed": { "type": "integer", "minimum": 0, "default": 1 }
      }
    },
    "output": {
      "type": "object",
      "properties": {
        "posterior": { "type": "string" },
        "method": { "type": "string" },
        "description": { "type": "string" },
        "bound": { "type": ["string", "null"] },
        "k": { "type": ["integer", "null"] },
        "seed": { "type": "integer" },
        "dim": { "type": "integer", "description": "unconstrained coordinates" },
        "n_draws": { "type": "integer" },
        "raw": { "$ref": "#/$defs/errors", "description": "of the draws as they are" },
        "psis": { "$ref": "#/$defs/errors", "description": "of the draws with Pareto-smoothed importance weights" },
        "pareto_k": { "type": ["number", "null"] },
        "elbo": { "type": ["number", "null"], "description": "mean of log density - log q, up to the constant of the model's densities" },
        "elbo_mcse": { "type": ["number", "null"] },
        "log_evidence": { "type": ["number", "null"], "description": "by the smoothed importance ratios" },
        "n_gradient_evaluations": { "type": "integer" },
        "n_density_evaluations": { "type": "integer", "description": "without gradient, those of the final draws included" },
        "seconds": { "type": "number" },
        "warnings": { "type": "array", "items": { "type": "string" } },
        "error": { "type": "string", "description": "of --lines, instead of all figures, for a fit that failed" },
        "line": { "type": "integer", "description": "of --lines, for an input that cannot be read" }
      }
    }
  },
  "$defs": {
    "errors": {
      "type": "object",
      "description": "the worst over the parameters, in standard deviations of the reference; null where a figure does not exist",
      "properties": {
        "max_mean_error": { "type": ["number", "null"] },
        "rms_mean_error": { "type": ["number", "null"] },
        "max_mean_excess": { "type": ["number", "null"], "description": "error of a mean less four standard errors of it, the reference's own included" },
        "min_sd_ratio": { "type": ["number", "null"] },
        "max_sd_ratio": { "type": ["number", "null"] }
      }
    }
  }
}"##;
