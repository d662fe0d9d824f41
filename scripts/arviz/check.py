"""Compares the files of the example `export` and the crate's diagnostics with what ArviZ makes of them."""

import glob
import json
import math
import os
import re
import sys

import arviz as az
import cmdstanpy
import numpy as np

RELATIVE_TOLERANCE = 1e-6
GROUPS = {"posterior", "posterior_predictive", "log_likelihood", "sample_stats", "observed_data"}
checks = 0


def same(what, ours, theirs):
    """Equal to the tolerance; null stands for NaN."""
    global checks
    checks += 1
    ours = math.nan if ours is None else ours
    theirs = float(theirs)
    if math.isnan(ours) and math.isnan(theirs):
        return
    assert math.isclose(ours, theirs, rel_tol=RELATIVE_TOLERANCE), f"{what}: {ours} here, {theirs} in ArviZ"


def element(data, name):
    """`theta[1,2]` as an array of shape (chain, draw)."""
    variable, index = re.fullmatch(r"([^\[]*)(?:\[([\d,]+)\])?", name).groups()
    index = tuple(int(i) for i in index.split(",")) if index else ()
    return data.posterior[variable].values[(slice(None), slice(None), *index)]


def check_json(directory):
    data = az.from_json(os.path.join(directory, "draws.json"))
    assert GROUPS <= set(data.groups()) <= GROUPS | {"warmup_sample_stats"}, data.groups()
    return data


def check_eight_schools(data):
    assert data.warmup_sample_stats.sizes["draw"] == 1000
    assert data.posterior["theta"].dims == ("chain", "draw", "school")
    assert data.posterior_predictive["y"].dims == ("chain", "draw", "school") and data.observed_data["y"].dims == ("school",)
    assert list(data.posterior.coords["school"].values) == list("ABCDEFGH")
    assert data.posterior.attrs["sampler"] == "nuts" and data.posterior.attrs["tuning_steps"] == 1000
    theta = data.posterior["mu"] + data.posterior["tau"] * data.posterior["theta_trans"]
    assert np.allclose(theta, data.posterior["theta"], rtol=1e-12)
    # The log-likelihood belongs to the draw it stands at.
    sigma = np.array([15, 10, 16, 11, 9, 11, 10, 18])
    z = (data.observed_data["y"].values - data.posterior["theta"].values) / sigma
    log_likelihood = -0.5 * z**2 - np.log(sigma) - 0.5 * math.log(2 * math.pi)
    assert np.allclose(log_likelihood, data.log_likelihood["log_likelihood"].values, rtol=1e-9)


def check_synthetic(data):
    n_chains, n_draws = data.posterior.sizes["chain"], data.posterior.sizes["draw"]
    assert data.posterior["theta"].shape == (n_chains, n_draws, 2, 3)
    assert data.posterior["theta"].dims == ("chain", "draw", "school", "theta_dim_1")
    assert list(data.posterior.coords["school"].values) == ["north", "south"]
    assert data.posterior["slow"].shape == (n_chains, n_draws)
    assert data.posterior_predictive["y"].dims == data.log_likelihood["y"].dims == ("chain", "draw", "y_dim_0")
    assert data.observed_data["y"].shape == (5,)
    assert data.posterior.attrs["tuning_steps"] == 500 and data.posterior.attrs["seed"] == "20"
    assert data.sample_stats["diverging"].dtype == bool and data.sample_stats["tree_depth"].dtype.kind == "i"
    # Values that are not finite survive.
    assert np.isnan(data.posterior_predictive["y"].values[0, 0, 0])
    assert data.log_likelihood["y"].values[0, 0, 0] == -np.inf


def check_csv(directory, data):
    paths = sorted(glob.glob(os.path.join(directory, "draws_*.csv")))
    assert len(paths) == data.posterior.sizes["chain"]
    read = az.from_cmdstan(posterior=paths)
    for name, values in data.posterior.items():
        assert np.array_equal(read.posterior[name].values, values.values), name
    for name in ["lp", "acceptance_rate", "step_size", "tree_depth", "n_steps", "diverging", "energy"]:
        assert np.array_equal(read.sample_stats[name].values, data.sample_stats[name].values), name
    fit = cmdstanpy.from_csv(paths)
    assert np.array_equal(fit.stan_variable("theta"), np.concatenate(data.posterior["theta"].values))
    assert fit.divergences.tolist() == data.sample_stats["diverging"].values.sum(1).tolist()
    return read, fit


def check_synthetic_csv(read, fit):
    attributes = read.posterior.attrs
    n_chains = read.posterior.sizes["chain"]
    for name, expected in [
        ("step_size", "0.25"),
        ("inverse_mass_matrix", "[1.0, 2.5, 0.125]"),
        ("seed", "20"),
        ("num_warmup", "500"),
        ("sampling_time_seconds", "0.5"),
        ("setting_target_acceptance_rate", "0.8"),
    ]:
        assert attributes[name] == [expected] * n_chains, (name, attributes[name])
    assert np.array_equal(fit.step_size, [0.25] * n_chains) and fit.inv_metric.shape == (n_chains, 3)


def check_npz(directory, data):
    path = os.path.join(directory, "draws.npz")
    if not os.path.exists(path):
        return "no npz file"
    with np.load(path) as archive:
        groups = {key.split("/")[0] for key in archive}
        assert groups == set(data.groups())
        for group in groups:
            for name, values in data[group].items():
                found = archive[f"{group}/{name}"]
                assert found.dtype == values.dtype and np.array_equal(found, values.values, equal_nan=found.dtype.kind == "f"), name
    return "npz"


def check_diagnostics(directory, data):
    with open(os.path.join(directory, "diagnostics.json")) as file:
        ours = json.load(file)
    for row in ours["elements"]:
        name = row["name"]
        x = element(data, name)
        same(f"mean of {name}", row["mean"], x.mean())
        if name != "constant":  # NumPy's standard deviation of equal numbers is rounding error.
            same(f"sd of {name}", row["sd"], x.std(ddof=1))
            same(f"mcse_mean of {name}", row["mcse_mean"], az.mcse(x, method="mean"))
            same(f"mcse_sd of {name}", row["mcse_sd"], az.mcse(x, method="sd"))
            same(f"split_rhat of {name}", row["split_rhat"], az.rhat(x, method="split"))
        else:
            assert row["mcse_mean"] == 0 and row["mcse_sd"] is None and row["r_hat"] is None
        for key, probability in [("q05", 0.05), ("q50", 0.5), ("q95", 0.95)]:
            same(f"{key} of {name}", row[key], np.quantile(x, probability))
        same(f"ess_bulk of {name}", row["ess_bulk"], az.ess(x, method="bulk"))
        same(f"ess_tail of {name}", row["ess_tail"], az.ess(x, method="tail"))
        same(f"r_hat of {name}", row["r_hat"], az.rhat(x, method="rank"))
        same(f"ess_mean of {name}", row["ess_mean"], az.ess(x, method="mean"))
        same(f"ess_sd of {name}", row["ess_sd"], az.ess(x, method="sd"))
        for probability in [0.1, 0.5, 0.9]:
            same(f"quantile {probability} of {name}", row[f"quantile_{probability}"], np.quantile(x, probability))
            theirs = az.ess(x, method="quantile", prob=probability)
            same(f"ess_quantile {probability} of {name}", row[f"ess_quantile_{probability}"], theirs)
            theirs = az.mcse(x, method="quantile", prob=probability)
            same(f"mcse_quantile {probability} of {name}", row[f"mcse_quantile_{probability}"], theirs)
    for chain, theirs in enumerate(az.bfmi(data)):
        same(f"bfmi of chain {chain}", ours["bfmi"][chain], theirs)


def main(directory):
    data = check_json(directory)
    check_eight_schools(data)
    check_csv(directory, data)
    npz = check_npz(directory, data)
    check_diagnostics(directory, data)

    directory = os.path.join(directory, "synthetic")
    data = check_json(directory)
    check_synthetic(data)
    check_synthetic_csv(*check_csv(directory, data))
    assert check_npz(directory, data) == npz
    check_diagnostics(directory, data)
    print(f"ArviZ {az.__version__} reads the files (JSON, CSV, {npz}) and agrees in {checks} numbers to {RELATIVE_TOLERANCE:g}.")


if __name__ == "__main__":
    main(sys.argv[1])
