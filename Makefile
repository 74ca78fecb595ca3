# Three commands on a fresh machine with Python and make:  make demo,  make test  and  make check;  make help lists all.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Two workers with a thread each: where each has as many as there are cores, they wait for one another.
PYTEST := OMP_NUM_THREADS=1 XAI_MIMO_REQUIRE_ALL=1 $(BIN)/python -m pytest
# Most of the suite's time on JAX is compiling; workers, notebooks and later runs share what one of them compiled.
COMPILED := JAX_COMPILATION_CACHE_DIR=$(CURDIR)/$(VENV)/compiled JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
# Tests that do not depend on the Keras backend run once, beside those of the first backend.
FIRST := not slow
OTHERS := not slow and not all_frameworks
# For make test-one.
BACKEND ?= jax
# For make fuzz.
FUZZ ?= 10000

.DEFAULT_GOAL := help
.PHONY: help demo test test-one test-jax test-tensorflow test-torch test-slow test-slow-jax test-slow-tensorflow \
	test-slow-torch fuzz check format hooks tutorials tutorials-quick benchmarks changes release-check clean

# A line "##@ words" begins a group, "target: ...  ## words" is a line in it.
help:  ## this list
	@awk 'BEGIN { FS = ":.*  ## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z%-]+:.*  ## / { name = $$1; sub(/%/, "N", name); printf "  make %-22s %s\n", name, $$2 }' $(MAKEFILE_LIST)

##@ Try it

demo: $(VENV)/demo.stamp  ## train a MAIL model, compare, write and name the report
	KERAS_BACKEND=jax $(BIN)/xai-mimo demo

##@ Change it

test-one: $(VENV)/dev.stamp  ## one file or test: make test-one T=tests/core/test_streams.py [BACKEND=torch] [K=part_of_a_name]
	@test -n "$(T)" || { echo "say which: make test-one T=tests/<room>/test_<file>.py, with BACKEND=torch and K=part_of_a_name if you like" >&2; exit 2; }
	$(COMPILED) KERAS_BACKEND=$(BACKEND) $(PYTEST) "$(T)" $(if $(K),-k "$(K)")

check: $(VENV)/dev.stamp  ## format, lint, arrows, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: $(VENV)/dev.stamp  ## put the code in the common format, mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

hooks: $(VENV)/dev.stamp  ## let git run the checks before each commit
	$(BIN)/pre-commit install

##@ Test it

test: test-jax test-tensorflow test-torch  ## the whole suite, once per backend

test-jax: $(VENV)/dev.stamp  ## the suite on JAX, and all that no backend matters to
	$(COMPILED) KERAS_BACKEND=jax $(PYTEST) -n 2 -m "$(FIRST)"

test-tensorflow: $(VENV)/dev.stamp  ## the suite on TensorFlow
	KERAS_BACKEND=tensorflow $(PYTEST) -n 2 -m "$(OTHERS)"

test-torch: $(VENV)/dev.stamp  ## the suite on PyTorch
	KERAS_BACKEND=torch $(PYTEST) -n 2 -m "$(OTHERS)"

# Networks are trained once per file, so a file stays with one worker.
test-slow: test-slow-jax test-slow-tensorflow test-slow-torch  ## experiments with known answers, once per backend

test-slow-jax: $(VENV)/dev.stamp  ## the experiments on JAX
	$(COMPILED) KERAS_BACKEND=jax $(PYTEST) -n 2 --dist loadfile -m slow

test-slow-tensorflow: $(VENV)/dev.stamp  ## the experiments on TensorFlow
	KERAS_BACKEND=tensorflow $(PYTEST) -n 2 --dist loadfile -m "slow and not all_frameworks"

test-slow-torch: $(VENV)/dev.stamp  ## the experiments on PyTorch
	KERAS_BACKEND=torch $(PYTEST) -n 2 --dist loadfile -m "slow and not all_frameworks"

fuzz: $(VENV)/dev.stamp  ## hand 10000 values of every kind to explain, compare and the methods: FUZZ=10000
	KERAS_BACKEND=torch XAI_MIMO_FUZZ=$(FUZZ) $(PYTEST) -n 2 tests/test_doors.py

##@ Run it again

tutorials: $(VENV)/dev.stamp  ## run the notebooks again and keep their outputs
	KERAS_BACKEND=jax $(BIN)/python tutorials/run.py

tutorial-%: $(VENV)/dev.stamp  ## one notebook by its number: make tutorial-2
	KERAS_BACKEND=jax $(BIN)/python tutorials/run.py $(wildcard tutorials/0$*_*.ipynb tutorials/$*_*.ipynb)

tutorials-quick: $(VENV)/dev.stamp  ## run the notebooks on little data, keeping nothing
	$(COMPILED) OMP_NUM_THREADS=1 KERAS_BACKEND=jax $(BIN)/python tutorials/run.py --quick

benchmarks: $(VENV)/dev.stamp  ## measure speed and memory beside Captum and SHAP
	KERAS_BACKEND=jax $(BIN)/python benchmarks/integrated_gradients.py
	KERAS_BACKEND=torch $(BIN)/python benchmarks/peers.py
	KERAS_BACKEND=jax $(BIN)/python benchmarks/peers.py

##@ Release it

changes: $(VENV)/dev.stamp  ## show what the changelog will say of the next version
	$(BIN)/towncrier build --draft

release-check:  ## build what would be published and try it in an environment of its own
	PYTHON=$(PYTHON) bash .ci/release-check

##@ Tidy up

clean:  ## remove the environments and everything built
	rm -rf $(VENV) .venv-release .venv-wheel .nox demo build dist
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "xai_mimo wants Python 3.11 or newer; $(PYTHON) is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[jax]'
	touch $@

# KerasHub runs without what it depends on for text: tensorflow-text, which installs a second TensorFlow over ours.
$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps keras-hub kagglehub kagglesdk
	touch $(VENV)/demo.stamp $@
