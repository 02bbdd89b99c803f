#!/usr/bin/env bash
# What the tests need beside Rust: Python with `websockets` and Node with `ws`, for the clients in examples/.
# The packages go into folders that git ignores; the system gets only Debian's own packages that are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v curl >/dev/null || missing+=(curl)
if [ ${#missing[@]} -gt 0 ]; then
    as_root apt-get update -qq
    as_root apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

python=examples/python
if ! cmp -s "$python/requirements.txt" "$python/.venv/installed.txt"; then
    python3 -m venv "$python/.venv"
    "$python/.venv/bin/pip" install -q --disable-pip-version-check -r "$python/requirements.txt"
    cp "$python/requirements.txt" "$python/.venv/installed.txt"
fi

javascript=examples/javascript
if ! cmp -s "$javascript/package-lock.json" "$javascript/node_modules/.installed.json"; then
    (cd "$javascript" && npm ci --ignore-scripts --no-audit --no-fund --silent)
    cp "$javascript/package-lock.json" "$javascript/node_modules/.installed.json"
fi
