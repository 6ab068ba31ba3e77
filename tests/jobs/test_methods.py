"""What a paper says of finer scans, against their own provenance."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import medgen
from medgen.bundles.bundle import save_bundle
from medgen.bundles.families import FAMILIES, family_of
from medgen.cli import main
from medgen.errors import ReadError
from medgen.interpolation.options import SamplingOptions
from medgen.jobs.job import Job
from medgen.jobs.methods import BIBLIOGRAPHY, CLASSICAL, bibtex, methods, methods_of
from medgen.jobs.provenance import provenance_path
from medgen.jobs.run import run_job
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import write_volume

ROOT = Path(medgen.__file__).parents[1]
KEYS = re.findall(r"^@\w+{(\w+),$", BIBLIOGRAPHY.read_text(), re.MULTILINE)


@pytest.fixture
def job(tmp_path):
    write_volume(phantom_volume("ct", (16, 12, 3), (20.0, 18.0, 30.0), 1), tmp_path / "ct.nii.gz")
    return Job(tmp_path / "ct.nii.gz", tmp_path / "out" / "a.nii.gz", "linear", factor=3, seed=5)


@pytest.fixture
def written(job):
    job.output.parent.mkdir()
    run_job(job)
    return job


def test_a_classical_method(written):
    (told,) = methods_of(written.output)
    assert told.paragraph == (
        f"Slices were put between the acquired ones with medgen {medgen.__version__} [@medgen] by "
        "linear interpolation [@lowekamp2013]. Of the 7 slices along axis 2 4 are synthetic "
        "(1, 2, 4, 5, counted from 0), and the other 3 the acquired ones, unchanged; their "
        "distance went from 30 mm to 10 mm. Synthetic slices are no measurements."
    )
    assert told.keys == ("medgen", "lowekamp2013")


def test_a_model_is_told_with_all_that_was_chosen(written, two_stage, tmp_path):
    save_bundle(two_stage, tmp_path / "model", "")
    model = replace(written, model=str(tmp_path / "model"), overwrite=True)
    run_job(replace(model, sampling=SamplingOptions(0.5, top_k=3)))
    (told,) = methods_of(written.output)
    facts = json.loads(provenance_path(written.output).read_text())
    assert facts["methods"] == told.paragraph
    for words in (
        f"its model model, a {two_stage.family.title} of SHA-256 {facts['model']['sha256']}",
        "[@oord2017; @oord2016] (seed 5, top_k 3)",
        "drawn from it at temperature 0.5.",
    ):
        assert words in told.paragraph
    run_job(model)
    (told,) = methods_of(written.output)
    assert "given the texture of their acquired neighbours [@heeger1995]" in told.paragraph
    assert told.keys == ("medgen", "oord2017", "oord2016", "heeger1995")


def test_scans_of_a_folder_are_told_by_how_they_were_made(written, tmp_path):
    folder = written.output.parent
    run_job(replace(written, output=folder / "b.nii.gz", seed=6))
    run_job(replace(written, output=folder / "c.nrrd", model="nearest"))
    (folder / "foreign.json").write_text("[1, 2]")
    (folder / "damaged.json").write_text("{")
    alike, other = methods_of(folder)
    assert (alike.scans, other.scans) == (2, 1)
    assert "Of the 14 slices of 2 scans 8 are synthetic" in alike.paragraph
    assert "copies of the nearest acquired slice." in other.paragraph
    (beside,) = methods_of(folder / "b.json")
    assert beside == methods_of(folder / "b.nii.gz")[0]


def test_irregular_slices_are_not_said_to_be_regular(written):
    facts = json.loads(provenance_path(written.output).read_text())
    numbers = [k for k in range(40) if k % 3]
    facts |= {"synthetic_slices": numbers, "positions": np.arange(40).tolist()}
    facts["shape"][2] = 40
    provenance_path(written.output).write_text(json.dumps(facts))
    (told,) = methods_of(written.output)
    assert "26 are synthetic (1 to 38 in part; the JSON file names them)" in told.paragraph


def test_what_has_no_provenance_is_refused(written, tmp_path):
    for path in (tmp_path / "ct.nii.gz", tmp_path / "no", tmp_path):
        if path == tmp_path:
            provenance_path(written.output).unlink()
        with pytest.raises(ReadError, match="has no provenance of medgen"):
            methods_of(path)


def test_every_citation_has_its_entry():
    cited = {key for kind in FAMILIES for key in family_of(kind).references}
    cited |= {key for _, keys in CLASSICAL.values() for key in keys}
    assert cited | {"medgen", "heeger1995"} == set(KEYS)
    entries = bibtex(KEYS, "1.2.3")
    assert entries.count("\n@") == len(KEYS) - 1
    assert "version = {1.2.3}" in entries
    for entry in entries.split("\n\n"):
        assert entry.count("{") == entry.count("}")


def test_the_command(written, monkeypatch):
    monkeypatch.chdir(written.output.parent)
    printed = CliRunner().invoke(main, ["cite", "."]).output
    (told,) = methods_of(written.output)
    assert printed == f"{told.paragraph}\n\n{bibtex(told.keys, medgen.__version__)}\n"
    facts = json.loads(CliRunner().invoke(main, ["cite", "a.nii.gz", "--json"]).output)
    assert facts["methods"] == [{"scans": 1, "paragraph": told.paragraph}]
    assert facts["bibtex"] == bibtex(told.keys, medgen.__version__)


def test_version_stands_in_one_place():
    """Citation and package take it from there."""
    assert "version = attr: medgen.__version__" in (ROOT / "setup.cfg").read_text()
    citation = (ROOT / "CITATION.cff").read_text()
    assert medgen.__version__ not in citation
    assert citation.startswith("cff-version: 1.2.0\n")


@pytest.mark.parametrize(
    ("name", "sha256", "used", "words"),
    [
        ("self", None, "self", ["by the mean of a PixelMiner", "(seed 5)", "It had learnt from"]),
        ("self", None, "sinc", ["by windowed sinc", "(seed 5)", "in 40 steps was not used"]),
        ("own", "ab12", "own+adapt", ["of SHA-256 ab12", "It had learnt from", "in 40 steps."]),
        ("own", "ab12", "own", ["of SHA-256 ab12", "in 40 steps was not used"]),
    ],
)
def test_learning_from_the_scan_is_told(written, name, sha256, used, words):
    facts = json.loads(provenance_path(written.output).read_text())
    facts["model"] = {"name": name, "sha256": sha256, "kind": None}
    facts["options"]["seed"] = 5
    facts["adaptation"] = {"used": used, "start": name, "steps": 40}
    paragraph = methods([facts]).paragraph
    for each in words:
        assert each in paragraph
    assert "None" not in paragraph
