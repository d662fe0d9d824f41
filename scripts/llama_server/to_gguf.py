"""Writes a small Llama of this repository as GGUF, for llama.cpp.

    to_gguf.py MODEL.safetensors CONFIG.json VOCAB.json OUT.gguf

Reads tensors by their Hugging Face names. The tokeniser has one token per character; tokens 0, 1 and 2 are padding, start and end.
A model with one output becomes a language model that writes "+" with its logit against "-". Needs numpy and gguf.
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


# Sizes by the names of this repository and by those of Hugging Face.
NAMES = {
    "n_layers": "num_hidden_layers",
    "d_model": "hidden_size",
    "n_heads": "num_attention_heads",
    "d_ff": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "norm_epsilon": "rms_norm_eps",
    "tied_embeddings": "tie_word_embeddings",
    "rope_theta": "rope_theta",
}


def main(model, config, vocabulary, out):
    tensors = read_safetensors(model)
    with open(config) as file:
        config = json.load(file)
    config = {ours: config[ours] if ours in config else config[theirs] for ours, theirs in NAMES.items()}
    with open(vocabulary) as file:
        tokens = json.load(file)["tokens"]
    width, heads = config["d_model"], config["n_heads"]
    head = width // heads
    n_tokens = tensors["model.embed_tokens.weight"].shape[0]
    if len(tokens) != n_tokens:
        sys.exit(f"{vocabulary} has {len(tokens)} tokens, {model} {n_tokens}")

    output = tensors["model.embed_tokens.weight"] if config["tied_embeddings"] else tensors.get("lm_head.weight", tensors.get("score.weight"))
    if output.shape[0] == 1:
        # A reward model becomes a judge: its logit is that of "+", and 0 that of every other token, "-" among them.
        judge = np.zeros((n_tokens, width), np.float32)
        judge[tokens.index("+")] = output[0]
        output = judge

    writer = gguf.GGUFWriter(out, "llama")
    writer.add_name("posterity")
    writer.add_context_length(config["max_positions"])
    writer.add_embedding_length(width)
    writer.add_block_count(config["n_layers"])
    writer.add_feed_forward_length(config["d_ff"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(config["norm_epsilon"])
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

    def interleaved(weight):
        """llama.cpp rotates neighbouring pairs of rows, Hugging Face the two halves of a head."""
        return weight.reshape(heads, 2, head // 2, width).swapaxes(1, 2).reshape(width, width)

    writer.add_tensor("token_embd.weight", tensors["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", tensors["model.norm.weight"])
    writer.add_tensor("output.weight", output)
    for layer in range(config["n_layers"]):
        theirs, ours = f"model.layers.{layer}.", f"blk.{layer}."
        query, key = (tensors[theirs + f"self_attn.{name}_proj.weight"] for name in "qk")
        writer.add_tensor(ours + "attn_norm.weight", tensors[theirs + "input_layernorm.weight"])
        writer.add_tensor(ours + "ffn_norm.weight", tensors[theirs + "post_attention_layernorm.weight"])
        writer.add_tensor(ours + "attn_q.weight", interleaved(query))
        writer.add_tensor(ours + "attn_k.weight", interleaved(key))
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
