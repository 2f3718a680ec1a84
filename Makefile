# Every way into the project. `make` lists them, and `make test` is all that must pass.
# Each target installs the tools it needs, below the target directory of cargo.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
TOOLS := $(TARGET_DIR)/tools
INTEROP := $(TARGET_DIR)/interop
export PATH := $(PATH):$(TOOLS)/bin

# What can be set on the command line, as in `make fuzz TARGET=decode SECONDS=600`.
ARGS =
STORE = rocksdb
DATA = data
TARGET = all
SECONDS = 60
SEEDS = 1000
ROUNDS = 200
# The page of statements is written anew, but compared in `make test`.
CHECK =
# They are for this file alone: TARGET, for one, means something else to build scripts.
unexport ARGS STORE DATA TARGET SECONDS SEEDS ROUNDS CHECK

# A processor without an operating system: what builds for it needs neither.
BARE := thumbv7em-none-eabi

step = @printf '\n== %s ==\n' '$(1)'

.PHONY: help
help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: cargo
cargo:
	@command -v cargo >/dev/null || { echo 'cargo is missing. Install Rust 1.95 or later, as described at https://rustup.rs.' >&2; exit 1; }

# RocksDB is C++, and takes long to compile. Only what needs it waits for that.
.PHONY: rocksdb
rocksdb: cargo
	@setup/rocksdb.sh

.PHONY: run
run: $(if $(filter memory,$(STORE)),cargo,rocksdb) ## runs the server on 127.0.0.1:1883, state in ./data; STORE=memory builds quickly; ARGS="--help"
	@cargo run --release -p mqtt-server --bin mqttd \
		$(if $(filter memory,$(STORE)),--no-default-features --,-- --data-dir '$(DATA)') $(ARGS)

.PHONY: test
test: CHECK = --check
test: fmt clippy units doc bare instructions conformance interop ## everything that must pass

.PHONY: lint
lint: fmt clippy lines deny ## the checks that run nothing: format, clippy, file length, licences

.PHONY: fmt
fmt: cargo
	$(call step,Format)
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check

.PHONY: clippy
clippy: rocksdb
	$(call step,Clippy)
	cargo clippy --workspace --all-targets -- -D warnings

.PHONY: units
units: rocksdb ## the tests written in Rust: unit, property, scenario, simulation, corpus, examples
	$(call step,Rust tests)
	MQTTD='$(TARGET_DIR)/debug/mqttd' cargo test --workspace

.PHONY: doc
doc: rocksdb ## the documentation of the crates
	$(call step,Documentation)
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

.PHONY: bare
bare: cargo
	$(call step,The codec without an operating system)
	@if [ -d "$$(rustc --print target-libdir --target $(BARE))" ]; then \
		cargo build -p mqtt-codec --no-default-features --target $(BARE); \
	else \
		echo 'Skipped: the target $(BARE) is not installed.'; \
	fi

.PHONY: interop
interop: rocksdb ## real clients against the server; ARGS="-k will" selects, BROKER=host:port tests another, STORE=memory
	$(call step,Interoperation)
	interop/setup.sh '$(INTEROP)'
	$(if $(BROKER),,cargo build --release -p mqtt-server)
	@STORE='$(STORE)' MQTTD="$${MQTTD:-$(TARGET_DIR)/release/mqttd}" NODE_PATH='$(INTEROP)/node/node_modules' PYTHONDONTWRITEBYTECODE=1 \
		'$(INTEROP)/python/bin/python' -m pytest interop $(ARGS)

# Mosquitto is there to check the suite itself: what it fails is known, and why.
CONFORMANCE := $(TARGET_DIR)/conformance
MOSQUITTO = $(shell command -v mosquitto || ls /usr/sbin/mosquitto 2>/dev/null)
KNOWN := Mosquitto-2.0.11

.PHONY: conformance
conformance: $(if $(BROKER),cargo,rocksdb) ## each statement of the standard; BROKER=host:port asks another broker; ARGS="-v"
	$(call step,Conformance)
	cargo build --release -p mqtt-conformance $(if $(BROKER),,-p mqtt-server)
	@ask() { '$(TARGET_DIR)/release/mqtt-conformance' "$$@"; }; \
	if [ -n '$(BROKER)' ]; then ask run --broker '$(BROKER)' $(ARGS); exit; fi; \
	mkdir -p '$(CONFORMANCE)'; \
	run() { ask run --name "$$1" --json "$(CONFORMANCE)/$$2.json" $(ARGS) "$${@:3}"; }; \
	ours() { run "$$@" --mqttd '$(TARGET_DIR)/release/mqttd' --strict; }; \
	ours 'mqttd, state in memory' memory; \
	ours 'mqttd, state in RocksDB' rocksdb --store rocksdb; \
	run 'embedded broker with an authority' embedded --embedded --strict --quick; \
	MQTT_CONFORMANCE_REPORT='$(CONFORMANCE)/client.json' cargo test --quiet --workspace --test conformance -- --ignored report; \
	ask document '$(CONFORMANCE)'/{memory,rocksdb,embedded}.json --client '$(CONFORMANCE)/client.json' --known conformance/brokers/$(KNOWN).csv $(CHECK); \
	case "$$('$(MOSQUITTO)' -h 2>/dev/null | head -1)" in \
	*' $(subst Mosquitto-,,$(KNOWN))'*) \
		run '$(KNOWN)' mosquitto --mosquitto '$(MOSQUITTO)' --quick --known conformance/brokers/$(KNOWN).csv; \
		$(call compare,300) ;; \
	*) echo 'Skipped: $(KNOWN), which the suite is checked and mqttd is compared with, is not installed.' ;; \
	esac

compare = '$(TARGET_DIR)/release/mqtt-conformance' compare --mqttd '$(TARGET_DIR)/release/mqttd' --mosquitto '$(MOSQUITTO)' --seeds $(1)

.PHONY: differential
differential: rocksdb ## random scripts on mqttd and on Mosquitto, which has to be installed: SEEDS=1000
	$(call step,mqttd and Mosquitto)
	cargo build --release -p mqtt-conformance -p mqtt-server
	@$(call compare,$(SEEDS))

.PHONY: lines
lines:
	$(call step,Length of files)
	@find . -name '*.rs' -not -path './target/*' -not -path '*/tests/*' -not -path '*/testkit/*' -not -path '*/benches/*' -not -path './fuzz/*' -print0 | \
		xargs -0 -r awk 'FNR == 1 { tests = 0 } /^#\[cfg\(test\)\]/ { tests = 1 } !tests { lines[FILENAME]++ } \
			END { for (file in lines) if (lines[file] > 500) { print file ": " lines[file] " lines, 500 are allowed"; long = 1 } exit long }'

.PHONY: deny
deny: cargo
	$(call step,Dependencies)
	command -v cargo-deny >/dev/null || cargo install cargo-deny --locked --root '$(TOOLS)'
	cargo deny check bans licenses sources

.PHONY: advisories
advisories: cargo ## known weaknesses of the dependencies; fetches the list of them
	command -v cargo-deny >/dev/null || cargo install cargo-deny --locked --root '$(TOOLS)'
	cargo deny check advisories

.PHONY: bench
bench: rocksdb ## the benchmarks; ARGS="codec" selects
	cargo bench -p benches -- $(ARGS)

# Where valgrind is missing, or the compiler is another than that of the kept counts, it says so and passes.
.PHONY: instructions
instructions: rocksdb ## instructions and allocations of the hot paths, an error if they grow by 5 %; ARGS=--keep keeps them
	$(call step,Instructions)
	cargo build --release -p benches --bin instructions
	'$(TARGET_DIR)/release/instructions' $(ARGS)

# What is measured is the disk below the target directory. A single part: ARGS=written, recovery or publish.
.PHONY: bench-durable
bench-durable: rocksdb ## what durability costs: bytes written, a start with a million sessions, QoS 1 through a server
	cargo build --release -p mqtt-server -p benches
	@for part in $(or $(ARGS),written recovery publish); do \
		printf '\n== %s ==\n' "$$part"; \
		'$(TARGET_DIR)/release/durable' $$part --dir '$(TARGET_DIR)' --mqttd '$(TARGET_DIR)/release/mqttd'; \
	done

# rumqttd's own lock file no longer compiles, so it is built with what has been released since. It may be missing, as Mosquitto may.
RUMQTTD := $(TOOLS)/bin/rumqttd

.PHONY: bench-compare
bench-compare: rocksdb ## mqttd beside Mosquitto, rumqttd and a mere forwarder, written to docs/performance.md; ARGS="pairs rate --rounds 5"
	cargo build --release -p mqtt-server -p mqtt-cli -p benches
	@[ -x '$(RUMQTTD)' ] || cargo install rumqttd --version 0.20.0 --root '$(TOOLS)' || echo 'rumqttd could not be installed' >&2
	@'$(TARGET_DIR)/release/compare' --programs '$(TARGET_DIR)/release' --rumqttd '$(RUMQTTD)' \
		$(if $(MOSQUITTO),--mosquitto '$(MOSQUITTO)') $(ARGS)

# Connections need twice as many open files: `ulimit -n` bounds them. ARGS="--connections 5000", for instance.
.PHONY: bench-memory
bench-memory: rocksdb ## bytes of memory for each connection, subscription, session and message of a server
	cargo build --release -p mqtt-server -p benches
	'$(TARGET_DIR)/release/memory' --dir '$(TARGET_DIR)' --mqttd '$(TARGET_DIR)/release/mqttd' $(ARGS)

.PHONY: simulate
simulate: rocksdb ## the simulations of engine and client with more seeds than in the tests: SEEDS=1000
	SIMULATE_SEEDS=$(SEEDS) cargo test --release -p mqtt-broker-core -p mqtt-store-rocksdb --test simulate -- --nocapture
	SIMULATE_SEEDS=$(SEEDS) cargo test --release -p mqtt-client --test simulation -- --nocapture

.PHONY: crash
crash: rocksdb ## server and outbox killed, and left without power, more often than in the tests: ROUNDS=200, CRASH_SEED=n
	CRASH_ROUNDS=$(ROUNDS) cargo test --release -p mqtt-server --test crash -- --nocapture
	OUTBOX_KILLS=$(ROUNDS) cargo test --release -p mqtt-client --test outbox survives_a_kill -- --nocapture

.PHONY: delivery
delivery: SEEDS = 50
delivery: rocksdb ## the promises of the client, through bad connections to three brokers: SEEDS=50, DELIVERY_SEED=n
	cargo build --release -p mqtt-server
	DELIVERY_SEEDS=$(SEEDS) MQTTD='$(TARGET_DIR)/release/mqttd' cargo test -p mqtt-client --test delivery

# What a run finds goes below the target directory; an input worth keeping is added to fuzz/corpus by hand.
.PHONY: fuzz
fuzz: cargo ## the fuzz targets: TARGET=all SECONDS=60
	command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --root '$(TOOLS)'
	@targets='$(TARGET)'; \
	if [ "$$targets" = all ]; then targets=$$(cargo fuzz list); fi; \
	for target in $$targets; do \
		printf '\n== Fuzz %s ==\n' "$$target"; \
		mkdir -p "$(TARGET_DIR)/corpus/$$target" "fuzz/corpus/$$target"; \
		cargo fuzz run --sanitizer none "$$target" "$(TARGET_DIR)/corpus/$$target" "fuzz/corpus/$$target" -- -max_total_time=$(SECONDS); \
	done

.PHONY: clean
clean: cargo ## removes all that was built, tools included
	cargo clean
	rm -rf fuzz/target fuzz/artifacts
