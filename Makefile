# A developer's verbs. Plain `make` lists them. Needs Python 3.11 to 3.13 and a Rust toolchain, nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SHARED ?= ../shared
FUZZ_RUNS ?= 100000
# One profile for the extension, the tests and the lints: the dependencies are compiled once (target/release).
CARGO_FLAGS := --locked --release
# maturin sets these for its own build; setting them for the lints keeps cargo from rebuilding pyo3 between the two.
PYO3_ENV = PYO3_PYTHON="$(abspath $(BIN)/python)" PYO3_BUILD_EXTENSION_MODULE=1

RUST_SOURCES := Cargo.toml Cargo.lock rust_ext/Cargo.toml $(shell find rust_ext -name '*.rs' 2>/dev/null)
EXTENSION    := tahoe_engine/_rust.abi3.so

.PHONY: help env build demo test check lint types rust-lint rust-test python-test wheel bench bench-smoke chaos chaos-short fuzz licences lock clean

help:  ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | while IFS=$$'\t' read -r verb line; do printf '  make %-12s %s\n' "$$verb" "$$line"; done

env: $(VENV)/.locked  ## make .venv with the locked packages (hashes checked)

$(VENV)/.locked: requirements/dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "Python 3.11 to 3.13 is needed, this is %d.%d; choose one with: make PYTHON=python3.12" % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements/dev.lock
	touch $@

build: $(EXTENSION)  ## compile the Rust core in release mode and install the package in place

$(EXTENSION): $(VENV)/.locked pyproject.toml $(RUST_SOURCES)
	@command -v cargo >/dev/null || { echo 'A Rust toolchain is needed: https://rustup.rs' >&2; exit 1; }
	PIP_QUIET=1 PATH="$(abspath $(BIN)):$$PATH" VIRTUAL_ENV="$(abspath $(VENV))" $(BIN)/maturin develop $(CARGO_FLAGS)
	touch $@

demo: build  ## make a small atlas, run the main job on it and on five real cells, show the tables
	$(BIN)/python docs/demo.py --shared "$(SHARED)" --into demo

test: build  ## run every Python and Rust test
	$(MAKE) --no-print-directory rust-test python-test

check: build  ## the one door: lints, types, layers, and every test
	$(MAKE) --no-print-directory lint types rust-lint rust-test python-test

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: build
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --concise --mypy-config-file pyproject.toml tahoe_engine._rust

rust-lint: env
	cargo fmt --check
	$(PYO3_ENV) cargo clippy $(CARGO_FLAGS) --all-targets --features python -- -D warnings

# Without the feature `python`: the core builds and passes its tests with no interpreter.
rust-test:
	@if cargo nextest --version >/dev/null 2>&1; then
	    cargo nextest run $(CARGO_FLAGS) --no-tests=warn
	    cargo test $(CARGO_FLAGS) --doc --quiet
	else
	    cargo test $(CARGO_FLAGS)
	fi

python-test: build  # two at a time: half the wall, and every test shares the machine, as in life
	$(BIN)/python -m pytest -n 2 --dist loadfile

wheel: env  ## build the wheel and try it in an empty environment in another folder
	rm -rf dist
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/maturin build --locked --release --out dist --interpreter $(BIN)/python
	$(BIN)/python tests/wheel.py --python "$(PYTHON)" --dist dist --lock requirements/core.lock

bench: build  ## measure against Polars, DuckDB and pyarrow on the same shards, and the kernels: bench-results/
	PYTHONPATH=tests $(BIN)/python -m bench all
	TAHOE_SHARD="$$(ls -d "$$PWD"/bench-results/atlas-*/data/train-00000-* | head -n 1)" cargo bench --locked

bench-smoke: build  ## the benchmarks at a tiny size: they run, nothing is timed
	PYTHONPATH=tests $(BIN)/python -m bench --smoke

chaos: build  ## kill, cut, fill, flip and stop the main job in every way (an hour, as root): chaos-results/
	PYTHONPATH=tests $(BIN)/python -m chaos

chaos-short: build  ## the same in some three minutes; what cannot run here (no root, no strace) says so
	PYTHONPATH=tests $(BIN)/python -m chaos --size short

fuzz:  ## mutate Tahoe-shaped shards and read them: 100,000 by default (FUZZ_RUNS)
	TAHOE_MUTATIONS=$(FUZZ_RUNS) cargo test $(CARGO_FLAGS) --test mutations -- --nocapture

licences: env  ## list the licences of the locked packages and crates; fail on one that is not allowed
	$(BIN)/python tests/licences.py

lock:  ## resolve the locks anew (needs uv)
	@for lock in all core dev; do
	    options=(--universal --python-version 3.11 --generate-hashes --no-header --quiet --upgrade)
	    case "$$lock" in
	        all) options+=(--all-extras --group tools) ;;
	        core) options+=(--constraints requirements/all.lock) ;;
	        dev) options+=(--group tools --extra hub --extra s3 --extra export --extra ml --constraints requirements/all.lock) ;;
	    esac
	    uv pip compile pyproject.toml "$${options[@]}" --output-file "requirements/$$lock.lock"
	done

clean:  ## remove what was built, measured and demonstrated (not .venv)
	rm -rf target dist demo bench-results chaos-results $(EXTENSION) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find tahoe_engine tests jobs -name __pycache__ -type d -prune -exec rm -rf {} +
