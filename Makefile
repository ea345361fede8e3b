# Every command of the project. `make serve` installs what serving needs; `make setup` installs everything.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RIVALS := .venv-compare
PIPELINE := .venv-pipeline
CALLER := .venv-conformance
PIP_INSTALL := bin/pip install --quiet --disable-pip-version-check --no-deps
# $(call locked,ENVIRONMENT,LOCK): wheels of the lock alone, each by its sha256; nothing that is fetched runs a build.
locked = $(1)/$(PIP_INSTALL) --require-hashes --only-binary :all: --requirement requirements/$(2).txt
# $(call ourselves,ENVIRONMENT): this folder, with the build backend of the lock.
ourselves = $(1)/$(PIP_INSTALL) --no-index --no-build-isolation --editable .
# Advisories that do not concern us: `--ignore-vuln ID` each, with the reason in a comment above it.
ACCEPTED_ADVISORIES :=
AUDIT := $(BIN)/pip-audit --strict --require-hashes --disable-pip $(ACCEPTED_ADVISORIES)
# Images: REGISTRY ends with a slash or is empty.
REGISTRY ?=
TAG ?= latest
BASE ?= python:3.11-slim
image = docker build --file $(1) --tag $(REGISTRY)bioseg-$(2):$(TAG) --build-arg BASE=$(BASE) \
  --build-arg REVISION=$$(git rev-parse HEAD) $(LAYERS) .
# What `make train` calls the accurate membrane version, of which it makes one in 8 bits.
ACCURATE := $(shell date +%Y.%m.%d-%H%M)-accurate
HOST ?= 127.0.0.1
PORT ?= 8000

# The pipeline besides: which image, the tag whose layers may be taken again, where images are put, commits to compare with.
IMAGE ?= application
CACHE ?= none
LAYERS ?=
TARGET ?=
SINCE ?= HEAD^
BEFORE ?= HEAD^

.PHONY: help setup serve images up down test conformance smoke lint bench train e2e picture lock audit leaks sbom
.PHONY: wheel lint-pipeline last-pushed gate-changed image sbom-image push deploy rollback

help: ## list the commands
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

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

$(PIPELINE)/installed: requirements/pipeline.txt requirements/emulator.txt
	$(PYTHON) -m venv $(PIPELINE)
	$(call locked,$(PIPELINE),pipeline)
	$(PIPELINE)/bin/pip check
	$(call locked,$(PIPELINE),emulator)
	touch $@

setup: $(VENV)/everything ## install every extra into .venv
	test/system-packages

serve: $(VENV)/serving ## the web application, its worker and MLflow on embedded defaults
	$(BIN)/bioseg serve --host $(HOST) --port $(PORT)

images: ## bioseg-application, bioseg-mlflow and bioseg-test, named $(REGISTRY)bioseg-...:$(TAG)
	$(call image,application/Dockerfile,application)
	$(call image,Mlflow/Dockerfile,mlflow)
	$(call image,test/Dockerfile,test)

up: ## application and MLflow in containers, on the ports and with the secrets of .env
	docker compose up --build --detach

down: ## stop them; what they keep stays on their volumes
	docker compose --profile '*' down

test: setup ## all tests that need neither a Docker engine nor much time
	$(BIN)/pytest -m 'not e2e'

$(CALLER)/installed: requirements/conformance.txt
	$(PYTHON) -m venv $(CALLER)
	$(call locked,$(CALLER),conformance)
	touch $@

conformance: $(CALLER)/installed ## hold a running server against the golden answers: URL=http://127.0.0.1:8000
	$(CALLER)/bin/pytest test/conformance --base-url '$(URL)' $(OPTIONS)

smoke: conformance ## what follows a deployment: real predictions on URL, as above

e2e: setup $(VENV)/benchmarks $(PIPELINE)/installed ## what needs a Docker engine or more time
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

train: $(VENV)/everything ## fit the models of all studies again (BIOSEG_DATA_DIR names the datasets)
	$(BIN)/bioseg train membrane --refit
	$(BIN)/bioseg train membrane --recipe accurate --refit --name $(ACCURATE)
	$(BIN)/bioseg train lung
	$(BIN)/bioseg train skin
	$(BIN)/bioseg train brain --refit
	$(BIN)/bioseg train brain-types
	$(BIN)/bioseg train kinds
	$(BIN)/bioseg quantise membrane --version $(ACCURATE)

# The old lock, even where pyproject.toml has moved on: all that is needed of it is uv.
$(BIN)/uv: | $(BIN)/pip
	$(call locked,$(VENV),everything)

lock: $(BIN)/uv ## lock what pyproject.toml asks for; UPGRADE='--upgrade-package NAME' raises a version
	PATH="$(BIN):$$PATH" requirements/lock $(UPGRADE)

audit: $(VENV)/everything ## known vulnerabilities of everything locked; needs an advisory service and fails without one
	for lock in $(patsubst %,requirements/%.txt,benchmarks cuda compare pipeline) deploy/aws-lambda/requirements.txt; do \
	  $(AUDIT) --requirement $$lock || exit 1; \
	done

leaks: $(VENV)/everything ## secrets in the files and in the whole history, but for .secrets.baseline
	$(BIN)/python test/leaks.py

sbom: $(VENV)/everything ## dist/*.cdx.json: what serving is made of, by hash; what is installed here, with licences
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-file dist/serve.cdx.json requirements/serve.txt
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-file dist/installed.cdx.json $(BIN)/python

wheel: $(VENV)/everything ## build the wheel, and prove it in an environment of its own
	rm -rf dist/*.whl .build/wheel
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation --wheel-dir dist .
	$(PYTHON) -m venv .build/wheel
	$(call locked,.build/wheel,serve)
	.build/wheel/$(PIP_INSTALL) --no-index dist/*.whl
	.build/wheel/bin/pip check
	test/wheel .build/wheel

lint-pipeline: $(PIPELINE)/installed ## the workflow, Dockerfiles, compose, manifests and shell scripts
	PATH="$(PIPELINE)/bin:$$PATH" test/lint-pipeline

last-pushed: ## the last commit in front of HEAD whose image is in REGISTRY; BEFORE where there is none
	@deploy/last-pushed $(REGISTRY)bioseg-application $(BEFORE)

gate-changed: $(VENV)/everything ## gate every shipped version that SINCE lacks; an inconclusive one holds: .build/gate.json says so
	mkdir -p .build
	git diff --quiet $(SINCE) -- data/models || $(BIN)/bioseg data fetch isbi2012
	$(BIN)/bioseg gate-changed $(SINCE) --json > .build/gate.json || [ $$? -eq 3 ]

BUILT = $(REGISTRY)bioseg-$(IMAGE)

# Docker's old builder forgets its own layers where it is told to take others', so only an image that is there is named.
image: LAYERS = --build-arg BUILDKIT_INLINE_CACHE=1 $(shell docker pull --quiet $(BUILT):$(CACHE) > /dev/null \
  && echo --cache-from $(BUILT):$(CACHE))
image: ## one of the images, IMAGE, with the layers of the tag CACHE where the registry has it
	$(call image,$(or $(wildcard $(IMAGE)/Dockerfile),Mlflow/Dockerfile),$(IMAGE))

sbom-image: ## dist/*.cdx.json of an image that was built: its Debian and Python packages
	mkdir -p dist
	$(PYTHON) deploy/sbom_image.py $(BUILT):$(TAG) dist/bioseg-$(IMAGE).cdx.json

push: ## push one image, under a tag that says which
	[ '$(TAG)' != latest ]
	docker push $(BUILT):$(TAG)

# The overlays of Kubernetes share a folder.
TARGETS_FOLDER = deploy/$(patsubst kubernetes-%,kubernetes,$(TARGET))

deploy: ## put the images of TAG at TARGET, such as kubernetes-gke
	$(TARGETS_FOLDER)/deploy $(TARGET) '$(REGISTRY)' $(TAG)

rollback: ## go back to what ran at TARGET before
	$(TARGETS_FOLDER)/rollback $(TARGET)
