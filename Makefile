# make install · demo · run · check · test · soak
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install demo run check test audit soak clean

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
	@$(MAKE) --no-print-directory audit

# Says what is known of the packages that are installed. It never fails the build: a network that
# is not there, and a finding that has no fix yet, are no reason to stop all other work.
audit:  ## Look the installed packages up in the advisory database, where it can be reached
	@if $(BIN)/python -c 'import socket; socket.create_connection(("pypi.org", 443), 5)' 2>/dev/null; then \
		( test -x .venv/audit/bin/pip-audit || \
			( $(PYTHON) -m venv .venv/audit && .venv/audit/bin/pip install -q 'pip-audit>=2.7,<3' ) ) && \
		.venv/audit/bin/pip-audit --progress-spinner off -r requirements.txt \
		|| echo 'pip-audit: see above; the build goes on'; \
	else echo 'pip-audit: skipped, the advisory database cannot be reached from here'; fi

test: install  ## Every test, on a real MongoDB and a real S3 endpoint
	$(BIN)/pytest -n 2

soak: install  ## Ten minutes of 1,000 phones that misbehave and servers that are killed
	$(BIN)/python -m tests.crash.soak --seconds 600

clean:  ## Remove what the targets above made
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
