"""Without --model a scan gets the released model of its modality."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from medgen.bundles import released
from medgen.bundles.bundle import Bundle, save_bundle
from medgen.cli import main
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.intensities.rule import IntensityRule
from medgen.jobs.job import Job
from medgen.jobs.runners import attempt
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import write_volume


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """A CT and an MR, and untrained models called ct-tiny and mr-tiny as the released ones."""
    recipe = replace(PIXELMINER_RECIPES["small"], filters=4, conditioner_filters=4)
    for modality in ("ct", "mr"):
        net = pixelminer_from(recipe, 2048)
        folder = tmp_path / "released" / f"{modality}-tiny"
        save_bundle(
            Bundle(
                "pixelminer", IntensityRule(modality), {"pixelminer": recipe}, {"pixelminer": net}
            ),
            folder,
            "card",
        )
    monkeypatch.setattr(released, "PLACES", (tmp_path / "released",))
    monkeypatch.setattr(released, "DEFAULT", {"ct": "ct-tiny", "mr": "mr-tiny"})
    folder = tmp_path / "scans"
    folder.mkdir()
    for modality in ("ct", "mr"):
        volume = phantom_volume(modality, (10, 12, 3), (20.0, 20.0, 40.0), seed=1)
        write_volume(volume, folder / f"{modality}.nii")
    return folder


def test_one_scan_and_a_folder_of_both_modalities(scans, tmp_path):
    one = CliRunner().invoke(
        main, ["interpolate", str(scans / "mr.nii"), "-o", f"{tmp_path}/a.nii"]
    )
    assert one.exit_code == 0, one.output
    assert "by mr-tiny, from" in one.output
    assert json.loads((tmp_path / "a.json").read_text())["model"]["name"] == "mr-tiny"
    # What a folder's run does with each scan, in this process, which alone knows the models.
    for modality in ("ct", "mr"):
        scan, output = scans / f"{modality}.nii", tmp_path / "finer" / f"{modality}.nii"
        result = attempt(Job(scan=scan, output=output))
        assert not result.failed, result.line
        told = json.loads((tmp_path / "finer" / f"{modality}.json").read_text())
        assert told["model"]["name"] == f"{modality}-tiny"


def test_a_scan_no_model_is_for_is_one_sentence(scans, tmp_path, monkeypatch):
    monkeypatch.setattr(released, "DEFAULT", {"ct": "ct-tiny"})
    result = CliRunner().invoke(
        main, ["interpolate", str(scans / "mr.nii"), "-o", f"{tmp_path}/a.nii"]
    )
    assert result.exit_code == 1
    assert result.output.strip().endswith(
        "name one with --model: ct-tiny, mr-tiny, a classical method, or a folder of your own."
    )
    assert not (tmp_path / "a.nii").exists()
