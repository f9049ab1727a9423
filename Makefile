# `make` or `make help` lists what there is.
.DEFAULT_GOAL := help
.PHONY: help setup tools test test-vllm lint demo bench up crds docs clean

PYTHON := .venv/bin/python

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.ready ## Make .venv with the locked packages (about 1 minute, once)

.venv/.ready: requirements.lock pyproject.toml .ci/setup
	@.ci/setup

tools: setup ## Build apiserver, etcd, kubectl, helm... into ~/.cache/spillway (10-20 minutes, once)
	@$(PYTHON) -m spillway_dev tools

test: tools ## Run every check and all tests on a real control plane (minutes); ARGS="-k name" goes to pytest
	@.ci/test $(ARGS)

test-vllm: tools ## Check what is read of engines against a real vLLM on CPU (installs 6 GB once, then 10 minutes)
	@$(PYTHON) -m spillway_dev.vllm
	@$(PYTHON) -m pytest tests/vllm $(ARGS)

lint: setup ## Lint, format check, types, architecture (seconds)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

demo: tools ## A day of demand in minutes, on a real control plane; ARGS="--keep" leaves it up
	@$(PYTHON) -m spillway_dev demo $(ARGS)

bench: setup ## Run every benchmark and write docs/benchmarks.md (hours, resumable); ARGS="--quick" for a quick look
	@$(PYTHON) -m spillway_dev bench $(ARGS)

up: tools ## Run a development control plane until Ctrl-C (ready in seconds)
	@$(PYTHON) -m spillway_dev up $(ARGS)

crds: setup ## Write crds/*.yaml from the models (seconds)
	@$(PYTHON) -m spillway.api.crd

docs: setup ## Write docs/reference.md from the models (seconds)
	@$(PYTHON) -m spillway.api.docs

clean: ## Remove .venv and caches of this checkout; built tools stay in ~/.cache/spillway
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist build
	find operator tests -name __pycache__ -type d -prune -exec rm -rf {} +
