PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-all lint

demo: $(VENV)/installed
	$(BIN)/python notebooks/demo.py

test: $(VENV)/installed
	$(BIN)/pytest

test-all: $(VENV)/installed
	$(BIN)/pytest -m "slow or not slow"

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@
