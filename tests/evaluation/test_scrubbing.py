"""Which cases are shown, and what is seen of them."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from medgen.evaluation.plan import DegradedPlan, Plan
from medgen.evaluation.scoring import TRUTH, SliceScore
from medgen.evaluation.scrubbing import SIDE, extremes, for_page, grey_png, kept_cases
from medgen.volumes import Geometry

SHAPE, PLAN = (20, 24, 31), Plan(2, 0, 1, 2, 16, 2.0)
# Rows run to the right, columns to the front: hung, a slice is transposed and turned.
GEOMETRY = Geometry.from_spacing(SHAPE, (1.0, 1.5, 2.0))


def scored(values: dict[int, float], method: str = "a") -> list[SliceScore]:
    return [
        SliceScore(index, 2.0 * index, PLAN.where(index), method, {"psnr_db": value})
        for index, value in values.items()
    ]


@pytest.fixture
def stacks():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(31, 20, 24))
    test = true.copy()
    test[1::2] += rng.normal(size=(15, 20, 24))
    return true, {"a": test, "b": true.copy()}


@pytest.fixture
def cases(stacks):
    values = {t: 30.0 + (t * 7) % 31 for t in range(1, 31, 2)}
    scores = scored(values) + scored({t: v + 2 for t, v in values.items()}, "b")
    regions = np.ones(stacks[0].shape, bool)
    return kept_cases(*stacks, regions, PLAN, GEOMETRY, scores), values


def test_worst_median_and_best_are_among_those_kept(cases):
    kept, values = cases
    interior = sorted((v + 1, t) for t, v in values.items() if PLAN.where(t) == "interior")
    assert len(kept) == 9
    assert [(case.score, case.index) for case in (kept[0], kept[4], kept[-1])] == [
        interior[0],
        interior[len(interior) // 2],
        interior[-1],
    ]
    shown = extremes([("one", case) for case in kept])
    assert [(title, case.index) for title, _, case in shown] == [
        ("Worst", kept[0].index),
        ("Median", kept[4].index),
        ("Best", kept[-1].index),
    ]
    ((title, name, case),) = extremes([("only", kept[3])])
    assert (title, name, case) == ("Worst", "only", kept[3])


def test_acquired_slices_are_the_same_for_all_and_removed_ones_are_not(cases):
    kept, _ = cases
    for case in kept:
        at = case.slices.index(case.index)
        assert not case.acquired[at]
        for k, acquired in enumerate(case.acquired):
            assert acquired == (case.slices[k] % 2 == 0)
            assert np.array_equal(case.frames["a"][k], case.frames[TRUTH][k]) == acquired
        np.testing.assert_array_equal(case.frames["b"], case.frames[TRUTH])
        told = for_page("Worst", "one", case)  # each picture once: the truth, and what a made of it
        assert len(told["pictures"]) == len(case.slices) + case.acquired.count(False)


def test_of_a_scan_made_coarse_no_slice_is_acquired(stacks):
    plan = DegradedPlan(2, 2, 15, 2.0, "mean")
    true, tests = stacks[0][:30], {name: stack[:30] for name, stack in stacks[1].items()}
    scores = scored({t: 30.0 + t for t in plan.removed})
    for case in kept_cases(true, tests, np.ones(true.shape, bool), plan, GEOMETRY, scores):
        assert case.acquired == (False,) * len(case.slices)


def test_pictures_hang_and_keep_the_shape_of_voxels(cases, stacks):
    case = cases[0][0]
    true = stacks[0][case.index]
    low, high = np.percentile(true, (0.5, 99.5))
    expected = np.rint(255 * np.clip((true - low) / (high - low), 0, 1))
    np.testing.assert_array_equal(
        case.frames[TRUTH][case.slices.index(case.index)], expected.T[::-1, ::-1]
    )
    told = for_page("Worst", "one", case)
    assert (told["height"], told["width"]) == (round(24 * 1.5 * 2), 20 * 2)


def test_a_large_slice_is_cut_around_its_detail():
    true = np.zeros((3, 400, 500))
    true[1, 280:380, 20:120] = np.random.default_rng(0).normal(size=(100, 100))
    plan = Plan(2, 0, 1, 2, 2, 1.0)
    geometry = Geometry((400, 500, 3), np.diag([-1.0, -1.0, 1.0, 1.0]))
    scores = [SliceScore(1, 1.0, "outermost", "a", {"psnr_db": 1.0})]
    (case,) = kept_cases(true, {"a": true}, np.ones(true.shape, bool), plan, geometry, scores)
    frame = case.frames[TRUTH][1]
    assert frame.shape == (SIDE, SIDE)
    assert len(np.unique(frame)) > 100


def test_a_png_holds_what_it_was_given():
    image = np.random.default_rng(1).integers(0, 256, (7, 5), np.uint8)
    read = imread(io.BytesIO(grey_png(image)))
    np.testing.assert_array_equal(np.rint(255 * read), image)
