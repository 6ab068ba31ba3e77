PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-all lint

demo: $(VENV)/installed
	mkdir -p demo
	scan=$$($(BIN)/python -c 'from nibabel.testing import data_path; print(data_path)')/example4d.nii.gz && \
	$(BIN)/medgen info $$scan --volume 0 && \
	$(BIN)/medgen interpolate $$scan --volume 0 -o demo/finer.nii.gz --model models/mr-two-stage --overwrite && \
	$(BIN)/medgen info demo/finer.nii.gz

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
