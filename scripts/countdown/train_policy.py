"""Trains the policy: next-token loss on solutions (share q) and on random runs under a target that another run reached."""

import argparse
import random
import time

import torch
import torch.nn.functional as F

from model import POLICY, Llama, optimisers, update
from task import BOS, EOS, VOCAB_SIZE, encode, legal_sets, problem, prompt_length, prompt_text, random_run, reorder

SIZES = (4, 5, 5, 6)  # numbers in a prompt


def training_text(rng, n, q, shuffle):
    """Token ids of a text; for every token after the prompt the bit set of legal ones, and its weight.

    A shuffled line shows the model what may follow an order that it should not write: its rest has weight 0.
    """
    numbers, target, lines, states = problem(rng, n)
    if rng.random() >= q:
        lines, states = random_run(rng, numbers)
    before, shuffled = [numbers, *states], [False] * len(lines)
    if shuffle > 0:
        lines, before, shuffled = reorder(rng, numbers, lines, shuffle)
    ids = [BOS] + encode(prompt_text(target, numbers) + "".join(lines)) + [EOS]
    legal = [bits for left, line in zip(before, lines) for bits in legal_sets(left, line)]
    weight = [0.0 if odd and 9 <= i else 1.0 for odd, line in zip(shuffled, lines) for i in range(len(line))]
    return ids, legal + [1 << EOS], weight + [1.0]


def batch(rng, a):
    n = rng.choice(SIZES)
    ids, legal, weight = zip(*(training_text(rng, n, a.q, a.shuffle) for _ in range(a.texts // n)))
    illegal = torch.tensor(legal)[..., None] >> torch.arange(VOCAB_SIZE) & 1 == 0
    return torch.tensor(ids), illegal, torch.tensor(weight), prompt_length(n)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--init")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--cooldown", type=int, default=0, help="the last steps, in which the rate falls to zero")
    parser.add_argument("--q", type=float, required=True)
    parser.add_argument("--legality", type=float, default=0.0, help="weight of -log P(a legal token), beside the next-token loss")
    parser.add_argument("--shuffle", type=float, default=0.0, help="share of lines whose remaining numbers are shuffled")
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--texts", type=int, default=320, help="a batch has texts/n texts")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--save-every", type=int, default=500)
    a = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(a.seed)
    rng = random.Random(1000 + a.seed)
    model = Llama(POLICY)
    if a.init:
        model.load_state_dict(torch.load(a.init))
    optims = optimisers(model)
    tokens, recent = 0, []
    for step in range(1, a.steps + 1):
        ids, illegal, weight, prompt = batch(rng, a)
        log_p = F.log_softmax(model.lm_head(model(ids[:, :-1])[:, prompt - 1 :]), -1)
        loss = -(weight * log_p.gather(2, ids[:, prompt:, None])[..., 0]).sum() / weight.sum()
        legality = -log_p.masked_fill(illegal, -torch.inf).logsumexp(-1).mean()
        falling = (a.steps - step + 1) / max(a.cooldown, 1)
        update(model, optims, loss + a.legality * legality, a.rate * min(1.0, step / 20, falling))
        tokens += ids.numel()
        recent.append((loss.item(), legality.item()))
        if step % 100 == 0:
            means = [sum(x) / len(x) for x in zip(*recent)]
            print(f"step {step} loss {means[0]:.4f} legality {means[1]:.5f} tokens {tokens / 1e6:.2f}M cpu {time.process_time():.0f}s", flush=True)
            recent = []
        if step % a.save_every == 0:
            torch.save(model.state_dict(), a.out.replace(".pt", f".{step}.pt"))
    torch.save(model.state_dict(), a.out)


if __name__ == "__main__":
    main()
