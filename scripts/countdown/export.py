"""Writes the weights in f16 (safetensors, Hugging Face names), configurations, vocabulary and check values."""

import argparse
import json
import pathlib
import random

import torch
from safetensors.torch import save

from model import POLICY, REWARD, REWARD_WEAK, load
from task import BOS, TOKENS, encode, problem, prompt_text, state_text


def checks(name, model):
    """Texts and the logits at their last token, from the rounded weights."""
    for i in range(4):
        numbers, target, lines, states = problem(random.Random(i), 5)
        text = prompt_text(target, numbers) + "".join(lines[:i]) if name == "policy" else state_text(target, states[i])
        ids = [BOS] + encode(text)
        with torch.no_grad():
            logits = model.lm_head(model(torch.tensor([ids])))[0, -1]
        yield dict(model=name, text=text, tokens=ids, logits=[round(x, 5) for x in logits.tolist()])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--policy", required=True)
    parser.add_argument("--reward", required=True)
    parser.add_argument("--reward-weak", required=True)
    a = parser.parse_args()
    check = []
    for name, path, c in (("policy", a.policy, POLICY), ("reward", a.reward, REWARD), ("reward_weak", a.reward_weak, REWARD_WEAK)):
        model = load(path, c)
        half = {key: x.half().contiguous() for key, x in model.state_dict().items()}
        (a.out / f"{name}.safetensors").write_bytes(save(half))
        (a.out / f"{name}.json").write_text(json.dumps(c, indent=1) + "\n")
        model.load_state_dict({key: x.float() for key, x in half.items()})
        check += checks(name, model)
    (a.out / "vocab.json").write_text(json.dumps({"tokens": TOKENS}) + "\n")
    (a.out / "check.json").write_text("[\n" + ",\n".join(map(json.dumps, check)) + "\n]\n")


if __name__ == "__main__":
    main()
