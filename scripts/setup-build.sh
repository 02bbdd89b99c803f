#!/usr/bin/env bash
# Makes sure that a Rust toolchain and a C compiler are there (some dependencies hold C code).
set -euo pipefail

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v cargo >/dev/null || [ -x "$HOME/.cargo/bin/cargo" ] || missing+=(rustup)
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || { echo "please install: ${missing[*]}" >&2; exit 1; }
    as_root apt-get update -qq
    as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" ||
        { echo "could not install ${missing[*]}; Floe needs Rust 1.95 or newer and a C compiler" >&2; exit 1; }
    command -v cargo >/dev/null || rustup default stable
fi
