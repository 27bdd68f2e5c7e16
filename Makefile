# Every target sets up what it needs: a virtual environment in .venv, filled once per change of the two files it
# depends on. `make demo` installs what users install; everything else adds the tools for tests and checks.

PYTHON ?= python3
BIN := .venv/bin
# Names and versions for every install, builds in isolation included (which -c would not reach).
.venv/core .venv/dev: export PIP_CONSTRAINT := constraints.txt
.venv/core .venv/dev: export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: dev check fmt lint imports types test simulate proof bench demo

dev: .venv/dev

.venv/core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -qq --editable .
	touch $@

.venv/dev: .venv/core
	$(BIN)/pip install -qq --editable '.[all,test,lint]'
	touch $@

# Emulators of AWS for tests, each in an environment of its own: they want other versions of boto3 than we do.
.venv/aws: .venv/dev tests/aws/constraints-moto.txt tests/aws/constraints-ministack.txt
	$(BIN)/python -m tests.aws
	touch $@

check: lint imports types test

fmt: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

imports: .venv/dev
	$(BIN)/lint-imports

types: .venv/dev
	$(BIN)/mypy
	$(BIN)/pyright

# Three processes for two cores: many tests wait for servers. A run that finds no test fails (pytest exits with 5).
PROCESSES := $(shell echo $$(( ($$(nproc) * 3 + 1) / 2 )))
test: .venv/dev .venv/aws
	$(BIN)/python -m pytest --numprocesses=$(PROCESSES) --dist=worksteal $(ARGS)

# Simulated worlds for so many seconds; without SEED a fresh one, printed. `make simulate SECONDS=600 SEED=7`
SECONDS ?= 60
simulate: .venv/dev
	$(BIN)/python -m tests.simulation --seconds="$(SECONDS)" --seed="$(SEED)" $(ARGS)

# docs/proof.md, made of the marks on the tests and of the figures of the last campaign.
proof: .venv/dev
	$(BIN)/python -m tests.proof

bench: .venv/dev
	$(BIN)/python -m benchmarks $(ARGS)

# `make demo DOCS=<folder>` analyses that folder instead of this repository's own documents (make hands it on in
# the environment).
demo: .venv/core
	$(BIN)/python examples/demo.py
