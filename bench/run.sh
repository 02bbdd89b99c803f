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

# makes a Python with the packages that a folder's requirements.txt names, in target/bench
python_for() {
    local requirements="bench/$1/requirements.txt" venv="target/bench/$1"
    if ! cmp -s "$requirements" "$venv/installed.txt"; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install -q --disable-pip-version-check -r "$requirements"
        cp "$requirements" "$venv/installed.txt"
    fi
}
# FastAPI with aiokafka is what gateways over Kafka are compared to, rank_bm25 is what retrieval is compared to
python_for fastapi
python_for bm25

ulimit -n "$(ulimit -Hn)"
exec target/release/floe-bench run --work target/bench --output bench/RESULTS.md "${with_nats[@]}" \
    --python target/bench/fastapi/bin/python --bm25 target/bench/bm25/bin/python "$@"
