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
@settings(max_examples=100, deadline=None)
def test_stored_undoes_physical_for_every_integer(array, slope, intercept):
    scan = volume(array, slope=slope, intercept=intercept)
    # float32 keeps 24 bits: enough where the offset is not thousands of times the range.
    if abs(intercept / slope) < 1 << 18:
        np.testing.assert_array_equal(scan.stored(scan.physical()), array)


def test_physical_is_slope_times_stored_plus_intercept():
    scan = volume(np.arange(24, dtype=np.int16).reshape(2, 3, 4), slope=0.5, intercept=-1024)
    assert scan.physical().dtype == np.float32
    assert scan.physical()[1, 2, 3] == 23 * 0.5 - 1024
    assert scan.is_scaled


def test_stored_rounds_to_nearest_and_stays_in_range():
    scan = volume(np.zeros((2, 3, 4), np.uint8), slope=2.0, intercept=-10.0)
    values = np.array([-11.0, -10.0, -8.9, -7.1, 500.0, 499.0, 1e9])
    np.testing.assert_array_equal(scan.stored(values), [0, 0, 1, 1, 255, 254, 255])
    assert scan.stored(values).dtype == np.uint8


def test_stored_of_floats_is_not_rounded():
    scan = volume(np.zeros((2, 3, 4), np.float32))
    np.testing.assert_array_equal(scan.stored([0.25, np.nan]), np.float32([0.25, np.nan]))


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
