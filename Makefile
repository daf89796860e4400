# Everything sets itself up: a fresh clone needs Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO ?=

.PHONY: help demo venv test test-slow lint format bench clean
.DELETE_ON_ERROR:

help:  ## This list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: $(VENV)/.core  ## One photograph through VGG-16, whole and split over two workers.
	$(BIN)/swath demo $(DEMO)

venv: $(VENV)/.dev  ## The virtual environment with all that development needs.

# These measure no time and look at no other processes, so they may run side by side.
SIDE_BY_SIDE := $(addprefix tests/,cluster cost graph ops plan planners simulate trace workload zoo) \
	$(patsubst %,tests/cli/test_%.py,allocate app bad_clusters bad_input bad_problems offload reliability simulate sweep)
AT_ONCE := --numprocesses logical --dist loadgroup
ONE_BY_ONE := $(addprefix --ignore=,$(SIDE_BY_SIDE))

test: lint  ## Lint, types, the order of the folders, and the quick tests.
	$(BIN)/pytest -m "not slow" $(AT_ONCE) $(SIDE_BY_SIDE)
	$(BIN)/pytest -m "not slow" $(ONE_BY_ONE)

test-slow: $(VENV)/.dev  ## The tests that take long.
	$(BIN)/pytest -m slow $(AT_ONCE) $(SIDE_BY_SIDE)
	$(BIN)/pytest -m slow $(ONE_BY_ONE)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## Bring the code into shape.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev  ## What is claimed of speed, measured on this machine.
	$(BIN)/python -m benchmarks

clean:  ## Remove everything that was made here.
	rm -rf $(VENV) build dist swath-out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find swath tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.core: pyproject.toml
	@PYTHON=$(PYTHON) scripts/make-venv $(VENV)
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml
	@PYTHON=$(PYTHON) scripts/make-venv $(VENV)
	$(PIP) install --quiet --editable ".[dev]"
	@touch $@ $(VENV)/.core
