PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

# Tests that tell within two minutes whether a Python will do.
FAST = $(filter-out tests/test_jax.py tests/test_machine_reader.py, $(wildcard tests/test_*.py)) tests/volumes tests/intensities tests/examples tests/likelihoods tests/layers \
	tests/sampling/test_samplers.py tests/cli/test_help.py tests/cli/test_info.py tests/cli/test_quiet.py

.PHONY: demo models test test-fast test-all test-lowest docs linkcheck gallery lint sbom

# Where the scans lie that the released models were trained on; models/*/README.md says what they are.
DATA ?= data
CT = $(DATA)/ct_chest_cmbcrc_01068_lungkernel.nii.gz $(DATA)/ct_abdomen_acrinflt_001_4p25mm.nii.gz \
	$(DATA)/ct_body_totalseg_example_3mm.nii.gz $(DATA)/dicom/ct_siemens_2mm_overlap_j2k \
	--validation $(DATA)/ct_chest_riderpilot_0117.nii.gz
MORE_CT = $(patsubst %,$(DATA)/ct_%.nii.gz,chest_lidc_0001 chest_lidc_0002 chest_lidc_0003 chest_lidc_0028 \
	chest_lidc_0293 chest_lidc_0295 abdomen_lidc_0002 abdomen_lidc_0028)
MR = $(DATA)/mr_t1_child_skyra_saganon.nii.gz $(DATA)/mr_t2_niivue_register_2mm.nii.gz \
	$(DATA)/mr_t2flair_torchio_fernando_5p5mm.nii.gz $(DATA)/mr_t1ce_pyradiomics_brain1_6p5mm.nrrd \
	--validation $(DATA)/mr_t1ce_brain_figshare7472168.nii.gz
MORE_MR = $(patsubst %,$(DATA)/mr_%.nii.gz,t1_voxelmorph_testscan t2_cspine_sct_small t1_cspine_sct_small)

demo: $(VENV)/installed
	mkdir -p demo
	scan=$$($(BIN)/python -c 'from nibabel.testing import data_path; print(data_path)')/example4d.nii.gz && \
	$(BIN)/medgen info $$scan --volume 0 && \
	$(BIN)/medgen interpolate $$scan --volume 0 -o demo/finer.nii.gz --overwrite && \
	$(BIN)/medgen info demo/finer.nii.gz

# The pixel-level models, in some hours on two cores: the prediction; the causal trunk with much noise
# on what it sees, which teaches it to heed the acquired slices; for CT then with little, for the texture;
# and all of it on more scans, by Adam as all before, then by Muon, which recipes as they are now take.
ADAM = "optimizer": "adam"
MR_NET = $(ADAM), "conditioner_filters": 32
MR_TRUNK = $(MR_NET), "filters": 24
models: $(VENV)/installed
	mkdir -p trained
	echo '{$(ADAM), "from": "no-autoregression"}' > trained/ct-prediction.json
	echo '{$(ADAM), "steps": 2000, "learning_rate": 7e-4}' > trained/ct-noisy.json
	echo '{$(ADAM), "steps": 1200, "learning_rate": 7e-4, "input_noise": 0.1}' > trained/ct.json
	echo '{$(ADAM), "learning_rate": 5e-4, "input_noise": 0.15, "noise": 0.03, "validate_every": 800}' > trained/ct-all.json
	$(BIN)/medgen train-pixelminer $(CT) -o trained/ct-prediction --recipe trained/ct-prediction.json
	$(BIN)/medgen train-pixelminer $(CT) -o trained/ct-noisy --start trained/ct-prediction \
		--recipe trained/ct-noisy.json
	$(BIN)/medgen train-pixelminer $(CT) -o trained/ct-first --start trained/ct-noisy --recipe trained/ct.json
	$(BIN)/medgen train-pixelminer $(CT) $(MORE_CT) -o trained/ct-second --start trained/ct-first \
		--recipe trained/ct-all.json --steps 3900
	echo '{"input_noise": 0.15, "noise": 0.03, "validate_every": 400}' > trained/ct-muon.json
	$(BIN)/medgen train-pixelminer $(CT) $(MORE_CT) -o trained/ct-pixelminer --start trained/ct-second \
		--recipe trained/ct-muon.json --steps 2900
	echo '{$(MR_NET), "autoregressive": false, "steps": 2000, "validate_every": 500}' > trained/prediction.json
	echo '{$(MR_TRUNK), "steps": 2400, "learning_rate": 7e-4, "validate_every": 300}' > trained/mr.json
	echo '{$(MR_TRUNK), "learning_rate": 5e-4, "input_noise": 0.2, "validate_every": 1000}' > trained/mr-all.json
	$(BIN)/medgen train-pixelminer $(MR) -o trained/mr-prediction --recipe trained/prediction.json
	$(BIN)/medgen train-pixelminer $(MR) -o trained/mr-first --start trained/mr-prediction --recipe trained/mr.json
	$(BIN)/medgen train-pixelminer $(MR) $(MORE_MR) -o trained/mr-second --start trained/mr-first \
		--recipe trained/mr-all.json --steps 3900
	echo '{"filters": 24, "conditioner_filters": 32, "input_noise": 0.2, "validate_every": 400}' > trained/mr-muon.json
	$(BIN)/medgen train-pixelminer $(MR) $(MORE_MR) -o trained/mr-pixelminer --start trained/mr-second \
		--recipe trained/mr-muon.json --steps 4300

test: $(VENV)/installed
	$(BIN)/pytest -n auto --dist loadfile

test-fast: $(VENV)/installed
	$(BIN)/pytest -n auto --dist loadfile $(FAST)

test-all: $(VENV)/installed
	$(BIN)/pytest -n auto --dist loadfile -m "slow or not slow"

# The fast tests with the oldest versions that setup.cfg allows, in an environment of their own.
LOWEST = $(filter-out tests/sampling/%, $(FAST)) tests/jobs/test_methods.py tests/evaluation/test_similarity.py
test-lowest: $(VENV)/installed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/lowest
	$(BIN)/uv pip install --quiet --python $(VENV)/lowest/bin/python --resolution lowest-direct --editable '.[test]'
	$(VENV)/lowest/bin/python -m pytest -n auto --dist loadfile $(LOWEST)

docs: $(VENV)/installed
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

# Whether links to other sites lead somewhere, for who has a network.
linkcheck: $(VENV)/installed
	$(BIN)/python -m sphinx -b linkcheck -q docs docs/_build/linkcheck

# The README's picture; with DATA those of other scans, too, in the folder gallery.
gallery: $(VENV)/installed
	$(BIN)/python notebooks/gallery.py
	if [ -d "$(DATA)" ]; then $(BIN)/python notebooks/gallery.py --data "$(DATA)"; fi

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every package that medgen brings along, with its version and licence, as CycloneDX.
sbom: $(VENV)/installed
	mkdir -p dist
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/alone
	$(BIN)/uv pip install --quiet --python $(VENV)/alone/bin/python .
	$(BIN)/uvx --quiet --python $(BIN)/python --from cyclonedx-bom cyclonedx-py environment \
		$(VENV)/alone/bin/python --output-file dist/medgen.cdx.json
	@echo "See dist/medgen.cdx.json."

# By uv, in a quarter of pip's time; by pip where uv cannot: it knows nothing of pip's settings.
$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	{ $(BIN)/pip install --quiet uv && \
		$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[test]'; } || \
		$(BIN)/pip install --quiet --editable '.[test]'
	touch $@
