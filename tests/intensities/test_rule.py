"""How a model maps the intensities of scans, and which it refuses."""

import json

import numpy as np
import pytest

from medgen.errors import IntensityError
from medgen.intensities.guess import Guess
from medgen.intensities.rule import MR_PERCENTILES, IntensityRule

CT = IntensityRule("ct")
MR = IntensityRule("mr")


def test_every_hu_of_the_default_rule_comes_back():
    hu = np.arange(-1024, 1024, dtype=np.int16)
    scale = CT.scale_for(hu)
    assert (scale.low, scale.high, scale.levels) == (-1024.0, 1023.0, 2048)
    np.testing.assert_array_equal(scale.quantise(hu), np.arange(2048))
    np.testing.assert_array_equal(scale.dequantise(scale.quantise(hu)), hu)
    np.testing.assert_array_equal(np.rint(scale.from_unit(scale.to_unit(hu))), hu)


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
    MR.require("mr")
    guess = Guess("ct", True, ("its DICOM header says CT",))
    with pytest.raises(IntensityError) as error:
        MR.require("ct", guess)
    assert str(error.value) == (
        "This model was trained on MR and the scan looks like CT: its DICOM header says CT; choose "
        "a model for CT, or add --modality mr if it is MR."
    )
    with pytest.raises(IntensityError, match=r"looks like a label map: .*; add --modality ct if"):
        CT.require("labels", guess)


def test_a_scan_of_unknown_modality_is_asked_for():
    guess = Guess("mr", False, ("its values tell nothing",))
    for rule in (CT, MR):
        with pytest.raises(IntensityError, match="its values tell nothing; say what it is with"):
            rule.require("unknown", guess)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("pet",), "for ct, mr or he, got 'pet'"),
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
