# Every target sets up what it needs; `make` alone lists them.
# Hand words on with ARGS: make test ARGS="tests/client -k flush"

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

# Tests wait for disks, and for processes that they start, a third of their time: so three processes
# for two cores. One that is done takes over tests of another: some take half a minute.
WORKERS ?= $(shell echo $$((($$(getconf _NPROCESSORS_ONLN) * 3 + 1) / 2)))
PYTEST := $(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --maxprocesses 6 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test lint ci bench chaos judge docs accept lock house screenshots new-event-type new-metric

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: .venv/ready ## a sample company in a running server, with its address and a key
	$(BIN)/ebbtide demo $(ARGS)

test: .venv/ready ## every test but the slow ones, on all engines
	$(PYTEST) $(ARGS)

lint: .venv/ready ## style, types, floor plan, spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell

ci: lint test ## what continuous integration runs: lint and test, nothing else

bench: .venv/ready ## measure speed, size and memory; results go to benchmarks/results/
	$(BIN)/python -m benchmarks.run $(ARGS)

chaos: .venv/ready ## kill the server under load, fill its disk, and count what is lost
	$(BIN)/python -m benchmarks.chaos $(ARGS)

judge: .venv/ready ## how well the recognisers of policies do on the labelled lines
	$(BIN)/python tests/guard/judging.py $(ARGS)

docs: .venv/ready ## write the generated pages and modules anew
	$(BIN)/python -m ebbtide.catalog.reference > .venv/page && cp .venv/page docs/reference/event-types.md
	$(BIN)/python -m ebbtide.metrics.reference > .venv/page && cp .venv/page docs/reference/metrics.md
	$(BIN)/python -m ebbtide.client.generate
	$(BIN)/python tools/reference_pages.py
	$(BIN)/python tools/figures_page.py

screenshots: .venv/ready ## take the pictures of the tutorial anew (needs Debian's chromium)
	$(BIN)/python tools/screenshots.py

accept: docs ## take today's output as the expected one, and show what changed
	EBBTIDE_ACCEPT=1 $(PYTEST) $(ARGS)
	git --no-pager diff --stat -- docs src tests

new-event-type: .venv/ready ## NAME=REPLAY_PAUSED: write the definition of a new event type
	$(BIN)/python tools/new_event_type.py "$(NAME)"

new-metric: .venv/ready ## NAME=logins: write the definition and the first case of a new metric
	$(BIN)/python tools/new_metric.py "$(NAME)"

house: .venv/ready ## median length of files and functions, room by room
	$(BIN)/python tools/house.py

A_WEEK_AGO = $(shell $(BIN)/python -c 'from datetime import *; print((datetime.now(UTC) - timedelta(7)).date())')T00:00:00Z

# The lock names no address, so that it works with any package index. A release enters it when
# it is a week old: by then most harmful ones are found and withdrawn.
lock: .venv/locked ## renew requirements.lock (ARGS=--upgrade: to the newest versions)
	$(BIN)/uv pip compile --quiet --system-certs --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-annotate --group dev --extra chdb pyproject.toml -o requirements.lock \
	    --exclude-newer "$(A_WEEK_AGO)" $(ARGS)
	! grep -n '://' requirements.lock

# The environment, in two steps: the locked packages, then Ebbtide itself in its source folder.
# uv comes out of the lock too; it is three times as fast as pip. Where it cannot reach its
# index, pip does the same with the machine's own settings. Both check every hash.
.venv/locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Ebbtide needs Python 3.11 or newer. Name yours: make PYTHON=python3.12 ...")'
	@echo "Setting up .venv (one to three minutes the first time) ..."
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements.lock > .venv/uv.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.txt
	@$(BIN)/uv pip sync --quiet --system-certs --python $(BIN)/python --require-hashes requirements.lock \
	    || $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

.venv/ready: .venv/locked pyproject.toml
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --offline --no-deps --no-build-isolation -e .
	@touch $@
