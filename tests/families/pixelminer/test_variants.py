"""Variants of PixelMiner from a saved bundle to a finer scan."""

from dataclasses import replace

import numpy as np
import pytest

from medgen.bundles.bundle import Bundle, load_bundle, save_bundle
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.intensities.rule import IntensityRule
from medgen.interpolation import interpolate_volume, interpolator_named
from medgen.volumes import Geometry, Volume

RECIPE = PixelMinerRecipe(
    context=2, filters=4, blocks=1, mixtures=2, conditioner_filters=4, conditioner_blocks=1
)


@pytest.mark.parametrize("switch", [{"autoregressive": False}, {"partially_causal": True}])
def test_a_variant_is_saved_and_fills_in_slices(tmp_path, switch):
    recipe = replace(RECIPE, **switch)
    net = pixelminer_from(recipe, 2048, seed=1)
    bundle = Bundle("pixelminer", IntensityRule("ct"), {"pixelminer": recipe}, {"pixelminer": net})
    save_bundle(bundle, tmp_path, "# Card\n")
    loaded = load_bundle(tmp_path)
    assert (loaded.kind, loaded.recipes["pixelminer"]) == ("pixelminer", recipe)
    loaded = loaded.nets["pixelminer"]
    for name, value in switch.items():
        assert getattr(loaded, name) == value
    for ours, theirs in zip(net.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)

    rng = np.random.default_rng(0)
    array = rng.integers(-900, 900, (6, 7, 4)).astype(np.int16)
    scan = Volume(array, Geometry.from_spacing(array.shape, (1.0, 1.0, 4.0)), modality="ct")
    drawn, mean, again = (
        interpolate_volume(
            scan, interpolator_named(str(tmp_path), decode=decode, seed=3), factor=2
        ).array
        for decode in ("sample", "mean", "sample")
    )
    np.testing.assert_array_equal(drawn[:, :, ::2], array)
    np.testing.assert_array_equal(drawn, again)
    assert (drawn[:, :, 1::2] != mean[:, :, 1::2]).any()
