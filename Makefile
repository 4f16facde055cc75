# make install · demo · run · check · test
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install demo run check test clean

help:  ## Say what each target does
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

# The stamp makes the set-up run once, and again when a requirement changes.
.venv/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $@

install: .venv/installed  ## Create .venv and install every requirement into it

demo: install  ## Train a real model with 8 simulated phones over 5 rounds
	$(BIN)/python server.py demo

run: install  ## Start the server on 127.0.0.1:8000, data in ./data
	$(BIN)/python server.py serve

check: install  ## Lint, types, and which way the imports point
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_structure.py

test: install  ## Every test, on a real MongoDB and a real S3 endpoint
	$(BIN)/pytest -n 2

clean:  ## Remove what the targets above made
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
