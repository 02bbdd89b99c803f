# The two commands: `make run` and `make test`. Each sets up what it needs on a fresh Debian machine.

CARGO ?= cargo

.PHONY: run demo cluster-demo test bench lint fmt setup-build setup-test

run: setup-build ## Build Floe and start it on ./floe-data, on loopback
	$(CARGO) build --release -p floe
	@scripts/what-to-try.sh
	@exec target/release/floe serve

demo: setup-build ## A full tour by itself: load, crash, restart, verify; exit 0 only if all holds
	$(CARGO) build --release -p floe
	target/release/floe demo

# How long the load of the cluster's demo lasts.
FLOE_CLUSTER_SECONDS ?= 180
CLUSTER_DEMO = cluster::faults::a_cluster_loses_nothing_whatever_is_killed

cluster-demo: setup-build setup-test ## The same over Kafka: two gateways, three workers, and what is killed among them
	$(CARGO) test -q --release -p floe --test suite -- --list | grep -qx '$(CLUSTER_DEMO): test'
	FLOE_CLUSTER_SECONDS=$(FLOE_CLUSTER_SECONDS) $(CARGO) test -q --release -p floe --test suite -- \
		--exact $(CLUSTER_DEMO) --nocapture

test: setup-build setup-test ## All tests, with real clients
	scripts/test.sh

bench: setup-build setup-test ## Measure against what Floe is compared to; writes bench/RESULTS.md
	bench/run.sh

lint: setup-build ## clippy with warnings denied, format, tidy, and cargo deny where it is installed
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) fmt --all --check
	$(CARGO) test -q -p floe-testkit --test tidy
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources; \
	else echo "cargo deny is not installed: its checks were skipped"; fi

fmt:
	$(CARGO) fmt --all

setup-build:
	@scripts/setup-build.sh

setup-test:
	@scripts/setup-test.sh
