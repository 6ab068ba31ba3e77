import numpy as np
import pytest

from medgen.errors import GeometryError
from medgen.phantoms.anatomy import RandomField, Segment, ellipsoid, grow_tree, inside, vessels
from medgen.phantoms.phantom import Phantom, phantom_volume

CT = ("ct", (36, 30, 14), (10.0, 9.0, 22.0))
MR = ("mr", (30, 34, 13), (6.5, 7.0, 15.0))


@pytest.fixture(scope="module", params=[CT, MR], ids=["ct", "mr"])
def coarse(request):
    return phantom_volume(*request.param, seed=5)


@pytest.mark.parametrize("factor", [3, 4])
def test_a_finer_grid_has_the_same_slices_where_they_coincide(coarse, factor):
    geometry = coarse.geometry.refine(2, factor)
    fine = phantom_volume(coarse.modality, geometry.shape, geometry.spacing, 5)
    assert fine.geometry == geometry
    np.testing.assert_array_equal(fine.array[..., ::factor], coarse.array)
    # What lies between is news, not a mean of its neighbours.
    between = fine.array[..., 1].astype(float)
    mean = coarse.array[..., :2].astype(float) @ (1 - 1 / factor, 1 / factor)
    assert np.abs(between - mean).mean() > 3


@pytest.mark.parametrize("axis", [0, 1])
def test_finer_across_too(coarse, axis):
    geometry = coarse.geometry.refine(axis, 2)
    fine = phantom_volume(coarse.modality, geometry.shape, geometry.spacing, 5)
    np.testing.assert_array_equal(
        np.moveaxis(fine.array, axis, 0)[::2], np.moveaxis(coarse.array, axis, 0)
    )


def test_voxels_are_the_intensity_at_their_place_in_mm(coarse):
    extent = [(n - 1) * s for n, s in zip(coarse.shape, coarse.spacing, strict=True)]
    phantom = Phantom(coarse.modality, tuple(extent), 5)
    voxels = np.random.default_rng(0).integers(0, coarse.shape, (400, 3))
    points = voxels @ coarse.geometry.affine[:3, :3].T + coarse.geometry.affine[:3, 3]
    expected = phantom.intensity(*points.T)
    assert expected.shape == (400,)
    lowest = {"ct": -1024, "mr": 0}[coarse.modality]
    stored = coarse.array[tuple(voxels.T)]
    np.testing.assert_allclose(stored, np.maximum(expected, lowest), atol=0.5 + 1e-6)
    assert np.unique(stored).size > 150


def test_stored_dtype_and_centre(coarse):
    assert coarse.array.dtype == np.int16
    assert coarse.geometry.orientation == "RAS"
    middle = coarse.geometry.affine @ [*((n - 1) / 2 for n in coarse.shape), 1]
    np.testing.assert_allclose(middle, (0, 0, 0, 1), atol=1e-9)


def test_seed_decides_everything(coarse):
    arguments = coarse.modality, coarse.shape, coarse.spacing
    assert phantom_volume(*arguments, seed=5).array.tobytes() == coarse.array.tobytes()
    other = phantom_volume(*arguments, seed=6).array.astype(int)
    assert np.abs(other - coarse.array).mean() > 10


@pytest.mark.parametrize("modality", ["ct", "mr"])
def test_intensity_has_no_jumps(modality):
    """A hundredth of a mm changes it by no more than the steepest edge between bone and air."""
    phantom = Phantom(modality, (365.0, 365.0, 320.0) if modality == "ct" else (225.0,) * 3, 1)
    half = np.array(phantom.extent_mm) / 2
    points = np.random.default_rng(2).uniform(-half, half, (2500, 3))
    here = phantom.intensity(*points.T)
    for axis in range(3):
        there = phantom.intensity(*(points + 0.01 * np.eye(3)[axis]).T)
        assert np.abs(there - here).max() < 40
        assert np.abs(there - here).max() > 0.5


def test_torso_has_its_organs_where_they_belong():
    phantom = Phantom("ct", (365.0, 365.0, 320.0), 3)

    def median_hu(x, y, z):
        """Over a ball of 8 mm radius about a place in the body of usual size."""
        offsets = np.random.default_rng(0).normal(0, 3, (200, 3)).clip(-8, 8)
        return np.median(phantom.intensity(*(np.array((x, y, z)) + offsets).T))

    assert median_hu(175, 175, 0) == pytest.approx(-1000, abs=5)  # outside
    assert median_hu(80, -5, 30) == pytest.approx(-850, abs=80)  # right lung
    assert median_hu(-85, -5, 60) == pytest.approx(-850, abs=80)  # left lung
    assert median_hu(75, 10, -90) == pytest.approx(115, abs=20)  # liver, on the right
    assert median_hu(-18, 22, -2) > 85  # heart
    assert median_hu(0, -66, 0) > 150  # a vertebra, at the back
    assert median_hu(0, -12, 120) == pytest.approx(-985, abs=60)  # windpipe


def test_head_has_its_tissues():
    volume = phantom_volume("mr", (48, 56, 12), (4.0, 4.0, 8.0), 2)
    assert volume.array[:3, :3].mean() < 40  # air, only noise
    values, centre = volume.array, volume.array[18:30, 20:36, 6:8]
    assert np.mean((values > 700) & (values < 950)) > 0.05  # white matter
    assert np.mean((values > 470) & (values < 640)) > 0.03  # grey matter and scalp
    assert centre.min() < 250 < 700 < centre.max()  # ventricles in white matter


def test_random_field_is_a_smooth_unit_field():
    field = RandomField(np.random.default_rng(4), (10, 20), 256)
    points = np.random.default_rng(5).uniform(-300, 300, (3, 4000))
    values = field(tuple(points))
    assert values.mean() == pytest.approx(0, abs=0.05)
    assert values.std() == pytest.approx(1, abs=0.05)
    for axis in range(3):
        for shift in (1.0, 4.0, 10.0, 200.0):
            moved = points + shift * np.eye(3)[axis][:, None]
            # A wave of number k in a random direction correlates by sin(k s) / (k s).
            expected = np.sinc(2 * shift * np.linspace(1 / 20, 1 / 10, 1000)).mean()
            assert np.mean(values * field(tuple(moved))) == pytest.approx(expected, abs=0.1)


def test_random_field_on_an_open_grid_equals_points():
    field = RandomField(np.random.default_rng(4), (3, 9), 64)
    x, y, z = np.linspace(0, 50, 4), np.linspace(-9, 40, 5), np.linspace(7, 9, 3)
    grid = field((x[:, None, None], y[:, None], z))
    each = field(tuple(np.meshgrid(x, y, z, indexing="ij")))
    np.testing.assert_allclose(grid, each, atol=1e-12)


def test_a_vessel_moves_and_grows_through_z():
    segment = Segment(np.array((0.0, 0.0, 0.0)), np.array((30.0, 0.0, 40.0)), (2.0, 6.0))
    x = np.linspace(-20, 60, 1601)
    for z, center, radius in ((8.0, 6.0, 2.8), (32.0, 24.0, 5.2)):
        across = segment.distance((x, np.zeros(1), np.array(z)))
        # The slice cuts the tube at an angle: nearly an ellipse about its course.
        assert x[across.argmin()] == pytest.approx(center, abs=0.2)
        assert across.min() == pytest.approx(-radius, abs=0.02)
    beyond = segment.distance(tuple(np.array(p) for p in (30.0, 0.0, 50.0)))
    assert beyond == pytest.approx(10 - 6)


def test_a_tree_branches_in_two_and_thins_out():
    tree = grow_tree(np.random.default_rng(0), (1, 2, 3), (0, 0, 1), 30, 5, 4)
    assert len(tree) == 2 * (2**4 - 1)
    ends = {tuple(segment.end) for segment in tree}
    roots = [segment for segment in tree if tuple(segment.start) not in ends]
    assert [tuple(root.start) for root in roots] == [(1, 2, 3)]
    assert all(first >= last > 0 for first, last in (segment.radii for segment in tree))
    assert min(segment.radii[1] for segment in tree) < 0.5 * roots[0].radii[0]


def test_vessels_out_of_reach_change_nothing():
    near = [Segment(np.zeros(3), np.array((0.0, 9.0, 4.0)), (2.0, 1.0))]
    far = [Segment(np.array((0.0, 0.0, 30.0)), np.array((0.0, 0.0, 60.0)), (2.0, 1.0))]
    points = (np.linspace(-5, 5, 11)[:, None], np.linspace(-2, 12, 15), np.array(2.0))
    share = vessels(points, near)
    np.testing.assert_array_equal(share, vessels(points, near + far))
    assert share.shape == (11, 15)
    assert share.max() == 1
    assert share[0].max() == 0


def test_ellipsoid_and_inside():
    places = np.array([[0, 0, 0], [10, 0, 0], [0, 22, 0], [0, 0, 28.0]]).T
    np.testing.assert_allclose(ellipsoid(tuple(places), (0, 0, 0), (10, 20, 30)), [-10, 0, 2, -2])
    np.testing.assert_allclose(inside(np.array([-5, -1, 0, 1, 5]), 2.0), [1, 1, 0.5, 0, 0])


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (9, 8, 1)])
def test_any_shape(shape):
    for modality in ("ct", "mr"):
        assert phantom_volume(modality, shape, (1.0, 2.0, 3.0), 0).shape == shape


def test_requests_that_make_no_phantom():
    with pytest.raises(GeometryError, match="spacing must be above 0"):
        phantom_volume("ct", (4, 5, 6), (1.0, -1.0, 1.0), 0)
    with pytest.raises(GeometryError, match="at least one voxel"):
        phantom_volume("ct", (4, 0, 6), (1.0, 1.0, 1.0), 0)
    with pytest.raises(ValueError, match="modality must be one of"):
        phantom_volume("pet", (4, 5, 6), (1.0, 1.0, 1.0), 0)
