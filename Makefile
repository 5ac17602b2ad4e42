# make demo                 the main job on a synthetic corpus
# make demo AUDIO=DIR       the same on RAVDESS
# make test                 lint, types, tests
# Each target builds the environment it needs in .venv.

PYTHON ?= python3
AUDIO ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test lint clean

demo: $(VENV)/train.stamp
	$(BIN)/serstore demo --store demo/ser.store $(if $(AUDIO),--audio "$(AUDIO)")

test: $(VENV)/dev.stamp lint
	$(BIN)/python -m pytest -n 2 --dist loadscope

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "serstore needs Python 3.11 or later; name one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/train.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing serstore and torch into $(VENV); this takes a few minutes once"
	$(PIP) --editable '.[train]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt $(VENV)/train.stamp
	$(PIP) --editable '.[train,dev]'
	@touch $@

clean:
	rm -rf $(VENV) demo
