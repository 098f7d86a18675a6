# The list of commands is `make help`. Each target installs what it needs and says so.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test check build web fmt lint licences unit e2e web-e2e fuzz bench soak clean

export SWITCHHOOK_SPEECH_DIR ?= $(CURDIR)/var/speech
export SWITCHHOOK_ASTERISK_DIR ?= $(CURDIR)/var/asterisk
export SWITCHHOOK_OUTSIDE_DIR ?= $(CURDIR)/var/outside
export SWITCHHOOK_PIPECAT_DIR ?= $(CURDIR)/var/pipecat
FUZZ_SECONDS ?= 60
# Calls spend most of their time ringing and talking; more at once than this and they wait for the one recogniser.
E2E_THREADS ?= 3
# Databases of tests are in memory where there is room, see the script.
unit e2e web-e2e: export TMPDIR := $(shell scripts/test-dir.sh)
MINUTES ?= 60
CALLS ?= 200
SEED ?= 4

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: ## install what is missing, build, start the demo: call it by a page (the lab) or with any softphone
	@scripts/install.sh run
	@scripts/install-speech.sh "$(SWITCHHOOK_SPEECH_DIR)"
	@$(MAKE) --no-print-directory web
	cargo build --release --locked -p switchhook-gateway
	@# Where tests find their peers is nothing the gateway knows.
	@env -u SWITCHHOOK_ASTERISK_DIR -u SWITCHHOOK_OUTSIDE_DIR -u SWITCHHOOK_PIPECAT_DIR \
	  scripts/run.sh target/release/switchhook

test: ## everything: lints, Rust, web, real phones, a real browser (installs what it needs)
	@scripts/test.sh

check: fmt lint licences unit ## format, lints, licences, tests without peers

fmt:
	cargo fmt --all --check

lint:
	@scripts/install.sh build
	cargo clippy --workspace --all-targets --locked -- -D warnings

licences:
	@scripts/install.sh cargo-deny
	.tools/bin/cargo-deny check licenses bans sources

unit:
	@scripts/install.sh build postgres
	cargo test --workspace --exclude switchhook-e2e --locked

build: web ## the release binary, console included
	@scripts/install.sh build
	cargo build --release --locked -p switchhook-gateway

web: ## the console's pages, into web/dist
	@scripts/install.sh node
	cd web && npm ci --no-audit --no-fund && npm run build

e2e: ## the real binary against baresip, SIPp, Asterisk and Kamailio (after `make web`)
	@scripts/install.sh peers
	@scripts/install-asterisk.sh "$(SWITCHHOOK_ASTERISK_DIR)"
	@scripts/install-speech.sh "$(SWITCHHOOK_SPEECH_DIR)"
	@scripts/install-outside.sh "$(SWITCHHOOK_OUTSIDE_DIR)"
	cargo build --locked -p switchhook-gateway
	cargo test --locked -p switchhook-e2e -- --test-threads=$(E2E_THREADS)

web-e2e: ## the console in a real browser, against the real binary
	@scripts/install.sh browser
	@scripts/install-speech.sh "$(SWITCHHOOK_SPEECH_DIR)"
	cargo build --locked -p switchhook-gateway
	web/e2e/run-local.sh "$${CARGO_TARGET_DIR:-target}/debug/switchhook"

fuzz: ## every fuzz target for FUZZ_SECONDS (60)
	@scripts/install.sh cargo-fuzz
	scripts/fuzz.sh $(FUZZ_SECONDS)

BENCH ?= --quick
bench: ## what one core carries, beside ceiling, Asterisk, pipecat, and rustpbx if SWITCHHOOK_RUSTPBX names it; BENCH= for longer runs. Wants an idle machine
	@scripts/install.sh peers
	@scripts/install-asterisk.sh "$(SWITCHHOOK_ASTERISK_DIR)"
	@scripts/install-pipecat.sh "$(SWITCHHOOK_PIPECAT_DIR)"
	cargo build --release --locked -p switchhook-gateway -p switchhook-bench
	"$${CARGO_TARGET_DIR:-target}/release/switchhook-bench" $(BENCH)

soak: ## MINUTES (60) of 200 mixed calls with a SEED (4), then 50,000 short ones; nothing may be left behind
	@scripts/install.sh peers
	cargo build --release --locked -p switchhook-gateway
	SWITCHHOOK_BIN="$${CARGO_TARGET_DIR:-$(CURDIR)/target}/release/switchhook" \
	SWITCHHOOK_SOAK_MINUTES=$(MINUTES) SWITCHHOOK_SOAK_CALLS=$(CALLS) SWITCHHOOK_SOAK_SEED=$(SEED) \
	cargo test --locked -p switchhook-e2e -- --nocapture --include-ignored --test-threads=1 soak::

clean: ## build outputs; recordings and the database in var/ stay
	cargo clean
	rm -rf web/dist web/node_modules
