//! Configurations in the form of Hugging Face.

use posterity::reasoning::llama::{LlamaConfig, LlamaError};
use serde_json::{Value, json};

#[test]
fn configurations_of_other_architectures_are_refused() {
    let text = r#"{"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4,
        "intermediate_size": 128, "vocab_size": 100, "max_position_embeddings": 256, "rope_theta": 10000.0, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true, "hidden_act": "silu", "attention_bias": false, "mlp_bias": false, "head_dim": 16,
        "rope_scaling": null, "torch_dtype": "bfloat16"}"#;
    assert_eq!(LlamaConfig::from_json(text).unwrap().d_head(), 16);
    for (field, value) in [
        ("model_type", json!("gemma")),
        ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0})),
        ("rope_scaling", json!({"type": "linear", "factor": 2.0})),
        ("rope_parameters", json!({"rope_type": "yarn"})),
        ("head_dim", json!(32)),
        ("attention_bias", json!(true)),
        ("mlp_bias", json!(true)),
        ("hidden_act", json!("gelu")),
        ("partial_rotary_factor", json!(0.5)),
        ("sliding_window", json!(128)),
    ] {
        let mut changed: Value = serde_json::from_str(text).unwrap();
        changed[field] = value;
        let error = LlamaConfig::from_json(&changed.to_string()).unwrap_err();
        assert!(matches!(error, LlamaError::Unsupported { field: found, .. } if found == field), "{field}: {error}");
    }
    let shared = text.replace("\"num_key_value_heads\": 4", "\"num_key_value_heads\": 2");
    assert!(matches!(LlamaConfig::from_json(&shared), Err(LlamaError::Config { field: "n_key_value_heads", .. })));
}
