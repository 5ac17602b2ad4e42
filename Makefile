# make demo                 the main job on a synthetic corpus
# make demo AUDIO=DIR       the same on RAVDESS
# make test                 lint, types, tests, and the pages of docs/
# make docs                 the pages of docs/ as a site, in docs/_build/html; warnings are errors
# make test-core            the tests that need no torch
# make test-newest          all tests with the newest releases that pyproject.toml allows, whatever constraints.txt says
# Each target builds the environment it needs: test-core in .venv-core, test-newest in .venv-newest, the others in .venv.

PYTHON ?= python3
AUDIO ?=
VENV := .venv
BIN := $(VENV)/bin
CORE := .venv-core
NEWEST := .venv-newest
PIP := -m pip --disable-pip-version-check install --quiet
INSTALL := $(PIP) --constraint constraints.txt --editable

.PHONY: demo docs test test-core test-newest lint clean

demo: $(VENV)/train.stamp
	$(BIN)/serstore demo --store demo/ser.store $(if $(AUDIO),--audio "$(AUDIO)")

docs: $(VENV)/dev.stamp
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs docs/_build/html

test: $(VENV)/dev.stamp lint docs
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --durations 30

test-core: $(CORE)/dev.stamp
	$(CORE)/bin/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --durations 30

# Always upgraded: what is newest today was not there when the environment was made.
test-newest: | $(NEWEST)/bin/python
	$(NEWEST)/bin/python $(PIP) --upgrade --upgrade-strategy eager --editable '.[train,dev]'
	$(NEWEST)/bin/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --durations 30

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/bin/python $(CORE)/bin/python $(NEWEST)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "serstore needs Python 3.11 or later; name one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(@:/bin/python=)

$(VENV)/train.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing serstore and torch into $(VENV); this takes a few minutes once"
	$(BIN)/python $(INSTALL) '.[train]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt $(VENV)/train.stamp
	$(BIN)/python $(INSTALL) '.[train,dev]'
	@touch $@

$(CORE)/dev.stamp: pyproject.toml constraints.txt | $(CORE)/bin/python
	$(CORE)/bin/python $(INSTALL) '.[dev-core]'
	@touch $@

clean:
	rm -rf $(VENV) $(CORE) $(NEWEST) demo docs/_build docs/api docs/commands
