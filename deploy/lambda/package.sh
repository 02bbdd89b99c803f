#!/usr/bin/env bash
# Builds the function for the processor of this machine, and lays it out as template.yaml wants it: target/lambda/bootstrap/.
# For the other processor, or from another system, run it in a container:
#
#     docker run --rm --platform linux/arm64 -v "$PWD":/src -w /src rust:1.95-bookworm deploy/lambda/package.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
newest_glibc=2.34 # of Amazon Linux 2023, which the runtime is

cargo build --release --locked -p floe-lambda
package=target/lambda/bootstrap
rm -rf "$package"
install -D -m 0755 target/release/bootstrap "$package/bootstrap"
# OpenSSL, for who finds none in the runtime: Lambda looks in lib/ after the system's own folders.
ldd target/release/bootstrap | awk '$1 ~ /^lib(ssl|crypto)\.so/ { print $3 }' | while read -r library; do
    install -D -m 0644 "$library" "$package/lib/$(basename "$library")"
done

needed=$(objdump -T "$package/bootstrap" "$package"/lib/* | grep -oE 'GLIBC_[0-9.]+' | cut -d_ -f2 | sort -Vu | tail -n 1)
if [ "$(printf '%s\n' "$needed" "$newest_glibc" | sort -V | tail -n 1)" != "$newest_glibc" ]; then
    echo "the program needs glibc $needed, and the runtime has $newest_glibc: build it in the container" >&2
    exit 1
fi
du -sh "$package"
