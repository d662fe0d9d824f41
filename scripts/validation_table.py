#!/usr/bin/env python3
"""The table and the checks of the slow validation, from the JSON lines that scripts/validate collects.

usage: validation_table.py [--gate-seeds N] RUNS.jsonl TABLE.md
       validation_table.py --names-to-beat | --self-test

Each line is {"seed": s, "run": {...}} with what the example `posteriordb` prints, or {"seed": s, "file": name, "failed": exit status}.
The exit status is 1 if a check fails.
"""

import argparse
import json
import math
import statistics
import sys

# Gradients per effective sample (4 chains x 1000 draws) of the best of Stan, BlackJAX and nutpie, from docs/validation/README.md.
TO_BEAT = {
    "diamonds-diamonds": 3.7,
    "kilpisjarvi_mod-kilpisjarvi": 3.3,
    "nes1976-nes": 4.3,
    "hmm_example-hmm_example": 2.6,
    "garch-garch11": 9.6,
    "eight_schools-eight_schools_noncentered": 11.3,
    "low_dim_gauss_mix-low_dim_gauss_mix": 3.9,
    "arma-arma11": 2.5,
    "gp_pois_regr-gp_pois_regr": 490.0,
}
# Biased for every sampler: the summary must warn, and no other check applies.
MUST_WARN = {"eight_schools-eight_schools_centered"}
# Divergences that Stan has in 4 x 1000 draws, where it has any.
STAN_DIVERGENCES = {"gp_pois_regr-gp_pois_regr": 3}
# Effective size of the reference samples, 10 chains x 1000 draws.
REFERENCE_ESS = 10_000

KEYS = [
    "min_ess_bulk", "min_ess_tail", "max_rhat", "n_grad_warmup", "n_grad_sample", "grad_per_ess", "cpu_s", "us_per_grad",
    "divergences", "max_err_sd", "max_abs_z", "min_sd_ratio", "max_sd_ratio",
]


def number(run, key):
    """The value of a key; a missing value or null is NaN and so fails every check."""
    value = run.get(key)
    return math.nan if value is None else float(value)


def median(runs, key):
    values = [number(run, key) for run in runs]
    return math.nan if any(map(math.isnan, values)) else statistics.median(values)


def converged(run):
    return (
        number(run, "max_rhat") <= 1.01
        and number(run, "min_ess_bulk") >= 400
        and number(run, "min_ess_tail") >= 400
    )


def z_of_log_sd(run):
    """The largest |z| of a log standard deviation: as printed, or from the ratios by the normal approximation 1 / (2 ESS) of its variance."""
    if "max_abs_z_log_sd" in run:
        return number(run, "max_abs_z_log_sd")
    ess = min(number(run, "min_ess_bulk"), number(run, "min_ess_tail"))
    low, high = number(run, "min_sd_ratio"), number(run, "max_sd_ratio")
    if not (low > 0.0 and high > 0.0 and ess > 0.0):
        return math.nan
    error = math.sqrt(0.5 / ess + 0.5 / REFERENCE_ESS)
    return max(abs(math.log(low)), abs(math.log(high))) / error


def evaluate(lines, gate_seeds):
    """The rows of the table, and the checks as (sentence, holds, details)."""
    runs, failures = {}, []
    for line in lines:
        if "run" in line:
            runs.setdefault(line["run"]["posterior"], []).append((line["seed"], line["run"]))
        else:
            failures.append(f"{line['file']} seed {line['seed']} (exit status {line['failed']})")

    gated = [(name, s, run) for name in sorted(runs) if name not in MUST_WARN for s, run in runs[name] if s <= gate_seeds]
    name_of = lambda name, s: f"{name} seed {s}"
    not_converged = [name_of(n, s) for n, s, run in gated if not converged(run)]
    z = [(n, s, number(run, "max_abs_z")) for n, s, run in gated]
    over_4 = [f"{name_of(n, s)} ({x:.2f})" for n, s, x in z if not x <= 4.0]
    over_5 = [f"{name_of(n, s)} ({x:.2f})" for n, s, x in z if not x <= 5.0]
    # A run that counts its parameters above 4 says so; otherwise it has at least the one.
    n_over_4 = sum(int(run.get("n_z_over_4", 1)) for _, _, run in gated if not number(run, "max_abs_z") <= 4.0)
    sd = [f"{name_of(n, s)} ({z_of_log_sd(run):.2f})" for n, s, run in gated if not z_of_log_sd(run) <= 4.0]

    ratios = {n: median([r for _, r in runs[n]], "grad_per_ess") / best for n, best in TO_BEAT.items() if n in runs}
    missing = sorted(set(TO_BEAT) - set(runs))
    positive = ratios and all(r > 0.0 for r in ratios.values())
    geometric_mean = math.exp(statistics.fmean(math.log(r) for r in ratios.values())) if positive else math.nan
    slow = [f"{n} ({r:.2f})" for n, r in ratios.items() if not r <= 1.5]
    divergent = []
    for name in sorted(runs):
        count = median([r for _, r in runs[name]], "divergences")
        if name in TO_BEAT and not count <= STAN_DIVERGENCES.get(name, 0):
            divergent.append(f"{name} ({count:g})")
    silent = [
        name_of(n, s) for n in sorted(MUST_WARN & set(runs)) for s, run in runs[n]
        if converged(run) and not number(run, "divergences") > 0
    ]

    checks = [
        ("Every run ended without an error", not failures and bool(runs), failures),
        ("R-hat <= 1.01 and bulk and tail ESS >= 400", not not_converged, not_converged),
        ("|z| of every mean <= 4, but for two in the whole table", n_over_4 <= 2, over_4),
        ("|z| of every mean <= 5", not over_5, over_5),
        ("log sd within 4 of its errors", not sd, sd),
        (f"gradients per effective sample: geometric mean of the ratios <= 1.0 (is {geometric_mean:.3f})",
         geometric_mean <= 1.0 and not missing, [f"{n} was not run" for n in missing]),
        ("gradients per effective sample: no ratio > 1.5", not slow, slow),
        ("no more divergences than Stan, median over the seeds", not divergent, divergent),
        ("the posteriors that are biased for every sampler show it (divergences, R-hat or ESS)", not silent, silent),
    ]
    rows = [(n, [r for _, r in runs[n]], ratios.get(n)) for n in sorted(runs)]
    return rows, checks


def markdown(rows, checks, gate_seeds):
    out = [
        "# Reference posteriors from default settings", "",
        "Written by `scripts/validate`; the runs stand in `posteriordb.jsonl`. Numbers are medians over the seeds.", "",
        f"Checks on convergence, means and standard deviations use seeds 1 to {gate_seeds}; speed uses all seeds.", "",
        "| holds | check | exceptions |", "|---|---|---|",
    ]
    for sentence, holds, details in checks:
        # A vertical bar would end the cell.
        out.append("| {} | {} | {} |".format("yes" if holds else "**NO**", sentence.replace("|", "\\|"), ", ".join(details)))
    out += ["", "| posterior | seeds | " + " | ".join(KEYS) + " | to beat | ratio |", "|---|--:|" + "--:|" * (len(KEYS) + 2)]
    for name, runs, ratio in rows:
        cells = [f"{median(runs, key):.4g}" if key not in ("n_grad_warmup", "n_grad_sample") else f"{median(runs, key):.0f}" for key in KEYS]
        cells += [f"{TO_BEAT[name]:g}", f"{ratio:.2f}"] if ratio is not None else ["", ""]
        out.append(f"| {name} | {len(runs)} | " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


def self_test():
    """Every check holds on good runs and fails on a run planted against it."""
    good = dict(
        min_ess_bulk=2000.0, min_ess_tail=1500.0, max_rhat=1.003, n_grad_warmup=9000, n_grad_sample=9000, grad_per_ess=2.0,
        cpu_s=0.1, us_per_grad=5.0, divergences=0, max_err_sd=0.03, max_abs_z=2.0, min_sd_ratio=0.98, max_sd_ratio=1.02,
    )
    names = sorted(TO_BEAT) + ["arK-arK"]
    base = [{"seed": s, "run": {"posterior": n, **good}} for n in names for s in range(1, 6)]
    warned = [{"seed": 1, "run": {"posterior": n, **good, "divergences": 9, "max_abs_z": 30.0}} for n in MUST_WARN]

    def failing(change, seeds, name="arK-arK"):
        lines = [
            {"seed": line["seed"], "run": {**line["run"], **change}}
            if line["run"]["posterior"] == name and line["seed"] in seeds else line
            for line in base + warned
        ]
        return [i for i, (_, holds, _) in enumerate(evaluate(lines, 5)[1]) if not holds]

    everyone = {1, 2, 3, 4, 5}
    assert failing({}, everyone) == []
    assert failing({"max_rhat": 1.02}, {3}) == [1]
    assert failing({"min_ess_tail": 399.0}, {3}) == [1]
    assert failing({"max_rhat": None}, {3}) == [1]
    assert failing({"max_abs_z": 4.5}, {1, 2}) == []
    assert failing({"max_abs_z": 4.5}, {1, 2, 3}) == [2]
    assert failing({"max_abs_z": 4.5, "n_z_over_4": 3}, {1}) == [2]
    assert failing({"max_abs_z": 5.5}, {1}) == [3]
    assert failing({"max_abs_z": None}, {1}) == [3]
    assert failing({"min_sd_ratio": 0.9}, {1}) == [4]
    assert failing({"max_abs_z_log_sd": 4.1}, {1}) == [4]
    assert failing({"max_abs_z_log_sd": 3.9, "min_sd_ratio": 0.9}, {1}) == []
    assert failing({"grad_per_ess": 3.7 * 1.6}, everyone, "diamonds-diamonds") == [6]
    assert failing({"grad_per_ess": 1e9}, everyone, "diamonds-diamonds") == [5, 6]
    assert failing({"divergences": 1}, everyone, "diamonds-diamonds") == [7]
    assert failing({"divergences": 3}, everyone, "gp_pois_regr-gp_pois_regr") == []
    assert failing({"divergences": 0}, everyone, *MUST_WARN) == [8]
    crashed = base + warned + [{"seed": 1, "file": "x", "failed": 101}]
    assert [holds for _, holds, _ in evaluate(crashed, 5)[1]].index(False) == 0
    assert not evaluate([], 5)[1][0][1]
    few = [line for line in base if line["run"]["posterior"] != "arma-arma11"]
    assert not evaluate(few, 5)[1][5][1]
    assert markdown(*evaluate(base + warned, 5), 5).count("\n| arK-arK | 5 |") == 1
    print("validation_table.py: self-test passed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gate-seeds", type=int, default=5)
    parser.add_argument("--names-to-beat", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("files", nargs="*", metavar="RUNS.jsonl TABLE.md")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    if arguments.names_to_beat:
        return print("\n".join(TO_BEAT))
    if len(arguments.files) != 2:
        parser.error("two files are needed: the runs and the table to write")
    with open(arguments.files[0], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file if line.strip()]
    rows, checks = evaluate(lines, arguments.gate_seeds)
    with open(arguments.files[1], "w", encoding="utf-8") as file:
        file.write(markdown(rows, checks, arguments.gate_seeds))
    for sentence, holds, details in checks:
        print("ok   " if holds else "FAILS", sentence, "" if holds else ": " + ", ".join(details))
    sys.exit(0 if all(holds for _, holds, _ in checks) else 1)


if __name__ == "__main__":
    main()
