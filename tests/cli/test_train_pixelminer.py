"""`medgen train-pixelminer` to `medgen interpolate`, on a phantom."""

import json

import numpy as np
import pytest
from commands import run

from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume


@pytest.mark.slow
def test_a_model_is_trained_and_fills_in_slices(tmp_path):
    scan = tmp_path / "phantom.nii.gz"
    write_volume(phantom_volume("ct", (24, 26, 20), (8.0, 8.0, 9.0), seed=1), scan)
    recipe = {
        "context": 2,
        "filters": 4,
        "blocks": 1,
        "conditioner_filters": 4,
        "conditioner_blocks": 1,
        "crop": 16,
        "batch_size": 2,
        "validate_every": 2,
    }
    (tmp_path / "tiny.json").write_text(json.dumps(recipe))
    options = ["-o", tmp_path / "model", "--recipe", tmp_path / "tiny.json", "--steps", 2]
    trained = run("train-pixelminer", scan, *options)
    assert trained.exit_code == 0, trained.output
    assert "sampled_mae" in trained.output
    card = (tmp_path / "model" / "README.md").read_text()
    assert card.startswith("# PixelMiner for CT")
    assert "train-pixelminer" in card
    assert not (tmp_path / "model" / "checkpoint.npz").exists()

    before = read_volume(scan).array
    outputs = {}
    for decode in ("sample", "mean"):
        out = tmp_path / f"{decode}.nii.gz"
        filled = run("interpolate", scan, "-o", out, "--model", tmp_path / "model",
                     "--decode", decode)  # fmt: skip
        assert filled.exit_code == 0, filled.output
        outputs[decode] = read_volume(out).array
        np.testing.assert_array_equal(outputs[decode][:, :, ::2], before)
    assert (outputs["sample"] != outputs["mean"]).any()

    refused = run("interpolate", scan, "-o", tmp_path / "x.nii.gz", "--model",
                  tmp_path / "model", "--top-k", 3)  # fmt: skip
    assert refused.exit_code == 1
    assert "takes no top_k" in refused.output
    for command in ("reconstruct",):
        refused = run(command, scan, "-o", tmp_path / "y.nii.gz", "--model", tmp_path / "model")
        assert refused.exit_code == 1
        assert "has no codes" in refused.output


@pytest.mark.slow
def test_the_published_model_is_trained_examined_and_fills_in_slices(tmp_path, monkeypatch):
    monkeypatch.setattr("medgen.families.pixelminer.fit.SAMPLED_WINDOWS", 2)
    monkeypatch.setattr("medgen.families.pixelminer.fit.SAMPLED_SIDE", 12)
    scan = tmp_path / "phantom.nii.gz"
    write_volume(phantom_volume("ct", (19, 22, 14), (8.0, 8.0, 9.0), seed=1), scan)
    recipe = {"from": "pixelminer-paper", "filters": 3, "mixtures": 2, "crop": 16}
    recipe |= {"batch_size": 2, "validate_every": 2, "levels": 64}
    (tmp_path / "tiny.json").write_text(json.dumps(recipe))
    model = tmp_path / "model"
    options = ["--recipe", tmp_path / "tiny.json", "--steps", 2, "-o", model]
    trained = run("train-pixelminer", scan, *options)
    assert trained.exit_code == 0, trained.output
    assert "sampled_mae" in trained.output
    assert "prediction" not in trained.output
    assert json.loads((model / "intensity.json").read_text())["levels"] == 64
    assert (model / "README.md").read_text().startswith("# PixelMiner as published for CT")

    examined = run("doctor", model)
    assert examined.exit_code == 0, examined.output
    assert len(examined.output.splitlines()) == 5
    # The whole of the map looked at: what layers at full resolution reach is all seen.
    assert "at least 14 rows up, at least 14 columns left, at least 14 right" in examined.output

    out = tmp_path / "out.nii.gz"
    filled = run("interpolate", scan, "-o", out, "--model", model)
    assert filled.exit_code == 0, filled.output
    before, after = read_volume(scan).array, read_volume(out).array
    np.testing.assert_array_equal(after[:, :, ::2], before)
    steps = (after[:, :, 1::2].astype(float) + 1024) / (2047 / 63)
    inside = (before[:, :, :-1] > -900) & (before[:, :, 1:] > -900)
    assert inside.any()
    np.testing.assert_allclose(steps[inside], np.rint(steps[inside]), atol=0.02)  # of 64 levels

    refused = run("interpolate", scan, "-o", tmp_path / "mean.nii.gz", "--model", model,
                  "--decode", "mean")  # fmt: skip
    assert refused.exit_code == 1
    assert "has only decode sample, got 'mean'" in refused.output
