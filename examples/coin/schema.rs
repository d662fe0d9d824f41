//! What `--help` prints.

pub(crate) const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "coin [INPUT.json], from the standard input without a file",
  "type": "object",
  "properties": {
    "input": {
      "type": "object",
      "oneOf": [{ "required": ["target"] }, { "required": ["posterior"] }],
      "additionalProperties": false,
      "properties": {
        "target": { "enum": ["gaussian", "mixture", "rosenbrock", "donut", "funnel", "squiggle", "normal", "eight_schools"] },
        "dim": { "type": "integer", "minimum": 1, "default": 10, "description": "of the target normal: variances 1, correlations 0.5^|i-j|" },
        "posterior": { "type": "string", "description": "a posteriordb file with reference figures; relative to the input file" },
        "flow": { "enum": ["svgd", "coordinate_svgd", "blob", "gfsd", "ksdd", "lawgd"], "default": "svgd", "description": "lawgd: in one dimension; mirrored flows, on simplices and boxes, are offered by the library only" },
        "kernel": { "enum": ["rbf", "imq"], "default": "rbf", "description": "imq: of svgd, coordinate_svgd and ksdd; not of lawgd" },
        "bandwidth": { "type": "number", "exclusiveMinimum": 0, "description": "fixed length of the kernel, not of lawgd; default: 1 for ksdd, otherwise by the median" },
        "step_rule": {
          "default": { "name": "coin" },
          "oneOf": [
            { "properties": { "name": { "const": "coin" }, "alpha": { "type": "number", "minimum": 0, "default": 0 }, "initial_bound": { "type": "number", "minimum": 0, "default": 0 } } },
            { "properties": { "name": { "const": "adam" }, "learning_rate": { "type": "number" } }, "required": ["learning_rate"] },
            { "properties": { "name": { "const": "rms_prop" }, "learning_rate": { "type": "number" }, "decay": { "type": "number", "default": 0.9 } }, "required": ["learning_rate"] },
            { "properties": { "name": { "const": "ada_grad" }, "learning_rate": { "type": "number" } }, "required": ["learning_rate"] },
            { "properties": { "name": { "const": "sgd" }, "learning_rate": { "type": "number" }, "momentum": { "type": "number", "default": 0 } }, "required": ["learning_rate"] }
          ]
        },
        "n_particles": { "type": "integer", "minimum": 1, "default": 100 },
        "n_iterations": { "type": "integer", "minimum": 0, "default": 1000 },
        "start": {
          "default": { "normal": { "sd": 1.0 } },
          "description": "unconstrained; positions, one array per particle, decide the number of particles",
          "oneOf": [
            { "type": "object", "properties": { "normal": { "properties": { "sd": { "type": "number", "exclusiveMinimum": 0 } }, "required": ["sd"] } } },
            { "const": "prior" },
            { "type": "object", "properties": { "positions": { "type": "array", "items": { "type": "array", "items": { "type": "number" } } } } }
          ]
        },
        "minibatch": { "type": "integer", "minimum": 1, "description": "observations per iteration, for posteriors that are a sum over them; not of ksdd and lawgd; default: all" },
        "seed": { "type": "integer", "minimum": 0, "default": 1 },
        "threads": { "type": "integer", "minimum": 1, "description": "default: all; the result does not depend on it" }
      }
    },
    "output": {
      "type": "object",
      "properties": {
        "target": { "type": "string" },
        "flow": { "type": "string" },
        "step_rule": { "type": "string" },
        "n_particles": { "type": "integer" },
        "dim": { "type": "integer" },
        "n_iterations": { "type": "integer" },
        "seed": { "type": "integer" },
        "variables": {
          "description": "by element, as theta[3]; the reference's figures where there are any",
          "additionalProperties": { "properties": { "mean": {}, "sd": {}, "reference_mean": {}, "reference_sd": {} } }
        },
        "ksd": { "type": "number", "description": "kernel Stein discrepancy, inverse multiquadric kernel of length 1, unconstrained coordinates" },
        "energy_distance": { "type": "number", "description": "from 2000 exact draws, where there is a sampler" },
        "energy_distance_exact_draws": { "type": "number", "description": "the same of as many exact draws as there are particles" },
        "ms_per_step": { "type": "number" },
        "n_evaluations": { "type": "integer", "description": "gradients of one particle" },
        "largest_move": { "type": ["number", "null"], "description": "change of a mean in standard deviations, or of the logarithm of a standard deviation, over the last tenth to fifth of the iterations" },
        "warnings": { "type": "array", "items": { "type": "string" } }
      }
    }
  }
}"#;
