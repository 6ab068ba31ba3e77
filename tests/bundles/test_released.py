"""The models that ship: found by name from a checkout and from an installed package alike."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from medgen.bundles import released
from medgen.bundles.released import default_model, folder_named, released_models
from medgen.cli import main
from medgen.errors import BundleError, IntensityError
from medgen.interpolation import interpolator_named

ROOT = Path(__file__).parents[2]


def test_all_models_of_the_checkout_are_found():
    models = released_models()
    assert set(models) == {path.name for path in (ROOT / "models").iterdir() if path.is_dir()}
    model = models["ct-two-stage"]
    assert (model.kind, model.modality) == ("two-stage-conditional", "ct")
    assert model.card == (ROOT / "models/ct-two-stage/README.md").read_text()
    assert all(model.megabytes <= 20 for model in models.values())
    assert sum(model.megabytes for model in models.values()) <= 60


def test_a_model_goes_by_its_name_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert interpolator_named("mr-two-stage").name == "mr-two-stage"
    with pytest.raises(BundleError, match=r"'mr-2'.*linear.*ct-two-stage"):
        interpolator_named("mr-2")
    (tmp_path / "mr-two-stage").mkdir()  # a folder of one's own comes first
    with pytest.raises(BundleError, match="no complete model"):
        interpolator_named("mr-two-stage")


def test_metrics_are_those_of_a_validation_in_the_log_of_the_last_training():
    for model in released_models().values():
        log = model.folder / "metrics.csv"
        if not log.exists():
            continue
        kept = json.loads((model.folder / "metrics.json").read_text())
        with log.open() as file:
            rows = {int(float(row["step"])): row for row in csv.DictReader(file)}
        stage = next(name for name in ("prior", *kept) if name in kept)
        row = rows[kept[stage]["step"]]
        shared = (kept[stage].keys() & row.keys()) - {"step"}
        assert len(shared) >= 3, model.name
        for key in shared:
            assert float(row[key]) == pytest.approx(kept[stage][key], rel=1e-6), (model.name, key)


def test_the_default_follows_the_modality(monkeypatch):
    monkeypatch.setattr(released, "DEFAULT", {"ct": "ct-two-stage", "mr": "no-such-model"})
    assert default_model("ct").name == "ct-two-stage"
    for modality, title in (("mr", "MR"), ("labels", "a label map")):
        with pytest.raises(BundleError, match=f"like {title}, for which no model comes with"):
            default_model(modality)
    with pytest.raises(IntensityError, match="say what it is with --modality ct, mr or labels"):
        default_model("unknown")


def test_what_is_installed_has_the_models_inside(tmp_path):
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for model in released_models().values():
        for file in model.folder.iterdir():
            copy = tmp_path / "medgen/released" / model.name / file.name
            assert copy.read_bytes() == file.read_bytes()
    assert (tmp_path / "medgen/evaluation/templates/report.html").is_file()


def test_models_are_listed_and_their_cards_shown():
    listed = CliRunner().invoke(main, ["models"]).output.splitlines()
    rows = {line.split()[0]: line.split(maxsplit=5)[1:] for line in listed}
    assert list(rows) == list(released_models())
    assert rows["ct-two-stage"] == ["ct", "two-stage-conditional", "9.8", "MB"]
    assert rows["mr-pixelminer"][4] == "default for MR"
    assert rows["ct-pixelminer"] == ["ct", "pixelminer", "4.2", "MB", "default for CT"]
    card = CliRunner().invoke(main, ["models", "oasis-80"]).output
    assert card.rstrip() == (ROOT / "models/oasis-80/README.md").read_text().rstrip()
    wrong = CliRunner().invoke(main, ["models", "oasis"])
    assert wrong.exit_code == 1
    assert wrong.output.startswith("Error: No model is called 'oasis'; there are ct-espcn-x2")


def test_further_folders_of_models(tmp_path, monkeypatch):
    own, other = tmp_path / "own", tmp_path / "other"
    shutil.copytree(released_models()["oasis-80"].folder, own / "mine")
    other.mkdir()
    monkeypatch.setenv("MEDGEN_MODELS", f"{own}{os.pathsep}{other}")
    found = released_models()
    assert list(found)[-1] == "mine"
    assert folder_named("mine") == own / "mine"
    assert "mine" in CliRunner().invoke(main, ["models"]).output
    (own / "mine").rename(own / "oasis-80")
    with pytest.raises(BundleError, match="oasis-80 has the name of a model in"):
        released_models()
    shutil.rmtree(own / "oasis-80")
    (own / "bad").mkdir()
    (own / "bad" / "recipe.json").write_text("{")
    with pytest.raises(BundleError, match="bad is no whole model"):
        released_models()
    monkeypatch.setenv("MEDGEN_MODELS", str(tmp_path / "no"))
    with pytest.raises(BundleError, match="where there is no folder of models"):
        released_models()
