"""Label maps against shapes whose every slice is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgen.errors import BundleError, IntensityError
from medgen.interpolation import interpolate_volume, interpolator_named, labels
from medgen.interpolation.labels import between
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume

SPACING = (1.0, 1.0)


def refined(array, method, factor, spacing=(1.0, 1.0, 1.0), slice_axis=2):
    volume = Volume(array, Geometry.from_spacing(array.shape, spacing), modality="labels")
    interpolator = interpolator_named(method)
    return interpolate_volume(volume, interpolator, factor=factor, slice_axis=slice_axis).array


def disc(radius, centre=(20, 20), shape=(41, 41)):
    y, x = np.indices(shape)
    return np.hypot(y - centre[0], x - centre[1]) < radius


def pair_of(first, second):
    return np.stack([first, second]).astype(np.int16)


# === Known shapes ===


def _branches(x, y, z):
    trunk = np.hypot(x - 24, y - 24) < 7
    off = 0.9 * (z - 12)
    two = np.minimum(np.hypot(x - 24 - off, y - 24), np.hypot(x - 24 + off, y - 24)) < 5
    return np.where(z < 12, trunk, two)


def _sectors(x, y, z):
    turned = (np.arctan2(y - 24, x - 24) + 0.03 * z) % (2 * np.pi)
    return np.where(np.hypot(x - 24, y - 24) < 20, 1 + (turned // (np.pi / 3)).astype(int), 0)


SHAPES = {
    "sphere": lambda x, y, z: (x - 24) ** 2 + (y - 24) ** 2 + (z - 16) ** 2 < 14.3**2,
    "cone": lambda x, y, z: np.hypot(x - 24, y - 24) < 0.6 * (z - 2),
    "tilted cylinder": lambda x, y, z: np.hypot(x - 8 - z, y - 24) < 6.2,
    "branching": _branches,
    "touching": _sectors,
    "thin cylinder": lambda x, y, z: np.hypot(x - 6 - 1.1 * z, y - 24) < 2.3,
    "thin sheet": lambda x, y, z: np.abs(x - 6 - 1.1 * z) < 1.6,
}


def dice(truth, result, synthetic):
    """Mean of all labels, in the slices between the acquired ones."""
    truth, result = truth[..., synthetic], result[..., synthetic]
    return np.mean(
        [
            2 * np.sum((truth == n) & (result == n)) / (np.sum(truth == n) + np.sum(result == n))
            for n in np.unique(truth)[1:]
        ]
    )


@pytest.mark.parametrize(
    ("name", "factor", "by_shape", "by_nearest"),
    [
        ("sphere", 2, 0.977, 0.947),
        ("sphere", 4, 0.973, 0.932),
        ("cone", 2, 0.976, 0.952),
        ("cone", 4, 0.987, 0.934),
        ("tilted cylinder", 2, 0.975, 0.893),
        ("tilted cylinder", 4, 0.969, 0.857),
        ("branching", 2, 0.978, 0.919),
        ("branching", 4, 0.949, 0.891),
        ("touching", 2, 0.976, 0.972),
        ("touching", 4, 0.978, 0.963),
        ("thin sheet", 2, 0.941, 0.628),
        ("thin sheet", 4, 0.545, 0.545),
        ("thin cylinder", 2, 0.894, 0.688),
        ("thin cylinder", 4, 0.618, 0.579),
    ],
)
def test_left_out_slices_of_known_shapes(name, factor, by_shape, by_nearest):
    truth = SHAPES[name](*np.indices((48, 48, 33))).astype(np.uint8)
    synthetic = np.arange(33) % factor > 0
    for method, expected in (("shape", by_shape), ("nearest", by_nearest)):
        result = refined(truth[..., ::factor], method, factor)
        assert dice(truth, result, synthetic) == pytest.approx(expected, abs=0.003), method


def test_an_edge_moves_evenly():
    """From column 10.5 to 20.5, background and label alike."""
    columns = np.arange(30)[None] * np.ones((5, 1))
    pair = pair_of(columns < 11, columns < 21)
    fractions = np.array([0.1, 0.2, 0.43, 0.7, 0.88])
    for image, edge in zip(between(pair, fractions, SPACING), 10.5 + 10 * fractions, strict=True):
        np.testing.assert_array_equal(image, columns < edge)


@pytest.mark.parametrize("scale", [1.0, 0.005])
def test_distances_are_in_mm(scale):
    """From an edge across the columns to one across the rows, which lie three times as close."""
    rows, columns = np.indices((60, 40))
    pair = pair_of(columns < 20, rows < 30)
    [image] = between(pair, np.array([0.4]), (scale, 3 * scale))
    expected = 0.6 * 3 * (19.5 - columns) + 0.4 * (29.5 - rows)
    sure = np.abs(expected) > 1e-3
    assert sure.mean() > 0.98
    np.testing.assert_array_equal(image[sure], (expected > 0)[sure])


def test_a_ring_that_widens_stays_whole():
    """Three labels: within a ring of width 3, the ring, and around it."""
    first, second = (disc(r).astype(int) + disc(r + 3) for r in (9.2, 11.2))
    [image] = between(pair_of(first, second), np.array([0.5]), SPACING)
    expected = disc(10.2).astype(int) + disc(13.2)
    assert np.mean(image != expected) < 0.005
    for turn in range(4):
        assert np.sum(np.rot90(image, turn)[20, 20:] == 1) == 3


def test_a_thin_label_passes_between_two_others():
    """A ribbon of 3 columns that moves by 4 comes up where both have its sides, if thinner."""
    columns = np.arange(30)[None] * np.ones((5, 1))
    first, second = ((columns >= n).astype(int) + (columns >= n + 3) for n in (10, 14))
    # So that it is one label, not two pieces that end.
    first[0], second[0] = (columns[0] >= 10).astype(int), (columns[0] >= 10).astype(int)
    [image] = between(pair_of(first, second), np.array([0.5]), (9.0, 1.0))
    np.testing.assert_array_equal(image[3:], ((columns >= 13).astype(int) + (columns >= 15))[3:])


def test_a_label_that_stays_does_not_spread_into_two_that_swap():
    """Both are far from where they were; the third, beside them, comes less than 4 columns near."""
    first, second = np.zeros((2, 12, 90), int)
    first[:, 10:], second[:, 10:] = 1, 2
    first[6:, 60:] = 2
    second[:6, 60:] = 1
    [image] = between(pair_of(first, second), np.array([0.5]), SPACING)
    assert image[3].tolist()[:13] == [0] * 13
    assert 0 not in image[3, 13:]


# === Labels of one neighbour alone ===


@pytest.mark.parametrize("begins", [False, True])
def test_a_label_of_one_neighbour_tapers_off_until_half_way(begins):
    """A disc of radius r has r (1 - 2f) / (1 - f) left: no jump, neither at once nor at the end."""
    fractions = np.array([0.01, 0.1, 0.25, 0.4, 0.49, 0.51, 0.75, 0.99])
    pair = pair_of(5 * disc(15.0), np.zeros((41, 41)))
    if begins:
        images = between(pair[::-1], 1 - fractions[::-1], SPACING)[::-1]
    else:
        images = between(pair, fractions, SPACING)
    radius = np.sqrt([np.sum(image == 5) / np.pi for image in images])
    expected = 15 * np.clip(1 - 2 * fractions, 0, None) / (1 - fractions)
    np.testing.assert_allclose(radius, expected, atol=0.6)
    assert np.all(np.diff(radius) <= 0)
    assert set(np.unique(images)) == {0, 5}


def test_a_piece_ends_though_its_label_goes_on_elsewhere():
    """The other piece, far away, does not make it vanish at once."""
    stays = disc(4, (8, 30))
    pair = pair_of(disc(8, (25, 12)) | stays, stays)
    areas = [image[:, :25].sum() for image in between(pair, np.array([0.02, 0.25, 0.6]), SPACING)]
    assert areas[0] == disc(8, (25, 12)).sum()
    assert areas[1] == pytest.approx(areas[0] * (2 / 3) ** 2, rel=0.12)
    assert areas[2] == 0


@pytest.mark.parametrize(("column", "stays"), [(17, True), (21, False)])
def test_a_piece_that_moves_by_more_than_its_width(column, stays):
    """Stays whole until half-way if another begins within its width of 5 voxels beside it."""
    pair = pair_of(disc(2.6, (20, 10)), disc(2.6, (20, column)))
    early, late = between(pair, np.array([0.4, 0.6]), SPACING)
    if stays:
        np.testing.assert_array_equal([early, late], pair)
    else:
        assert 0 < early.sum() < pair[0].sum() / 2
        np.testing.assert_array_equal(late[:, column - 10 :], early[:, : 10 - column])


def test_a_single_voxel_lasts_as_long_as_nearest_keeps_it():
    pair = np.zeros((2, 5, 6), np.int16)
    pair[0, 2, 3] = 7
    early, late = between(pair, np.array([0.45, 0.55]), (1.0, 2.5))
    np.testing.assert_array_equal(early, pair[0])
    np.testing.assert_array_equal(late, 0)


def test_one_label_everywhere_then_another():
    pair = np.stack([np.full((4, 5), 3), np.full((4, 5), 9)])
    images = between(pair, np.array([0.3, 0.5, 0.7]), SPACING)
    assert [np.unique(image).tolist() for image in images] == [[3], [9], [9]]


# === Laws ===


@st.composite
def label_maps(draw):
    """Blobs of up to six labels of any size, in several dtypes, and scattered voxels."""
    shape = [draw(st.integers(2, 9)) for _ in range(3)]
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    seeds = rng.uniform(0, 1, (draw(st.integers(1, 8)), 3)) * shape
    names = rng.choice([0, 1, 2, 17, 42, 100], len(seeds))
    voxels = np.stack(np.indices(shape), axis=-1)
    nearest = np.argmin(np.linalg.norm(voxels[..., None, :] - seeds, axis=-1), axis=-1)
    array = names[nearest]
    scattered = rng.random(shape) < draw(st.sampled_from((0.0, 0.1)))
    array[scattered] = rng.choice([0, 3], scattered.sum())
    return array.astype(draw(st.sampled_from((np.uint8, np.int16, np.int32, np.float32))))


@settings(max_examples=60)
@given(
    label_maps(),
    st.sampled_from((0, 1, 2)),
    st.integers(2, 4),
    st.tuples(*[st.floats(0.3, 5.0)] * 3),
)
def test_what_comes_from_the_neighbours(array, axis, factor, spacing):
    out = refined(array, "shape", factor, spacing, axis)
    assert out.dtype == array.dtype
    slices, acquired = np.moveaxis(out, axis, 0), np.moveaxis(array, axis, 0)
    np.testing.assert_array_equal(slices[::factor], acquired)
    for target, image in enumerate(slices):
        before, after = acquired[target // factor], acquired[-(-target // factor)]
        assert np.isin(image, [before, after]).all()
        np.testing.assert_array_equal(image[before == after], before[before == after])
    np.testing.assert_array_equal(refined(array, "shape", factor, spacing, axis), out)


@settings(max_examples=60)
@given(label_maps(), st.floats(0.05, 0.95))
def test_boxes_change_nothing(array, fraction):
    """As if every label were looked for in the whole slice."""
    pair = np.pad(array[:2], [(0, 0), (3, 9), (9, 3)], mode="wrap")
    fractions, spacing = np.array([fraction, 0.5]), (0.8, 1.9)
    images = between(pair, fractions, spacing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "_grown", lambda box, margin, shape: (slice(None), slice(None)))
        np.testing.assert_array_equal(between(pair, fractions, spacing), images)


# === Label maps as scans ===


@pytest.mark.parametrize(
    ("dtype", "names"),
    [
        (bool, [False, True]),
        (np.uint8, [0, 255]),
        (np.int16, [-3, 2035]),
        (np.int32, [70_000_001, 70_000_002]),
        (np.uint64, [0, 2**63 + 1]),
        (np.float32, [0.0, 2035.0]),
        (np.float64, [0.0, 2.0**40 + 1]),
    ],
)
@pytest.mark.parametrize("method", ["shape", "nearest"])
def test_labels_stay_what_they_are_as_stored(dtype, names, method):
    """Neighbouring numbers beyond what float32 tells apart, too."""
    columns = np.arange(12)[:, None, None] * np.ones((1, 4, 1))
    array = np.asarray(names, dtype)[np.concatenate([columns > 3, columns > 7], axis=2).astype(int)]
    out = refined(array, method, 4)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out[..., ::4], array)
    edge = 5.5 if method == "shape" else 7.5
    expected = np.broadcast_to(columns[..., 0] > edge, out.shape[:2])
    np.testing.assert_array_equal(out[..., 2], np.asarray(names, dtype)[expected.astype(int)])


def test_scaled_labels_keep_their_scaling():
    array = np.zeros((4, 5, 2), np.int16)
    array[1:3] = 7
    geometry = Geometry.from_spacing(array.shape, (1.0, 1.0, 3.0))
    volume = Volume(array, geometry, 2.0, 1.0, modality="labels")
    out = interpolate_volume(volume, interpolator_named("shape"), spacing_mm=1.2)
    assert (out.slope, out.intercept, out.modality) == (2.0, 1.0, "labels")
    assert out.shape == (4, 5, 3)
    np.testing.assert_array_equal(out.array, array[..., [0, 0, 0]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0.0, 2.5), "A label map holds whole numbers, got 2.5"),
        ((0.0, np.nan), "got nan"),
        ((0.0, np.inf), "got inf"),
    ],
)
def test_what_is_no_label_map(values, message):
    array = np.array(values, np.float32)[np.arange(24).reshape(2, 3, 4) % 2]
    with pytest.raises(IntensityError, match=message):
        refined(array, "shape", 2)


@pytest.mark.parametrize("method", ["linear", "bspline", "sinc"])
def test_no_method_that_makes_values(method):
    with pytest.raises(
        BundleError, match=f"{method} makes new values, but the scan is a label map;"
    ):
        refined(np.zeros((2, 3, 4), np.uint8), method, 2)


@pytest.mark.parametrize(
    ("modality", "title"), [("ct", "CT"), ("mr", "MR"), ("unknown", "of unknown modality")]
)
def test_nothing_but_label_maps(modality, title):
    array = np.zeros((2, 3, 4), np.int16)
    volume = Volume(array, Geometry.from_spacing(array.shape, (1, 1, 1)), modality=modality)
    with pytest.raises(IntensityError, match=f"shape is for label maps and the scan is {title};"):
        interpolate_volume(volume, interpolator_named("shape"), factor=2)
