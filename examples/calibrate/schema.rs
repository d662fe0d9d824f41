//! What `--help` prints.

pub(crate) const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "calibrate [SETTINGS.json] [--NAME VALUE ...] [--table], with flags named as the settings, which they replace",
  "type": "object",
  "properties": {
    "settings": {
      "type": "object",
      "additionalProperties": false,
      "properties": {
        "model": { "enum": ["gaussian", "linear_regression", "eight_schools"], "default": "gaussian", "description": "linear_regression: beta ~ N(0, I), unit noise, correlated columns; gaussian: the same with one observation of each coefficient" },
        "sampler": { "enum": ["exact", "narrow", "wide", "shift", "prior", "correlation", "nuts", "hmc", "mala", "random_walk", "advi_mean_field", "advi_full_rank", "bam", "pathfinder", "laplace"], "default": "exact", "description": "the first six not of eight_schools, the last five variational; narrow and wide: standard deviations times 0.7 and 1.4; shift: by half a standard deviation; prior: whatever the data; correlation: 0.9 added" },
        "dim": { "type": "integer", "minimum": 1, "default": 2, "description": "of gaussian and linear_regression" },
        "observations": { "type": "integer", "minimum": 1, "default": 20, "description": "of linear_regression" },
        "simulations": { "type": "integer", "minimum": 20, "default": 500 },
        "draws": { "type": "integer", "minimum": 1, "default": 99, "description": "kept per simulation; draws + 1 should be a multiple of 20" },
        "warmup": { "type": "integer", "minimum": 0, "default": 300, "description": "of Markov chains" },
        "thin": { "type": "integer", "minimum": 1, "default": 5, "description": "draws that a Markov chain makes for each that is kept; those of all other samplers are independent, and none is left out" },
        "weighted": { "type": "boolean", "default": true, "description": "of variational fits: draws picked by their Pareto-smoothed importance weights, or those of the approximation itself" },
        "proposals": { "type": "integer", "minimum": 1, "default": 2000, "description": "draws of a variational fit, at least as many as draws, of which k-hat is and from which the weighted ones are picked" },
        "iterations": { "type": "integer", "minimum": 1, "default": 1000, "description": "of advi_mean_field and advi_full_rank" },
        "allow_failures": { "type": "number", "minimum": 0, "exclusiveMaximum": 0.5, "default": 0, "description": "share of simulations in which the sampler may fail" },
        "level": { "type": "number", "default": 0.001, "description": "rejected below this p-value" },
        "seed": { "type": "integer", "minimum": 0, "default": 1 },
        "threads": { "type": "integer", "minimum": 1, "description": "default: all; the result does not depend on it" }
      }
    },
    "output": {
      "description": "one line; with --table instead exact and five wrong samplers of the gaussian model in 2 and 10 dimensions, as Markdown; of the settings it takes simulations, draws, seed and threads",
      "type": "object",
      "properties": {
        "model": { "type": "string" },
        "sampler": { "type": "string" },
        "weighted": { "type": ["boolean", "null"], "description": "null if the sampler is not variational" },
        "dim": { "type": "integer" },
        "simulations": { "type": "integer", "description": "without failures" },
        "draws": { "type": "integer" },
        "seed": { "type": "integer" },
        "sbc": {
          "type": "object",
          "properties": {
            "p_value": { "type": "number", "description": "the smallest adjusted one" },
            "functions": {
              "description": "by test function: unconstrained coordinates, log likelihood, products of pairs",
              "additionalProperties": {
                "properties": {
                  "p_chi_squared": { "type": "number" },
                  "p_ecdf": { "type": "number" },
                  "p_adjusted": { "type": "number", "description": "of both tests, after Holm for the number of functions" },
                  "deviation": { "type": ["string", "null"], "description": "in words, if p_adjusted is below 0.01" }
                }
              }
            }
          }
        },
        "tarp": {
          "type": "object",
          "properties": {
            "p_value": { "type": "number" },
            "nearer_draws": { "type": "number", "description": "share of the draws that are nearer to the reference than the truth: 1/2 for a right sampler" }
          }
        },
        "p_value": { "type": "number", "description": "of both: twice the smaller one" },
        "verdict": { "enum": ["rejected", "not rejected"] },
        "failures": { "type": "array", "items": { "properties": { "simulation": { "type": "integer" }, "error": { "type": "string" } } } },
        "ess_per_draw": { "type": ["number", "null"], "description": "of the parameter with the smallest one, averaged over simulations" },
        "pareto_k": {
          "type": ["object", "null"],
          "description": "k-hat over the simulations; null if the sampler is not variational",
          "properties": {
            "median": { "type": ["number", "null"], "description": "of the simulations that have one: weights that are all equal have none" },
            "above_limit": { "type": "number", "description": "share of all simulations with k-hat above 0.7" }
          }
        },
        "warnings": { "type": "array", "items": { "type": "string" } },
        "seconds": { "type": "number" }
      }
    }
  }
}"#;
