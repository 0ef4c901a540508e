# SPDX-License-Identifier: GPL-3.0-or-later
# `make demo`: the whole migration on a sandbox of real parts. `make test`: every check. Both set up what they need.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3.11
COLLECTIONS := .cache/collections/ansible_collections
CORPUS := ../shared/corpus
FUZZ_SECONDS := 60
SANDBOX := PYTHONPATH=tests $(BIN)/python -m sandbox
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help demo sandbox sandbox-down sandbox-shell test lint unit integration molecule collections parts benchmark fleet-benchmark kill-test corpus talos-corpus tekton-corpus buildkit-corpus fuzz clean

help:  ## What there is to run
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: collections  ## The migration on the sandbox: before, after, and a second run that changes nothing
	@$(SANDBOX) demo

sandbox: collections  ## Start the sandbox in the HTTP era and leave it running
	@$(SANDBOX) up

sandbox-down:  ## End the sandbox
	@$(SANDBOX) down

sandbox-shell: export CMD := $(CMD)
sandbox-shell:  ## Run CMD='...' inside the sandbox's network (CLUSTER=alpha|beta for its nodes, AS_POD=1 for a pod)
	@$(SANDBOX) shell $(if $(CLUSTER),--cluster $(CLUSTER)) $(if $(AS_POD),--as-pod) -- sh -c "$$CMD"

test: lint parts unit integration  ## Every check

lint: collections  ## ansible-lint, ruff, mypy, yamllint
	@$(BIN)/yamllint --strict .
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@cd .cache/collections && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p ansible_collections.splithorizon.registry.plugins
	@$(BIN)/ansible-lint --offline -q

unit: collections  ## Planners and clients, no sandbox
	@$(BIN)/python -m pytest tests/unit -q -n 2

integration: collections parts  ## Modules, roles and playbooks on the sandbox
	@$(BIN)/python -m pytest tests/integration -q -n 2 --dist loadfile --no-loadscope-reorder

molecule: collections  ## create, converge, idempotence, verify, destroy on the sandbox
	@$(BIN)/molecule test

benchmark: collections  ## What a run that changes nothing costs, beside a shell script that reads the same
	@$(SANDBOX) benchmark

fleet-benchmark: collections  ## What a survey of 1, 10 and 100 simulated nodes and a rollout cost, beside xargs -P over talosctl
	@PYTHONPATH=tests $(BIN)/python tests/benchmark/fleet.py measure

kill-test: collections  ## Kill site.yml at ten random moments on the sandbox, and run it again (half an hour)
	@$(SANDBOX) up && PYTHONPATH=tests $(BIN)/python tests/benchmark/kill.py; code=$$?; $(SANDBOX) down; exit $$code

corpus: collections  ## Every Corefile and file of chart values below CORPUS=folder: edited and restored, and taken by the real CoreDNS
	@PYTHONPATH=tests:.cache/collections $(BIN)/python tests/corpus/sources.py $(CORPUS)
	@PYTHONPATH=tests:.cache/collections $(BIN)/python tests/corpus/corefiles.py $(CORPUS)/corefile --coredns

talos-corpus: collections  ## Every Talos file of ../shared/corpus/talos: added to, taken from, and compared
	@PYTHONPATH=.cache/collections $(BIN)/python tests/talos_repository.py

tekton-corpus: collections  ## Every Tekton file of ../shared/corpus/tekton: to HTTPS, to HTTP and back, and compared
	@PYTHONPATH=tests:.cache/collections $(BIN)/python tests/corpus/tekton.py ../shared/corpus/tekton

buildkit-corpus: collections  ## Every buildkitd.toml of ../shared/corpus/buildkit: added to, taken from, and compared
	@PYTHONPATH=tests:.cache/collections $(BIN)/python tests/corpus/buildkit.py ../shared/corpus/buildkit

fuzz: collections .cache/fuzz/.done  ## Fuzz the Corefile engine for FUZZ_SECONDS (60)
	@$(BIN)/python tests/fuzz/seeds.py .cache/fuzz/seeds
	@mkdir -p .cache/fuzz/found && PYTHONPATH=.cache/collections .cache/fuzz/bin/python tests/fuzz/corefile.py \
	  -max_total_time=$(FUZZ_SECONDS) -timeout=5 -dict=.cache/fuzz/seeds.dict -artifact_prefix=.cache/fuzz/ .cache/fuzz/found .cache/fuzz/seeds

.cache/fuzz/.done: requirements-fuzz.txt
	@$(PYTHON) -m venv .cache/fuzz && .cache/fuzz/bin/pip install --quiet --disable-pip-version-check -r requirements-fuzz.txt && touch $@

parts: $(VENV)/.done  ## Build the sandbox's programs
	@PYTHONPATH=tests $(BIN)/python -m sandbox.build

collections: $(VENV)/.done $(COLLECTIONS)/kubernetes/core/.done  ## The tree as Ansible wants it, below .cache
	@mkdir -p $(COLLECTIONS)/splithorizon && ln -sfn ../../../../ $(COLLECTIONS)/splithorizon/registry

$(VENV)/.done: requirements.txt requirements-dev.txt
	@echo "Python packages ..." && $(PYTHON) -m venv $(VENV) && $(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt && touch $@

# Galaxy's kubernetes.core, taken from the PyPI bundle so that no second index is needed.
$(COLLECTIONS)/kubernetes/core/.done: requirements-collections.txt $(VENV)/.done
	@$(BIN)/python tests/sandbox/kubernetes_core.py $(COLLECTIONS) && touch $@

clean:  ## Remove what `make` made in this checkout
	rm -rf .cache $(VENV)
