# One virtual environment, installed once with the tested versions; from then on everything here works offline.

VENV   ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export OMP_NUM_THREADS ?= 1
# One process a core, each with whole files: tests of a file share what takes long to train. JOBS=0 runs them in one.
JOBS   ?= auto
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --maxprocesses 4 --dist loadfile

.PHONY: help demo test test-slow check reference install
.DEFAULT_GOAL := help

help:
	@echo "make demo       train small networks on addition and on handwritten digits, check them, write report.html (a minute or two)"
	@echo "make test       the fast tests"
	@echo "make test-slow  the tests that take longer"
	@echo "make check      lint, format, types"
	@echo "make reference  write docs/reference/columns.md anew"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("grokscope needs Python 3.11 or newer; set PYTHON=" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[slurm,ray]' || \
		echo "submitit or ray cannot be had here: the tests that need them will be skipped"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lightning,transformers]' || \
		echo "lightning or transformers cannot be had here: the tests of the callbacks will be skipped"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[tensorboard]' || \
		echo "tensorboard cannot be had here: its tests will be skipped"
	@touch $@

demo: $(STAMP)
	@$(BIN)/grokscope demo

test: $(STAMP)
	@$(PYTEST) -m "not slow"

test-slow: $(STAMP)
	@$(PYTEST) -m slow

check: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/basedpyright

reference: $(STAMP)
	@$(BIN)/python -m grokscope.vocabulary.reference docs/reference/columns.md
