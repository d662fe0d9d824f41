"""Measures the policy and the reward models on validation problems that no training seed draws."""

import argparse
import json
import math
import random
import time

import numpy as np
import torch

from model import POLICY, REWARD, REWARD_WEAK, Rows, exact_values, load
from task import problem, solvable
from train_reward import inputs

VALIDATION = 5_000_000  # problem i with n numbers: random.Random(VALIDATION + 1000 * n + i)


def validation_problems(n, count):
    drawn = [problem(random.Random(VALIDATION + 1000 * n + i), n) for i in range(count)]
    return [(target, numbers, "", numbers) for numbers, target, _, _ in drawn]


def pass_at(wins, rollouts, k):
    """Unbiased pass@k of one problem."""
    return 1.0 - math.prod((rollouts - wins - i) / (rollouts - i) for i in range(k))


def auc(score, label):
    """Probability that a positive has the higher score (ties count half)."""
    score, label = np.asarray(score), np.asarray(label, bool)
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives, negatives = label.sum(), (~label).sum()
    if positives == 0 or negatives == 0:
        return float("nan")
    return (rank[label].sum() - positives * (positives + 1) / 2) / (positives * negatives)


def measure_policy(policy, n, problems, copies, temperature, generator):
    """Figures of the policy, and the states of its rollouts for the reward models."""
    states, wins, wrong_lines, written = [], [], 0, 0
    for start in range(0, len(problems), 16):
        block = problems[start : start + 16]
        rows = Rows(policy, block, copies, generator, temperature)
        prompts = [p[1] for p in block for _ in range(copies)]
        seen = []
        while rows.left > 1:
            right = sum(x is not None for x in rows.truth)
            rows.advance()
            written += right
            wrong_lines += right - sum(x is not None for x in rows.truth)
            seen += [
                (i, (rows.target[i], prompts[i], rows.text[i], c), rows.truth[i] is not None)
                for i, c in enumerate(rows.claim)
                if c is not None
            ]
        won = rows.won()
        states += [(prefix, right, won[i]) for i, prefix, right in seen]
        wins += torch.tensor(won).view(len(block), copies).sum(1).tolist()
    greedy = Rows(policy, problems, temperature=0).finish()
    mean = lambda values: float(np.mean(values))
    error = lambda values: float(np.std(values, ddof=1) / len(values) ** 0.5)
    figures = dict(problems=len(problems), rollouts=copies, wrong_line_rate=wrong_lines / written, rollouts_with_wrong_line=wrong_lines / (len(problems) * copies))
    for k in (1, 4, 16, 64):
        values = [pass_at(w, copies, k) for w in wins]
        figures[f"pass@{k}"] = [mean(values), error(values)]
    figures["greedy"] = [mean(greedy), error(greedy)]
    return figures, states


def measure_reward(model, states, values):
    """Figures by the count of numbers left."""
    figures = {}
    distinct = {}
    for prefix, _, _ in states:
        distinct.setdefault(len(prefix[3]), {})[prefix[0], tuple(sorted(prefix[3]))] = None
    for left, keys in sorted(distinct.items(), reverse=True):
        with torch.no_grad():
            order = list(keys)
            logits = torch.cat([model.lm_head(model(inputs(order[i : i + 2048]))[:, -1])[:, 0] for i in range(0, len(order), 2048)])
        score = dict(zip(order, logits.tolist()))
        here = [s for s in states if len(s[0][3]) == left]
        z = np.array([score[s[0][0], tuple(sorted(s[0][3]))] for s in here])
        p = 1 / (1 + np.exp(-z))
        won = np.array([s[2] for s in here])
        reachable = [s[1] and solvable(s[0][0], s[0][3]) for s in here]
        row = dict(states=len(here), success=won.mean(), mean_value=p.mean(), auc_success=auc(z, won), auc_solvable=auc(z, reachable))
        exact = [i for i, s in enumerate(here) if s[0] in values]
        if exact:
            v = np.array([values[here[i][0]] for i in exact])
            row |= dict(exact_states=len(exact), mean_exact=v.mean(), correlation=np.corrcoef(p[exact], v)[0, 1], mean_absolute_error=np.abs(p[exact] - v).mean())
        figures[left] = {k: float(x) for k, x in row.items()}
    return figures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("policy")
    parser.add_argument("out")
    parser.add_argument("--reward")
    parser.add_argument("--reward-weak")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--copies", type=int, default=64)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 5, 6])
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--exact-problems", type=int, default=40, help="problems whose prefixes get exact values (n <= 5)")
    parser.add_argument("--exact-copies", type=int, default=8, help="rollouts of such a problem that are used")
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    torch.set_num_threads(1)
    policy = load(a.policy, POLICY)
    rewards = {}
    if a.reward:
        rewards["reward"] = load(a.reward, REWARD)
    if a.reward_weak:
        rewards["reward_weak"] = load(a.reward_weak, REWARD_WEAK)
    result = {"temperature": a.temperature}
    for n in a.sizes:
        generator = torch.Generator().manual_seed(a.seed)
        problems = validation_problems(n, a.problems)
        figures, states = measure_policy(policy, n, problems, a.copies, a.temperature, generator)
        result[f"n={n}"] = {"policy": figures}
        print(f"n={n} cpu {time.process_time():.0f}s policy {figures}", flush=True)
        if not rewards:
            continue
        values = {}
        if n <= 5:
            chosen, count = {p[:2] for p in problems[: a.exact_problems]}, {}
            wanted = set()
            for prefix, right, _ in states:
                key = (prefix[:2], len(prefix[3]))
                if prefix[:2] in chosen and count.get(key, 0) < a.exact_copies:
                    count[key] = count.get(key, 0) + 1
                    wanted.add(prefix) if right else values.update({prefix: 0.0})
            wanted = sorted(wanted)
            values |= zip(wanted, exact_values(policy, wanted, a.temperature))
        for name, model in rewards.items():
            result[f"n={n}"][name] = measure_reward(model, states, values)
            for left, row in result[f"n={n}"][name].items():
                print(f"  {name} k={left} " + " ".join(f"{k} {x:.3f}" for k, x in row.items()), flush=True)
    with open(a.out, "w") as file:
        json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
