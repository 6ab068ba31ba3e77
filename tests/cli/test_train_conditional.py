"""`medgen train-vqvae --recipe conditional` and `train-prior` to `interpolate`, on a phantom."""

import json

import numpy as np
import pytest
from commands import run, succeed

from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume


def recipe(path, **fields):
    path.write_text(json.dumps({"batch_size": 2, "validate_every": 2, **fields}))
    return path


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "phantom.nii.gz"
    write_volume(phantom_volume("ct", (24, 26, 20), (8.0, 8.0, 9.0), seed=1), path)
    return path


@pytest.mark.slow
def test_two_commands_after_a_pixelminer_make_a_model(scan, tmp_path):
    small = {"filters": 4, "conditioner_filters": 4, "conditioner_blocks": 1, "blocks": 1}
    pixels = recipe(tmp_path / "pixels.json", context=1, crop=16, **small)
    succeed("train-pixelminer", scan, "-o", tmp_path / "start", "--recipe", pixels, "--steps", 2)
    codes = {"filters": 6, "num_embeddings": 16, "embedding_dim": 4, "crop": 16}
    first = recipe(tmp_path / "first.json", **{"from": "conditional"}, **codes)
    shown = succeed("train-vqvae", scan, "-o", tmp_path / "vqvae", "--recipe", first,
                    "--start", tmp_path / "start", "--steps", 2)  # fmt: skip
    assert "residual_bits_per_dim" in shown.output
    second = recipe(tmp_path / "second.json", **small)
    shown = succeed("train-prior", scan, "-o", tmp_path / "model", "--recipe", second,
                    "--vqvae", tmp_path / "vqvae", "--steps", 2)  # fmt: skip
    assert "elbo_bits_per_dim" in shown.output
    succeed("train-vqvae", scan, "-o", tmp_path / "vqvae-on", "--recipe", first, "--start",
            tmp_path / "start", "--vqvae", tmp_path / "model", "--steps", 2)  # fmt: skip
    succeed("train-prior", scan, "-o", tmp_path / "model-on", "--recipe", second, "--vqvae",
            tmp_path / "vqvae-on", "--start", tmp_path / "model", "--steps", 2)  # fmt: skip
    card = (tmp_path / "model" / "README.md").read_text()
    assert card.startswith(
        "# VQ-VAE conditioned on the acquired slices, with PixelCNN prior for CT"
    )
    assert "ok" in succeed("doctor", tmp_path / "model").output

    out = tmp_path / "finer.nii.gz"
    succeed("interpolate", scan, "-o", out, "--model", tmp_path / "model")
    before = read_volume(scan).array
    np.testing.assert_array_equal(read_volume(out).array[:, :, ::2], before)
    seen = succeed("reconstruct", scan, "--model", tmp_path / "model", "-o", tmp_path / "seen.nii")
    assert f"{before.shape[2] - 2} slices: mean SSIM 0." in seen.output
    refused = run("sample", "--model", tmp_path / "model", "-o", tmp_path / "no")
    assert refused.exit_code == 1
    assert "has no codes of slices on their own" in refused.output


def test_a_conditional_recipe_and_a_start_come_together(scan, tmp_path):
    for options in (["--recipe", "conditional"], ["--start", "ct-pixelminer"]):
        refused = run("train-vqvae", scan, "-o", tmp_path / "x", *options)
        assert refused.exit_code == 1
        assert "give --start and --recipe conditional together" in refused.output
