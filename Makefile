# Each target sets itself up when needed; once that is done, none of them uses the network.
#   make demo     the whole pipeline on the embedded model
#   make test     all tests
# For torch built for your GPU (or for the CPU alone, a much smaller download) on the first run:
#   make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu   (or .../rocm7.2)

PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
STAMP := .venv/.set-up
PEERS := .venv/benchmark
LLAMA := .venv/interop-llama
SERVER := .venv/interop-server
OPTIONS ?=

.PHONY: help setup demo test coverage check fix docs fuzz audit benchmark interop interop-server interop-llama gpu-check wheel
.DEFAULT_GOAL := help

# Where this is set every process compiles Theobot anew, and the tests start some hundred of them.
unexport PYTHONDONTWRITEBYTECODE

help:
	@echo "make setup   everything for development, in .venv"
	@echo "make demo    check data, train, ask and benchmark with the embedded model (runs/demo)"
	@echo "make test    all tests"
	@echo "make coverage   the same with branch coverage, which takes about twice as long"
	@echo "make check   lint, format, types, import directions"
	@echo "make fix     let the linter mend what it can, and format"
	@echo "make docs    write cli.md, data.md and troubleshooting.md in docs/ from the program itself"
	@echo "make fuzz    100,000 damaged files for every parser of a stranger's file (hours)"
	@echo "make audit   known vulnerabilities of the pinned packages, by pip-audit (needs the network)"
	@echo "make benchmark   training beside TRL, plain Trainer and the original script (10 minutes)"
	@echo "make gpu-check   on a CUDA or ROCm GPU: the 7B shape at work, and the tests that need one"
	@echo "make interop   the benchmark over transformers serve, the exports against llama.cpp (compiled first: an hour)"
	@echo "make wheel   dist/theobot-*.whl"

setup: $(STAMP)

# The stamp holds the index that torch came from. pip sees no reason to put another build of the
# same version in its place, so the old one has to go first.
LAST_INDEX := $(shell test ! -x $(BIN)/python || cat $(STAMP) 2>/dev/null || echo unknown)
ifneq ($(TORCH_INDEX)$(filter setup,$(MAKECMDGOALS)),)
ifneq ($(TORCH_INDEX),$(LAST_INDEX))
OTHER_TORCH := yes
.PHONY: $(STAMP)
endif
endif

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade "pip>=26.2"
	$(if $(OTHER_TORCH),$(BIN)/python -m pip uninstall --yes torch)
	$(BIN)/python -m pip install --constraint constraints.txt \
	    $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable ".[dev]"
	$(if $(OTHER_TORCH),echo "$(TORCH_INDEX)" > $@,touch $@)

demo: $(STAMP)
	$(BIN)/theobot demo
	@echo "To type theobot commands yourself: source .venv/bin/activate"

test: $(STAMP)
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

coverage: $(STAMP)
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder --cov --cov-report=term

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)
	$(BIN)/python tools/build_docs.py

# make fuzz OPTIONS="http marks --inputs 1000 --seed 7 --output build/fuzz"
fuzz: $(STAMP)
	OMP_NUM_THREADS=1 PYTHONPATH=tools $(BIN)/python -m fuzzing $(OPTIONS)

audit: .venv/audit/bin/pip-audit
	.venv/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict $(OPTIONS)

# In an environment of its own: it brings two dozen packages.
.venv/audit/bin/pip-audit:
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install "pip-audit>=2.9"

# OPTIONS is passed on: make benchmark OPTIONS="--layers 2 --page docs/performance.md"
benchmark: $(PEERS)/.set-up
	PYTHONPATH=$(PEERS) $(BIN)/python benchmarks/train.py --output benchmarks/results $(OPTIONS)

# Beside the environment, not in it: only the benchmark sees these packages.
$(PEERS)/.set-up: $(STAMP) benchmarks/requirements.txt
	$(BIN)/python -m pip install --no-deps --upgrade --target $(PEERS) \
	    --requirement benchmarks/requirements.txt
	touch $@

# With other programs, each in an environment of its own.
interop: interop-server interop-llama

interop-server: $(SERVER)/.set-up
	$(BIN)/python tests/interop/server.py --packages $(SERVER) $(OPTIONS)

# Beside the environment, as above.
$(SERVER)/.set-up: $(STAMP) tests/interop/server-requirements.txt
	$(BIN)/python -m pip install --no-deps --upgrade --target $(SERVER) \
	    --requirement tests/interop/server-requirements.txt
	touch $@

interop-llama: $(STAMP) $(LLAMA)/.set-up
	rm -rf build/interop
	$(BIN)/python tests/interop/prepare.py --output build/interop
	$(LLAMA)/bin/python tests/interop/check.py build/interop

$(LLAMA)/.set-up: tests/interop/llama-requirements.txt
	test -x $(LLAMA)/bin/python || $(PYTHON) -m venv $(LLAMA)
	CMAKE_ARGS="-DLLAVA_BUILD=OFF" $(LLAMA)/bin/python -m pip install \
	    --requirement tests/interop/llama-requirements.txt
	touch $@

# Offline, or without make: python benchmarks/gpu_check.py --output FOLDER
gpu-check: $(PEERS)/.set-up
	PYTHONPATH=$(PEERS) $(BIN)/python benchmarks/gpu_check.py --output benchmarks/results/gpu \
	    $(OPTIONS)

wheel: $(STAMP)
	$(BIN)/python -m build --wheel --no-isolation
