#!/usr/bin/env bash
# What the tests need beside Rust: Python with `websockets` and Node with `ws`, for the clients in examples/; PostgreSQL,
# Redis, and Kafka with Java, which the tests start themselves on free ports, and sqlite3; Chromium with `playwright-core`,
# for the pages in console/.
# The packages go into folders that git ignores; the system gets only Debian's own packages that are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v curl >/dev/null || missing+=(curl)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
command -v sqlite3 >/dev/null || missing+=(sqlite3)
command -v redis-server >/dev/null || missing+=(redis-server)
command -v chromium >/dev/null || missing+=(chromium)
command -v openssl >/dev/null || missing+=(openssl)
command -v java >/dev/null || missing+=(default-jre-headless)
command -v mvn >/dev/null || missing+=(maven)
if [ ${#missing[@]} -gt 0 ]; then
    # only the programs are wanted: no database is made, and nothing is left running
    no_cluster=/etc/postgresql-common/createcluster.d/floe-tests.conf
    if [[ " ${missing[*]} " == *" postgresql "* ]]; then
        as_root mkdir -p "${no_cluster%/*}"
        echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
    fi
    as_root apt-get update -qq
    installed=0
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" || installed=$?
    as_root rm -f "$no_cluster"
    [ "$installed" = 0 ] || { echo "could not install ${missing[*]}" >&2; exit 1; }
    if [[ " ${missing[*]} " == *" redis-server "* ]] && [ -d /run/systemd/system ]; then
        as_root systemctl disable --quiet --now redis-server
    fi
fi

python=examples/python
if ! cmp -s "$python/requirements.txt" "$python/.venv/installed.txt"; then
    python3 -m venv "$python/.venv"
    "$python/.venv/bin/pip" install -q --disable-pip-version-check -r "$python/requirements.txt"
    cp "$python/requirements.txt" "$python/.venv/installed.txt"
fi

for folder in examples/javascript console/tests; do
    if ! cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed.json"; then
        (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent)
        cp "$folder/package-lock.json" "$folder/node_modules/.installed.json"
    fi
done

for folder in crates/floe-testkit/kafka/{kraft,zookeeper}; do
    if ! cmp -s "$folder/pom.xml" "$folder/lib/installed.xml"; then
        rm -rf "$folder/lib"
        mvn -q -B -Dstyle.color=never -f "$folder/pom.xml" \
            dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=lib
        cp "$folder/pom.xml" "$folder/lib/installed.xml"
    fi
done
