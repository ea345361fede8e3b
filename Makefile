# Every command of the project. `make serve` installs what serving needs; `make setup` installs everything.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
HOST ?= 127.0.0.1
PORT ?= 8000

.PHONY: help setup serve test lint bench train e2e picture

help: ## list the commands
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/serving: $(BIN)/pip pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable '.[serve,tracking]'
	touch $@

$(VENV)/everything: $(BIN)/pip pyproject.toml constraints.txt
	$(PIP_INSTALL) --editable '.[serve,tracking,train,test]'
	touch $@ $(VENV)/serving

$(VENV)/benchmarks: $(VENV)/everything
	$(PIP_INSTALL) --editable '.[serve,tracking,train,test,bench]'
	touch $@

setup: $(VENV)/everything ## install every extra into .venv
	test/system-packages

serve: $(VENV)/serving ## the web application, its worker and MLflow on embedded defaults
	$(BIN)/bioseg serve --host $(HOST) --port $(PORT)

test: setup ## all tests that need neither a Docker engine nor much time
	$(BIN)/pytest -m 'not e2e'

e2e: setup $(VENV)/benchmarks ## what needs a Docker engine or more time
	$(BIN)/pytest -m e2e

lint: $(VENV)/everything ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/benchmarks ## the benchmarks, as ratios of one run
	$(BIN)/bioseg bench

picture: setup ## with `make serve` running, take the README's pictures of the page again
	$(BIN)/python test/picture.py http://$(HOST):$(PORT) docs

train: $(VENV)/everything ## fit the shipped models again (BIOSEG_DATA_DIR names the datasets)
	$(BIN)/bioseg train membrane --refit
	$(BIN)/bioseg train kinds
