import csv
from pathlib import Path

import numpy as np
import pytest
from pyradiomics_golden import CASES, PHANTOM, PHANTOM_MASK, pyradiomics_features, textured_slice

from medgen.errors import EvaluationError
from medgen.evaluation.texture import Bins, fit_bins, texture_features
from medgen.evaluation.texture.glcm import cooccurrences, glcm_features
from medgen.evaluation.texture.gldm import dependences, gldm_features
from medgen.evaluation.texture.glrlm import glrlm_features, runs
from medgen.evaluation.texture.glszm import glszm_features, zones
from medgen.evaluation.texture.ngtdm import ngtdm_features, tone_differences

HERE = Path(__file__).parent
LEVELS = np.where(PHANTOM_MASK, PHANTOM, 0)
COUNT = 6


def read_ibsi():
    """Published values, three digits: (feature, aggregation) -> value.

    From the reference values of the Image Biomarker Standardisation Initiative for the digital
    phantom, reference manual (arXiv:1612.07003) chapter 3, CC BY 4.0. What the manual calls 2D is
    per slice, 2.5D merges slices first; averaged and merged say what happens to directions.
    """
    with open(HERE / "ibsi_digital_phantom.csv", newline="") as file:
        return {(r["feature"], r["aggregation"]): float(r["value"]) for r in csv.DictReader(file)}


def read_pyradiomics():
    with open(HERE / "pyradiomics_golden.csv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    return {case: {row["feature"]: float(row[case]) for row in rows} for case in CASES}


IBSI = read_ibsi()
PYRADIOMICS = read_pyradiomics()
# In PyRadiomics only, so checked against that alone.
WITHOUT_IBSI = {"glcm_MCC"}


def joined(things):
    return [np.concatenate(part) for part in zip(*things, strict=True)]


def average(features):
    return {name: np.mean([each[name] for each in features]) for name in features[0]}


def glcm_aggregations():
    slices = np.array([cooccurrences(levels, COUNT) for levels in LEVELS])  # (s, d, n, n)
    volume = cooccurrences(LEVELS, COUNT)
    return {
        "2D averaged": slices,
        "2D merged": slices.sum(1),
        "2.5D averaged": slices.sum(0),
        "2.5D merged": slices.sum((0, 1)),
        "3D averaged": volume,
        "3D merged": volume.sum(0),
    }


def glrlm_aggregations():
    slices = [runs(levels) for levels in LEVELS]
    volume = runs(LEVELS)
    by_direction = [joined(found) for found in zip(*slices, strict=True)]
    return {
        "2D averaged": [each for found in slices for each in found],
        "2D merged": [joined(found) for found in slices],
        "2.5D averaged": by_direction,
        "2.5D merged": [joined(by_direction)],
        "3D averaged": volume,
        "3D merged": [joined(volume)],
    }


def slice_aggregations(extract):
    return {
        "2D": [extract(levels) for levels in LEVELS],
        "2.5D": [joined([extract(levels) for levels in LEVELS])],
        "3D": [extract(LEVELS)],
    }


def ngtdm_aggregations():
    slices = [tone_differences(levels, COUNT) for levels in LEVELS]
    return {
        "2D": slices,
        "2.5D": [np.sum(slices, axis=0)],
        "3D": [tone_differences(LEVELS, COUNT)],
    }


def phantom_features():
    """(feature, aggregation) -> our value, for every feature medgen has."""
    found = {}
    for aggregation, matrices in glcm_aggregations().items():
        for name, values in glcm_features(matrices).items():
            found["glcm_" + name, aggregation] = values.mean()
    families = {
        "glrlm": (glrlm_features, glrlm_aggregations()),
        "glszm": (glszm_features, slice_aggregations(zones)),
        "gldm": (gldm_features, slice_aggregations(dependences)),
        "ngtdm": (ngtdm_features, ngtdm_aggregations()),
    }
    for family, (describe, aggregations) in families.items():
        for aggregation, things in aggregations.items():
            for name, value in average([describe(*each) for each in things]).items():
                found[f"{family}_{name}", aggregation] = value
    return found


OURS = phantom_features()


def test_every_feature_has_a_published_value_for_every_aggregation():
    with_value = {key for key in OURS if key[0] not in WITHOUT_IBSI}
    assert with_value == set(IBSI)
    assert len(IBSI) == 23 * 6 + 16 * 6 + 16 * 3 + 14 * 3 + 5 * 3
    assert {name for name, _ in OURS} == set(PYRADIOMICS["phantom"])


@pytest.mark.parametrize("key", sorted(IBSI), ids=" ".join)
def test_value_of_the_ibsi_digital_phantom(key):
    expected = IBSI[key]
    last_digit = 10 ** (np.floor(np.log10(abs(expected))) - 2)
    assert abs(OURS[key] - expected) <= 0.5 * last_digit * (1 + 1e-9)


@pytest.mark.parametrize("case", CASES)
def test_value_of_pyradiomics(case):
    image, mask, bins = CASES[case]
    found = texture_features(image, mask, **bins)
    assert list(found) == list(dict.fromkeys(found))
    assert set(found) == set(PYRADIOMICS[case])
    for name, expected in PYRADIOMICS[case].items():
        assert found[name] == pytest.approx(expected, rel=1e-9, abs=1e-9), name


@pytest.mark.slow
@pytest.mark.parametrize("bins", [{"bin_width": 25.0}, {"bin_width": 7.0}, {"bin_count": 32}])
def test_pyradiomics_of_a_noisy_region(bins):
    pytest.importorskip("radiomics", reason="PyRadiomics needs an environment of its own")
    rng = np.random.default_rng(3)
    image = -800 + 90 * rng.standard_normal((70, 83)).cumsum(axis=1)
    mask = rng.random(image.shape) < 0.8
    expected = pyradiomics_features(image, mask, **bins)
    found = texture_features(image, mask, **bins)
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-7)


def test_fixed_bin_width_has_edges_at_multiples():
    bins = fit_bins(np.array([54.0, 166.0]), bin_width=25)
    assert bins == Bins(50.0, 175.0, 5)
    image = np.array([[54.0, 75.0, 99.9], [100.0, 150.0, 166.0]])
    assert bins.levels(image, image > 60).tolist() == [[0, 2, 2], [3, 5, 5]]


def test_a_maximum_on_an_edge_has_a_level_of_its_own():
    assert fit_bins(np.array([-50.0, 25.0]), bin_width=25) == Bins(-50.0, 50.0, 4)


def test_fixed_bin_number_keeps_the_maximum_in_the_last_bin():
    image = np.arange(11.0).reshape(1, 11)
    levels = fit_bins(image, bin_count=5).levels(image, np.ones((1, 11), bool))
    assert levels.tolist() == [[1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5]]


def test_bins_of_another_image_lose_nothing():
    image = np.array([[-60.0, -1.0, 0.0, 99.0, 100.0, 130.0]])
    bins = Bins(0.0, 100.0, 4)
    assert bins.levels(image, np.ones(image.shape, bool)).tolist() == [[-2, 0, 1, 4, 4, 6]]


def test_what_lies_outside_the_region_does_not_matter():
    image, mask = textured_slice()
    other = np.where(mask, image, 3000).astype(np.float32)
    other[0, 0] = np.nan
    bigger = np.pad(other, ((2, 0), (1, 3)), constant_values=-3024)
    bigger_mask = np.pad(mask, ((2, 0), (1, 3)))
    assert texture_features(bigger, bigger_mask) == texture_features(image, mask)


def test_features_do_not_depend_on_the_order_of_axes():
    image, mask = textured_slice()
    turned = texture_features(image.T[::-1], mask.T[::-1])
    assert turned == pytest.approx(texture_features(image, mask), rel=1e-12)


def test_a_volume_of_one_slice_is_a_slice():
    image, mask = textured_slice()
    for axis in range(3):
        deep = texture_features(np.expand_dims(image, axis), np.expand_dims(mask, axis))
        assert deep == texture_features(image, mask)


def test_a_single_pixel_has_no_neighbours():
    mask = np.zeros((5, 6), bool)
    mask[2, 3] = True
    found = texture_features(np.arange(30.0).reshape(5, 6), mask)
    undefined = {name for name, value in found.items() if np.isnan(value)}
    assert undefined == {name for name in found if name.startswith(("glcm", "ngtdm"))}
    assert found["glszm_ZonePercentage"] == found["glrlm_RunPercentage"] == 1


def test_an_empty_region_is_refused():
    with pytest.raises(EvaluationError, match="region of interest is empty"):
        texture_features(np.zeros((4, 5)), np.zeros((4, 5), bool))


def test_values_that_are_not_finite_are_refused():
    image = np.zeros((4, 5))
    image[1, 2] = np.nan
    with pytest.raises(EvaluationError, match="not finite"):
        texture_features(image, np.ones((4, 5), bool))


def test_too_many_levels_are_refused():
    with pytest.raises(EvaluationError, match="2001 grey levels"):
        texture_features(np.array([[0.0, 2000.0]]), np.ones((1, 2), bool), bin_width=1)


@pytest.mark.parametrize("bins", [{"bin_width": 0.0}, {"bin_width": -5.0}, {"bin_count": 0}])
def test_bins_that_make_no_sense_are_refused(bins):
    with pytest.raises(ValueError, match="bin_"):
        texture_features(np.zeros((4, 5)), np.ones((4, 5), bool), **bins)


def test_shapes_must_match():
    with pytest.raises(ValueError, match="must match"):
        texture_features(np.zeros((4, 5)), np.ones((5, 4), bool))
