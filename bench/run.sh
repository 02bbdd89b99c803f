#!/usr/bin/env bash
# Measures all rows and writes bench/RESULTS.md. Arguments go to the program: names of rows, --turns, --seconds, ….
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release -p floe -p floe-bench

# NATS is what fan-out is compared to; it is a Go package
nats=target/bench/bin/nats-server
if [ ! -x "$nats" ] && command -v go >/dev/null; then
    GOBIN="$PWD/target/bench/bin" go install github.com/nats-io/nats-server/v2@latest
fi
with_nats=()
[ -x "$nats" ] && with_nats=(--nats "$nats")

ulimit -n "$(ulimit -Hn)"
exec target/release/floe-bench run --work target/bench --output bench/RESULTS.md "${with_nats[@]}" "$@"
