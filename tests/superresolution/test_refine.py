"""A scan in, finer voxels out: grid, stored values, padding, background, what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from medgen.errors import BundleError, GeometryError, IntensityError
from medgen.superresolution import CLASSICAL, Part, SuperResolver, superresolve_volume
from medgen.superresolution.refine import bytes_needed
from medgen.volumes import Geometry, Volume


class Sure(SuperResolver):
    """Puts a number everywhere, with a deviation."""

    name = "sure"
    tells_uncertainty = True
    only_factor = 2

    def __init__(self, value=0.0):
        self.value = value

    def refine(self, stack, factor, progress, *, in_plane=False, uncertainty=False):
        self.require(factor, in_plane=in_plane, uncertainty=uncertainty)
        self.seen = stack
        values = np.full([n * factor for n in stack.shape], self.value)
        maps = {"std": values * 0 + 2, "low": values - 3, "high": values + 3}
        box = tuple(slice(0, n) for n in stack.shape)
        yield Part(box, values, maps if uncertainty else None)


def scan(array, modality="ct", **fields):
    geometry = Geometry.from_spacing(array.shape, (1.0, 2.0, 4.0), (10.0, 20.0, 30.0))
    return Volume(array, geometry, modality=modality, **fields)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_nearest_splits_voxels_whatever_axis_the_slices_lie_along(axis):
    array = np.random.default_rng(0).integers(-800, 800, (3, 4, 5)).astype(np.int16)
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = 3.0
    volume = Volume(array, Geometry.from_spacing(array.shape, spacing), modality="ct")
    finer = superresolve_volume(volume, CLASSICAL["nearest"], 2).volume
    assert finer.geometry == volume.geometry.subdivide(2)
    assert finer.array.dtype == array.dtype
    np.testing.assert_array_equal(finer.array, array.repeat(2, 0).repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_in_plane_slices_stay_as_they_are(kept):
    """Along whatever axis, and were there but one of them."""
    shape = [4, 5, 6]
    shape[kept] = 1
    array = np.random.default_rng(0).integers(-800, 800, shape).astype(np.int16)
    volume = scan(array, metadata={"slice_thickness_mm": 6.0})
    finer = superresolve_volume(volume, CLASSICAL["nearest"], 2, kept=kept).volume
    assert finer.geometry == volume.geometry.subdivide(2, kept)
    for axis in {0, 1, 2} - {kept}:
        array = array.repeat(2, axis)
    np.testing.assert_array_equal(finer.array, array)
    assert finer.metadata["slice_thickness_mm"] == 6.0
    with pytest.raises(GeometryError, match="--in-plane leaves the axis of the slices"):
        superresolve_volume(volume, CLASSICAL["nearest"], 2)


def test_stored_values_are_rounded_and_limited():
    array = np.array([0, 255] * 8, np.uint8).reshape(2, 2, 4)
    volume = scan(array, "mr", slope=2.0, intercept=10.0)
    finer = superresolve_volume(volume, CLASSICAL["lanczos"], 2).volume
    assert (finer.slope, finer.intercept, finer.array.dtype) == (2.0, 10.0, np.uint8)
    assert (finer.array.min(), finer.array.max()) == (0, 255)


def test_padding_and_background_stay():
    array = np.random.default_rng(0).integers(100, 900, (12, 12, 4)).astype(np.int16)
    array[:3], array[:, :2] = -1000, -3024  # air of one value, and beyond it padding
    resolver = Sure(50.0)
    refined = superresolve_volume(scan(array), resolver, 2, uncertainty=True)
    assert resolver.seen.array.min() >= -1024  # no padding is seen
    finer, split = refined.volume.array, array.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    held = split < 0
    np.testing.assert_array_equal(finer[held], split[held])
    assert (finer[~held] == 50).all()
    std, low, high = (refined.uncertainty[name].array for name in ("std", "low", "high"))
    assert (std[held] == 0).all()
    assert (std[~held] == 2).all()
    np.testing.assert_array_equal(low[held], split[held])
    assert set(np.unique((high - low)[~held])) == {6}
    assert refined.uncertainty["std"].geometry == refined.volume.geometry


def test_thickness_goes_with_the_voxels():
    volume = scan(np.zeros((4, 4, 4), np.int16), metadata={"slice_thickness_mm": 6.0})
    finer = superresolve_volume(volume, CLASSICAL["linear"], 3).volume
    assert finer.metadata["slice_thickness_mm"] == 2.0


def test_labels_are_split_and_nothing_else():
    array = np.random.default_rng(0).choice([0, 7, 2000], (3, 4, 2)).astype(np.int32)
    labels = scan(array, "labels")
    finer = superresolve_volume(labels, CLASSICAL["nearest"], 3).volume
    np.testing.assert_array_equal(finer.array, array.repeat(3, 0).repeat(3, 1).repeat(3, 2))
    with pytest.raises(BundleError, match=r"linear makes new values.*label map"):
        superresolve_volume(labels, CLASSICAL["linear"], 2)


def test_what_is_refused():
    volume = scan(np.ones((4, 4, 4), np.float32))
    linear = CLASSICAL["linear"]
    with pytest.raises(BundleError, match=r"sure makes 2 voxels of one .* got a factor of 3"):
        superresolve_volume(volume, Sure(), 3)
    with pytest.raises(BundleError, match="linear cannot tell the uncertainty"):
        superresolve_volume(volume, linear, 2, uncertainty=True)
    with pytest.raises(IntensityError, match="sure gave NaN"):
        superresolve_volume(volume, Sure(np.nan), 2)
    with pytest.raises(IntensityError, match="NaN or infinite"):
        superresolve_volume(replace(volume, array=volume.array * np.inf), linear, 2)
    with pytest.raises(GeometryError, match="at least 2 along each axis"):
        superresolve_volume(scan(np.ones((4, 1, 4), np.int16)), linear, 2)
    with pytest.raises(GeometryError, match="must be at least 2, got 1"):
        superresolve_volume(volume, linear, 1)
    colour = Volume(
        np.ones((4, 4, 4, 2), np.float32), volume.geometry, modality="mr", channels=("a", "b")
    )
    with pytest.raises(GeometryError, match="one value a voxel"):
        superresolve_volume(colour, linear, 2)


def test_memory_grows_with_what_is_asked():
    volume = scan(np.ones((64, 64, 64), np.int16))
    least = bytes_needed(volume, CLASSICAL["linear"], 2)
    assert least > volume.array.size * 8 * 2
    assert bytes_needed(volume, CLASSICAL["linear"], 4) > least
    assert bytes_needed(volume, CLASSICAL["linear"], 2, uncertainty=True) > least
    assert bytes_needed(volume, CLASSICAL["linear"], 4) < 3 * 2**30
