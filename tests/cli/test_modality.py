"""What a scan is, said by the user: every command that reads scans asks, obeys and tells."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from commands import refuse, run, succeed

from medgen.bundles.bundle import Bundle, load_bundle, save_bundle
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.intensities.rule import IntensityRule
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume

SHAPE, SPACING = (16, 18, 7), (16.0, 14.0, 30.0)
RECIPE = {
    "filters": 8,
    "residual_blocks": 1,
    "num_embeddings": 16,
    "embedding_dim": 4,
    "crop": 16,
    "batch_size": 4,
    "steps": 2,
    "validate_every": 2,
}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """`hidden.nii`, HU of a brain in a background of 0; `shifted.nii`, HU + 1024; `labels.nii`."""
    folder = tmp_path_factory.mktemp("scans")
    ct = phantom_volume("ct", SHAPE, SPACING, seed=2)
    rng = np.random.default_rng(0)
    brain = np.where(ct.array > -200, rng.normal(34, 5, ct.shape).round(), 0).astype(np.int16)
    shifted = np.maximum(ct.array + 1024, 0).astype(np.uint16)
    labels = np.digitize(ct.array, (-500, -200, 200)).astype(np.uint8)
    for name, array in (("hidden", brain), ("shifted", shifted), ("labels", labels)):
        write_volume(ct.with_array(array, ct.geometry), folder / f"{name}.nii")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A PixelMiner for CT, untrained."""
    recipe = replace(PIXELMINER_RECIPES["small"], filters=4, conditioner_filters=4)
    nets = {"pixelminer": pixelminer_from(recipe, 2048)}
    folder = tmp_path_factory.mktemp("models") / "ct-tiny"
    save_bundle(
        Bundle("pixelminer", IntensityRule("ct"), {"pixelminer": recipe}, nets), folder, "card"
    )
    return folder


def test_a_model_asks_and_a_classical_method_goes_on_with_a_note(scans, model, tmp_path):
    out = tmp_path / "out.nii"
    question = refuse("", "interpolate", scans / "hidden.nii", "-o", out, "--model", model)
    assert "in a background of 0 its values lie around 34" in question
    assert question.endswith("say what it is with --modality ct, mr or labels.")
    assert refuse("", "interpolate", scans / "hidden.nii", "-o", out) == question  # by the default
    assert not list(tmp_path.iterdir())
    result = succeed("interpolate", scans / "hidden.nii", "-o", out, "--model", "linear")
    assert result.stderr.startswith("Note: It is not sure what kind of scan this is: in a ")
    result = succeed(
        *("interpolate", scans / "hidden.nii", "-o", out, "--model", "linear", "--overwrite"),
        *("--modality", "ct"),
    )
    assert result.stderr == ""


def test_what_the_user_says_decides_and_is_told(scans, model, tmp_path):
    out = tmp_path / "out.nii"
    call = ("interpolate", scans / "hidden.nii", "-o", out, "--model", model, "--decode", "mean")
    assert refuse("", *call, "--modality", "mr").endswith(
        "This model was trained on CT and the scan looks like MR: you say so; choose a model for "
        "MR, or add --modality ct if it is CT."
    )
    succeed(*call, "--modality", "ct")
    before, after = (nib.load(path).get_fdata() for path in (scans / "hidden.nii", out))
    np.testing.assert_array_equal(after[:, :, ::2], before)
    told = json.loads(out.with_suffix(".json").read_text())
    assert told["options"]["modality"] == "ct"


def test_a_shifted_ct_is_mended_bit_for_bit(scans, model, tmp_path):
    out = tmp_path / "out.nii"
    call = ("interpolate", scans / "shifted.nii", "-o", out, "--model", model)
    question = refuse("", *call)
    assert "HU + 1024" in question
    assert "add --intercept -1024" in question
    succeed(*call, "--intercept", -1024, "--decode", "mean")
    after = nib.load(out)
    assert (after.dataobj.slope, after.dataobj.inter) == (1.0, -1024.0)
    before = np.asarray(nib.load(scans / "shifted.nii").dataobj)
    stored = np.asarray(after.dataobj.get_unscaled())
    assert stored.dtype == before.dtype
    np.testing.assert_array_equal(stored[:, :, ::2], before)
    assert json.loads(out.with_suffix(".json").read_text())["options"]["intercept"] == -1024.0
    assert read_volume(out).modality == "ct"
    # As CT without it, the sentence stands as a note.
    result = succeed(*call[:4], "--model", "nearest", "--modality", "ct", "--overwrite")
    assert result.stderr.startswith("Note: The scan is taken for CT: you say so, and yet its val")


def test_labels_are_not_invented(scans, model, tmp_path):
    for method in ("linear", model):
        error = refuse(
            "", "interpolate", scans / "labels.nii", "-o", tmp_path / "out.nii", "--model", method
        )
        assert "makes new values, but the scan is a label map" in error
    assert not list(tmp_path.iterdir())
    out = tmp_path / "out.nii"
    result = succeed("interpolate", scans / "labels.nii", "-o", out)
    assert "by shape, from" in result.stdout
    assert set(np.unique(read_volume(out).array)) == {0, 1, 2, 3}


def test_every_other_command_asks_and_obeys(scans, model, tmp_path):
    assert "not sure" in refuse(
        "", *("audit", scans / "hidden.nii", "--model", model, "--jobs", 1, "--slice-axis", 2)
    )
    result = run("audit", scans / "hidden.nii", "--model", "linear", "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "Warning: It is not sure what kind of scan this is" in result.stderr
    result = run(
        *("evaluate", scans / "hidden.nii", scans / "shifted.nii", "-o", tmp_path / "report"),
        *("--method", "linear", "--modality", "mr", "--jobs", 1),
    )
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert {scan["modality"] for scan in summary["scans"]} == {"mr"}
    assert summary["settings"]["modality"] == "mr"


def test_training_asks_and_keeps_what_it_was_told(scans, tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
    call = ("train-vqvae", scans / "shifted.nii", "--recipe", tmp_path / "recipe.json", "-o")
    assert "shifted.nii: It is not sure" in refuse("", *call, tmp_path / "model")
    assert "got labels: labels.nii" in refuse(
        "", "train-vqvae", scans / "labels.nii", "-o", tmp_path / "model"
    )
    succeed(*call, tmp_path / "ct", "--intercept", -1024)
    succeed(*call, tmp_path / "mr", "--modality", "mr")
    for modality, option in (("ct", "--intercept -1024.0"), ("mr", "--modality mr")):
        bundle = load_bundle(tmp_path / modality)
        assert bundle.rule.modality == modality
        assert option in (tmp_path / modality / "README.md").read_text()
    assert "# VQ-VAE for MR" in (tmp_path / "mr" / "README.md").read_text()
    reconstruct = ("reconstruct", scans / "shifted.nii", "-o", tmp_path / "seen.nii", "--model")
    assert "not sure" in refuse("", *reconstruct, tmp_path / "ct")
    succeed(*reconstruct, tmp_path / "ct", "--intercept", -1024)
