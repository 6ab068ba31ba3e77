"""Physical units to levels and the unit range, and back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medgen.intensities.scale import Scale


@st.composite
def scales(draw):
    """Scales whose levels are whole numbers, as those of CT in HU."""
    low, step = draw(st.integers(-3000, 100)), draw(st.integers(1, 16))
    levels = draw(st.integers(2, 4096))
    return Scale(float(low), float(low + step * (levels - 1)), levels), step


@given(scales(), st.data())
def test_values_that_are_levels_come_back_exactly(scale_and_step, data):
    scale, step = scale_and_step
    shape = (2, 3, 5)
    levels = data.draw(arrays(np.int64, shape, elements=st.integers(0, scale.levels - 1)))
    physical = (scale.low + step * levels).astype(np.float32)
    assert scale.step == step
    np.testing.assert_array_equal(scale.quantise(physical), levels)
    np.testing.assert_array_equal(scale.dequantise(levels), physical)
    # Through the unit range, within what float32 can tell apart.
    np.testing.assert_allclose(scale.from_unit(scale.to_unit(physical)), physical, atol=0.02)
    np.testing.assert_array_equal(scale.quantise(scale.from_unit(scale.to_unit(physical))), levels)


def test_beyond_the_range_is_the_end_of_the_range():
    scale = Scale(-100.0, 300.0, 5)
    hu = np.array([-3024, -100.1, -49, 51, 300.1, 3071], np.float32)
    np.testing.assert_array_equal(scale.quantise(hu), [0, 0, 1, 2, 4, 4])
    np.testing.assert_array_equal(scale.dequantise([0, 1, 2, 4]), [-100, 0, 100, 300])
    np.testing.assert_allclose(
        scale.to_unit(hu), [-0.5, -0.5, -0.3725, -0.1225, 0.5, 0.5], atol=1e-7
    )
    np.testing.assert_allclose(
        scale.from_unit([-0.7, -0.5, 0.0, 0.5, 9.0]), [-100, -100, 100, 300, 300]
    )
    for values in (scale.to_unit(hu), scale.from_unit(hu), scale.dequantise([1])):
        assert values.dtype == np.float32
    assert scale.quantise(hu).dtype == np.int32
