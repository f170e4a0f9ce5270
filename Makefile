# Every target makes .venv itself when it is missing or older than the package lists.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
            $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
STAMP := .venv/.installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

.PHONY: quickstart test coverage lint ui clean setup benchmark
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: Python 3.11, 3.12 or 3.13 is needed; give it with PYTHON=/path/to/python"; exit 1; }
	@echo "setting up .venv with $(PYTHON) (about 3 minutes and 7 GB the first time)"
	@rm -f .venv/.installed-*
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(STAMP)  ## install everything into .venv

quickstart: $(STAMP)  ## run the whole chain on a generated corpus (3 to 5 minutes after installation)
	@$(BIN)/python cli.py run-experiment experiments/quickstart.yaml

# The order is that of tests/conftest.py: the longest first.
PYTEST := -m pytest -n 2 --dist loadgroup --no-loadscope-reorder --durations 12

test: $(STAMP)  ## run all tests (about 20 minutes)
	@$(BIN)/python $(PYTEST)

coverage: $(STAMP)  ## run all tests, and show which lines they miss
	@$(BIN)/python -m coverage erase
	@$(BIN)/python $(PYTEST) --cov --cov-report=term:skip-covered

lint: $(STAMP)  ## ruff, mypy, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

benchmark: $(STAMP)  ## time the model's work, beside a plain formulation (about 8 minutes; leave the machine alone)
	@$(BIN)/python -m benchmarks.model --json benchmarks/latest.json

ui: $(STAMP)  ## open the MLflow UI on the results in storage/, at PORT=5000 or the next free one
	@$(BIN)/python cli.py ui $(if $(PORT),--port $(PORT))

clean:  ## remove results and caches (.venv stays)
	rm -rf storage .coverage* htmlcov .mypy_cache .ruff_cache .import_linter_cache .hypothesis
