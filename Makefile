# Needs Python 3.11 or newer and make; everything else is installed into .venv from requirements.lock.
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
PYPROJECTS := $(wildcard proto/pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml)
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header
ALONE := ^\# Without what they declare

.PHONY: help up down test check faults load bench lock clean
.DEFAULT_GOAL := help

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

up: $(INSTALLED) ## Start Parley on this machine and open a chat: UP="--detach", "--replicas conversation=2"
	@$(BIN)/parley up $(UP)

down: $(INSTALLED) ## Stop it
	@$(BIN)/parley down

test: check ## Run the checks and all tests: TESTS="tests/unit" for some
	@$(BIN)/python -m pytest $(TESTS)

faults: $(INSTALLED) ## Strike a mesh with every fault and write tests/faults/RESULTS.md: FAULTS="--row leader"
	@$(BIN)/python tests/faults/mesh/fault_runner.py --out tests/faults/RESULTS.md --model 10000 $(FAULTS)
	@PARLEY_FAULT_KILLS=100 $(BIN)/python -m pytest -n 0 tests/faults

load: $(INSTALLED) ## Put a mesh of its own under load for two minutes: ARGS="--profile saturation --seconds 30"
	@$(BIN)/python loadtest/load.py $(ARGS)

bench: $(INSTALLED) ## Measure what Parley promises and write loadtest/RESULTS.md: ARGS="--quick"
	@$(BIN)/python loadtest/bench.py $(ARGS)

check: $(INSTALLED) ## Lint and type-check
	@$(BIN)/ruff check .
	@$(BIN)/mypy proto libs services

lock: $(INSTALLED) ## Make requirements.lock anew from requirements.in
	@echo "# Made by make lock from requirements.in; installed with --require-hashes and --no-deps." > $(VENV)/lock
	@sed '/$(ALONE)/,$$d' requirements.in | $(COMPILE) $(LOCK) - >> $(VENV)/lock
	@sed -n '/$(ALONE)/,$$p' requirements.in | $(COMPILE) $(LOCK) --no-deps - >> $(VENV)/lock
	@mv $(VENV)/lock requirements.lock

clean: ## Remove .venv and what the checks keep; the mesh's own data in .parley stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

$(INSTALLED): requirements.lock $(PYPROJECTS) libs/cli/install.py
	@found=; for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Parley needs Python 3.11 or newer, and there is none on the path; install it or name it: make up PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi; \
	$$found libs/cli/install.py $(VENV) $(PYPROJECTS)
