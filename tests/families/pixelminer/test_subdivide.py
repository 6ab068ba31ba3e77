"""Pixels split by a PixelMiner: grid, order of rows and columns, what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from medgen.bundles.bundle import Bundle
from medgen.errors import BundleError, RecipeError
from medgen.families.pixelminer import FAMILY
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.families.pixelminer.subdivide import InPlaneResolver
from medgen.intensities.rule import IntensityRule
from medgen.superresolution import CLASSICAL, superresolve_volume
from medgen.volumes import Geometry, Volume

RECIPE = replace(PIXELMINER_RECIPES["in-plane-x2"], conditioner_filters=4, conditioner_blocks=1)


def bundle(recipe=RECIPE, modality="ct", *, linear=False) -> Bundle:
    """An untrained model; `linear`, one that has learnt nothing beyond linear interpolation."""
    net = pixelminer_from(recipe, 2048, seed=1)
    if linear:
        kernel, bias = net.prediction.weights
        kernel.assign(np.zeros(kernel.shape))
        bias.assign(np.zeros(bias.shape))
    rule = IntensityRule(modality)
    return Bundle("pixelminer", rule, {"pixelminer": recipe}, {"pixelminer": net})


def scan(shape, spacing, modality="ct") -> Volume:
    array = np.random.default_rng(0).integers(-900, 900, shape).astype(np.int16)
    return Volume(array, Geometry.from_spacing(shape, spacing), modality=modality)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("axis", [0, 2])
def test_a_net_that_knows_nothing_interpolates_on_the_subdivided_grid(factor, axis):
    shape, spacing = [7, 8, 9], [0.7, 0.8, 0.9]
    shape[axis], spacing[axis] = 2, 5.0
    volume = scan(shape, spacing)
    resolver = InPlaneResolver(bundle(replace(RECIPE, subdivides=factor), linear=True))
    finer = superresolve_volume(volume, resolver, factor, kept=axis).volume
    linear = superresolve_volume(volume, CLASSICAL["linear"], factor, kept=axis).volume
    assert finer.geometry == volume.geometry.subdivide(factor, axis) == linear.geometry
    np.testing.assert_allclose(finer.array, linear.array, atol=2)  # levels between the two steps


def test_values_beyond_the_range_are_not_cut_off():
    volume = scan((6, 7, 2), (0.7, 0.8, 5.0))
    array = volume.array.copy()
    array[2:4, 2:5] = 2500
    volume = replace(volume, array=array)
    resolver = InPlaneResolver(bundle(linear=True))
    finer = superresolve_volume(volume, resolver, 2, kept=2).volume
    linear = superresolve_volume(volume, CLASSICAL["linear"], 2, kept=2).volume
    assert finer.array.max() == 2500
    np.testing.assert_allclose(finer.array, linear.array, atol=2)


def test_slices_do_not_see_each_other_and_nothing_is_drawn():
    volume = scan((6, 7, 3), (0.7, 0.8, 5.0))
    resolver = InPlaneResolver(bundle())
    made = superresolve_volume(volume, resolver, 2, kept=2).volume.array
    array = volume.array.copy()
    array[:, :, 1] = 500 - array[:, :, 1]
    other = superresolve_volume(replace(volume, array=array), resolver, 2, kept=2).volume.array
    np.testing.assert_array_equal(made[:, :, [0, 2]], other[:, :, [0, 2]])
    assert (made[:, :, 1] != other[:, :, 1]).any()


def test_what_is_refused():
    volume = scan((6, 7, 3), (0.7, 0.8, 5.0))
    resolver = FAMILY.superresolver(bundle())
    with pytest.raises(BundleError, match="makes pixels finer, and no slices; add --in-plane"):
        superresolve_volume(volume, resolver, 2)
    with pytest.raises(BundleError, match="makes 2 voxels of one"):
        superresolve_volume(volume, resolver, 3, kept=2)
    with pytest.raises(BundleError, match="cannot fill in slices; use medgen superresolve"):
        FAMILY.interpolator(bundle())
    with pytest.raises(BundleError, match="cannot be exported"):
        FAMILY.served(bundle())
    with pytest.raises(BundleError, match="cannot make voxels finer"):
        FAMILY.superresolver(bundle(replace(RECIPE, subdivides=None)))
    for wrong in ({"in_plane": False}, {"subdivides": 3}):
        with pytest.raises(RecipeError, match="subdivides must be an even number"):
            replace(RECIPE, **wrong)


def test_memory_goes_with_the_size_of_a_slice():
    resolver = InPlaneResolver(bundle())
    assert resolver.bytes_needed(512, 512) == 4 * resolver.bytes_needed(256, 256) > 2**26
