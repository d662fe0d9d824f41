#!/bin/sh
# Runs the tests that need a server of llama.cpp.
set -eu
cd "$(dirname "$0")/../.."
exec scripts/llama_server/with_servers.sh cargo test --quiet --features llm-http --test it -- --ignored real_server
