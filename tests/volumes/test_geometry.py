"""Laws of the grid: what refining and respacing must leave where it is."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medgen.errors import GeometryError
from medgen.volumes import Geometry

lengths_mm = st.floats(0.2, 8.0)
coordinates_mm = st.floats(-500.0, 500.0)


@st.composite
def geometries(draw):
    """Oblique, flipped, axis-swapped, anisotropic: every orthogonal grid there is."""
    shape = draw(st.tuples(*[st.integers(2, 40)] * 3))
    turn = Rotation.from_euler("xyz", draw(st.tuples(*[st.floats(-180, 180)] * 3)), degrees=True)
    order = draw(st.sampled_from(list(itertools.permutations(range(3)))))
    flips = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    affine = np.eye(4)
    affine[:3, :3] = (turn.as_matrix()[:, order] * flips) * draw(st.tuples(*[lengths_mm] * 3))
    affine[:3, 3] = draw(st.tuples(*[coordinates_mm] * 3))
    return Geometry(shape, affine)


def place(geometry, index):
    return (geometry.affine @ [*index, 1.0])[:3]


@given(geometries(), st.integers(0, 2), st.integers(2, 7))
@settings(max_examples=100)
def test_refine_keeps_every_acquired_center(geometry, axis, factor):
    fine = geometry.refine(axis, factor)
    n = geometry.shape[axis]
    assert fine.shape[axis] == (n - 1) * factor + 1
    assert [fine.shape[a] for a in range(3) if a != axis] == [
        geometry.shape[a] for a in range(3) if a != axis
    ]
    np.testing.assert_allclose(fine.centers(axis)[::factor], geometry.centers(axis), atol=1e-9)
    last, fine_last = (tuple(n - 1 for n in g.shape) for g in (geometry, fine))
    np.testing.assert_allclose(place(fine, fine_last), place(geometry, last), atol=1e-9)
    np.testing.assert_allclose(fine.spacing[axis] * factor, geometry.spacing[axis])


@given(geometries(), st.integers(0, 2), st.floats(0.05, 0.99))
@settings(max_examples=100)
def test_respace_starts_at_the_first_center_and_stays_inside(geometry, axis, ratio):
    old = geometry.spacing[axis]
    new = geometry.respace(axis, ratio * old)
    np.testing.assert_allclose(new.spacing[axis], ratio * old)
    np.testing.assert_array_equal(new.affine[:3, 3], geometry.affine[:3, 3])
    length = (geometry.shape[axis] - 1) * old
    reach = (new.shape[axis] - 1) * ratio * old
    assert reach <= length + 1e-3 * old
    assert reach + ratio * old > length


@given(geometries(), st.integers(0, 2), st.integers(2, 7))
@settings(max_examples=50)
def test_respace_by_a_whole_fraction_is_refine(geometry, axis, factor):
    assert geometry.respace(axis, geometry.spacing[axis] / factor) == geometry.refine(axis, factor)


def test_spacing_and_orientation_follow_the_affine_not_the_axes():
    # i runs to the left in steps of 2, j up in steps of 5, k backwards in steps of 3.
    affine = np.array([[-2, 0, 0, 10], [0, 0, -3, 20], [0, 5, 0, 30], [0, 0, 0, 1]], float)
    geometry = Geometry((4, 5, 6), affine)
    assert geometry.spacing == (2.0, 5.0, 3.0)
    assert geometry.orientation == "LSP"
    assert geometry.slice_axis == 1
    assert geometry.obliquity_deg == 0
    np.testing.assert_array_equal(geometry.centers(1)[2], [10, 20, 40])
    assert not geometry.is_sheared


def test_from_spacing():
    geometry = Geometry.from_spacing((2, 3, 4), (0.5, 1.5, 2.5), (7, 8, 9))
    np.testing.assert_array_equal(place(geometry, (1, 2, 3)), [7.5, 11, 16.5])


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [((1, 1, 1), 2), ((3, 1, 1), 0), ((1, 2, 2), 2), ((2, 2, 1), 1), ((1, 1.005, 1), 2)],
)
def test_slices_are_stacked_along_the_coarsest_axis_the_last_among_equals(spacing, axis):
    assert Geometry.from_spacing((4, 4, 4), spacing).slice_axis == axis


def test_obliquity_is_the_angle_of_the_most_tilted_axis():
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("x", 16.5, degrees=True).as_matrix() * [1, 2, 3]
    np.testing.assert_allclose(Geometry((3, 4, 5), affine).obliquity_deg, 16.5)


def test_shear_is_seen_from_a_sixteenth_of_a_degree_on():
    affine = np.eye(4)
    for angle_deg, sheared in ((0.05, False), (0.07, True), (14.0, True)):
        affine[:3, 2] = [0, np.sin(np.radians(angle_deg)), np.cos(np.radians(angle_deg))]
        assert Geometry((3, 4, 5), affine).is_sheared is sheared


def test_distance_is_that_of_the_corner_that_moves_most():
    geometry = Geometry.from_spacing((11, 5, 3), (1, 1, 1))
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    np.testing.assert_allclose(geometry.distance_mm(turned), np.hypot(10, 4) * np.sqrt(2))


def test_equal_within_a_micrometre_at_every_corner():
    geometry = Geometry.from_spacing((100, 2, 2), (1, 1, 1))
    assert geometry == Geometry.from_spacing((100, 2, 2), (1 + 0.9e-5, 1, 1))
    assert geometry != Geometry.from_spacing((100, 2, 2), (1 + 1.1e-5, 1, 1))
    assert geometry != Geometry.from_spacing((100, 2, 3), (1, 1, 1))


@pytest.mark.parametrize(
    ("shape", "affine", "words"),
    [
        ((3, 4), np.eye(4), "three axes"),
        ((3, 4, 0), np.eye(4), "at least one voxel"),
        ((3, 4, 5), np.eye(3), "4x4"),
        ((3, 4, 5), np.full((4, 4), np.nan), "finite"),
        ((3, 4, 5), np.diag([1, 1, 1, 2]), "last row"),
        ((3, 4, 5), np.diag([1, 0, 1, 1]), "zero length"),
        ((3, 4, 5), [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "parallel"),
    ],
)
def test_refuses_what_is_no_grid(shape, affine, words):
    with pytest.raises(GeometryError, match=words):
        Geometry(shape, affine)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda g: g.refine(2, 1), "at least 2"),
        (lambda g: g.refine(0, 2), "at least 2 slices"),
        (lambda g: g.refine(3, 2), "0, 1 or 2"),
        (lambda g: g.respace(2, 5.0), "below the present 5 mm"),
        (lambda g: g.respace(2, 0.0), "above 0"),
        (lambda g: g.respace(2, float("nan")), "above 0"),
        (lambda g: g.respace(0, 0.5), "at least 2 slices"),
    ],
)
def test_refuses_what_cannot_be_interpolated(call, words):
    with pytest.raises(GeometryError, match=words):
        call(Geometry.from_spacing((1, 4, 6), (1, 1, 5)))


def test_affine_cannot_be_changed():
    geometry = Geometry.from_spacing((2, 3, 4), (1, 1, 1))
    with pytest.raises(ValueError, match="read-only"):
        geometry.affine[0, 0] = 2


def test_geometries_of_micrometres_are_told_apart_by_their_voxels():
    """1 % of 5 micrometres; of voxels of 0.1 mm and more 1 micrometre."""
    small = Geometry.from_spacing((3, 4, 5), (0.005, 0.006, 0.007))
    assert small == Geometry.from_spacing((3, 4, 5), (0.005, 0.006, 0.007), (0.00004, 0, 0))
    assert small != Geometry.from_spacing((3, 4, 5), (0.005, 0.006, 0.007), (0.00006, 0, 0))
    usual = Geometry.from_spacing((3, 4, 5), (0.5, 0.6, 0.7))
    assert usual == Geometry.from_spacing((3, 4, 5), (0.5, 0.6, 0.7), (0.0009, 0, 0))
    assert usual != Geometry.from_spacing((3, 4, 5), (0.5, 0.6, 0.7), (0.0011, 0, 0))
    shifted = Geometry.from_spacing((3, 4, 5), (0.005, 0.006, 0.007), (0.002, 0, 0))
    assert small.close_to(shifted, tolerance_mm=0.1, tolerance_voxels=0.5)
    assert not small.close_to(shifted, tolerance_mm=0.1, tolerance_voxels=0.3)


@given(geometries(), st.sampled_from([2, 3, 4]), st.sampled_from([None, 0, 1, 2]))
@settings(max_examples=50)
def test_subdividing_fills_the_same_space(grid, factor, kept):
    parts = np.array([1 if axis == kept else factor for axis in range(3)])
    finer = grid.subdivide(factor, kept)
    assert finer.shape == tuple(parts * grid.shape)
    np.testing.assert_allclose(finer.spacing, grid.spacing / parts)
    # The outer corners, half a voxel beyond the outermost centres, stay.
    for corner in itertools.product((0, 1), repeat=3):
        ours, theirs = (
            g.affine @ [*(np.multiply(corner, g.shape) - 0.5), 1] for g in (grid, finer)
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    # The mean place of a voxel's parts is its own.
    np.testing.assert_allclose(
        finer.affine @ [*((parts - 1) / 2), 1], grid.affine @ [0, 0, 0, 1], atol=1e-6
    )
    assert finer.merge(factor, kept) == grid


def test_what_cannot_be_subdivided_or_merged():
    grid = Geometry.from_spacing((4, 3, 5), (1.0, 2.0, 3.0))
    for change in (grid.subdivide, grid.merge):
        with pytest.raises(GeometryError, match="must be at least 2, got 1"):
            change(1)
    with pytest.raises(GeometryError, match=r"multiples of 2, got shape \(4, 3, 5\)"):
        grid.merge(2)
