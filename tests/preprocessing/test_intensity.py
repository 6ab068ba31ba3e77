"""Physical units to levels and the unit range, and back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from medgen.errors import IntensityError
from medgen.preprocessing.intensity import MR_PERCENTILES, IntensityRule, Scale
from medgen.volumes import Geometry, Volume

CT = IntensityRule("ct")
MR = IntensityRule("mr")


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


def test_every_hu_of_the_default_rule_comes_back():
    hu = np.arange(-1024, 1024, dtype=np.int16)
    scale = CT.scale_for(hu)
    assert (scale.low, scale.high, scale.levels) == (-1024.0, 1023.0, 2048)
    np.testing.assert_array_equal(scale.quantise(hu), np.arange(2048))
    np.testing.assert_array_equal(scale.dequantise(scale.quantise(hu)), hu)
    np.testing.assert_array_equal(np.rint(scale.from_unit(scale.to_unit(hu))), hu)


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


def test_ct_has_one_scale_for_all_scans_and_mr_one_for_each():
    rng = np.random.default_rng(0)
    dim = rng.normal(200, 30, (7, 8, 9)).astype(np.float32)
    assert CT.scale_for(dim) == CT.scale_for(5 * dim - 900)
    low, high = np.percentile(dim, MR_PERCENTILES)
    scale = MR.scale_for(dim)
    np.testing.assert_allclose((scale.low, scale.high), (low, high), rtol=1e-6)
    # The same head by a scanner with other units looks the same to the model.
    other = MR.scale_for(3 * dim + 11)
    np.testing.assert_allclose(other.to_unit(3 * dim + 11), scale.to_unit(dim), atol=1e-5)
    # And its percentiles are those of the volume, not of a slice.
    assert MR.scale_for(dim[:1]) != scale


@pytest.mark.parametrize("value", [0.0, -7.5, 412.0, 3e9, 1e20])
def test_a_constant_mr_stays_constant(value):
    scan = np.full((2, 3, 4), value, np.float32)
    scale = MR.scale_for(scan)
    assert scale.low < scale.high
    np.testing.assert_array_equal(scale.to_unit(scan), -0.5)
    np.testing.assert_array_equal(scale.from_unit(scale.to_unit(scan)), scan)


@pytest.mark.parametrize("rule", [CT, MR])
def test_voxels_that_are_not_finite_are_counted_and_refused(rule):
    scan = np.zeros((2, 3, 4), np.float32)
    scan[0, 1] = np.nan, np.inf, -np.inf, 1
    with pytest.raises(IntensityError, match="has 3 NaN or infinite voxels; replace them"):
        rule.scale_for(scan)


def test_a_scan_of_the_other_modality_is_refused():
    def volume(modality):
        return Volume(
            np.zeros((1, 2, 3)), Geometry.from_spacing((1, 2, 3), (1, 1, 1)), 1, 0, modality
        )

    for modality in ("mr", "unknown"):
        MR.require_modality(volume(modality))
    with pytest.raises(IntensityError, match="trained on MR and the scan looks like CT"):
        MR.require_modality(volume("ct"))
    with pytest.raises(IntensityError, match=r"trained on CT .* choose a model for MR"):
        CT.require_modality(volume("mr"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("pet",), "for ct or mr, got 'pet'"),
        (("ct", 1), "from 2 to 65536"),
        (("ct", 9, 50.0, 50.0), "low_hu below high_hu"),
        (("ct", 9, float("nan")), "low_hu below high_hu"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(values, words):
    with pytest.raises(IntensityError, match=words):
        IntensityRule(*values)


def test_a_rule_survives_json():
    rule = IntensityRule("ct", 300, -200.0, 99.5)
    assert IntensityRule(**json.loads(json.dumps(rule.to_json()))) == rule
