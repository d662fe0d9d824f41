#!/usr/bin/env python3
"""The inputs, and the table and check, of the validation of variational inference on reference posteriors.

usage: variational_table.py --inputs N_SEEDS FILE...    one input line of the example `vi` per posterior, method and seed
       variational_table.py RUNS.jsonl                  the table, from what the example printed
       variational_table.py --self-test
"""

import json
import math
import statistics
import sys

METHODS = {
    "mean-field": {"method": "mean_field"},
    "full-rank": {"method": "full_rank"},
    "low-rank": {"method": "low_rank"},
    "BaM": {"method": "bam"},
    "Pathfinder": {"method": "pathfinder"},
    "IWELBO": {"method": "full_rank", "bound": "iwelbo", "k": 20},
}
# Weighted means of fits with a k-hat below GOOD are to be within ALLOWED sd plus four standard errors of the reference.
GOOD = 0.5
ALLOWED = 0.1


def name_of(run):
    """The method of a run, as the table has it."""
    for name, settings in METHODS.items():
        if run["method"] == settings["method"] and run["bound"] in (None, settings.get("bound", "elbo")):
            return name
    raise ValueError(f"unknown method: {run['method']}, {run.get('bound')}")


def inputs(n_seeds, files):
    for file in files:
        for settings in METHODS.values():
            for seed in range(1, n_seeds + 1):
                yield {"posterior": file, **settings, "seed": seed}


def number(value):
    """A missing figure is worse than any."""
    return math.inf if value is None else float(value)


def median(values):
    return statistics.median(values) if values else math.nan


def keeps_claim(run):
    """True or False for a run whose k-hat is good, None for the others."""
    if run["pareto_k"] is None or run["pareto_k"] >= GOOD:
        return None
    return number(run["psis"]["max_mean_excess"]) <= ALLOWED


def text(value, digits=2):
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "inf"
    return f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:.1e}"


def rows(runs):
    groups = {}
    for run in runs:
        groups.setdefault((run["posterior"], name_of(run)), []).append(run)
    order = list(METHODS)
    for (posterior, method), group in sorted(groups.items(), key=lambda item: (item[0][0], order.index(item[0][1]))):
        fits = [run for run in group if "error" not in run]
        claims = [claim for claim in map(keeps_claim, fits) if claim is not None]
        column = lambda part, key: median([number(run[part][key]) for run in fits])
        yield {
            "posterior": posterior,
            "dim": fits[0]["dim"] if fits else None,
            "method": method,
            "k": median([number(run["pareto_k"]) for run in fits if run["pareto_k"] is not None]),
            "raw": column("raw", "max_mean_error"),
            "raw_sd": (column("raw", "min_sd_ratio"), column("raw", "max_sd_ratio")),
            "psis": column("psis", "max_mean_error"),
            "psis_sd": (column("psis", "min_sd_ratio"), column("psis", "max_sd_ratio")),
            "gradients": median([run["n_gradient_evaluations"] for run in fits]),
            "densities": median([run["n_density_evaluations"] for run in fits]),
            "failed_fits": len(group) - len(fits),
            "n_good": len(claims),
            "n_kept": sum(claims),
        }


def table(runs):
    found = list(rows(runs))
    lines = [
        "| posterior | d | method | k-hat | mean error of q | sd of q | mean error, weighted | sd, weighted | gradients | densities | k-hat < 0.5 | claim |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    previous = None
    for row in found:
        first = row["posterior"] != previous
        previous = row["posterior"]
        claim = "" if row["n_good"] == 0 else "holds" if row["n_kept"] == row["n_good"] else f"**failed**, {row['n_good'] - row['n_kept']} of {row['n_good']}"
        if row["failed_fits"]:
            claim += f" ({row['failed_fits']} fits ended with an error)"
        sds = lambda pair: f"{text(pair[0])} to {text(pair[1])}"
        cells = [
            row["posterior"] if first else "", str(row["dim"] or "") if first else "", row["method"], text(row["k"]), text(row["raw"]), sds(row["raw_sd"]),
            text(row["psis"]), sds(row["psis_sd"]), f"{row['gradients']:.0f}", f"{row['densities']:.0f}", str(row["n_good"]), claim,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    good, kept = sum(row["n_good"] for row in found), sum(row["n_kept"] for row in found)
    lines += ["", f"Fits with a k-hat below {GOOD}: {good}, of which {kept} keep the claim and {good - kept} do not.", "", *summary(found)]
    return "\n".join(lines)


def summary(found):
    """How the methods compare over all posteriors."""
    lines = [
        "| method | posteriors with median k-hat < 0.5 | < 0.7 | median over posteriors of the mean error of q | weighted | gradients |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for method in METHODS:
        own = [row for row in found if row["method"] == method and not math.isnan(row["raw"])]
        below = lambda limit: sum(row["k"] < limit for row in own)
        lines.append(
            f"| {method} | {below(0.5)} of {len(own)} | {below(0.7)} | {text(median([r['raw'] for r in own]), 3)} |"
            f" {text(median([r['psis'] for r in own]), 3)} | {median([r['gradients'] for r in own]):.0f} |"
        )
    return lines


def self_test():
    errors = {"max_mean_error": 0.02, "max_mean_excess": -0.01, "min_sd_ratio": 0.9, "max_sd_ratio": 1.1}
    run = {
        "posterior": "a", "method": "full_rank", "bound": "elbo", "dim": 3, "raw": errors, "psis": errors, "pareto_k": 0.3,
        "n_gradient_evaluations": 10, "n_density_evaluations": 20,
    }
    broken = dict(run, psis=dict(errors, max_mean_excess=0.11))
    unknown = dict(run, psis=dict(errors, max_mean_excess=None))
    poor = dict(broken, pareto_k=0.6)
    failed = {"posterior": "a", "method": "bam", "bound": None, "seed": 1, "error": "no"}
    weighted = dict(run, bound="iwelbo")
    assert [keeps_claim(r) for r in (run, broken, unknown, poor)] == [True, False, False, None]
    assert name_of(weighted) == "IWELBO" and name_of(failed) == "BaM"
    found = {row["method"]: row for row in rows([run, broken, poor, failed, weighted])}
    assert (found["full-rank"]["n_good"], found["full-rank"]["n_kept"]) == (2, 1)
    assert found["BaM"]["failed_fits"] == 1 and math.isnan(found["BaM"]["raw"])
    assert "**failed**, 1 of 2" in table([run, broken, poor, failed, weighted])
    assert len(list(inputs(10, ["a", "b"]))) == 2 * 10 * len(METHODS)


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        self_test()
    elif len(arguments) > 2 and arguments[0] == "--inputs":
        for line in inputs(int(arguments[1]), arguments[2:]):
            print(json.dumps(line))
    elif len(arguments) == 1:
        with open(arguments[0], encoding="utf-8") as file:
            print(table([json.loads(line) for line in file]))
    else:
        sys.exit(__doc__)


main()
