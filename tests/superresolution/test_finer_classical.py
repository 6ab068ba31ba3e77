"""Classical methods put finer voxels where they belong: ramps, and ITK on the grids in mm."""

import numpy as np
import pytest
import SimpleITK as sitk

from medgen.degradation import degrade
from medgen.phantoms.phantom import phantom_volume
from medgen.superresolution import CLASSICAL
from medgen.superresolution.classical import LANCZOS_RADIUS, lanczos_weights
from medgen.volumes import Geometry, Volume

AFFINE = np.array(
    [[0.8, 0.3, 0.0, -20.0], [-0.3, 0.8, 0.1, 35.0], [0.05, -0.1, 2.0, 7.0], [0, 0, 0, 1]]
)


def refined(name, stack, factor, kept=None):
    """The finer scan, from parts that cover it, each voxel once."""
    out = np.full(stack.geometry.subdivide(factor, kept).shape, np.nan, stack.array.dtype)
    parts = Geometry.parts_along(factor, kept)
    in_plane = kept is not None
    for part in CLASSICAL[name].refine(stack, factor, lambda done, total: None, in_plane=in_plane):
        place = tuple(slice(s.start * n, s.stop * n) for s, n in zip(part.box, parts, strict=True))
        assert np.isnan(out[place]).all()
        out[place] = part.values
    assert np.isfinite(out).all()
    return out


def ramp(geometry):
    indices = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1)
    places = indices @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    return (places @ (0.03, -0.02, 0.015)).astype(np.float32)


@pytest.mark.parametrize("kept", [None, 0])
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("name", ["linear", "bspline"])
def test_a_ramp_in_mm_comes_back(name, factor, kept):
    """Far from the ends, where nothing lies beyond: a spline forgets them by 0.27 a voxel."""
    geometry = Geometry((22, 21, 23), AFFINE)
    stack = Volume(ramp(geometry), geometry)
    made, expected = refined(name, stack, factor, kept), ramp(geometry.subdivide(factor, kept))
    inner = (slice(9 * factor, -9 * factor),) * 3
    np.testing.assert_allclose(made[inner], expected[inner], atol=1e-5)


@pytest.mark.parametrize("name", CLASSICAL)
def test_it_is_itk_between_the_grids_in_mm(name):
    """With origins and spacings as ITK is told them, of the image and of the finer grid."""
    factor, shape, spacing = 3, (9, 8, 12), (2.0, 1.5, 1.0)
    values = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
    geometry = Geometry.from_spacing(shape, spacing, (5.0, -7.0, 11.0))
    made = refined(name, Volume(values, geometry), factor)

    def image_of(array, of):
        image = sitk.GetImageFromArray(array.T)
        image.SetSpacing(of.spacing)
        image.SetOrigin(of.affine[:3, 3].tolist())
        return image

    codes = {
        "nearest": sitk.sitkNearestNeighbor,
        "linear": sitk.sitkLinear,
        "bspline": sitk.sitkBSpline,
        "lanczos": sitk.sitkLanczosWindowedSinc,
    }
    finer = geometry.subdivide(factor)
    grid = image_of(np.zeros(finer.shape, np.float32), finer)

    def resampled(array):
        image = image_of(array, geometry)
        out = sitk.Resample(image, grid, sitk.Transform(), codes[name], -1e6, sitk.sitkFloat64)
        return sitk.GetArrayFromImage(out).T

    expected = resampled(values)
    if name == "lanczos":  # ITK's weights do not sum to 1
        expected = expected / resampled(np.ones_like(values))
    inner = tuple(slice(2 * factor, -2 * factor) for _ in range(3))
    if name == "bspline":  # mirrored about the last centre there, going on here
        inner = tuple(slice(factor * n // 2 - 2, factor * n // 2 + 2) for n in shape)
    tolerance = {"nearest": 0, "bspline": 0.3}.get(name, 2e-3)
    np.testing.assert_allclose(made[inner], expected[inner], atol=tolerance)


@pytest.mark.parametrize("name", CLASSICAL)
def test_in_plane_slices_do_not_see_each_other(name):
    values = np.random.default_rng(0).normal(100, 20, (7, 9, 8)).astype(np.float32)
    geometry = Geometry.from_spacing(values.shape, (2.0, 1.5, 1.0))
    made = refined(name, Volume(values, geometry), 3, kept=0)
    for k in range(7):
        single = Volume(values[k : k + 1], Geometry.from_spacing((1, 9, 8), (2.0, 1.5, 1.0)))
        np.testing.assert_allclose(refined(name, single, 3, kept=0)[0], made[k], atol=1e-3)


def test_lanczos_weighs_no_voxel_beyond_its_window():
    weights = lanczos_weights(4)
    assert weights.shape == (4, 2 * LANCZOS_RADIUS + 1)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights, weights[::-1, ::-1])


@pytest.mark.parametrize("name", CLASSICAL)
def test_small_and_constant_scans(name):
    stack = Volume(np.full((2, 3, 5), 7.0, np.float32), Geometry.from_spacing((2, 3, 5), (1, 2, 3)))
    np.testing.assert_allclose(refined(name, stack, 2), 7, rtol=1e-6)


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("factor", [2, 3])
def test_a_phantom_known_at_every_place_is_not_shifted(name, factor):
    """Made coarse and fine again, it lies where it lay: to first order no axis has moved."""
    fine = phantom_volume("mr", (12 * factor, 14 * factor, 10 * factor), (3.0, 3.0, 4.0), 1)
    values = fine.to_physical()
    coarse = degrade(fine, factor)
    assert coarse.geometry.subdivide(factor) == fine.geometry
    stack = Volume(coarse.array, coarse.geometry)
    error = refined(name, stack, factor) - values
    inner = (slice(2 * factor, -2 * factor),) * 3
    for slope in np.gradient(values):
        moved = (error * slope)[inner].sum() / (slope * slope)[inner].sum()
        assert abs(moved) < 0.05  # of a fine voxel; a grid of the same origin is 0.5 or 1 off
