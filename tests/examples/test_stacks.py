"""Scans as stacks of slices: which axis, which place, and which slices validate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medgen.errors import IntensityError, TrainingError
from medgen.examples.stacks import (
    SCANS_FOR_SPLIT_BY_SCAN,
    Slab,
    Stack,
    axial_square,
    lines,
    split,
    stack_of,
    turned,
)
from medgen.intensities.rule import IntensityRule
from medgen.volumes import Geometry, Volume

RULE = IntensityRule("ct", levels=2, low_hu=0.0, high_hu=100.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_stack_holds_slices_along_the_coarsest_axis(axis):
    spacing = [0.7, 0.8, 0.9]
    spacing[axis] = 4.0
    array = np.random.default_rng(0).integers(-50, 150, (4, 5, 6)).astype(np.int16)
    volume = Volume(array, Geometry.from_spacing(array.shape, spacing), 0.5, 10.0, "ct")
    stack = stack_of(volume, RULE, "a.nii", None)
    physical = np.clip(np.moveaxis(array, axis, 0) * 0.5 + 10, 0, 100)
    np.testing.assert_allclose(stack.unit, physical / 100 - 0.5, atol=1e-6)
    assert stack.unit.dtype == np.float32
    others = [mm for a, mm in enumerate((0.7, 0.8, 0.9)) if a != axis]
    assert stack.spacing_mm == pytest.approx((4.0, *others))
    assert stack.name == "a.nii"


def test_broken_voxels_are_refused():
    array = np.zeros((3, 4, 5), np.float32)
    array[1, 2, 3] = np.nan
    volume = Volume(array, Geometry.from_spacing(array.shape, (1, 1, 2)))
    for image_size in (None, 4):
        with pytest.raises(IntensityError, match="NaN"):
            stack_of(volume, RULE, "a.nii", image_size)


# === Axial squares ===


def ramp(geometry: Geometry) -> np.ndarray:
    """A function linear in RAS mm, at every voxel centre."""
    voxels = np.moveaxis(np.indices(geometry.shape), 0, -1)
    points = voxels @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    return points @ (0.4, -0.3, 0.7) + 5


def grid(order, flips, spacing, shape, angles=(0, 0, 0)) -> Geometry:
    """A grid whose array axis `a` runs along the anatomical axis `order[a]`, flipped or not."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(order)] * np.multiply(flips, spacing)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ affine[:3, :3]
    affine[:3, 3] = 12, -40, 7
    return Geometry(shape, affine)


# Order of axes, flips, spacing in mm, shape; rotation in degrees; pixels a side of the square.
GRIDS = {
    "down": ((0, 1, 2), (1, 1, 1), (1.0, 1.0, 3.0), (40, 40, 3), (0, 0, 0), 10),
    "down by a fraction": ((0, 1, 2), (1, 1, 1), (1.0, 1.0, 3.0), (41, 41, 3), (0, 0, 0), 13),
    "up": ((0, 1, 2), (1, 1, 1), (1.0, 1.0, 3.0), (14, 14, 3), (0, 0, 0), 33),
    "LPI": ((0, 1, 2), (-1, -1, -1), (0.9, 0.9, 4.0), (40, 44, 3), (0, 0, 0), 12),
    "anisotropic": ((0, 1, 2), (1, -1, 1), (0.8, 1.7, 2.0), (60, 36, 4), (0, 0, 0), 15),
    "sagittal": ((1, 2, 0), (-1, 1, 1), (0.9, 1.1, 1.6), (48, 5, 30), (0, 0, 0), 11),
    "coronal": ((0, 2, 1), (1, -1, -1), (1.0, 1.2, 2.5), (50, 6, 21), (0, 0, 0), 9),
    "oblique": ((2, 0, 1), (1, 1, -1), (2.0, 0.9, 1.3), (5, 52, 40), (11, -8, 17), 12),
}


@pytest.mark.parametrize("name", GRIDS)
def test_axial_squares_lie_where_their_affine_says(name):
    *where, size = GRIDS[name]
    geometry = grid(*where)
    volume = Volume(ramp(geometry).astype(np.float32), geometry, modality="mr")
    out = axial_square(volume, size)
    order, _, _, shape, *_ = where
    anatomical = np.array(shape)[np.argsort(order)]
    assert out.shape == (size, size, anatomical[2])
    assert out.geometry.orientation == "RAS"
    assert out.modality == "mr"

    # The field of view is a square of the longer side, centred where it was.
    def centre(geometry):
        return geometry.affine @ [*((n - 1) / 2 for n in geometry.shape), 1]

    spacing = np.array(where[2])[np.argsort(order)]
    side = max(anatomical[:2] * spacing[:2])
    np.testing.assert_allclose(np.multiply(out.spacing[:2], size), side, atol=spacing[:2].max())
    assert out.spacing[2] == pytest.approx(spacing[2])
    # A field of whole voxels can be centred to half a voxel.
    offset = np.abs(
        np.linalg.inv(out.geometry.affine[:3, :3]) @ (centre(out.geometry) - centre(geometry))[:3]
    )
    assert (offset * out.spacing <= 0.51 * spacing).all()

    # Values: away from the edges, where smoothing and padding reach, the ramp is still the ramp.
    voxels = np.moveaxis(np.indices(out.shape), 0, -1)
    old = np.linalg.inv(geometry.affine) @ out.geometry.affine
    inside = voxels @ old[:3, :3].T + old[:3, 3]
    reach = 4 * np.array(out.spacing)[order,] / np.array(where[2])
    reach[list(order).index(2)] = 0
    interior = ((inside >= reach - 1e-6) & (inside <= np.array(shape) - 1 - reach + 1e-6)).all(-1)
    assert interior.sum() >= 6
    np.testing.assert_allclose(out.array[interior], ramp(out.geometry)[interior], atol=2e-3)


def test_the_shorter_side_is_extended_by_the_lowest_value():
    array = np.full((8, 4, 2), 60.0, np.float32)
    array[0, 0, 0] = -20.0
    out = axial_square(Volume(array, Geometry.from_spacing(array.shape, (2.0, 2.0, 5.0))), 8)
    np.testing.assert_array_equal(out.array[:, [0, 1, 6, 7]], -20)
    np.testing.assert_array_equal(out.array[:, 2:6], array)
    np.testing.assert_allclose(out.geometry.affine[:3, 3], (0, -4, 0))


def test_pixels_are_averaged_down_before_they_are_picked():
    """Stripes of two pixels, whose bright ones every fourth place hits, come out grey."""
    array = np.zeros((40, 40, 2), np.float32)
    array[1::4] = array[2::4] = 100
    out = axial_square(Volume(array, Geometry.from_spacing(array.shape, (1, 1, 2))), 10)
    np.testing.assert_allclose(out.array, 50, atol=15)


def test_image_size_asks_for_axial_squares():
    geometry = grid(*GRIDS["sagittal"][:-1])
    volume = Volume(ramp(geometry).astype(np.float32), geometry, modality="ct")
    stack = stack_of(volume, RULE, "a", 9)
    square = axial_square(volume, 9)
    expected = np.clip(np.moveaxis(square.array, 2, 0), 0, 100) / 100 - 0.5
    np.testing.assert_allclose(stack.unit, expected, atol=1e-6)
    assert stack.spacing_mm == pytest.approx((square.spacing[2], *square.spacing[:2]))


# === Splits ===


def stacks(lengths, spacing_mm=2.5) -> list[Stack]:
    return [
        Stack(f"{i}.nii", np.zeros((n, 1, 1), np.float32), (spacing_mm, 1.0, 1.0))
        for i, n in enumerate(lengths)
    ]


def indices(slabs: list[Slab], stack: Stack) -> np.ndarray:
    found = [np.arange(slab.start, slab.stop) for slab in slabs if slab.stack is stack]
    return np.concatenate([*found, np.empty(0, int)])


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=SCANS_FOR_SPLIT_BY_SCAN - 1),
    st.floats(0.3, 8.0),
    st.floats(0.0, 25.0),
    st.integers(0, 2**32),
)
def test_the_guard_lies_between_training_and_validation(lengths, spacing_mm, guard_mm, seed):
    scans = stacks(lengths, spacing_mm)
    guard = int(np.ceil(guard_mm / spacing_mm))
    long_enough = [n >= 2 * max(3, round(0.15 * n)) + guard for n in lengths]
    if not any(long_enough):
        with pytest.raises(TrainingError, match=r"too few slices .* --validation"):
            split(scans, guard_mm=guard_mm, seed=seed)
        return
    training, validation = split(scans, guard_mm=guard_mm, seed=seed)
    for scan, n, splits in zip(scans, lengths, long_enough, strict=True):
        learnt, held_out = indices(training, scan), indices(validation, scan)
        assert learnt.size
        assert set(learnt) | set(held_out) <= set(range(n))
        if not splits:
            np.testing.assert_array_equal(learnt, np.arange(n))
            continue
        assert held_out.size == max(3, round(0.15 * n))
        distances = np.abs(learnt[:, None] - held_out).min(axis=1)
        assert (distances * spacing_mm > guard_mm).all()
        # Nothing but the guard is wasted.
        assert n - learnt.size - held_out.size <= 2 * guard


def test_a_stack_just_long_enough_trains_whatever_the_seed():
    """Ten slices, three held out, a guard of four: a slab in the middle would leave none."""
    for seed in range(40):
        training, validation = split(stacks([10]), guard_mm=10.0, seed=seed)
        assert len(validation) == 1
        assert len(validation[0]) == 3
        assert sum(len(slab) for slab in training) >= 1


@given(st.integers(SCANS_FOR_SPLIT_BY_SCAN, 40), st.integers(0, 2**32))
def test_many_scans_are_split_whole(count, seed):
    scans = stacks([1 + i % 3 for i in range(count)])
    training, validation = split(scans, guard_mm=10.0, seed=seed)
    assert len(validation) == max(1, round(0.15 * count))
    names = [slab.stack.name for slab in (*training, *validation)]
    assert sorted(names) == sorted(scan.name for scan in scans)
    assert all(len(slab) == len(slab.stack.unit) for slab in (*training, *validation))


def test_the_seed_decides_the_split():
    def validated(count, seed):
        _, validation = split(stacks([50] * count), guard_mm=5.0, seed=seed)
        return [(slab.stack.name, slab.start) for slab in validation]

    for count in (2, 8):
        assert validated(count, 3) == validated(count, 3)
        assert len({tuple(validated(count, seed)) for seed in range(8)}) > 1


def test_turned_slabs_hold_the_same_voxels_along_the_other_axes():
    unit = np.random.default_rng(0).normal(size=(80, 70, 90)).astype(np.float32)
    first, second = turned(Slab(Stack("scan", unit, (2.5, 1.0, 1.5)), 6, 76))
    assert first.stack.unit.shape == (70, 70, 90)
    assert first.stack.spacing_mm == (1.0, 2.5, 1.5)
    np.testing.assert_array_equal(first.stack.unit[11], unit[6:76, 11])
    assert second.stack.unit.shape == (90, 70, 70)
    assert second.stack.spacing_mm == (1.5, 2.5, 1.0)
    np.testing.assert_array_equal(second.stack.unit[12], unit[6:76, :, 12])
    assert (first.start, first.stop) == (0, 70)


@pytest.mark.parametrize(("spacing", "slices"), [((2.0, 1.0, 1.0), 50), ((4.0, 1.0, 1.0), 70)])
def test_few_or_thick_slices_are_not_turned(spacing, slices):
    unit = np.zeros((slices, 70, 90), np.float32)
    assert turned(Slab(Stack("scan", unit, spacing), 0, slices)) == []


def test_lines_are_the_rows_and_the_columns_of_each_slice():
    unit = np.arange(4 * 3 * 5, dtype=np.float32).reshape(4, 3, 5)
    found = lines(Slab(Stack("scan", unit, (4.0, 1.0, 2.0)), 1, 3))
    assert [slab.stack.name for slab in found] == [
        f"scan, {of} of slice {k}" for k in (1, 2) for of in ("rows", "columns")
    ]
    rows, columns = found[2:]
    assert (rows.start, rows.stop, rows.stack.spacing_mm) == (0, 3, (1.0, 4.0, 2.0))
    assert (columns.start, columns.stop, columns.stack.spacing_mm) == (0, 5, (2.0, 4.0, 1.0))
    np.testing.assert_array_equal(rows.stack.unit, unit[2][:, None])
    np.testing.assert_array_equal(columns.stack.unit[3], unit[2][None, :, 3])
