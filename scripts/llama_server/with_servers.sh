#!/bin/sh
# with_servers.sh COMMAND...: runs a command while llama.cpp serves the models of examples/data/countdown, and stops it then. Needs Python
# 3.11 and, the first time, PyPI: where that cannot be reached the command is not run, and the last line says so. Any other failure of the
# installation is an error.
#
# The command gets POSTERITY_LLAMA_SERVER and POSTERITY_LLAMA_REWARD, the addresses of policy and reward model, POSTERITY_LLAMA_COMMAND,
# which serves the policy at a port, and POSTERITY_LLAMA_MODELS, the folder of the models, which may be set to another one before.
set -eu
cd "$(dirname "$0")/../.."
here=scripts/llama_server
models=${POSTERITY_LLAMA_MODELS:-examples/data/countdown}
venv=target/llama_server_venv

install() {
    test -x "$venv/bin/python" || python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --timeout 20 --retries 2 --only-binary :all: \
        --requirement "$here/requirements.txt"
}
out=$(mktemp -d)
pids=
stop() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$out"
}
trap stop EXIT
# Without these some shells end without the trap above.
trap 'exit 130' INT
trap 'exit 143' TERM

if ! install; then
    if python3 -m pip --quiet --disable-pip-version-check --timeout 10 --retries 1 \
        download --no-deps --dest "$out/probe" packaging >/dev/null 2>&1; then
        echo "llama.cpp cannot be installed, though the Python package index can be reached" >&2
        exit 1
    fi
    echo "SKIPPED: the Python package index cannot be reached"
    exit 0
fi

python=$PWD/$venv/bin/python
# The servers end with this script, however it ends: their standard input closes.
mkfifo "$out/alive"
exec 3<>"$out/alive"

# serve NAME: the address is in the variable `address` then.
serve() {
    "$python" "$here/to_gguf.py" "$models/$1.safetensors" "$models/$1.json" "$models/vocab.json" "$out/$1.gguf"
    "$python" "$here/serve.py" "$out/$1.gguf" 0 <"$out/alive" >"$out/$1.address" 2>"$out/$1.log" 3<&- &
    pids="$pids $!"
    for _ in $(seq 300); do
        test -s "$out/$1.address" && break
        sleep 0.2
    done
    address=$(cat "$out/$1.address")
    test -n "$address" || { cat "$out/$1.log" >&2; exit 1; }
}

serve policy
POSTERITY_LLAMA_SERVER=$address
serve reward
POSTERITY_LLAMA_REWARD=$address
POSTERITY_LLAMA_COMMAND="$python $PWD/$here/serve.py $out/policy.gguf"
POSTERITY_LLAMA_MODELS=$(cd "$models" && pwd)
export POSTERITY_LLAMA_SERVER POSTERITY_LLAMA_REWARD POSTERITY_LLAMA_COMMAND POSTERITY_LLAMA_MODELS
"$@"
