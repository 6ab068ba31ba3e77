"""`medgen sample --compare`."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from medgen.bundles.bundle import save_bundle
from medgen.cli import main
from medgen.volumes import Geometry, Volume, write_volume


def drawn(bundle, count, size, **_):
    """Slices that hold something, as those of an untrained model do not; the last one is air."""
    slices = np.random.default_rng(5).uniform(-0.5, 0.5, (count, *size)).astype(np.float32)
    slices[-1] = -0.5
    return slices


@pytest.fixture
def run(two_stage, tmp_path, monkeypatch):
    """The command on an untrained model of slices of 24 x 24 pixels, and two scans."""
    monkeypatch.setattr("medgen.families.two_stage.sample.sample_slices", drawn)
    recipe = replace(two_stage.recipes["vqvae"], image_size=24)
    bundle = replace(two_stage, recipes=two_stage.recipes | {"vqvae": recipe})
    save_bundle(bundle, tmp_path / "model", "")
    for name, seed in (("a", 0), ("b", 1)):
        array = np.random.default_rng(seed).integers(-1000, 1000, (30, 28, 7)).astype(np.int16)
        array[..., 3] = -1024  # air, which is not compared with
        geometry = Geometry.from_spacing(array.shape, (1, 1, 4))
        write_volume(Volume(array, geometry, modality="ct"), tmp_path / f"{name}.nii.gz")

    def command(*arguments):
        words = [
            "sample",
            "--model",
            tmp_path / "model",
            "-n",
            5,
            "-o",
            tmp_path / "new",
            "--modality",
            "ct",
        ]
        return CliRunner().invoke(main, [str(word) for word in (*words, *arguments)])

    return command


def test_figures_are_printed_and_written(run, tmp_path):
    scans = ("--compare", tmp_path / "a.nii.gz", "--compare", tmp_path / "b.nii.gz")
    result = run("--size", "24,24", *scans)
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "new" / "comparison.json").read_text())
    assert "4 of 5 slices hold something" in result.stdout
    assert (figures["samples"], figures["empty_samples"]) == (5, 1)
    assert f"most alike real slice: SSIM {figures['nearest_ssim']:.3f}" in result.stdout
    assert -1 < figures["nearest_ssim"] <= figures["highest_ssim"] < 0.9
    assert "recall" in result.stdout
    assert run("--size", "24,24", "--overwrite").exit_code == 0
    assert not (tmp_path / "new" / "comparison.json").exists()  # these were not compared
    one = run("--size", "24,24", "--overwrite", *scans[:2])
    assert one.exit_code == 0
    assert (
        json.loads((tmp_path / "new" / "comparison.json").read_text())["real_nearest_ssim"] is None
    )


def test_slices_of_another_size_are_refused(run, tmp_path):
    result = run("--size", "24,20", "--compare", tmp_path / "a.nii.gz")
    assert result.exit_code == 1
    assert "slices of 24 x 24 pixels, and --compare needs whole ones, got --size 24,20" in (
        result.stderr
    )
    assert not (tmp_path / "new").exists()


def test_samples_that_cannot_be_compared_are_not_written(run, tmp_path):
    result = run("--size", "24,24", "-n", 4, "--compare", tmp_path / "a.nii.gz")
    assert result.exit_code == 1
    assert "takes more than 3 samples that hold something" in result.stderr
    assert not (tmp_path / "new").exists()
