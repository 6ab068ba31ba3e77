PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo models test test-all lint

# Where the scans lie that the released models were trained on; models/*/README.md says what they are.
DATA ?= data
CT = $(DATA)/ct_chest_cmbcrc_01068_lungkernel.nii.gz $(DATA)/ct_abdomen_acrinflt_001_4p25mm.nii.gz \
	$(DATA)/ct_body_totalseg_example_3mm.nii.gz $(DATA)/dicom/ct_siemens_2mm_overlap_j2k \
	--validation $(DATA)/ct_chest_riderpilot_0117.nii.gz
MR = $(DATA)/mr_t1_child_skyra_saganon.nii.gz $(DATA)/mr_t2_niivue_register_2mm.nii.gz \
	$(DATA)/mr_t2flair_torchio_fernando_5p5mm.nii.gz $(DATA)/mr_t1ce_pyradiomics_brain1_6p5mm.nrrd \
	--validation $(DATA)/mr_t1ce_brain_figshare7472168.nii.gz

demo: $(VENV)/installed
	mkdir -p demo
	scan=$$($(BIN)/python -c 'from nibabel.testing import data_path; print(data_path)')/example4d.nii.gz && \
	$(BIN)/medgen info $$scan --volume 0 && \
	$(BIN)/medgen interpolate $$scan --volume 0 -o demo/finer.nii.gz --model models/mr-two-stage --overwrite && \
	$(BIN)/medgen info demo/finer.nii.gz

# The pixel-level models, in some hours on two cores: the prediction first, then the causal trunk.
models: $(VENV)/installed
	mkdir -p trained
	$(BIN)/medgen train-pixelminer $(CT) -o trained/ct-prediction --recipe no-autoregression --steps 4200
	$(BIN)/medgen train-pixelminer $(CT) -o trained/ct-pixelminer --start trained/ct-prediction \
		--steps 2000 --learning-rate 7e-4
	echo '{"autoregressive": false, "steps": 2000, "validate_every": 500, "conditioner_filters": 32}' > trained/mr-prediction.json
	echo '{"filters": 24, "conditioner_filters": 32, "steps": 2400, "validate_every": 300}' > trained/mr.json
	$(BIN)/medgen train-pixelminer $(MR) -o trained/mr-prediction --recipe trained/mr-prediction.json
	$(BIN)/medgen train-pixelminer $(MR) -o trained/mr-pixelminer --start trained/mr-prediction \
		--recipe trained/mr.json --learning-rate 7e-4

test: $(VENV)/installed
	$(BIN)/pytest -n auto --dist loadfile

test-all: $(VENV)/installed
	$(BIN)/pytest -n auto --dist loadfile -m "slow or not slow"

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@
