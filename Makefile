# `make demo` and `make test` do everything on a fresh machine: they need python3 (3.11 or newer)
# with venv, and an index that pip can reach. PYTHON=... chooses another interpreter,
# ARGS=... is handed on to the command.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin

# Stamps: an installation is repeated only when what it was made from has changed.
PACKAGING := pyproject.toml constraints.txt
RUNTIME := $(VENV)/.installed
DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format types pocket card bench bench-loop bench-memory experiments conformance clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): $(PACKAGING) | $(BIN)/pip
	@echo "Installing into $(VENV); the first time takes some minutes."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(DEV): $(PACKAGING) | $(BIN)/pip
	@echo "Installing into $(VENV); the first time takes some minutes."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(RUNTIME) $@

install: $(DEV) ## everything, with the tools of the developers, into .venv

demo: $(RUNTIME) ## four goals on the bundled student, from data to verdict
	$(BIN)/selfsteer demo $(ARGS)

test: $(DEV) ## the test suite
	$(BIN)/python -m pytest $(ARGS)

lint: $(DEV) ## ruff, its formatting, and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: $(DEV) ## put the code into the form that lint asks for
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

types: $(DEV) ## mypy, strict
	$(BIN)/mypy

pocket: $(RUNTIME) ## train the bundled student; goes on where it was stopped
	$(BIN)/python -m selfsteer.pocket.train $(ARGS)

card: $(RUNTIME) ## measure the bundled student against its bars
	$(BIN)/python -m benchmarks.pocket_card $(ARGS)

bench: $(RUNTIME) ## what capturing, steering and searching cost
	$(BIN)/python -m benchmarks.bench $(ARGS)

bench-loop: $(RUNTIME) ## what the loop achieves on the bundled student, by the oracle
	$(BIN)/python -m benchmarks.bench_loop $(ARGS)

bench-memory: $(RUNTIME) ## how fast memory is with 100,000 vectors, and what it survives
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.bench_memory $(ARGS)

experiments: $(DEV) ## the studies of the project's questions, with their bars and pages in build/
	mkdir -p build
	$(BIN)/selfsteer experiment spread --out build
	$(BIN)/selfsteer experiment user-vectors --out build $(ARGS)

conformance: $(DEV) ## exact for every family, and the same numbers as other libraries
	$(BIN)/python -m tests.conformance $(ARGS)

clean: ## remove build products and caches, not the environment
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find selfsteer tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
