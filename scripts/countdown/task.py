"""Countdown as text: the format, a generator of problems, and exact dynamic programming."""

import functools

import numpy as np

PAD, BOS, EOS = 0, 1, 2
TOKENS = ["<pad>", "<bos>", "<eos>"] + list("0123456789+-*/=,:\n") + ["<unused0>", "<unused1>", "<unused2>"]
VOCAB_SIZE = len(TOKENS)
TOKEN_ID = {token: i for i, token in enumerate(TOKENS)}
LIMIT = 100  # every number lies in 1..99


def encode(text):
    return [TOKEN_ID[character] for character in text]


def decode(ids):
    return "".join(TOKENS[i] if EOS < i <= TOKEN_ID["\n"] else "?" for i in ids)


def prompt_text(target, numbers):
    return f"{target:02d}:" + ",".join(f"{x:02d}" for x in numbers) + "\n"


def state_text(target, numbers):
    """What the reward model reads: the numbers that are left, in descending order."""
    return prompt_text(target, sorted(numbers, reverse=True))


def prompt_length(n):
    return 4 + 3 * n  # with BOS


def line_length(left):
    return 6 + 3 * left  # `left` numbers remain after the line


def apply_op(a, op, b):
    """The result for a >= b, or None where the operation is not allowed."""
    if op == "+":
        result = a + b
    elif op == "-":
        result = a - b
    elif b < 2 or (op == "/" and a % b):
        return None
    else:
        result = a * b if op == "*" else a // b
    return result if 0 < result < LIMIT else None


def apply_line(numbers, i, j, op):
    """The line that combines the numbers at i and j, and what is left; None where it is not allowed."""
    a, b = max(numbers[i], numbers[j]), min(numbers[i], numbers[j])
    result = apply_op(a, op, b)
    if result is None:
        return None
    left = (result,) + tuple(x for k, x in enumerate(numbers) if k != i and k != j)
    return f"{a:02d}{op}{b:02d}=" + ",".join(f"{x:02d}" for x in left) + "\n", left


def random_run(rng, numbers):
    """Lines of a uniformly random run, and the states after them."""
    lines, states, left = [], [], tuple(numbers)
    while len(left) > 1:
        i, j = rng.sample(range(len(left)), 2)
        step = apply_line(left, i, j, rng.choice("+-*/"))
        if step is not None:
            lines.append(step[0])
            states.append(step[1])
            left = step[1]
    return lines, states


def legal_sets(numbers, line):
    """For every character of a right line, the bit set of token ids with which a right line may go on there.

    The numbers that remain may stand in any order.
    """
    pairs = ((i, j) for i in range(len(numbers)) for j in range(i + 1, len(numbers)))
    steps = (apply_line(numbers, i, j, op) for i, j in pairs for op in "+-*/")
    heads = {step[0][:8]: step[1][1:] for step in steps if step is not None}
    bits = lambda characters: sum(1 << TOKEN_ID[c] for c in set(characters))
    sets, alive, head = [], heads, line[:8]
    for position, character in enumerate(head):
        sets.append(bits(other[position] for other in alive))
        alive = [other for other in alive if other[position] == character]
    rest = [f"{x:02d}" for x in heads[head]]
    for start in range(9, len(line), 3):
        number = line[start : start + 2]
        sets += [bits(","), bits(x[0] for x in rest), bits(x[1] for x in rest if x[0] == number[0])]
        rest.remove(number)
    return sets + [bits("\n")]


def reorder(rng, numbers, lines, share):
    """The same operations with the remaining numbers of a line shuffled with probability `share`.

    Returns the lines, the states before them, and whether each line was shuffled.
    """
    left, texts, before, shuffled = tuple(numbers), [], [], []
    for line in lines:
        a, b = int(line[:2]), int(line[3:5])
        i = left.index(a)
        j = next(k for k, x in enumerate(left) if x == b and k != i)
        text, after = apply_line(left, i, j, line[2])
        shuffled.append(len(after) > 2 and rng.random() < share)
        if shuffled[-1]:
            after = after[:1] + tuple(rng.sample(after[1:], len(after) - 1))
            text = text[:9] + ",".join(f"{x:02d}" for x in after[1:]) + "\n"
        texts.append(text)
        before.append(left)
        left = after
    return texts, before, shuffled


def problem(rng, n):
    """Distinct numbers 1..30 and a target 10..99 that a random run reached; that run as a solution."""
    while True:
        numbers = tuple(rng.sample(range(1, 31), n))
        lines, states = random_run(rng, numbers)
        if states[-1][0] >= 10:
            return numbers, states[-1][0], lines, states


def read_line(line, left):
    """(state after the line, or None if the line is wrong; the numbers that the line claims, or None)."""
    try:
        a, op, b = int(line[:2]), line[2], int(line[3:5])
        claim = tuple(int(x) for x in line[6:-1].split(","))
    except (ValueError, IndexError):
        return None, None
    well_formed = line[5] == "=" and line[-1] == "\n" and op in "+-*/" and len(line) == line_length(len(claim))
    if not well_formed or len(claim) != len(left) - 1 or not all(0 < x < LIMIT for x in claim):
        return None, None
    rest = list(left)
    for x in (a, b):
        if x not in rest:
            return None, claim
        rest.remove(x)
    right = a >= b and apply_op(a, op, b) == claim[0] and sorted(rest) == sorted(claim[1:])
    return (claim if right else None), claim


@functools.cache
def pair_results(a, b):
    return tuple(r for r in (apply_op(a, op, b) for op in "+-*/") if r is not None)


@functools.lru_cache(maxsize=400_000)
def final_distribution(numbers):
    """Distribution over 0..99 of the last number of a uniformly random run from a sorted tuple."""
    total = np.zeros(LIMIT, dtype=np.float32)
    if len(numbers) == 1:
        total[numbers[0]] = 1.0
        return total
    count = 0
    for i in range(1, len(numbers)):
        for j in range(i):
            rest = numbers[:j] + numbers[j + 1 : i] + numbers[i + 1 :]
            for result in pair_results(numbers[i], numbers[j]):
                total += final_distribution(tuple(sorted(rest + (result,))))
                count += 1
    return total / max(count, 1)


def solvable(target, numbers):
    return final_distribution(tuple(sorted(numbers)))[target] > 0


def solutions(target, numbers):
    """All texts of lines that lead from the numbers, in this order, to the target (one text per distinct line)."""
    if len(numbers) == 1:
        return [""] if numbers[0] == target else []
    found = {}
    for i in range(len(numbers)):
        for j in range(i + 1, len(numbers)):
            for op in "+-*/":
                step = apply_line(numbers, i, j, op)
                if step is not None and step[0] not in found and solvable(target, step[1]):
                    found[step[0]] = step[1]
    return [line + tail for line, left in found.items() for tail in solutions(target, left)]
