# Two commands on a fresh machine with Python and make:  make demo   and   make test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTEST := XAI_MIMO_REQUIRE_ALL=1 $(BIN)/python -m pytest
# Most of the suite's time on JAX is compiling; workers, notebooks and later runs share what one of them compiled.
COMPILED := JAX_COMPILATION_CACHE_DIR=$(CURDIR)/$(VENV)/compiled JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
# Tests that do not depend on the Keras backend run once, beside those of the first backend.
FIRST := not slow
OTHERS := not slow and not all_frameworks

.PHONY: demo test test-jax test-tensorflow test-torch test-slow test-slow-jax test-slow-tensorflow test-slow-torch check format tutorials tutorials-quick benchmarks clean

demo: $(VENV)/demo.stamp  ## train a MAIL model, compare, write and name the report
	KERAS_BACKEND=jax $(BIN)/xai-mimo demo

test: test-jax test-tensorflow test-torch  ## the whole suite, once per backend

test-jax: $(VENV)/dev.stamp
	$(COMPILED) KERAS_BACKEND=jax $(PYTEST) -n 2 -m "$(FIRST)"

test-tensorflow: $(VENV)/dev.stamp
	KERAS_BACKEND=tensorflow $(PYTEST) -n 2 -m "$(OTHERS)"

test-torch: $(VENV)/dev.stamp
	KERAS_BACKEND=torch $(PYTEST) -n 2 -m "$(OTHERS)"

# Networks are trained once per file, so a file stays with one worker.
test-slow: test-slow-jax test-slow-tensorflow test-slow-torch  ## experiments with known answers, once per backend

test-slow-jax: $(VENV)/dev.stamp
	$(COMPILED) KERAS_BACKEND=jax $(PYTEST) -n 2 --dist loadfile -m slow

test-slow-tensorflow: $(VENV)/dev.stamp
	KERAS_BACKEND=tensorflow $(PYTEST) -n 2 --dist loadfile -m "slow and not all_frameworks"

test-slow-torch: $(VENV)/dev.stamp
	KERAS_BACKEND=torch $(PYTEST) -n 2 --dist loadfile -m "slow and not all_frameworks"

check: $(VENV)/dev.stamp  ## format, lint, arrows, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

tutorials: $(VENV)/dev.stamp  ## run the notebooks again and keep their outputs
	KERAS_BACKEND=jax $(BIN)/python tutorials/run.py

tutorial-%: $(VENV)/dev.stamp  ## one notebook by its number: make tutorial-2
	KERAS_BACKEND=jax $(BIN)/python tutorials/run.py $(wildcard tutorials/0$*_*.ipynb)

tutorials-quick: $(VENV)/dev.stamp  ## run the notebooks on little data, keeping nothing
	$(COMPILED) KERAS_BACKEND=jax $(BIN)/python tutorials/run.py --quick

benchmarks: $(VENV)/dev.stamp
	KERAS_BACKEND=jax $(BIN)/python benchmarks/integrated_gradients.py
	KERAS_BACKEND=torch $(BIN)/python benchmarks/peers.py
	KERAS_BACKEND=jax $(BIN)/python benchmarks/peers.py

$(VENV)/demo.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[jax]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[dev]'
	touch $(VENV)/demo.stamp $@

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
