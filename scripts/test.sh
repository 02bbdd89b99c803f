#!/usr/bin/env bash
# Runs all tests: the rules (format and structure), then every crate's tests.
set -euo pipefail
cd "$(dirname "$0")/.."
export FLOE_TEST_PYTHON="$PWD/examples/python/.venv/bin/python"

cargo fmt --all --check
cargo test --workspace --no-fail-fast "$@"
