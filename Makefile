# Needs Python 3.11 or newer and make, nothing else; `make PYTHON=python3.12 ...` names another Python.
PYTHON ?= python3
ARGS ?=
# Tests wait far more than they compute. More workers than this want more memory, each having servers of its own.
WORKERS ?= 3
BIN := .venv/bin
CODE := $(wildcard changefeed api demo tools bench tests)

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench adversity clean
.NOTPARALLEL:

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: ## a live dashboard with its own database, on PORT (8000); Ctrl-C leaves nothing running
	@$(PYTHON) tools/environment.py demo
	@$(BIN)/python -m demo

test: ## the whole suite, WORKERS (3) files at a time; ARGS="-k name" chooses; what the machine lacks is skipped by name
	@$(PYTHON) tools/environment.py test
	@# In the order of their names the files that take long come before the many short ones, which fill the end.
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: ## format, lint, types and layers
	@$(PYTHON) tools/environment.py test check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --no-logo

format: ## rewrite the code in the project's format
	@$(PYTHON) tools/environment.py test check
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

bench: ## the figures of docs/performance.md
	@$(PYTHON) tools/environment.py test
	@$(BIN)/python -m bench $(ARGS)

adversity: ## everything broken at the worst moment, for long; ARGS="--changes 100000 --seed 7"
	@$(PYTHON) tools/environment.py test
	@$(BIN)/python -m tests.adversity $(ARGS)

clean: ## remove everything that make has made here
	rm -rf .venv .venv.lock .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +
