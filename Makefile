# Everything one types while working on mmgraph. `make` lists the targets.
#
#   PYTHON=python3.12        the Python that makes .venv (3.11 to 3.13)
#   TORCH_INDEX_URL=URL      where to take torch from. By default the ordinary index, whose Linux wheels
#                            for x86-64 bring CUDA along (several GB); on a machine without a GPU
#                            https://download.pytorch.org/whl/cpu has the small ones.
#   JOBS=2                   test processes
#   PYTEST_ARGS='-k knn'     passed on to pytest

PYTHON ?= python3
TORCH_VERSION := 2.13.0
TORCH_INDEX_URL ?=
JOBS ?= 2
PYTEST_ARGS ?=
BENCH_ARGS ?=

BIN := .venv/bin
STAMP := .venv/.installed
# One thread per test process: two processes with two threads each would fight over two cores.
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest
CHECK_PYTHON := import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else \
	"mmgraph needs Python 3.11 to 3.13 (%s is %d.%d); name another one: make PYTHON=python3.12" \
	% (sys.executable, *v))

.DEFAULT_GOAL := help
.PHONY: help .venv demo test lint docs sparse test-sparse bench wheel clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[.a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

.venv: $(STAMP) ## make .venv with everything in it

# Two pip calls, torch first and alone: what is built against torch later must find it installed.
$(STAMP): pyproject.toml
	@$(PYTHON) -c '$(CHECK_PYTHON)'
	@if $(BIN)/python -c '$(CHECK_PYTHON)' >/dev/null 2>&1; then echo "Updating .venv"; else \
		echo "Making .venv"; $(PYTHON) -m venv --clear .venv; fi
	@echo "Installing torch $(TORCH_VERSION) (the longest download)"
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) torch==$(TORCH_VERSION)
	@echo "Installing mmgraph and its tools"
	$(BIN)/python -m pip install --quiet --editable '.[dev,docs,report]'
	@touch $@

demo: $(STAMP) ## install, then run the whole toolkit once on real data (1 minute after the installation)
	$(BIN)/mmgraph demo

test: lint ## lint, types, layers and the whole test suite
	$(PYTEST) -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

lint: $(STAMP) ## style, types and layers, without the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP) ## the documentation, in docs/_build/html; a warning is an error
	$(BIN)/sphinx-build -W --keep-going --quiet -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

sparse: $(STAMP) ## build and install torch-scatter and torch-sparse (optional, 9 to 17 minutes)
	$(BIN)/python -m mmgraph.sparse.extensions

# Strict: without the two packages these tests would skip, or test nothing that `make test` does not.
test-sparse: $(STAMP) ## kernels and models with torch-scatter and torch-sparse, which it builds and installs
	$(BIN)/python -m mmgraph.sparse.extensions --strict
	$(PYTEST) -n $(JOBS) --dist loadfile tests/sparse tests/nn tests/testing tests/training/test_neighbors.py \
		tests/graph/test_build.py $(PYTEST_ARGS)
	MMGRAPH_SPARSE_BACKEND=torch_sparse $(PYTEST) -n $(JOBS) --dist loadfile tests/sparse tests/models $(PYTEST_ARGS)

bench: $(STAMP) ## the three benchmarks, 5 minutes (BENCH_ARGS='training --profile regular' for one)
	@for program in $(if $(BENCH_ARGS),"$(BENCH_ARGS)",graph training evaluation); do \
		echo "python -m benchmarks $$program"; $(BIN)/python -m benchmarks $$program || exit $$?; done

wheel: $(STAMP) ## dist/mmgraph-VERSION-py3-none-any.whl
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist .

clean: ## remove what was built; .venv and runs/ stay
	rm -rf build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find mmgraph tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
