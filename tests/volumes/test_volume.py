"""Stored and physical values of a volume."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medgen.errors import GeometryError
from medgen.volumes import Geometry, Volume

GRID = Geometry.from_spacing((2, 3, 4), (1, 2, 3))


def volume(array, **kwargs):
    return Volume(np.asarray(array), GRID, **kwargs)


@given(
    hnp.arrays(st.sampled_from([np.int8, np.uint8, np.int16, np.uint16]), (2, 3, 4)),
    st.floats(1e-3, 50.0) | st.floats(-50.0, -1e-3),
    st.integers(-4096, 4096),
)
@settings(max_examples=100)
def test_stored_undoes_physical_for_every_integer(array, slope, intercept):
    scan = volume(array, slope=slope, intercept=intercept)
    np.testing.assert_array_equal(scan.to_stored(scan.to_physical()), array)
    assert scan.is_exact


@given(
    hnp.arrays(st.sampled_from([np.int32, np.uint32, np.int64, np.uint64]), (2, 3, 4)),
    st.integers(-4096, 4096),
)
@settings(max_examples=100)
def test_stored_undoes_physical_or_the_volume_says_so(array, intercept):
    scan = volume(array, intercept=intercept)
    back = scan.to_stored(scan.to_physical())
    assert np.array_equal(back, array) == scan.is_exact
    if np.abs(array.astype(object)).max() < 2**52:
        assert scan.is_exact


@pytest.mark.parametrize(
    ("values", "options", "dtype"),
    [
        (np.int16([-32768, 32767]), {}, np.float32),
        (np.uint16([0, 65535]), {"intercept": -1024}, np.float32),
        (np.int16([0, 9]), {"slope": 1e-3, "intercept": 1e6}, np.float64),
        (np.int32([0, 2**24]), {}, np.float32),
        (np.int32([0, 2**24 + 1]), {}, np.float64),
        (np.uint32([0, 2**32 - 2]), {}, np.float64),
        (np.float32([0.1, 1e30]), {}, np.float32),
        (np.float64([0.5, 7, np.nan]), {}, np.float32),
        (np.float64([0.1, 7]), {}, np.float64),
        (np.float64([1e300]), {}, np.float64),
        (np.array([False, True]), {}, np.float32),
    ],
)
def test_physical_has_the_digits_that_the_values_need(values, options, dtype):
    scan = volume(np.resize(values, (2, 3, 4)), **options)
    assert scan.to_physical().dtype == dtype
    assert scan.to_physical(scan.array[0]).dtype == dtype


def test_physical_is_slope_times_stored_plus_intercept():
    scan = volume(np.arange(24, dtype=np.int16).reshape(2, 3, 4), slope=0.5, intercept=-1024)
    assert scan.to_physical().dtype == np.float32
    assert scan.to_physical()[1, 2, 3] == 23 * 0.5 - 1024
    assert scan.is_scaled


def test_stored_rounds_to_nearest_and_stays_in_range():
    scan = volume(np.zeros((2, 3, 4), np.uint8), slope=2.0, intercept=-10.0)
    values = np.array([-11.0, -10.0, -8.9, -7.1, 500.0, 499.0, 1e9])
    np.testing.assert_array_equal(scan.to_stored(values), [0, 0, 1, 1, 255, 254, 255])
    assert scan.to_stored(values).dtype == np.uint8


@pytest.mark.parametrize(
    ("dtype", "values", "stored"),
    [
        (np.int64, [2.0**63, -(2.0**63), 1e30, -1e30], [2**63 - 1, -(2**63), 2**63 - 1, -(2**63)]),
        (np.int64, [2.0**63 - 1024, 2.0**62 + 1024], [2**63 - 1024, 2**62 + 1024]),
        (np.uint64, [2.0**64, 2.0**64 - 2048, -1.0], [2**64 - 1, 2**64 - 2048, 0]),
        (np.uint32, [2.0**32, 2.0**32 - 1, 2.0**32 - 1.4], [2**32 - 1, 2**32 - 1, 2**32 - 1]),
        (np.float32, [1e39, -1e39], [np.finfo(np.float32).max, np.finfo(np.float32).min]),
    ],
)
def test_stored_never_wraps(dtype, values, stored):
    found = volume(np.zeros((2, 3, 4), dtype)).to_stored(values)
    assert (found.dtype, found.tolist()) == (dtype, stored)


def test_stored_of_floats_is_not_rounded():
    scan = volume(np.zeros((2, 3, 4), np.float32))
    np.testing.assert_array_equal(scan.to_stored([0.25, np.nan]), np.float32([0.25, np.nan]))


def test_array_and_metadata_cannot_be_changed():
    scan = volume(np.zeros((2, 3, 4)), metadata={"format": "NRRD"})
    with pytest.raises(ValueError, match="read-only"):
        scan.array[0, 0, 0] = 1
    with pytest.raises(TypeError):
        scan.metadata["format"] = "DICOM"


def test_with_array_keeps_everything_but_voxels_and_grid():
    scan = volume(np.ones((2, 3, 4), np.int16), slope=2.0, intercept=1.0, modality="mr")
    fine = scan.with_array(np.zeros((2, 3, 7), np.int16), GRID.refine(2, 2))
    assert (fine.slope, fine.intercept, fine.modality) == (2.0, 1.0, "mr")
    assert (fine.shape, fine.spacing) == ((2, 3, 7), (1.0, 2.0, 1.5))


def test_refuses_what_does_not_fit():
    with pytest.raises(GeometryError, match=r"\(2, 3, 5\).*\(2, 3, 4\)"):
        volume(np.zeros((2, 3, 5)))
    with pytest.raises(ValueError, match="modality"):
        volume(np.zeros((2, 3, 4)), modality="CT")
    for slope, intercept in ((0.0, 0.0), (np.nan, 0.0), (1.0, np.inf)):
        with pytest.raises(ValueError, match="slope"):
            volume(np.zeros((2, 3, 4)), slope=slope, intercept=intercept)
