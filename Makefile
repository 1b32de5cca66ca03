# `make` lists the targets. The first run makes .venv from hashed requirements; later runs find it there.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
WORKERS ?= $(shell nproc)
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
COMPILE := $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
    --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" $(if $(UPGRADE),--upgrade)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/.runtime: requirements/runtime.txt pyproject.toml scripts/make-venv.sh
	@echo "Installing what shipwheel needs into .venv" >&2
	@PYTHON=$(PYTHON) scripts/make-venv.sh .venv requirements/runtime.txt
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.runtime
	@echo "Installing what its development needs into .venv" >&2
	@PYTHON=$(PYTHON) scripts/make-venv.sh .venv requirements/dev.txt
	@touch $@

.PHONY: demo
demo: .venv/.runtime ## Build and run the examples, twice
	@$(BIN)/python scripts/demo.py

.PHONY: test
test: check tools ## Everything that must hold: the checks and all tests
	$(PYTEST) -n $(WORKERS) --dist loadgroup -m "not conformance"

.PHONY: check
check: .venv/.dev ## Lint, format, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: unit
unit: .venv/.dev ## Quick tests: no network, no tool
	$(PYTEST) tests/unit tests/property

.PHONY: functional
functional: .venv/.dev tools ## Tests against real servers, tools and engines
	$(PYTEST) tests/functional

.PHONY: e2e
e2e: .venv/.dev tools ## Tests of the command as people use it
	$(PYTEST) tests/e2e

.PHONY: conformance
conformance: .venv/.dev tools ## Slow comparisons with other tools on real locks; every stage of the Dockerfiles
	$(PYTEST) -m conformance

.PHONY: bench
bench: .venv/.runtime ## Measure, and put the table into docs/benchmarks.md
	$(BIN)/python benchmarks/run.py --write docs/benchmarks.md

.PHONY: bench-dockerfile
bench-dockerfile: .venv/.dev tools ## Measure the rendered Dockerfiles against two others, on one engine
	$(BIN)/python benchmarks/dockerfile.py --write docs/benchmarks-dockerfile.md

.PHONY: bench-push
bench-push: .venv/.dev tools ## Measure pushes against docker build and docker push, on one registry
	PYTHONPATH=tests $(BIN)/python benchmarks/push.py --write docs/benchmarks.md

.PHONY: bench-history
bench-history: .venv/.runtime ## Simulate pushes over real lock histories (../shared/lock-corpus)
	$(BIN)/python benchmarks/history.py --write docs/benchmarks.md

# The tests compare with real tools. Root may install them and a complete run (CI=true) must have them;
# for others, a test whose tool is missing skips and says so.
.PHONY: tools
tools:
	@if [ "$$(id -u)" = 0 ] || [ "$${CI:-}" = true ]; then tests/engine/install-tools.sh; fi

.PHONY: check-baselines
check-baselines: .venv/.dev tools ## Check images of two other Dockerfiles (../shared/baseline) and ours: docs/check-baselines.md
	$(BIN)/python scripts/check-baselines.py --write docs/check-baselines.md

.PHONY: requirements
requirements: .venv/.dev ## Rewrite the hashed requirements (UPGRADE=1: the newest)
	$(COMPILE) pyproject.toml requirements/runtime.in -o requirements/runtime.txt
	$(COMPILE) pyproject.toml requirements/runtime.in requirements/dev.in -c requirements/runtime.txt -o requirements/dev.txt

.PHONY: reference
reference: .venv/.dev ## Rewrite docs/reference from the code
	$(BIN)/python scripts/make-reference.py

.PHONY: clean
clean: ## Remove what was made here: .venv, caches, the demo's images
	rm -rf .venv .demo examples/*/shipwheel.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
