"""`medgen train-espcn`, `doctor`, `superresolve` and `evaluate --degrade`, on phantoms."""

import json

import numpy as np
import pytest
from commands import run

from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume


@pytest.fixture
def scan(tmp_path):
    write_volume(
        phantom_volume("mr", (30, 26, 24), (7.0, 8.0, 8.0), seed=1), tmp_path / "mr.nii.gz"
    )
    return tmp_path / "mr.nii.gz"


@pytest.fixture
def recipe(tmp_path):
    fields = {"filters": 4, "blocks": 1, "patch": 4, "batch_size": 2, "validate_every": 2}
    (tmp_path / "tiny.json").write_text(json.dumps(fields))
    return tmp_path / "tiny.json"


def test_a_model_is_trained_examined_and_makes_voxels_finer(scan, recipe, tmp_path):
    model = tmp_path / "model"
    options = ["--recipe", recipe, "--steps", 4, "--factor", 3, "-o", model]
    trained = run("train-espcn", scan, *options)
    assert trained.exit_code == 0, trained.output
    assert "cubic_psnr_db" in trained.output
    card = (model / "README.md").read_text()
    assert card.startswith("# 3D-ESPCN for MR")
    assert "--factor 3" in card
    assert "factor 3, degradation mean" in card
    metrics = json.loads((model / "metrics.json").read_text())["espcn"]
    assert metrics["interval_width"] > 0

    further = tmp_path / "further"
    options = ["--recipe", recipe, "--steps", 1, "-o", further, "--start", model]
    refused = run("train-espcn", scan, *options)
    assert refused.exit_code == 1
    assert "model has weights espcn/out/kernel" in refused.output
    trained = run("train-espcn", scan, *options, "--factor", 3)
    assert trained.exit_code == 0, trained.output
    assert f"--start {model}" in (further / "README.md").read_text()

    examined = run("doctor", model)
    assert examined.exit_code == 0, examined.output
    assert "tiles overlap by 4" in examined.output

    exported = run("export", model, "-o", tmp_path / "served")
    assert exported.exit_code == 0, exported.output
    assert "model with serving_default" in exported.output

    out = tmp_path / "finer.nii.gz"
    done = run("superresolve", scan, "-o", out, "--model", model, "--uncertainty", tmp_path / "u")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(
        f"{out}: 90 x 78 x 72 voxels of 2.333 x 2.667 x 2.667 mm by model"
    )
    low, high = (read_volume(tmp_path / f"u_{end}.nii.gz").array for end in ("low", "high"))
    assert ((low <= high) & np.isfinite(low)).all()
    for words, sentence in (
        (["superresolve", scan, "-o", out, "--model", model], "exists"),
        (["superresolve", scan, "-o", tmp_path / "x.nii", "--model", model, "--factor", 2],
         "model makes 3 voxels of one along each axis, got a factor of 2"),
        (["interpolate", scan, "-o", tmp_path / "x.nii", "--model", model], "cannot fill in"),
        (["superresolve", scan, "-o", tmp_path / "x.nii", "--model", "mr-pixelminer"],
         "cannot make voxels finer"),
        (["train-espcn", scan, "-o", model], "already holds a trained model"),
    ):  # fmt: skip
        refused = run(*words)
        assert refused.exit_code == 1
        assert sentence in refused.output


def test_a_run_goes_on_to_the_same_weights(scan, recipe, tmp_path, monkeypatch):
    from medgen.bundles.bundle import load_bundle
    from medgen.families.espcn.fit import ESPCNTask

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    options = ["train-espcn", scan, "--recipe", recipe, "--steps", 4, "-o"]
    assert run(*options, whole).exit_code == 0
    batch = ESPCNTask.batch
    with monkeypatch.context() as context:

        def interrupted(self, step):
            if step == 3:
                raise KeyboardInterrupt
            return batch(self, step)

        context.setattr(ESPCNTask, "batch", interrupted)
        assert run(*options, parts).exit_code != 0
    assert "holds an unfinished run" in run(*options, parts).output
    assert run(*options, parts, "--resume").exit_code == 0
    ours, theirs = (load_bundle(folder).nets["espcn"] for folder in (whole, parts))
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-7)


def test_methods_are_compared_on_a_scan_made_coarse(scan, tmp_path):
    options = ["--degrade", 2, "--jobs", 1, "--method", "nearest", "--method", "lanczos"]
    done = run("evaluate", scan, "-o", tmp_path / "report", *options)
    assert done.exit_code == 0, done.output
    header, nearest, lanczos, _ = done.stdout.splitlines()
    assert header.split()[:4] == ["PSNR", "SSIM", "MAE", "edges"]
    assert float(lanczos.split()[1]) > float(nearest.split()[1])
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert (summary["settings"]["factor"], summary["settings"]["degradation"]) == (2, "mean")
    assert summary["scans"][0]["acquired"] == 12
    assert summary["metrics"]["interior"]["psnr_db"]["lanczos"]["slices"] == 20
    assert summary["metrics"]["outermost"]["psnr_db"]["lanczos"]["slices"] <= 4
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Super-resolution compared" in page
    assert "1 in 2 slices" not in page
    assert not any(word in page for word in ('"removed"', "removed slice;", "two acquired"))

    options = ["--degrade", 2, "--in-plane", "--jobs", 1, "--method", "lanczos"]
    done = run("evaluate", scan, "-o", tmp_path / "flat", *options)
    assert done.exit_code == 0, done.output
    summary = json.loads((tmp_path / "flat" / "summary.json").read_text())
    assert summary["scans"][0]["acquired"] == 24
    assert summary["metrics"]["interior"]["psnr_db"]["lanczos"]["slices"] > 20
    page = " ".join((tmp_path / "flat" / "report.html").read_text().split())
    assert "Pixels were made coarse" in page
    assert "A coarse pixel stands for 2 along each axis of its slice" in page
    for words, sentence in (
        (["--gap", 4], "leave them out with --degrade"),
        (["--method", "mr-pixelminer"], "cannot make voxels finer"),
    ):
        refused = run("evaluate", scan, "-o", tmp_path / "other", "--degrade", 2, *words)
        assert refused.exit_code in (1, 2)
        assert sentence in " ".join(refused.output.split())


def test_a_pixelminer_makes_pixels_finer(scan, tmp_path):
    fields = {
        "from": "in-plane-x2", "conditioner_filters": 4, "conditioner_blocks": 1, "crop": 8,
        "batch_size": 2, "validate_every": 2,
    }  # fmt: skip
    (tmp_path / "tiny.json").write_text(json.dumps(fields))
    model, out = tmp_path / "model", tmp_path / "finer.nii.gz"
    options = ["--recipe", tmp_path / "tiny.json", "--steps", 2, "-o", model]
    trained = run("train-pixelminer", scan, *options)
    assert trained.exit_code == 0, trained.output
    examined = run("doctor", model)
    assert examined.exit_code == 0, examined.output
    done = run("superresolve", scan, "-o", out, "--model", model, "--in-plane")
    assert done.exit_code == 0, done.output
    assert "60 x 52 x 24 voxels of 3.5 x 4 x 8 mm by model" in done.stdout
    finer, coarse = read_volume(out), read_volume(scan)
    assert finer.geometry == coarse.geometry.subdivide(2, kept=2)
    # Hardly trained it is near linear interpolation: every pixel's parts are like it.
    parts = finer.array.reshape(30, 2, 26, 2, 24).mean(axis=(1, 3))
    assert np.corrcoef(parts.ravel(), coarse.array.ravel())[0, 1] > 0.9
    for words, sentence in (
        (["--model", model], "makes pixels finer, and no slices; add --in-plane"),
        (["--model", "linear", "--slice-axis", 0], "give both, or neither"),
        (["--model", model, "--in-plane", "--uncertainty", tmp_path / "u"], "cannot tell"),
    ):
        refused = run("superresolve", scan, "-o", tmp_path / "x.nii", *words)
        assert refused.exit_code in (1, 2)
        assert sentence in " ".join(refused.output.split())
