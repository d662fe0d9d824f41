"""Trains a reward model: first on exact labels of random runs (no policy needed), then on the policy's own rollouts."""

import argparse
import random
import time

import torch
import torch.nn.functional as F

from model import REWARD, REWARD_WEAK, Llama, optimisers, update
from task import BOS, LIMIT, encode, final_distribution, problem, random_run, state_text

SHARES = (0.1, 0.27, 0.28, 0.3, 0.05)  # batches with 1..5 numbers left
SHARPNESS = 25.0
ASIDE_WEIGHT = 0.1


def shaped(chance):
    """The value under a policy that prefers promising lines, from the chance of a random run.

    Of runs that are solutions with share q and random otherwise, a prefix with chance p succeeds with probability
    (cp + p) / (cp + 1), where c = q / ((1 - q) * chance of the prompt). It is zero exactly where the target is out of reach.
    """
    return (SHARPNESS + 1) * chance / (SHARPNESS * chance + 1)


def inputs(states):
    return torch.tensor([[BOS] + encode(state_text(target, left)) for target, left in states])


def last_number(rng):
    """A target and one number: equal, one digit apart, or unrelated."""
    target, kind = rng.randint(10, 99), rng.random()
    if kind < 0.4:
        number = target
    elif kind < 0.6:
        number = target // 10 * 10 + rng.randrange(10)
    elif kind < 0.8:
        number = rng.randint(1, 9) * 10 + target % 10
    else:
        number = rng.randrange(1, LIMIT)
    return target, (number,)


def random_state(rng, left):
    """A state of a solution or of a random run, `left` numbers before the end."""
    n = left + rng.choice((1, 1, 2)) if left < 5 else 6
    numbers, target, _, states = problem(rng, n)
    if rng.random() < 0.5:
        _, states = random_run(rng, numbers)
    return target, states[n - 1 - left]


def random_states(rng, shares, size):
    left = rng.choices(range(1, 6), shares)[0]
    if left == 1:
        return [last_number(rng) for _ in range(size)]
    return [random_state(rng, left) for _ in range(size // 8 if left == 5 else size)]


def separators(left):
    """Positions of the commas and of the newline in the input."""
    return [6 + 3 * i for i in range(left)]


def pretraining_loss(model, aside, states):
    """Loss against exact labels at every separator, where the numbers so far are a smaller state of the same target.

    `aside`, a head that is thrown away afterwards, learns the distribution of the last number of a random run.
    """
    left = len(states[0][1])
    distributions = torch.empty(len(states), left, LIMIT)
    for i, (_, numbers) in enumerate(states):
        descending = sorted(numbers, reverse=True)
        for j in range(left):
            distributions[i, j] = torch.from_numpy(final_distribution(tuple(descending[j::-1])))
    target = torch.tensor([t for t, _ in states])[:, None, None].expand(-1, left, 1)
    label = shaped(distributions.gather(2, target)[..., 0])
    hidden = model(inputs(states))[:, separators(left)]
    logits = model.lm_head(hidden)[..., 0]
    spread = -(distributions * F.log_softmax(aside(hidden), -1)).sum(-1)
    loss = F.binary_cross_entropy_with_logits(logits, label) + ASIDE_WEIGHT * spread.mean()
    with torch.no_grad():
        last = F.binary_cross_entropy_with_logits(logits[:, -1], label[:, -1])
    return loss, excess(last, label[:, -1])


def excess(loss, label):
    """The part of a log loss that a perfect model would not have."""
    return (loss - F.binary_cross_entropy(label, label)).item()


class RolloutBatches:
    """Batches of states of equal length from files of rollouts.py; label: "exact" value or "completion" (one outcome)."""

    def __init__(self, paths, label, shares, rng):
        self.rng, self.shares, self.by_left, self.next = rng, shares, {}, {}
        for path in paths:
            for target, left, won, value in torch.load(path):
                self.by_left.setdefault(len(left), []).append((target, left, float(won) if label == "completion" else value))
        for states in self.by_left.values():
            rng.shuffle(states)

    def __call__(self, size):
        left = self.rng.choices(range(1, 6), self.shares)[0]
        states = self.by_left[left]
        start = self.next.get(left, 0)
        if start + size > len(states):
            self.rng.shuffle(states)
            start = 0
        self.next[left] = start + size
        chosen = states[start : start + size]
        return [s[:2] for s in chosen], torch.tensor([s[2] for s in chosen])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("rollouts", nargs="*", help="files of rollouts.py; none: exact labels of random runs")
    parser.add_argument("--label", choices=("exact", "completion"), default="exact")
    parser.add_argument("--weak", action="store_true", help="the smaller architecture")
    parser.add_argument("--init")
    parser.add_argument("--shares", type=float, nargs=5, default=SHARES)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--cooldown", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--save-every", type=int, default=1000)
    a = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(a.seed)
    rng = random.Random(2000 + a.seed)
    model = Llama(REWARD_WEAK if a.weak else REWARD)
    if a.init:
        weights = torch.load(a.init)
        if weights["lm_head.weight"].shape[0] != 1:  # a policy: only its trunk
            weights["lm_head.weight"] = torch.zeros(1, model.config["d_model"])
        model.load_state_dict(weights)
    aside = torch.nn.Linear(model.config["d_model"], LIMIT, bias=False)
    optims = optimisers(model)
    if a.rollouts:
        next_batch = RolloutBatches(a.rollouts, a.label, a.shares, rng)
    else:
        optims.append((torch.optim.AdamW(aside.parameters(), weight_decay=0.0), 3e-3))
    recent = {}
    for step in range(1, a.steps + 1):
        if a.rollouts:
            states, label = next_batch(a.batch)
            loss = F.binary_cross_entropy_with_logits(model.lm_head(model(inputs(states))[:, -1])[:, 0], label)
            shown = excess(loss, label)
        else:
            states = random_states(rng, a.shares, a.batch)
            loss, shown = pretraining_loss(model, aside, states)
        falling = (a.steps - step + 1) / max(a.cooldown, 1)
        update(model, optims, loss, a.rate * min(1.0, step / 20, falling))
        recent.setdefault(len(states[0][1]), []).append(shown)
        if step % 200 == 0:
            means = " ".join(f"{k}:{sum(v) / len(v):.4f}" for k, v in sorted(recent.items()))
            print(f"step {step} excess {means} cpu {time.process_time():.0f}s", flush=True)
            recent = {}
        if step % a.save_every == 0:
            torch.save(model.state_dict(), a.out.replace(".pt", f".{step}.pt"))
    torch.save(model.state_dict(), a.out)


if __name__ == "__main__":
    main()
