"""Low resolution: the mean over voxels or a point spread, on a grid that is shifted nowhere."""

import numpy as np
import pytest

from medgen.degradation import DEGRADATIONS, coarsened, degrade, profile, whole_voxels
from medgen.errors import GeometryError
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import Geometry, Volume

OBLIQUE = np.array(
    [[0.8, 0.3, 0.0, -20.0], [-0.3, 0.8, 0.1, 35.0], [0.05, -0.1, 2.0, 7.0], [0, 0, 0, 1]]
)
SLOPE = np.array([3.0, -2.0, 1.5])  # a mm


def ramp(shape: tuple[int, int, int], affine: np.ndarray = OBLIQUE) -> Volume:
    """Every voxel is a linear function of where its centre lies in mm."""
    return Volume(places(shape, affine) @ SLOPE + 100, Geometry(shape, affine), modality="mr")


def places(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Centres of all voxels `(i, j, k, 3)` in mm."""
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return indices @ affine[:3, :3].T + affine[:3, 3]


@pytest.mark.parametrize("kept", [None, 1])
@pytest.mark.parametrize("by", DEGRADATIONS)
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_ramp_stays_where_it_is_in_mm(by, factor, kept):
    fine = ramp((5 * factor, 4 * factor, 6 * factor))
    coarse = degrade(fine, factor, by, kept)
    assert coarse.geometry == fine.geometry.merge(factor, kept)
    expected = ramp(coarse.shape, coarse.geometry.affine).array
    inner = slice(1, -1)  # a point spread sees beyond the ends
    # A ramp has an edge where it is mirrored, at which a spectrum that is cut off rings.
    rings = 0.15 * np.abs(SLOPE @ OBLIQUE[:3, :3]).sum() if by == "kspace" else 0
    np.testing.assert_allclose(
        coarse.array[inner, inner, inner], expected[inner, inner, inner], rtol=1e-9, atol=rings
    )


@pytest.mark.parametrize("kept", [None, 1])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_kspace_keeps_a_band_limited_phantom_at_its_place_in_mm(factor, kept):
    fine = Geometry((16 * factor, 18 * factor, 20 * factor), OBLIQUE)
    middle = OBLIQUE[:3, :3] @ (np.array(fine.shape) * (0.48, 0.5, 0.55)) + OBLIQUE[:3, 3]

    def phantom(grid: Geometry) -> np.ndarray:
        # A Gaussian of 2 coarse voxels; what of its spectrum is cut off is exp(-2 pi^2), 3e-9.
        inverse = np.linalg.inv(OBLIQUE[:3, :3]) / (2 * factor)
        away = (places(grid.shape, grid.affine) - middle) @ inverse.T
        return np.exp(-(away**2).sum(-1) / 2)

    coarse = degrade(Volume(phantom(fine), fine, modality="mr"), factor, "kspace", kept)
    # Its tails end at the borders of the grid, 3.6 standard deviations away.
    inner = slice(4, -4)
    np.testing.assert_allclose(
        coarse.array[inner, inner, inner],
        phantom(fine.merge(factor, kept))[inner, inner, inner],
        atol=2e-5,
    )


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_kspace_keeps_waves_below_the_coarse_limit_exactly_and_no_others(factor):
    counts = (5, 4, 6)

    def wave(numbers: tuple[int, int, int], parts: int) -> np.ndarray:
        lines = [
            np.cos(np.pi * number * (np.arange(n * parts) + 0.5) / (n * parts))
            for number, n in zip(numbers, counts, strict=True)
        ]
        return np.einsum("i,j,k->ijk", *lines)

    low = coarsened(wave((4, 3, 5), factor), factor, "kspace")
    np.testing.assert_allclose(low, wave((4, 3, 5), 1), atol=1e-12)
    for high in ((5, 3, 5), (4, 4, 5), (4, 3, 6)):
        assert np.abs(coarsened(wave(high, factor), factor, "kspace")).max() < 1e-12


def test_the_mean_is_that_of_the_parts():
    values = np.random.default_rng(0).normal(size=(4, 6, 9))
    parts = values[:, :, :8].reshape(2, 2, 3, 2, 4, 2)
    np.testing.assert_allclose(coarsened(values, 2), parts.mean(axis=(1, 3, 5)))
    np.testing.assert_allclose(coarsened(values, 3, axes=(1,))[:, 1], values[:, 3:6].mean(axis=1))


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_point_spread_is_as_wide_as_a_voxel(factor):
    weights = profile("gaussian", factor)
    assert len(weights) == 3 * factor
    np.testing.assert_allclose(weights, weights[::-1])
    assert weights.sum() == pytest.approx(1)
    distance = np.arange(3 * factor) - (3 * factor - 1) / 2
    variance = (weights * distance**2).sum()
    assert np.sqrt(variance) * 2.3548 == pytest.approx(factor, rel=0.02)


def test_values_are_physical_and_what_is_beyond_whole_voxels_is_left_out():
    scan = Volume(
        np.full((5, 4, 7), 24, np.int16),
        Geometry.from_spacing((5, 4, 7), (1.0, 2.0, 3.0)),
        slope=2.0,
        intercept=-1024.0,
        modality="ct",
    )
    coarse = degrade(scan, 2)
    assert (coarse.shape, coarse.modality, coarse.is_scaled) == ((2, 2, 3), "ct", False)
    assert (coarse.array == 48 - 1024).all()
    with pytest.raises(GeometryError, match=r"3 times as long needs 6 .* got 5 x 4 x 7"):
        whole_voxels(scan.geometry, 3)
    single = Geometry.from_spacing((5, 1, 7), (1.0, 2.0, 3.0))
    assert whole_voxels(single, 2, kept=1) == (slice(4), slice(1), slice(6))


def test_a_phantom_keeps_its_mean():
    fine = phantom_volume("ct", (12, 16, 8), (5.0, 4.0, 6.0), 0)
    for by in ("mean", "kspace"):
        assert degrade(fine, 4, by).array.mean() == pytest.approx(fine.array.mean(), abs=1e-3)
