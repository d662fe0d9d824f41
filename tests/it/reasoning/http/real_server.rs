//! Against a real server of llama.cpp: `scripts/llama_server/test.sh`.
