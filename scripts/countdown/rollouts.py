"""The policy's own rollouts: (target, numbers claimed to be left, did this rollout succeed, the policy's exact value of the prefix)."""

import argparse
import random
import time

import torch

from model import POLICY, Rows, exact_values, load
from task import problem

SIZES = (4, 5, 5, 5, 6)  # numbers in a prompt
BLOCK = 64  # problems decoded together


def rollouts(policy, problems, copies, generator, temperature, most_left, known):
    """Rollouts of problems (target, numbers, solution's lines, solution's states) of one size.

    known: the solution's lines are given up to here. Prefixes with more than most_left numbers left are dropped.
    """
    starts = [(t, s, "".join(lines[:known]), states[known - 1] if known else s) for t, s, lines, states in problems]
    rows = Rows(policy, starts, copies, generator, temperature)
    prompts = [s for _, s, _, _ in starts for _ in range(copies)]
    prefixes, owners = [], []

    def collect():
        for i, claim in enumerate(rows.claim):
            if claim is not None:
                prefixes.append((rows.target[i], prompts[i], rows.text[i], claim, rows.truth[i] is not None))
                owners.append(i)

    if known:
        collect()
    while rows.left > 1:
        rows.advance()
        if rows.left <= most_left:
            collect()
    distinct = sorted({p[:4] for p in prefixes if p[4]})
    value = dict(zip(distinct, exact_values(policy, distinct, temperature)))
    won = rows.won()
    return [(p[0], p[3], won[i], value[p[:4]] if p[4] else 0.0) for p, i in zip(prefixes, owners)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("policy")
    parser.add_argument("out")
    parser.add_argument("--blocks", type=int, required=True, help=f"blocks of {BLOCK} problems")
    parser.add_argument("--copies", type=int, default=4, help="rollouts of a problem")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--most-left", type=int, default=4)
    parser.add_argument("--guided", type=float, default=0.25, help="share of blocks that start inside a known solution")
    parser.add_argument("--seed", type=int, required=True)
    a = parser.parse_args()
    torch.set_num_threads(1)
    rng, generator = random.Random(3000 + a.seed), torch.Generator().manual_seed(a.seed)
    policy, data = load(a.policy, POLICY), []
    for block in range(1, a.blocks + 1):
        n = rng.choice(SIZES)
        known = rng.randint(max(1, n - a.most_left), n - 2) if rng.random() < a.guided else 0
        problems = [(t, s, lines, states) for s, t, lines, states in (problem(rng, n) for _ in range(BLOCK))]
        data += rollouts(policy, problems, a.copies, generator, a.temperature, a.most_left, known)
        if block % 10 == 0:
            print(f"block {block} states {len(data)} cpu {time.process_time():.0f}s", flush=True)
    torch.save(data, a.out)


if __name__ == "__main__":
    main()
