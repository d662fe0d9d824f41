"""Writes a small Llama of this repository as GGUF, for llama.cpp.

    to_gguf.py MODEL.safetensors CONFIG.json VOCAB.json OUT.gguf

Reads tensors by their Hugging Face names. The tokeniser has one token per character; tokens 0, 1 and 2 are padding, start and end.
Needs numpy and gguf.
"""

import json
import struct
import sys

import gguf
import numpy as np

TYPES = {"F16": np.float16, "F32": np.float32}


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"]).astype(np.float32)
    return tensors


def main(model, config, vocabulary, out):
    tensors = read_safetensors(model)
    with open(config) as file:
        config = json.load(file)
    with open(vocabulary) as file:
        vocabulary = json.load(file)
    tokens = vocabulary["tokens"] if isinstance(vocabulary, dict) else vocabulary
    width, heads = config["hidden_size"], config["num_attention_heads"]
    head = width // heads
    n_tokens = tensors["model.embed_tokens.weight"].shape[0]
    tokens = tokens + [f"<unused{i}>" for i in range(len(tokens), n_tokens)]

    writer = gguf.GGUFWriter(out, "llama")
    writer.add_name("posterity")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(width)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(n_tokens)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    # A sentencepiece model without any merge: one character, one token.
    kind = gguf.TokenType
    kinds = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL]
    kinds += [kind.NORMAL if len(token) == 1 else kind.UNUSED for token in tokens[3:]]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([("<unk>" if i == 0 else token).encode() for i, token in enumerate(tokens)])
    writer.add_token_scores([0.0] * n_tokens)
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)

    def interleaved(weight, n_heads):
        """llama.cpp rotates neighbouring pairs of rows, Hugging Face the two halves of a head."""
        return weight.reshape(n_heads, 2, head // 2, width).swapaxes(1, 2).reshape(n_heads * head, width)

    writer.add_tensor("token_embd.weight", tensors["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", tensors["model.norm.weight"])
    if not config.get("tie_word_embeddings"):
        writer.add_tensor("output.weight", tensors["lm_head.weight"])
    for layer in range(config["num_hidden_layers"]):
        theirs, ours = f"model.layers.{layer}.", f"blk.{layer}."
        query, key = (tensors[theirs + f"self_attn.{name}_proj.weight"] for name in "qk")
        writer.add_tensor(ours + "attn_norm.weight", tensors[theirs + "input_layernorm.weight"])
        writer.add_tensor(ours + "ffn_norm.weight", tensors[theirs + "post_attention_layernorm.weight"])
        writer.add_tensor(ours + "attn_q.weight", interleaved(query, heads))
        writer.add_tensor(ours + "attn_k.weight", interleaved(key, config["num_key_value_heads"]))
        writer.add_tensor(ours + "attn_v.weight", tensors[theirs + "self_attn.v_proj.weight"])
        writer.add_tensor(ours + "attn_output.weight", tensors[theirs + "self_attn.o_proj.weight"])
        for name in ("gate", "up", "down"):
            writer.add_tensor(ours + f"ffn_{name}.weight", tensors[theirs + f"mlp.{name}_proj.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
