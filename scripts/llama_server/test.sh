#!/bin/sh
# Runs the tests that need a server of llama.cpp, and fails if there were none: a filter that matches nothing succeeds.
set -eu
cd "$(dirname "$0")/../.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A pipe would hide the status.
status=0
scripts/llama_server/with_servers.sh cargo test --quiet --features llm-http,plot --test it -- --ignored real_server >"$log" 2>&1 || status=$?
cat "$log"
test "$status" -eq 0
grep -q "^SKIPPED: " "$log" || grep -q "^test result: ok. [1-9]" "$log"
