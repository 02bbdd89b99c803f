#!/usr/bin/env bash
# Makes sure that a Rust toolchain and what builds C code are there: some dependencies hold some, and the client of Kafka clusters
# (librdkafka) is built from source, against the system's OpenSSL.
set -euo pipefail

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v c++ >/dev/null || missing+=(g++)
command -v make >/dev/null || missing+=(make)
command -v pkg-config >/dev/null || missing+=(pkg-config)
compgen -G '/usr/include/openssl/ssl.h' >/dev/null || missing+=(libssl-dev)
command -v cargo >/dev/null || [ -x "$HOME/.cargo/bin/cargo" ] || missing+=(rustup)
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || { echo "please install: ${missing[*]}" >&2; exit 1; }
    as_root apt-get update -qq
    as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" ||
        { echo "could not install ${missing[*]}; Floe needs Rust 1.95 or newer, a C and C++ compiler, make and OpenSSL's headers" >&2; exit 1; }
    command -v cargo >/dev/null || rustup default stable
fi
