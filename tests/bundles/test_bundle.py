"""A bundle comes back as it was, and anything else is refused in one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest

from medgen.bundles.bundle import (
    Bundle,
    load_bundle,
    save_bundle,
)
from medgen.errors import BundleError, MedgenError
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.pixelminer.sampler import sampler_of
from medgen.families.pixelminer_published.build import pixelminer_published_from
from medgen.families.pixelminer_published.recipe import PixelMinerPublishedRecipe
from medgen.families.two_stage.build import pixelcnn_from
from medgen.families.two_stage.recipe import PriorRecipe
from medgen.families.vqvae.build import vqvae_from
from medgen.families.vqvae.codes import codes_of
from medgen.families.vqvae.recipe import VQVAERecipe
from medgen.intensities.rule import IntensityRule
from medgen.sampling.windows import WindowSampler

VQVAE_RECIPE = VQVAERecipe(filters=16, residual_blocks=1, num_embeddings=9, embedding_dim=4)
PRIOR_RECIPE = PriorRecipe(filters=6, blocks=2, conditioner_filters=4, conditioner_blocks=1)


@pytest.fixture
def bundle() -> Bundle:
    return Bundle(
        "two-stage",
        IntensityRule("ct", 100, -500.0, 500.0),
        {"vqvae": VQVAE_RECIPE, "prior": PRIOR_RECIPE},
        {
            "vqvae": vqvae_from(VQVAE_RECIPE, seed=1),
            "prior": pixelcnn_from(PRIOR_RECIPE, VQVAE_RECIPE, seed=1),
        },
        metrics={"vqvae": {"ssim": 0.5}},
    )


@pytest.fixture
def folder(bundle, tmp_path) -> Path:
    save_bundle(bundle, tmp_path / "bundle", "# Card\n")
    return tmp_path / "bundle"


def test_loaded_equals_saved_at_any_size(bundle, folder):
    loaded = load_bundle(folder)
    assert (loaded.kind, loaded.name, loaded.rule) == ("two-stage", "bundle", bundle.rule)
    assert (loaded.recipes["vqvae"], loaded.recipes["prior"]) == (VQVAE_RECIPE, PRIOR_RECIPE)
    assert loaded.metrics == bundle.metrics
    rng = np.random.default_rng(0)
    image = rng.uniform(-0.5, 0.5, (13, 22)).astype("float32")
    ours, theirs = codes_of(bundle), codes_of(loaded)
    codes = ours.encode_slice(image)
    np.testing.assert_array_equal(codes, theirs.encode_slice(image))
    np.testing.assert_array_equal(
        ours.decode_slice(codes, (13, 22)), theirs.decode_slice(codes, (13, 22))
    )
    maps = {key: rng.integers(0, 9, (3, 5, 4)) for key in ("codes", "previous", "next")}
    inputs = maps | {"position": np.full(3, 0.5, "f4"), "gap_mm": np.full(3, 4, "f4")}
    np.testing.assert_array_equal(bundle.nets["prior"](inputs), loaded.nets["prior"](inputs))


def test_a_pixelminer_comes_back_with_the_levels_of_its_rule(tmp_path):
    recipe = PixelMinerRecipe(
        context=1, filters=4, blocks=1, conditioner_filters=4, conditioner_blocks=1
    )
    rule = IntensityRule("mr", 300)
    net = pixelminer_from(recipe, 300, seed=1)
    bundle = Bundle(
        "pixelminer",
        rule,
        {"pixelminer": recipe},
        {"pixelminer": net},
        metrics={"pixelminer": {"sampled_mae": 2.5}},
    )
    save_bundle(bundle, tmp_path / "direct", "# Card\n")
    assert {path.name for path in (tmp_path / "direct").iterdir()} == {
        "recipe.json", "intensity.json", "metrics.json", "README.md", "pixelminer.weights.h5"
    }  # fmt: skip
    loaded = load_bundle(tmp_path / "direct")
    assert (loaded.kind, loaded.recipes["pixelminer"], loaded.rule) == ("pixelminer", recipe, rule)
    assert loaded.metrics == bundle.metrics
    assert loaded.nets["pixelminer"].levels == 300
    rng = np.random.default_rng(0)
    inputs = {
        "target": rng.integers(0, 300, (2, 5, 7)),
        "context": rng.integers(0, 300, (2, 5, 7, 2)),
        "present": np.ones((2, 2), "f4"),
        "position": np.full(2, 0.5, "f4"),
        "gap_mm": np.full(2, 4, "f4"),
    }
    for name, values in net(inputs).items():
        np.testing.assert_array_equal(values, loaded.nets["pixelminer"](inputs)[name])
    with pytest.raises(BundleError, match="direct is a pixelminer model, which has no codes"):
        codes_of(loaded)


def test_a_published_pixelminer_comes_back_and_samples_in_its_windows(tmp_path):
    recipe = PixelMinerPublishedRecipe(levels=40, filters=3, mixtures=2, crop=8)
    rule, net = IntensityRule("ct", 40), pixelminer_published_from(recipe, 40, seed=1)
    bundle = Bundle("pixelminer-paper", rule, {"pixelminer": recipe}, {"pixelminer": net})
    save_bundle(bundle, tmp_path / "paper", "# Card\n")
    loaded = load_bundle(tmp_path / "paper")
    assert (loaded.kind, loaded.recipes["pixelminer"]) == ("pixelminer-paper", recipe)
    rng = np.random.default_rng(0)
    inputs = {
        "target": rng.integers(0, 40, (1, 5, 7)),
        "context": rng.integers(0, 40, (1, 5, 7, 2)),
        "position": np.full(1, 0.5, "f4"),
        "gap_mm": np.full(1, 4, "f4"),
    }
    net = loaded.nets["pixelminer"]
    for name, values in bundle.nets["pixelminer"](inputs).items():
        np.testing.assert_array_equal(values, net(inputs)[name])
    assert isinstance(sampler_of(recipe, net), WindowSampler)
    assert sampler_of(recipe, net).side == 8
    with pytest.raises(MedgenError, match="temperature"):
        sampler_of(recipe, net, temperature=-1.0)


def test_a_first_stage_alone_has_no_prior(vqvae_alone, tmp_path):
    save_bundle(vqvae_alone, tmp_path / "vqvae", "# Card\n")
    loaded = load_bundle(tmp_path / "vqvae")
    assert (loaded.kind, list(loaded.nets)) == ("vqvae", ["vqvae"])


@pytest.mark.parametrize(
    "name",
    ["recipe.json", "intensity.json", "metrics.json", "vqvae.weights.h5", "prior.weights.h5"],
)
def test_a_missing_or_truncated_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match=name):
        load_bundle(folder)
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_bundle(folder)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 99}, "format version 99"),
        ({"kind": "poem"}, "unknown kind: got 'poem'"),
        ({"vqvae": None}, "damaged"),
        ({"vqvae": {"filters": -3}}, "filters"),
        ({"vqvae": {"filters": 16, "spell": 1}}, "spell"),
        ({"prior": {"filters": "six"}}, "'six'"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(folder, changes, words):
    edit(folder / "recipe.json", **changes)
    with pytest.raises(BundleError, match=words):
        load_bundle(folder)


def test_weights_of_another_shape_are_refused(folder):
    recipe = json.loads((folder / "recipe.json").read_text())
    edit(folder / "recipe.json", vqvae=recipe["vqvae"] | {"filters": 24})
    with pytest.raises(BundleError, match=r"vqvae\.weights\.h5 is damaged or does not fit"):
        load_bundle(folder)


def test_a_path_that_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match="no model folder"):
        load_bundle(tmp_path / "nothing")
    with pytest.raises(BundleError, match="recipe"):
        load_bundle(tmp_path)
