# Every target makes what it needs first: `make run` and `make test` work on a fresh machine with Python 3.11 and make.
# The parts are in deploy/environment (Python packages) and tests/setup (Chromium, a Chinese font, promtool, nginx).

ENVIRONMENT := .venv
PYTHON_OF_ENVIRONMENT := $(ENVIRONMENT)/bin/python
# Two at a time, each with its own servers: most of a test's time is waiting.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run test lint bench faults mutants setup clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(ENVIRONMENT)/.run-ready ## start everything with demonstration data: PostgreSQL, Valkey, Kafka, the four services
	@exec $(ENVIRONMENT)/bin/fengping up --demo

test: setup ## all tests, on real servers and in a real browser; PYTEST="tests/scoring -k ..." runs some
	@exec $(PYTHON_OF_ENVIRONMENT) -m pytest $(or $(PYTEST),$(SIDE_BY_SIDE))

lint: $(ENVIRONMENT)/.test-ready ## format, style, types, import contracts, templates and scripts, commit subjects
	@$(ENVIRONMENT)/bin/ruff format --check .
	@$(ENVIRONMENT)/bin/ruff check .
	@$(ENVIRONMENT)/bin/mypy
	@$(ENVIRONMENT)/bin/lint-imports
	@$(ENVIRONMENT)/bin/biome format .
	@$(ENVIRONMENT)/bin/biome lint .
	@$(ENVIRONMENT)/bin/djlint --quiet --check --lint services shared
	@$(PYTHON_OF_ENVIRONMENT) -m tests.commit_subjects

bench: $(ENVIRONMENT)/.test-ready ## measure on this machine; BENCH="relay" measures some
	@exec $(PYTHON_OF_ENVIRONMENT) -m tests.bench $(BENCH)

faults: setup ## break real processes under load and count what is lost: SEEDS=50 random plans from START=1
	@exec $(PYTHON_OF_ENVIRONMENT) -m tests.faults --seeds $(or $(SEEDS),10) --start $(or $(START),1)

mutants: setup ## break rules one by one: each must fail a named test
	@exec $(PYTHON_OF_ENVIRONMENT) -m tests.faults.mutants $(MUTANTS)

setup: $(ENVIRONMENT)/.test-ready ## what the tests need: packages, Kafka's jars, Chromium, a Chinese font, promtool, nginx
	@tests/setup
	@exec $(PYTHON_OF_ENVIRONMENT) -m shared.embedded

clean: ## remove the environment and the caches; the data in .fengping stays
	rm -rf $(ENVIRONMENT) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find services shared tests deploy -name __pycache__ -type d -prune -exec rm -rf {} +

$(ENVIRONMENT)/.run-ready: requirements.lock deploy/environment
	@deploy/environment requirements.lock
	@touch $@

$(ENVIRONMENT)/.test-ready: requirements-dev.lock deploy/environment
	@deploy/environment requirements-dev.lock
	@touch $@ $(ENVIRONMENT)/.run-ready
