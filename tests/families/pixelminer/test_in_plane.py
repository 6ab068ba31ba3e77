"""Rows missing within slices: each slice is filled in by itself, whatever the order of its axes."""

from dataclasses import replace

import numpy as np
import pytest

from medgen.bundles.bundle import Bundle, save_bundle
from medgen.errors import BundleError
from medgen.families.pixelminer.build import pixelminer_from
from medgen.families.pixelminer.in_plane import InPlaneInterpolator, through_axis
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.intensities.rule import IntensityRule
from medgen.interpolation import interpolate_volume, interpolator_named
from medgen.volumes import Geometry, Volume

RECIPE = PixelMinerRecipe(
    context=2, filters=4, blocks=1, mixtures=2, conditioner_filters=4, conditioner_blocks=1,
    in_plane=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    nets = {"pixelminer": pixelminer_from(RECIPE, 2048, seed=1)}
    bundle = Bundle("pixelminer", IntensityRule("ct"), {"pixelminer": RECIPE}, nets)
    save_bundle(bundle, folder, "# Card\n")
    return folder


@pytest.fixture(scope="module")
def interpolator(folder):
    return interpolator_named(str(folder))


def scan(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Volume:
    array = np.random.default_rng(0).integers(-900, 900, shape).astype(np.int16)
    return Volume(array, Geometry.from_spacing(shape, spacing), modality="ct")


def test_a_single_slice_gets_rows_between_its_rows(interpolator):
    assert isinstance(interpolator, InPlaneInterpolator)
    image = scan((5, 9, 1), (2.0, 0.7, 5.0))
    finer = interpolate_volume(image, interpolator, factor=2, slice_axis=0)
    assert finer.shape == (9, 9, 1)
    np.testing.assert_array_equal(finer.array[::2], image.array)
    assert finer.spacing == pytest.approx((1.0, 0.7, 5.0))
    assert finer.array[1::2].std() > 10


def test_slices_do_not_see_each_other(interpolator):
    image = scan((4, 8, 3), (2.0, 0.7, 5.0))
    finer = interpolate_volume(image, interpolator, factor=2, slice_axis=0)
    array = image.array.copy()
    array[:, :, 1] = 500 - array[:, :, 1]
    other = interpolate_volume(replace(image, array=array), interpolator, factor=2, slice_axis=0)
    np.testing.assert_array_equal(finer.array[:, :, [0, 2]], other.array[:, :, [0, 2]])
    assert (finer.array[1::2, :, 1] != other.array[1::2, :, 1]).any()
    # Not the same noise in all of them.
    alike = replace(image, array=np.repeat(image.array[:, :, :1], 3, axis=2))
    drawn = interpolate_volume(alike, interpolator, factor=2, slice_axis=0).array
    assert (drawn[1::2, :, 0] != drawn[1::2, :, 1]).any()


def test_columns_are_written_as_rows_are(interpolator):
    """Slices along axis 0, missing columns along axis 2: the plane has its slices in the rows."""
    image = scan((3, 8, 4), (5.0, 0.7, 2.0))
    finer = interpolate_volume(image, interpolator, factor=2, slice_axis=2)
    np.testing.assert_array_equal(finer.array[:, :, ::2], image.array)
    assert finer.shape == (3, 8, 7)
    single = scan((1, 8, 4), (5.0, 0.7, 2.0))
    turned = Volume(
        np.ascontiguousarray(single.array.transpose(1, 0, 2)),
        Geometry.from_spacing((8, 1, 4), (0.7, 5.0, 2.0)),
        modality="ct",
    )
    np.testing.assert_array_equal(
        interpolate_volume(single, interpolator, factor=2, slice_axis=2).array[0],
        interpolate_volume(turned, interpolator, factor=2, slice_axis=2).array[:, 0],
    )


@pytest.mark.parametrize(
    ("shape", "spacing", "axis"),
    [
        ((5, 9, 1), (2, 1, 1), 2),
        ((5, 1, 9), (2, 1, 9), 1),
        ((5, 4, 9), (2, 3, 1), 1),
        ((5, 4, 9), (2, 1, 3), 2),
        ((5, 4, 9), (2, 1, 1), 2),
    ],
)
def test_slices_run_through_a_plane_along_its_coarser_axis(shape, spacing, axis):
    assert through_axis(scan(shape, spacing)) == axis


def test_a_temperature_cannot_be_matched(folder):
    with pytest.raises(BundleError, match="single rows, whose noise cannot be matched"):
        interpolator_named(str(folder), temperature="auto")


def test_the_recipe():
    recipe = PIXELMINER_RECIPES["in-plane"]
    assert recipe.in_plane
    assert recipe.autoregressive
