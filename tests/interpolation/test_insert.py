import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_propagation, convolve, gaussian_filter
from scipy.spatial.transform import Rotation

from medgen.errors import BundleError, GeometryError, IntensityError
from medgen.interpolation import CLASSICAL, Deterministic, interpolate_volume, interpolator_named
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume


class Recorder(Deterministic):
    """Computes every slice before it hands out the first; keeps what it was given."""

    name = "recorder"

    def __init__(self, value=7.0):
        self.value = value

    def slices(self, stack, positions, progress):
        self.stack, self.positions = stack, positions
        slices = np.full((len(positions), *stack.shape[1:]), self.value, np.float32)
        progress(len(positions), len(positions))
        yield from slices


def a_volume(array, spacing=(0.7, 0.8, 3.0), **options):
    return Volume(array, Geometry.from_spacing(array.shape, spacing), **options)


@st.composite
def geometries(draw):
    """Any axis order, flips, oblique directions, anisotropic spacing, sides of 2 to 6 voxels."""
    shape = draw(st.permutations((draw(st.integers(2, 6)), 3, 4)))
    spacing = [draw(st.floats(0.3, 8.0)) for _ in range(3)]
    flips = [draw(st.sampled_from((-1, 1))) for _ in range(3)]
    angles = [draw(st.floats(-180, 180)) for _ in range(3)]
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("zyx", angles, degrees=True).as_matrix()
    affine[:3, :3] *= np.multiply(spacing, flips)
    affine[:3, 3] = [draw(st.floats(-300, 300)) for _ in range(3)]
    return Geometry(tuple(shape), affine)


@st.composite
def volumes(draw):
    """Random voxels of several dtypes, scaled or not, in either memory order."""
    geometry = draw(geometries())
    dtype = draw(st.sampled_from((np.int16, np.uint8, np.int32, np.float32)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    array = rng.integers(0, 256, geometry.shape).astype(dtype)
    if dtype is np.float32:
        array += rng.random(geometry.shape, dtype)
    if draw(st.booleans()):
        array = np.asfortranarray(array)
    slope, intercept = draw(st.sampled_from(((1.0, 0.0), (1.0, -1024.0), (-0.37, 12.5))))
    return Volume(array, geometry, slope, intercept, draw(st.sampled_from(("ct", "mr"))))


@settings(max_examples=80)
@given(volumes(), st.sampled_from((0, 1, 2)), st.integers(2, 4), st.sampled_from(list(CLASSICAL)))
def test_acquired_slices_and_their_places_stay(volume, axis, factor, name):
    out = interpolate_volume(volume, interpolator_named(name), factor=factor, slice_axis=axis)
    every = tuple(slice(None, None, factor if a == axis else 1) for a in range(3))
    assert out.array.dtype == volume.array.dtype
    assert out.array[every].tobytes() == volume.array.tobytes()
    assert (out.slope, out.intercept, out.modality) == (
        volume.slope,
        volume.intercept,
        volume.modality,
    )
    assert out.shape[axis] == (volume.shape[axis] - 1) * factor + 1
    np.testing.assert_allclose(
        out.geometry.centers(axis)[::factor], volume.geometry.centers(axis), atol=1e-9
    )


@given(geometries(), st.sampled_from((0, 1, 2)), st.integers(2, 4), st.floats(0.15, 0.95))
def test_synthetic_slices_belong_where_the_affine_puts_them(geometry, axis, factor, ratio):
    """A function linear in mm stays that function at every new voxel."""

    def ramp(geometry):
        voxels = np.stack(np.indices(geometry.shape), axis=-1)
        points = voxels @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
        return points @ (0.3, -0.2, 0.5) + 11

    volume = Volume(ramp(geometry).astype(np.float32), geometry)
    linear = interpolator_named("linear")
    spacing_mm = geometry.spacing[axis] * ratio
    for out in (
        interpolate_volume(volume, linear, factor=factor, slice_axis=axis),
        interpolate_volume(volume, linear, spacing_mm=spacing_mm, slice_axis=axis),
    ):
        # A slice may be taken for one that lies up to 1e-4 of the spacing away.
        slack = 2e-4 * geometry.spacing[axis] + 1e-3
        np.testing.assert_allclose(out.array, ramp(out.geometry), atol=slack)


def test_spacing_copies_where_positions_coincide():
    array = np.arange(2 * 3 * 5, dtype=np.int16).reshape(2, 3, 5) * 30
    out = interpolate_volume(a_volume(array), Recorder(), spacing_mm=2.0)
    assert out.spacing[2] == pytest.approx(2.0)
    # 0, 2, ..., 12 mm: the 1st, 4th and 7th are the acquired slices at 0, 6 and 12 mm.
    np.testing.assert_array_equal(out.array[..., ::3], array[..., ::2])
    np.testing.assert_array_equal(out.array[..., [1, 2, 4, 5]], 7)


def test_spacing_that_is_a_fraction_equals_the_factor():
    array = np.random.default_rng(0).integers(-900, 900, (3, 4, 6)).astype(np.int16)
    volume = a_volume(array, (1.0, 1.0, 2.1))
    linear = interpolator_named("linear")
    by_factor = interpolate_volume(volume, linear, factor=3)
    by_spacing = interpolate_volume(volume, linear, spacing_mm=0.7)
    np.testing.assert_array_equal(by_factor.array, by_spacing.array)
    assert by_factor.geometry == by_spacing.geometry


def test_what_the_interpolator_is_given():
    array = np.random.default_rng(0).integers(0, 200, (5, 2, 3)).astype(np.uint8)
    affine = np.array([[0, 0, -0.8, 5], [0, 0.7, 0, 6], [4.0, 0, 0, 7], [0, 0, 0, 1]])
    volume = Volume(array, Geometry(array.shape, affine), 2.0, -1000.0, "ct", {"kernel": "B30f"})
    recorder, calls = Recorder(), []
    interpolate_volume(volume, recorder, factor=2, progress=lambda *call: calls.append(call))
    stack = recorder.stack
    assert stack.array.dtype == np.float32
    np.testing.assert_array_equal(stack.array, array * 2.0 - 1000)
    assert stack.spacing == pytest.approx((4.0, 0.7, 0.8))
    assert (stack.geometry.orientation, stack.modality) == ("SAL", "ct")
    assert stack.metadata["kernel"] == "B30f"
    np.testing.assert_array_equal(recorder.positions, [0.5, 1.5, 2.5, 3.5])
    assert calls == [(4, 4)]


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_and_columns_keep_their_order(axis):
    array = np.random.default_rng(0).integers(0, 200, (3, 4, 5)).astype(np.int16)
    recorder = Recorder()
    interpolate_volume(a_volume(array), recorder, factor=2, slice_axis=axis)
    np.testing.assert_array_equal(recorder.stack.array, np.moveaxis(array, axis, 0))
    others = [s for a, s in enumerate((0.7, 0.8, 3.0)) if a != axis]
    assert recorder.stack.spacing[1:] == pytest.approx(others)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (300.4, np.uint8, 255),
        (-5.0, np.uint8, 0),
        (40000.0, np.int16, 32767),
        (-40000.0, np.int16, -32768),
        (12.5, np.int16, 12),
        (-0.6, np.int16, -1),
        (0.1, np.float32, np.float32(0.1)),
    ],
)
def test_synthetic_values_are_rounded_and_never_wrap(value, dtype, expected):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    out = interpolate_volume(a_volume(array), Recorder(value), factor=2)
    np.testing.assert_array_equal(out.array[..., 1::2], expected)


@pytest.mark.parametrize("name", ["bspline", "sinc"])
def test_overshoot_at_an_edge_is_limited(name):
    array = np.zeros((2, 3, 12), np.uint8)
    array[..., 6:] = 255
    out = interpolate_volume(a_volume(array), interpolator_named(name), factor=2).array
    assert np.all(out[..., :11] < 60)
    assert np.all(out[..., 12:] > 195)


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("value", [-1000, 0, 2411])
def test_a_constant_scan_stays_constant(name, value):
    volume = a_volume(np.full((3, 4, 7), value, np.int16), modality="ct")
    np.testing.assert_array_equal(
        interpolate_volume(volume, interpolator_named(name), factor=3).array, value
    )


@pytest.mark.parametrize("name", CLASSICAL)
def test_padding_of_a_ct_comes_back_and_is_averaged_with_nothing(name):
    """Tissue of 40 HU beside -3024; in the third column padding ends half-way through the scan."""
    array = np.full((4, 3, 8), 40, np.int16)
    array[1] = -3024
    array[2, :, 4:] = -3024
    recorder, volume = Recorder(), a_volume(array, modality="ct")
    interpolate_volume(volume, recorder, factor=2)
    shown = np.full((8, 4, 3), 40)
    shown[:, 1] = -1024
    np.testing.assert_array_equal(recorder.stack.array, shown)
    out = interpolate_volume(volume, interpolator_named(name), factor=4).array
    np.testing.assert_array_equal(out[[0, 3]], 40)
    np.testing.assert_array_equal(out[1], -3024)
    # Slice 14 lies half-way between the last measured one and the first of padding.
    np.testing.assert_array_equal(out[2, :, :15], 40)
    np.testing.assert_array_equal(out[2, :, 15:], -3024)


@pytest.mark.parametrize("name", CLASSICAL)
def test_padding_of_0_leaves_no_holes_in_hu(name):
    """Declared, around a body in which 0 HU is a value of tissue like any other."""
    rng = np.random.default_rng(4)
    array = rng.integers(-30, 31, (20, 24, 6)).astype(np.int16)
    array[array == 0] = 1
    array[10, 12, 2:4] = 0
    array[:4] = array[-4:] = 0
    array[:, :4] = array[:, -4:] = 0
    array[4, 4:20, 3:] = 0
    volume = a_volume(array, modality="ct", metadata={"padding_value": 0.0})
    out = interpolate_volume(volume, interpolator_named(name), factor=2).array
    between = out[..., 1::2]
    assert (between[[0, 3, 16, 19]] == 0).all()
    assert between.min() > -80
    # One neighbour is padding: the value is the other's, as if its slices went on.
    expected = interpolate_volume(
        a_volume(array[4:5, 4:20, [0, 1, 2, 2, 2, 2]]), interpolator_named(name), factor=2
    )
    np.testing.assert_array_equal(between[4, 4:20, 2], expected.array[0, :, 5])
    assert (between[4, 4:20, 3:] == 0).all()
    if name == "linear":
        assert (between[10, 12, 2:3] == 0).all()
        mean = (array[..., :-1].astype(int) + array[..., 1:]) / 2
        np.testing.assert_array_equal(between[5:16, 4:20], np.rint(mean)[5:16, 4:20])


def test_padding_named_by_the_header():
    """In physical units: stored 7 means 24."""
    array = np.random.default_rng(2).integers(300, 900, (12, 9, 4)).astype(np.int16)
    array[:5] = 7
    array[5, :, 0] = 7
    geometry = Geometry.from_spacing(array.shape, (0.7, 0.8, 3.0))
    volume = Volume(array, geometry, 2.0, 10.0, "mr", {"padding_value": 24.0})
    recorder = Recorder()
    interpolate_volume(volume, recorder, factor=2)
    np.testing.assert_array_equal(recorder.stack.array[:, :5], 0)
    np.testing.assert_array_equal(recorder.stack.array[0, 5], array[5, :, 1] * 2.0 + 10)
    out = interpolate_volume(volume, interpolator_named("linear"), factor=4).array
    np.testing.assert_array_equal(out[:5], 7)
    np.testing.assert_array_equal(out[5, :, :2], 7)
    for k in (2, 3, 4):
        np.testing.assert_array_equal(out[5, :, k], array[5, :, 1])


def test_values_a_little_below_air_are_as_good_as_others():
    array = np.random.default_rng(3).integers(-1130, -990, (9, 8, 5)).astype(np.float32)
    out = interpolate_volume(a_volume(array, modality="ct"), interpolator_named("linear"), factor=4)
    for k in (1, 2, 3):
        linear = array[..., :-1] + k / 4 * np.diff(array)
        np.testing.assert_array_equal(out.array[..., k::4], linear)


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.int32, np.uint32, np.float64])
def test_digits_beyond_those_of_float32_are_not_lost(name, dtype):
    """Values of 2^29 and more, right to the last digit as those of small numbers are."""
    small = np.random.default_rng(0).integers(0, 900, (3, 4, 7))
    small = small + (0.25 if dtype == np.float64 else 0)
    offset = 2**31 - 1024 if np.dtype(dtype).itemsize == 4 else 2**40
    method = interpolator_named(name)
    large = interpolate_volume(a_volume((small + offset).astype(dtype)), method, factor=4).array
    expected = interpolate_volume(a_volume(small.astype(np.float64)), method, factor=4).array
    assert large.dtype == dtype
    np.testing.assert_array_equal(large[..., ::4], (small + offset).astype(dtype))
    found = large.astype(np.float64) - offset
    slack = 0.01 if dtype == np.float64 else 0.51
    np.testing.assert_allclose(found, expected, rtol=0, atol=slack)


def test_linear_of_float64_is_linear_to_its_last_digits():
    array = np.random.default_rng(0).normal(1e9, 1, (3, 4, 5))
    out = interpolate_volume(a_volume(array), interpolator_named("linear"), factor=4).array
    for k in (1, 2, 3):
        linear = array[..., :-1] + k / 4 * np.diff(array)
        np.testing.assert_allclose(out[..., k::4], linear, rtol=1e-15)


def test_negative_values_of_other_modalities_are_not_padding():
    array = np.random.default_rng(0).integers(-3024, -3000, (2, 3, 4)).astype(np.int16)
    recorder = Recorder()
    out = interpolate_volume(a_volume(array, modality="mr"), recorder, factor=2)
    np.testing.assert_array_equal(recorder.stack.array, np.moveaxis(array, 2, 0))
    np.testing.assert_array_equal(out.array[..., 1], 7)


class Noise(Deterministic):
    """Draws whatever it likes."""

    name = "noise"

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def slices(self, stack, positions, progress):
        for _ in positions:
            yield self.rng.normal(100, 50, stack.shape[1:]).astype(np.float32)


def surroundings(slices, value):
    """Voxels that hold `value` and are connected to the sides, and how many beside them do."""
    frame = np.zeros(slices.shape, bool)
    frame[:, [0, -1]] = frame[:, :, [0, -1]] = True
    outside = binary_propagation(frame, mask=slices == value)
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])[None]
    beside, alike = (
        convolve(x.astype(int), cross, mode="constant") for x in (np.ones_like(frame), outside)
    )
    return outside, alike[outside].sum() / beside[outside].sum()


def scan_with_background(seed, value=0, modality="mr", dtype=np.int16, axis=2):
    """A body of any shape amid one exact value, some of whose voxels have it, too."""
    rng = np.random.default_rng(seed)
    body = gaussian_filter(rng.normal(size=(24, 28, 5)), (3, 3, 1)) > 0.02
    body[[0, 1, -2, -1]] = body[:, [0, 1, -2, -1]] = False
    tissue = rng.integers(20, 60, body.shape)
    tissue[rng.random(body.shape) < 0.05] = value
    array = np.moveaxis(np.where(body, tissue, value), 2, axis).astype(dtype)
    volume = a_volume(array, (1.0, 1.0, 1.0), modality=modality)
    return volume, axis, value, np.moveaxis(body, 2, 0)


@settings(max_examples=60)
@given(
    st.builds(
        scan_with_background,
        st.integers(0, 2**16),
        st.sampled_from([0, -1000, -1024, -2000, -3024, 17]),
        st.sampled_from(["ct", "mr", "unknown"]),
        st.sampled_from([np.int16, np.float32]),
        st.sampled_from([0, 1, 2]),
    ),
    st.integers(2, 4),
    st.sampled_from([*CLASSICAL, "noise"]),
    st.integers(0, 99),
)
@example(scan_with_background(98), 2, "bspline", 0)
@example(scan_with_background(190, -1000, "ct"), 2, "noise", 0)
def test_background_in_both_neighbours_stays_background(scan, factor, name, seed):
    """Where 0.88 of what is beside it is background, which all but few of these bodies leave."""
    volume, axis, value, body = scan
    outside, beside = surroundings(np.moveaxis(volume.array, axis, 0), value)
    assume(beside >= 0.88)
    method = Noise(seed) if name == "noise" else interpolator_named(name)
    out = interpolate_volume(volume, method, factor=factor, slice_axis=axis)
    out = np.moveaxis(out.array, axis, 0)
    for k in range(len(body) - 1):
        both = outside[k] & outside[k + 1]
        assert (out[k * factor : (k + 1) * factor + 1, both] == value).all()
        if name == "noise":  # whatever else it draws stands
            neither = body[k] & body[k + 1]
            between = out[k * factor + 1 : (k + 1) * factor]
            assert np.mean(between[:, neither] == value) < 0.2


def test_bodies_that_leave_too_little_background_are_few():
    """Those that the test above passes over."""
    shares = []
    for seed in range(200):
        volume, _, value, _ = scan_with_background(seed)
        shares.append(surroundings(np.moveaxis(volume.array, 2, 0), value)[1])
    assert np.mean(np.array(shares) < 0.88) < 0.01
    assert 0.88 < shares[98] < shares[190] < 0.9


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_voxels_are_refused(bad):
    array = np.zeros((2, 3, 4), np.float32)
    array[0, 1, 2:] = bad
    with pytest.raises(IntensityError, match="Of 24 voxels 2 are NaN or infinite"):
        interpolate_volume(a_volume(array), Recorder(), factor=2)


def test_a_broken_model_is_refused():
    volume = a_volume(np.zeros((2, 3, 4), np.int16))
    with pytest.raises(IntensityError, match="recorder gave NaN or infinite values in slice 1"):
        interpolate_volume(volume, Recorder(np.nan), factor=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "factor or a spacing"),
        ({"factor": 2, "spacing_mm": 1.0}, "factor or a spacing"),
        ({"factor": 1}, "at least 2"),
        ({"spacing_mm": 3.0}, "below the present 3 mm"),
        ({"spacing_mm": 0.0}, "above 0"),
        ({"factor": 2, "slice_axis": 3}, "must be 0, 1 or 2"),
        ({"factor": 2, "slice_axis": 0}, "at least 2 slices"),
    ],
)
def test_requests_that_do_not_fit(options, message):
    with pytest.raises(GeometryError, match=message):
        interpolate_volume(a_volume(np.zeros((1, 3, 4), np.int16)), Recorder(), **options)


def test_names():
    assert [interpolator_named(name).name for name in CLASSICAL] == list(CLASSICAL)
    assert interpolator_named("linear", seed=3).name == "linear"
    with pytest.raises(BundleError, match=r"There is no folder and no model named 'spline'; give"):
        interpolator_named("spline")
    with pytest.raises(BundleError, match=r"takes no temperature, got 0.5"):
        interpolator_named("linear", temperature=0.5)
