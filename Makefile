# Strongroom. Needs python3 (3.11 or newer) and make; everything else comes into .venv, pinned by hash.
#
# `make serve` and `make setup` share .venv: serve installs what the server needs, setup adds what developers need.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

DATA  ?= ./strongroom-data
VENV  := .venv
BIN   := $(VENV)/bin
CLIENTS := .venv-clients
OTHERS := .venv-bench
PIP   := $(BIN)/python -m pip --disable-pip-version-check --quiet
TESTS ?=
BENCH ?=
BUDGET ?=
ENDPOINTS ?=
RESULT ?=
REQUIRE ?=
TERRAFORM ?= terraform
FUZZ  ?=
TORTURE ?=
POWERCUT ?=
HOSTILE ?=
GROWTH ?=

# Pyright comes from the package index with its Node; it must neither look for updates nor use another Node.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export PYRIGHT_PYTHON_GLOBAL_NODE := 0

.PHONY: help setup serve test clients terraform lint format demo bench performance budget fuzz torture powercut hostile growth docs lock clean

help:
	@echo "make serve   start a server on $(DATA) (first start prints the root credentials)"
	@echo "make test    run all tests                 TESTS=tests/kms for some"
	@echo "make clients other people's clients against a server   REQUIRE=\"rclone restic\": these may not be missing"
	@echo "make terraform  Terraform itself against a server, from apply to destroy   TERRAFORM=tofu for OpenTofu"
	@echo "make lint    ruff, mypy, pyright, import-linter"
	@echo "make setup   create .venv with everything a developer needs"
	@echo "make format  let ruff lay out the code"
	@echo "make demo    start a throw-away server and walk through it"
	@echo "make bench   measure a throw-away server   BENCH=--quick for a look, ENDPOINTS=moto or name=URL,KEY,SECRET for others beside it"
	@echo "make performance  docs/performance.md and its drawings, from the newest run of make bench BENCH=--whole"
	@echo "make budget  what each step of a small request costs, held to its line in bench/budget.toml"
	@echo "make fuzz    malformed bytes for every reader  FUZZ=\"--seconds 300\" for longer"
	@echo "make torture kill a server under load, 100 times  TORTURE=\"--rounds 5\" for a short one"
	@echo "make powercut  what is left when the power goes, from a recording of the disk (needs strace)"
	@echo "make hostile  what others keep of the server while somebody attacks it"
	@echo "make growth  what requests and a start cost with a million objects, beside 10,000   GROWTH=\"--objects 5000000\""
	@echo "make docs    write the generated pages of docs/ anew"
	@echo "make lock    pin the newest dependencies in requirements/"
	@echo "make clean   remove .venv and caches (never data)"

# ------------------------------------------------------------------------------------------------------------ setting up
# One line and no traceback when the machine lacks something.
$(BIN)/python:
	@found=; for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "Strongroom needs Python 3.11 or newer; python3 is: $$(python3 --version 2>&1)" >&2; exit 1; fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "Python's venv module is missing: run  apt-get install $$($$found -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')" >&2; exit 1; fi; \
	$$found -m venv --clear $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "installing what the server needs into $(VENV)"
	@$(PIP) install --require-hashes --only-binary :all: -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	@echo "installing what developers need into $(VENV)"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.fuzz: requirements/fuzz.txt $(VENV)/.dev
	@echo "installing the fuzzer into $(VENV)"
	@$(PIP) install --require-hashes --only-binary :all: -r requirements/fuzz.txt
	@touch $@

# Other people's clients live apart from the server: some of them want another version of what it stands on.
$(CLIENTS)/bin/python: | $(BIN)/python
	@$(BIN)/python -m venv --clear $(CLIENTS)

# MinIO's client, where there is a Go toolchain; Go holds the version to its checksum database.
$(CLIENTS)/bin/mc: | $(CLIENTS)/bin/python
	@GOBIN=$(abspath $(CLIENTS)/bin) go install github.com/minio/mc@v0.0.0-20250313080218-cf909e1063a9

$(CLIENTS)/.all: requirements/clients.txt | $(CLIENTS)/bin/python
	@echo "installing clients into $(CLIENTS)"
	@$(CLIENTS)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --only-binary :all: -r requirements/clients.txt
	@touch $@

# What is measured beside the server, and what draws, lives apart from it too.
$(OTHERS)/.all: requirements/bench.txt | $(BIN)/python
	@echo "installing what is measured beside the server into $(OTHERS)"
	@$(BIN)/python -m venv --clear $(OTHERS)
	@$(OTHERS)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --only-binary :all: -r requirements/bench.txt
	@touch $@

setup: $(VENV)/.dev

# --------------------------------------------------------------------------------------------------------------- working
serve: $(VENV)/.run
	@exec $(BIN)/strongroom serve $(DATA)

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 $(TESTS)

clients: $(VENV)/.run $(CLIENTS)/.all
	@$(CLIENTS)/bin/python -m pytest -n 2 --timeout 120 $(addprefix --require ,$(REQUIRE)) $(or $(TESTS),tests_clients)

# Where the provider cannot be fetched, a folder that has it: TF_CLI_ARGS_init=-plugin-dir=DIR
terraform: $(VENV)/.run $(CLIENTS)/.all
	@$(CLIENTS)/bin/python -m pytest --require $(TERRAFORM) tests_clients/test_terraform.py

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

demo: $(VENV)/.dev
	@$(BIN)/python demo/main_job.py

# What others are measured beside it: name=URL,KEY,SECRET[,REGION] and "moto", with semicolons between. It goes by the environment, since it
# holds secrets.
bench: export STRONGROOM_BENCH_ENDPOINTS = $(ENDPOINTS)
bench: $(VENV)/.dev $(if $(filter moto,$(subst ;, ,$(ENDPOINTS))),$(OTHERS)/.all)
	@$(BIN)/python bench/run.py $(BENCH)

# From the newest whole result of make bench, or RESULT=bench/results/….json
performance: $(OTHERS)/.all
	@$(OTHERS)/bin/python bench/performance.py $(RESULT)

budget: $(VENV)/.dev
	@$(BIN)/python bench/budget.py $(BUDGET)

fuzz: $(VENV)/.fuzz
	@$(BIN)/python fuzz/run.py $(FUZZ)

torture: $(VENV)/.dev
	@$(BIN)/python -m torture.run $(TORTURE)

powercut: $(VENV)/.dev
	@$(BIN)/python -m torture.power $(POWERCUT)

hostile: $(VENV)/.dev
	@$(BIN)/python -m torture.hostile $(HOSTILE)

growth: $(VENV)/.dev
	@$(BIN)/python bench/growth.py $(GROWTH)

docs: $(VENV)/.dev
	@$(BIN)/python -m strongroom.store.compiling > $(VENV)/texts.py && cp $(VENV)/texts.py src/strongroom/store/sqlite_texts.py
	@$(BIN)/python -m strongroom.api.coverage strongroom.s3 strongroom.kms strongroom.iam > docs/operations.md
	@$(BIN)/python -m tests.s3.tamper_matrix > docs/tamper-matrix.md
	@$(BIN)/python -m tests.facts > docs/facts.md
	@$(BIN)/python bench/performance.py --kept
	@$(BIN)/python -m tests.server.metrics_page > docs/metrics.md

# ------------------------------------------------------------------------------------------------------------------ pins
LOCK = $(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes \
       --no-emit-index-url --no-header --quiet

lock: $(VENV)/.dev
	$(LOCK) pyproject.toml --group build -o requirements/run.txt
	$(LOCK) pyproject.toml --extra otel -c requirements/run.txt -o requirements/otel.txt
	$(LOCK) pyproject.toml --group build --group dev --extra otel -c requirements/otel.txt -o requirements/dev.txt
	$(LOCK) --group fuzz -o requirements/fuzz.txt
	$(LOCK) --group clients -o requirements/clients.txt
	$(LOCK) --group bench -o requirements/bench.txt

clean:
	rm -rf $(VENV) $(CLIENTS) $(OTHERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
