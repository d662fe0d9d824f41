#!/bin/sh
# Writes draws with the example `export` and compares files and diagnostics with ArviZ. Needs Python 3.11 and, the first time, PyPI.
# FEATURES: cargo features of the example; npz by default.
set -eu
cd "$(dirname "$0")/../.."
test -x .venv/bin/python || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement scripts/arviz/requirements.txt
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cargo run --quiet --features "${FEATURES-npz}" --example export -- "$out"
.venv/bin/python scripts/arviz/check.py "$out"
