# SPDX-License-Identifier: Apache-2.0
# Assay: `make help` lists what there is. This file sets up .venv and hands over to `python -m sim`, to which make
# passes the variables given on its command line (SIM, TOPLEVEL, SEED, ...) as environment.

.DEFAULT_GOAL := run
SHELL := /bin/bash

# The interpreter that .venv is made from.
BASE_PYTHON ?= python3
# pytest's parallel workers, and more arguments for it, such as PYTEST_ARGS="-k NAME".
WORKERS ?= 2
PYTEST_ARGS ?=
# With a value, make test leaves out the tests that no change has touched since they passed.
CHANGED ?=
# Proofs that make prove makes; none: all.
PROOFS ?=
# Folders of runs that make coverage reports; none: it makes the runs.
RUNS ?=
# With a value, make synth writes the baselines in place of comparing with them.
UPDATE ?=
# Packages of pyproject.toml that `make test` wants beside the rest: the independent references.
EXTRAS ?= test

# Where byte code is not to be written beside the sources, it goes to the build cache: else each of the many processes of
# a regression compiles all modules again.
ifneq ($(PYTHONDONTWRITEBYTECODE),)
  export PYTHONPYCACHEPREFIX := $(or $(PYTHONPYCACHEPREFIX),$(CURDIR)/sim/build/pycache)
  export PYTHONDONTWRITEBYTECODE :=
endif

# What was set on make's command line: assay refuses a name it does not know, so that no misspelt one is ignored.
export ASSAY_OVERRIDES := $(MAKEOVERRIDES)

# An empty value of a variable that decides on .venv is refused here, that of any other by python -m sim.
$(foreach name,PYTHON BASE_PYTHON,$(if $(findstring command line,$(origin $(name))),$(if $(strip $($(name))),,\
  $(error assay: $(name)= is empty; give it a value, or leave it away for its default))))

# What .venv must hold; its stamps carry this key, so that a change of either file installs again.
KEY := $(firstword $(shell cat pyproject.toml constraints.txt | cksum))

ifdef PYTHON
  # An interpreter that has everything already: nothing is installed.
  PY := $(PYTHON)
  ENVIRONMENT := check-python
  LINT_ENVIRONMENT := check-python
  FIRMWARE_ENVIRONMENT := check-python
  TEST_ENVIRONMENT := check-python
  TRAIN_ENVIRONMENT := check-python
  FORMAL_ENVIRONMENT := check-python
  MUTATION_ENVIRONMENT := check-python
  REGRESSION_ENVIRONMENT := check-python
  COVERAGE_ENVIRONMENT := check-python
  SIMULATE = @$(PY) -m sim $(1)
else
  PY := .venv/bin/python
  ENVIRONMENT := .venv/.installed-$(KEY)
  LINT_ENVIRONMENT := .venv/.installed-lint-$(KEY)
  FIRMWARE_ENVIRONMENT := .venv/.installed-firmware-$(KEY)
  TEST_ENVIRONMENT := .venv/.installed-regression-$(KEY) $(if $(EXTRAS),.venv/.installed-$(EXTRAS)-$(KEY))
  TRAIN_ENVIRONMENT := .venv/.installed-train-$(KEY)
  FORMAL_ENVIRONMENT := .venv/.installed-formal-$(KEY)
  MUTATION_ENVIRONMENT := .venv/.installed-mutation-$(KEY)
  REGRESSION_ENVIRONMENT := .venv/.installed-regression-$(KEY)
  COVERAGE_ENVIRONMENT := .venv/.installed-coverage-$(KEY)
  # A run that needs packages beside Assay's own ends with status 3: they are installed, and the run is made again.
  SIMULATE = @$(PY) -m sim $(1) || { status=$$?; [ $$status -eq 3 ] || exit $$status; extra=$$($(PY) -m sim extra) \
    && $(MAKE) --no-print-directory ".venv/.installed-$$extra-$(KEY)" && $(PY) -m sim $(1); }
endif

.PHONY: check-python
check-python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "assay: PYTHON=$(PYTHON) is not installed; name an interpreter that has all packages, or leave PYTHON away" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "assay: PYTHON=$(PYTHON) is no Python 3.11 or newer; name another, or leave PYTHON away" >&2; exit 2; }

##@ Simulation
.PHONY: run
run: $(ENVIRONMENT) ## Simulate TOPLEVEL and compare it with its golden model (the default goal)
	$(call SIMULATE,run)

.PHONY: run-elf
run-elf: $(ENVIRONMENT) ## Run the program ELF in lock-step, until it writes tohost
	$(call SIMULATE,run-elf)

.PHONY: soak
soak: $(ENVIRONMENT) ## Random programs in lock-step until N instructions are compared
	$(call SIMULATE,soak)

.PHONY: waves
waves: $(ENVIRONMENT) ## Open, or name, the waveform of TOPLEVEL's last failure, else of its last run with waves
	@$(PY) -m sim waves

.PHONY: explain
explain: $(ENVIRONMENT) ## Explain TOPLEVEL's last failure: the first stage that differs, its line, a page
	@$(PY) -m sim explain

.PHONY: shrink
shrink: $(ENVIRONMENT) ## Make the last failed run of TOPLEVEL small: fewer jobs, smaller shapes, simpler values
	@$(PY) -m sim shrink

.PHONY: keep
keep: $(ENVIRONMENT) ## Keep the last shrunk case of TOPLEVEL as a test, under NAME
	@$(PY) -m sim keep

.PHONY: bench
bench: $(ENVIRONMENT) ## Measure the simulation speed of TOPLEVEL
	$(call SIMULATE,bench)

.PHONY: bench-cycle
bench-cycle: $(ENVIRONMENT) ## Measure the time from an edit of one line of TOPLEVEL's HDL to the verdict
	$(call SIMULATE,bench-cycle)

.PHONY: coverage
coverage: $(COVERAGE_ENVIRONMENT) ## Run the full bench of TOPLEVEL, or of all blocks, and report what it covers
	$(call SIMULATE,coverage $(RUNS))

.PHONY: list
list: $(ENVIRONMENT) ## List every TOPLEVEL with its parameters and its tests
	@$(PY) -m sim list

##@ Project
.PHONY: test
test: $(ENVIRONMENT) $(TEST_ENVIRONMENT) ## Run the whole pytest regression; JUnit report in sim/reports/junit.xml
	@$(PY) -m sim check
	@OPENBLAS_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS) --dist=worksteal -p assay.sim.changed $(if $(CHANGED),--changed) \
	  --junit-xml=sim/reports/junit.xml $(PYTEST_ARGS)

.PHONY: prove
prove: $(FORMAL_ENVIRONMENT) ## Prove properties of the RTL for all inputs, and find the bugs planted for each
	@$(PY) -m sim prove $(PROOFS)

.PHONY: mutate
mutate: $(MUTATION_ENVIRONMENT) ## Make faults in the RTL of TOPLEVEL, or of all blocks, and report which the tests find
	@$(PY) -m sim mutate

.PHONY: regress
regress: $(REGRESSION_ENVIRONMENT) ## Run many seeds of many tests, here or on a cluster; one page of what failed
	@$(PY) -m sim regress

.PHONY: differential
differential: $(ENVIRONMENT) ## Run TOPLEVEL, or all blocks, in four builds that must agree in every word and clock
	@$(PY) -m sim differential

.PHONY: fuzz
fuzz: $(ENVIRONMENT) $(TEST_ENVIRONMENT) ## Change files of every form that users give; each must be read or refused
	@$(PY) -m sim fuzz

.PHONY: nightly
nightly: $(ENVIRONMENT) $(TEST_ENVIRONMENT) ## Run every campaign in turn, within MINUTES (default: 8 hours)
	@$(PY) -m sim nightly

.PHONY: synth
synth: $(FORMAL_ENVIRONMENT) ## Synthesise TOPLEVEL, or all blocks, to gates and compare area and paths with the baseline
	@$(PY) -m sim synth $(if $(UPDATE),--update)

.PHONY: mutate-golden
mutate-golden: $(MUTATION_ENVIRONMENT) ## Make faults in the golden model and report which its tests find
	@$(PY) -m sim mutate-golden

.PHONY: lint
lint: $(LINT_ENVIRONMENT) ## Lint the RTL (verilator -Wall, verible) and the Python (ruff, mypy)
	@$(PY) -m sim lint

.PHONY: train
train: $(TRAIN_ENVIRONMENT) ## Train the networks under vectors/ again (installs PyTorch)
	@$(PY) -m sim check
	@$(PY) -m vectors.digits.train

.PHONY: clean
clean: ## Remove builds, runs and reports; .venv stays
	@rm -rf sim/build sim/runs sim/reports

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile
	@$(or $(PYTHON),$(BASE_PYTHON)) -m sim.variables

# .venv: $(OWN) is written first and says that it was made here: any other .venv is its user's, and stays as it is.
# A stamp is written last: an installation that was interrupted has none and starts afresh.
OWN := .venv/.made-by-assay

.venv/.installed-$(KEY): pyproject.toml constraints.txt
	@if [ -e .venv ] || [ -L .venv ]; then \
	  [ -e $(OWN) ] || compgen -G '.venv/.installed-*' >/dev/null || { \
	  echo "assay: .venv exists and was not made by this Makefile, so it stays as it is; move it away," \
	    "or use it, if it has all packages: make PYTHON=.venv/bin/python" >&2; exit 2; }; fi
	@command -v $(BASE_PYTHON) >/dev/null || { \
	  echo "assay: $(BASE_PYTHON) is not installed; install Python 3.11 or newer, or name one: make BASE_PYTHON=..." >&2; exit 2; }
	@$(BASE_PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit( \
	  "assay: $(BASE_PYTHON) is Python %d.%d; allowed is 3.11 or newer, named by make BASE_PYTHON=..." % sys.version_info[:2])'
	@$(BASE_PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "assay: $(BASE_PYTHON) has no venv module; install it with: apt-get install python3-venv" >&2; exit 2; }
	@if ! compgen -G '.venv/.installed-*' >/dev/null; then \
	  rm -rf .venv && mkdir .venv && touch $(OWN) && $(BASE_PYTHON) -m venv .venv; fi
	@touch $(OWN)
	@rm -f .venv/.installed-*
	@echo "assay: installing the Python packages into .venv (once)"
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@
	@echo "assay: installed; for assay and python -m golden, too: . .venv/bin/activate"

.venv/.installed-%-$(KEY): .venv/.installed-$(KEY)
	@echo "assay: installing the packages for make $*"
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	@touch $@
