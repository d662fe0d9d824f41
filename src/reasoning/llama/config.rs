//! The sizes of a model.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::LlamaError;

/// Sizes and constants of a Llama, as a JSON file states them.
///
/// The names of Hugging Face's `config.json` are read as well (`hidden_size`, `num_hidden_layers` ...), as long as it describes this
/// architecture: every head has keys and values of its own, d_model / n_heads wide, positions are rotated unscaled, no layer has biases,
/// and the activation is SiLU.
///
/// ```
/// use posterity::reasoning::llama::LlamaConfig;
/// let config = LlamaConfig::from_json(r#"{"n_layers": 3, "d_model": 96, "n_heads": 4, "d_ff": 256, "vocab_size": 24,
///     "max_positions": 112, "rope_theta": 10000.0, "norm_epsilon": 1e-5, "tied_embeddings": false, "output_size": 24}"#)?;
/// assert_eq!((config.d_head(), config.output_size()), (24, 24));
/// assert!(LlamaConfig::from_json(r#"{"n_layers": 3}"#).is_err());
/// # Ok::<(), posterity::reasoning::llama::LlamaError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    /// Number of layers.
    #[serde(alias = "num_hidden_layers")]
    pub n_layers: usize,
    /// Width of the residual stream.
    #[serde(alias = "hidden_size")]
    pub d_model: usize,
    /// Number of heads; divides `d_model` into heads of even width.
    #[serde(alias = "num_attention_heads")]
    pub n_heads: usize,
    /// Number of heads of keys and values, where a file states it: only `n_heads` is supported.
    #[serde(default, alias = "num_key_value_heads", skip_serializing_if = "Option::is_none")]
    pub n_key_value_heads: Option<usize>,
    /// Width of the feed-forward block.
    #[serde(alias = "intermediate_size")]
    pub d_ff: usize,
    /// Number of tokens of the vocabulary.
    pub vocab_size: usize,
    /// Longest text, in tokens.
    #[serde(alias = "max_position_embeddings")]
    pub max_positions: usize,
    /// Base of the rotary embedding's frequencies.
    pub rope_theta: f64,
    /// Added to the mean square in the norm.
    #[serde(alias = "rms_norm_eps")]
    pub norm_epsilon: f64,
    /// True if the output layer is the embedding.
    #[serde(default, alias = "tie_word_embeddings")]
    pub tied_embeddings: bool,
    /// Number of outputs per position; one per token where it is not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_size: Option<usize>,
}

impl LlamaConfig {
    /// Reads the content of a JSON file.
    ///
    /// # Errors
    /// [`LlamaError::Undecodable`] for text of another format, [`LlamaError::Config`] for a number out of range,
    /// [`LlamaError::Unsupported`] for another architecture.
    pub fn from_json(text: &str) -> Result<Self, LlamaError> {
        let undecodable =
            |source: serde_json::Error| LlamaError::Undecodable { what: "the configuration", source: source.into() };
        let config: Self = serde_json::from_str(text).map_err(undecodable)?;
        config.validate()?;
        config.check_architecture(&serde_json::from_str(text).map_err(undecodable)?)?;
        Ok(config)
    }

    /// Refuses what Hugging Face's files say of models that are computed in another way.
    fn check_architecture(&self, file: &Value) -> Result<(), LlamaError> {
        let is_off = |value: &Value| *value == Value::Bool(false);
        let is_silu = |value: &Value| matches!(value.as_str(), Some("silu" | "swish"));
        let is_default = |value: &Value| {
            let kind = value.get("rope_type").or_else(|| value.get("type"));
            kind.is_none_or(|kind| kind == "default") && value.get("factor").is_none()
        };
        let is_width = |value: &Value| value.as_u64() == Some(self.d_head() as u64);
        let is_llama = |value: &Value| value == "llama";
        let is_whole = |value: &Value| value.as_f64() == Some(1.0);
        type Rule<'a> = (&'static str, &'a dyn Fn(&Value) -> bool, &'static str);
        let rules: [Rule<'_>; 9] = [
            ("model_type", &is_llama, "`llama`"),
            ("rope_scaling", &is_default, "the default"),
            ("rope_parameters", &is_default, "the default"),
            ("partial_rotary_factor", &is_whole, "1"),
            ("head_dim", &is_width, "d_model / n_heads"),
            ("attention_bias", &is_off, "false"),
            ("mlp_bias", &is_off, "false"),
            ("hidden_act", &is_silu, "`silu`"),
            ("sliding_window", &|_| false, "none"),
        ];
        for (field, holds, supported) in rules {
            if let Some(value) = file.get(field).filter(|value| !value.is_null() && !holds(value)) {
                return Err(LlamaError::Unsupported { field, value: value.to_string(), supported });
            }
        }
        Ok(())
    }

    /// Width of one head.
    #[must_use]
    pub fn d_head(&self) -> usize {
        self.d_model / self.n_heads
    }

    /// Number of outputs per position.
    #[must_use]
    pub fn output_size(&self) -> usize {
        self.output_size.unwrap_or(self.vocab_size)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`LlamaError::Config`] names the first field that is out of its range.
    pub fn validate(&self) -> Result<(), LlamaError> {
        let check =
            |field, value: f64, holds: bool, rule| if holds { Ok(()) } else { Err(LlamaError::Config { field, value, rule }) };
        // Sizes of this order fit into memory with room to spare; larger products would overflow before that shows.
        const LARGEST: usize = 1 << 24;
        for (field, value) in [
            ("n_layers", self.n_layers),
            ("d_model", self.d_model),
            ("n_heads", self.n_heads),
            ("d_ff", self.d_ff),
            ("vocab_size", self.vocab_size),
            ("max_positions", self.max_positions),
            ("output_size", self.output_size()),
        ] {
            check(field, value as f64, (1..=LARGEST).contains(&value), "at least 1 and at most 2^24")?;
        }
        let divides = self.d_model.is_multiple_of(2 * self.n_heads);
        check("n_heads", self.n_heads as f64, divides, "a divisor of d_model with heads of even width")?;
        let own = self.n_key_value_heads.unwrap_or(self.n_heads);
        check("n_key_value_heads", own as f64, own == self.n_heads, "n_heads: shared keys and values are not supported")?;
        let tied = !self.tied_embeddings || self.output_size() == self.vocab_size;
        check("output_size", self.output_size() as f64, tied, "vocab_size where the embeddings are tied")?;
        check("rope_theta", self.rope_theta, self.rope_theta > 0.0 && self.rope_theta.is_finite(), "positive and finite")?;
        check("norm_epsilon", self.norm_epsilon, self.norm_epsilon > 0.0 && self.norm_epsilon.is_finite(), "positive and finite")
    }
}
