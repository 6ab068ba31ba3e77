"""The classical methods against SimpleITK resampling between oblique grids in mm."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medgen.interpolation import interpolate_volume, interpolator_named
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume

RAS_TO_LPS = np.diag((-1.0, -1.0, 1.0))
METHODS = {
    "nearest": sitk.sitkNearestNeighbor,
    "linear": sitk.sitkLinear,
    "bspline": sitk.sitkBSpline3,
    "sinc": sitk.sitkCosineWindowedSinc,
}


def oblique(shape, spacing):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("zyx", (20, -35, 170), degrees=True).as_matrix() * spacing
    affine[:3, 3] = (-31.0, 12.5, 140.0)
    return Geometry(shape, affine)


def random_volume(shape, spacing=(1.3, 0.9, 2.7)):
    array = np.random.default_rng(3).normal(0, 300, shape).astype(np.float32)
    return Volume(array, oblique(shape, spacing))


def sitk_image(array, geometry):
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(RAS_TO_LPS @ geometry.affine[:3, 3])
    image.SetDirection((RAS_TO_LPS @ geometry.affine[:3, :3] / geometry.spacing).ravel())
    return image


def sitk_resampled(array, source, target, method):
    """SimpleITK's own three-dimensional resampling from one grid in mm to another."""
    grid = sitk_image(np.zeros(target.shape, np.float32), target)
    image = sitk.Resample(
        sitk_image(array, source), grid, sitk.Transform(), method, 0.0, sitk.sitkFloat64
    )
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("slices", [2, 3, 13])
def test_equals_simpleitk_between_oblique_grids(name, axis, slices):
    """At every voxel, ends included; the sinc after division by what ITK makes of ones."""
    if (name, slices) == ("bspline", 2):
        pytest.skip("a position rounded past the second slice makes ITK read beyond the image")
    shape = [6, 7, 8]
    shape[axis] = slices
    volume = random_volume(tuple(shape))
    # Thirds: half-way, rounding in mm would decide between two nearest slices.
    out = interpolate_volume(volume, interpolator_named(name), factor=3, slice_axis=axis)
    expected = sitk_resampled(volume.array, volume.geometry, out.geometry, METHODS[name])
    if name == "sinc":
        ones = np.ones(volume.shape, np.float32)
        gain = sitk_resampled(ones, volume.geometry, out.geometry, METHODS[name])
        assert np.abs(gain - 1).max() < 0.001
        expected /= gain
    np.testing.assert_allclose(out.array, expected, rtol=1e-6, atol=2e-3)


@pytest.mark.parametrize("name", METHODS)
def test_equals_simpleitk_at_an_odd_spacing(name):
    volume = random_volume((5, 6, 12))
    out = interpolate_volume(volume, interpolator_named(name), spacing_mm=1.1)
    assert out.shape == (5, 6, 28)
    expected = sitk_resampled(volume.array, volume.geometry, out.geometry, METHODS[name])
    if name == "sinc":
        ones = np.ones(volume.shape, np.float32)
        expected /= sitk_resampled(ones, volume.geometry, out.geometry, METHODS[name])
    np.testing.assert_allclose(out.array, expected, rtol=1e-6, atol=2e-3)


def along_z(values, name, factor, dtype=np.float32):
    """Interpolate a column of values, in a scan of 2 x 3 such columns."""
    array = np.broadcast_to(np.asarray(values, dtype), (2, 3, len(values)))
    volume = Volume(array, Geometry.from_spacing(array.shape, (1.0, 1.0, 2.0)))
    out = interpolate_volume(volume, interpolator_named(name), factor=factor).array
    np.testing.assert_allclose(out, np.broadcast_to(out[0, 0], out.shape), atol=1e-6)
    return out[0, 0]


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_linear_reproduces_a_ramp(factor):
    result = along_z(np.arange(6) * 60 - 100, "linear", factor, np.int16)
    np.testing.assert_array_equal(result, np.arange(5 * factor + 1) * 60 / factor - 100)


def test_nearest_takes_the_nearer_and_of_two_the_later():
    values = [5, 9, -3]
    np.testing.assert_array_equal(along_z(values, "nearest", 2), [5, 9, 9, -3, -3])
    np.testing.assert_array_equal(along_z(values, "nearest", 3), [5, 5, 9, 9, 9, -3, -3])


@pytest.mark.parametrize("slices", [2, 3, 4, 9])
def test_bspline_is_the_mirrored_cubic_spline(slices):
    values = np.random.default_rng(1).normal(0, 500, slices)
    positions = np.arange(3 * slices - 2) / 3
    expected = ndimage.map_coordinates(values, [positions], order=3, mode="mirror")
    np.testing.assert_allclose(along_z(values, "bspline", 3), expected, atol=1e-3)


def test_bspline_follows_a_cubic_away_from_the_ends():
    def cubic(z):
        return 0.5 * (z - 18) ** 3 - 3 * (z - 20) ** 2 + 7 * z

    result = along_z(cubic(np.arange(41.0)), "bspline", 4)
    positions = np.arange(161) / 4
    inside = slice(60, 101)
    np.testing.assert_allclose(result[inside], cubic(positions[inside]), atol=0.01)


def test_sinc_follows_a_wave_that_linear_flattens():
    """Five slices a period, away from the ends."""
    positions = np.arange(161) / 4
    wave = 100 * np.sin(2 * np.pi * positions / 5)
    inside = slice(24, 137)

    def error(name):
        return np.abs(along_z(wave[::4], name, 4) - wave)[inside].max()

    assert error("linear") > 15
    assert error("bspline") < 3
    assert error("sinc") < 0.3


@pytest.mark.parametrize("name", ["linear", "bspline", "sinc"])
def test_two_slices_meet_half_way(name):
    np.testing.assert_allclose(along_z([-40, 100], name, 2), [-40, 30, 100], atol=1e-4)
