# Every command of the project. `make serve` installs what serving needs; `make setup` installs everything.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RIVALS := .venv-compare
PIP_INSTALL := bin/pip install --quiet --disable-pip-version-check --no-deps
# $(call locked,ENVIRONMENT,LOCK): wheels of the lock alone, each by its sha256; nothing that is fetched runs a build.
locked = $(1)/$(PIP_INSTALL) --require-hashes --only-binary :all: --requirement requirements/$(2).txt
# $(call ourselves,ENVIRONMENT): this folder, with the build backend of the lock.
ourselves = $(1)/$(PIP_INSTALL) --no-index --no-build-isolation --editable .
# Advisories that do not concern us: `--ignore-vuln ID` each, with the reason in a comment above it.
ACCEPTED_ADVISORIES :=
AUDIT := $(BIN)/pip-audit --strict --require-hashes --disable-pip $(ACCEPTED_ADVISORIES)
HOST ?= 127.0.0.1
PORT ?= 8000

.PHONY: help setup serve test lint bench train e2e picture lock audit leaks sbom

help: ## list the commands
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/serving: $(BIN)/pip pyproject.toml requirements/serve.txt
	$(call locked,$(VENV),serve)
	$(call ourselves,$(VENV))
	$(BIN)/pip check
	touch $@

# torch: the small CPU build where it is at hand, else the public index's, which asks for NVIDIA's libraries.
$(VENV)/everything: $(BIN)/pip pyproject.toml requirements/everything.txt requirements/torch-cpu.txt requirements/cuda.txt
	-$(call locked,$(VENV),torch-cpu)
	$(call locked,$(VENV),everything)
	! $(BIN)/pip check | grep '^torch ' || $(call locked,$(VENV),cuda)
	$(call ourselves,$(VENV))
	$(BIN)/pip check
	touch $@ $(VENV)/serving

$(VENV)/benchmarks: $(VENV)/everything requirements/benchmarks.txt
	$(call locked,$(VENV),benchmarks)
	$(BIN)/pip check
	touch $@

$(RIVALS)/installed: pyproject.toml requirements/compare.txt
	$(PYTHON) -m venv $(RIVALS)
	$(call locked,$(RIVALS),compare)
	$(call ourselves,$(RIVALS))
	touch $@

setup: $(VENV)/everything ## install every extra into .venv
	test/system-packages

serve: $(VENV)/serving ## the web application, its worker and MLflow on embedded defaults
	$(BIN)/bioseg serve --host $(HOST) --port $(PORT)

test: setup ## all tests that need neither a Docker engine nor much time
	$(BIN)/pytest -m 'not e2e'

e2e: setup $(VENV)/benchmarks ## what needs a Docker engine or more time
	$(BIN)/pytest -m e2e

lint: $(VENV)/everything ## format, lint, security rules, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml Source application
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/benchmarks $(RIVALS)/installed ## the benchmarks, into the README and docs/
	mkdir -p .build
	$(BIN)/bioseg bench --json > .build/benchmark.json
	$(BIN)/python -m bioseg.benchmark .build/benchmark.json README.md docs/benchmark.svg

picture: setup ## with `make serve` running, take the README's pictures of the page again
	$(BIN)/python test/picture.py http://$(HOST):$(PORT) docs

train: $(VENV)/everything ## fit the shipped models again (BIOSEG_DATA_DIR names the datasets)
	$(BIN)/bioseg train membrane --refit
	$(BIN)/bioseg train lung
	$(BIN)/bioseg train skin
	$(BIN)/bioseg train brain
	$(BIN)/bioseg train brain-types
	$(BIN)/bioseg train kinds

# The old lock, even where pyproject.toml has moved on: all that is needed of it is uv.
$(BIN)/uv: | $(BIN)/pip
	$(call locked,$(VENV),everything)

lock: $(BIN)/uv ## lock what pyproject.toml asks for; UPGRADE='--upgrade-package NAME' raises a version
	PATH="$(BIN):$$PATH" requirements/lock $(UPGRADE)

audit: $(VENV)/everything ## known vulnerabilities of everything locked; needs an advisory service and fails without one
	for lock in benchmarks cuda compare; do \
	  $(AUDIT) --requirement requirements/$$lock.txt || exit 1; \
	done

leaks: $(VENV)/everything ## secrets in the files and in the whole history, but for .secrets.baseline
	$(BIN)/python test/leaks.py

sbom: $(VENV)/everything ## dist/*.cdx.json: what serving is made of, by hash; what is installed here, with licences
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-file dist/serve.cdx.json requirements/serve.txt
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-file dist/installed.cdx.json $(BIN)/python
