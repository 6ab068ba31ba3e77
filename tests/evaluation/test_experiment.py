from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from medgen.errors import EvaluationError, GeometryError
from medgen.evaluation.experiment import evaluate_scan
from medgen.evaluation.metrics import METRICS
from medgen.evaluation.plan import overlap_warning, plan_scan
from medgen.evaluation.recreate import take_slices
from medgen.evaluation.regions import Region
from medgen.evaluation.scoring import TRUTH, Binning
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import Geometry, Volume


@pytest.fixture(scope="module")
def ct():
    """A small chest CT, slices along the second axis, `(40, 13, 36)`."""
    scan = phantom_volume("ct", (40, 36, 13), (9.0, 8.0, 5.0), seed=3)
    affine = scan.geometry.affine[:, [0, 2, 1, 3]]
    return scan.with_array(scan.array.swapaxes(1, 2), Geometry((40, 13, 36), affine))


def repeat(volume: Volume, *, factor: int, slice_axis: int) -> Volume:
    """The acquired slice before each."""
    geometry = volume.geometry.refine(slice_axis, factor)
    indices = np.arange(geometry.shape[slice_axis]) // factor
    return volume.with_array(np.take(volume.array, indices, slice_axis), geometry)


def cheat(scan: Volume, step: int = 1):
    """A method that knows the truth: every `step`-th slice of `scan`."""

    def recreate(volume: Volume, *, factor: int, slice_axis: int) -> Volume:
        geometry = volume.geometry.refine(slice_axis, factor)
        truth = take_slices(scan, slice_axis, range(0, geometry.shape[slice_axis] * step, step))
        assert truth.geometry == geometry
        return truth

    return recreate


def everywhere(scan: Volume) -> dict:
    return {"region": Region("everything", np.ones(scan.shape, bool))}


def evaluate(scan, methods, plan=None, **options):
    options = {"name": "scan", "binning": None, **everywhere(scan), **options}
    return evaluate_scan(scan, methods, plan or plan_scan(scan.geometry, slice_axis=1), **options)


def geometry(count: int, spacing: float) -> Geometry:
    return Geometry.from_spacing((8, 9, count), (0.7, 0.7, spacing))


# --- which slices are removed -----------------------------------------------------------------


def test_every_second_slice_is_removed():
    plan = plan_scan(geometry(8, 2.5))
    assert list(plan.truth) == [0, 1, 2, 3, 4, 5, 6]  # the last one lies behind the last acquired
    assert plan.removed == [1, 3, 5]
    assert plan.acquired == 4
    assert plan.gap_mm == 5
    assert [plan.where(t) for t in plan.removed] == ["outermost", "interior", "outermost"]


def test_one_in_three_is_kept():
    plan = plan_scan(geometry(11, 1.0), factor=3)
    assert list(plan.truth) == list(range(10))
    assert plan.removed == [1, 2, 4, 5, 7, 8]
    assert [plan.where(t)[0] for t in plan.removed] == ["o", "o", "i", "i", "o", "o"]
    assert plan.gap_mm == 3


@pytest.mark.parametrize(
    ("gap", "factor", "step", "got"),
    [(3.2, 2, 2, 3.2), (4.8, 2, 3, 4.8), (5.0, 2, 3, 4.8), (4.8, 3, 2, 4.8), (1.6, 2, 1, 1.6)],
)
def test_gap_is_the_distance_of_the_acquired_slices(gap, factor, step, got):
    plan = plan_scan(geometry(60, 0.8), factor=factor, gap_mm=gap)
    assert plan.step == step
    assert plan.gap_mm == pytest.approx(got)
    assert plan.truth[plan.factor] * 0.8 == pytest.approx(got)


def test_two_acquired_slices_have_only_outermost_gaps():
    plan = plan_scan(geometry(3, 5.0))
    assert [plan.where(t) for t in plan.removed] == ["outermost"]


def test_refuses_what_the_scan_cannot_give():
    with pytest.raises(EvaluationError, match="leaves only 1 of the scan's 9 slices"):
        plan_scan(geometry(9, 1.0), factor=9)
    with pytest.raises(EvaluationError, match="1 in 20 leaves only 1 of the scan's 9 slices"):
        plan_scan(geometry(9, 1.0), gap_mm=20)
    with pytest.raises(
        EvaluationError, match="leaves them at least 10 mm apart, got --gap 5; ask for"
    ):
        plan_scan(geometry(9, 5.0), gap_mm=5)
    with pytest.raises(EvaluationError, match="at least 2, got 1"):
        plan_scan(geometry(9, 1.0), factor=1)
    with pytest.raises(GeometryError, match="slice axis must be 0, 1 or 2"):
        plan_scan(geometry(9, 1.0), slice_axis=3)


def test_warns_when_removed_slices_overlap_acquired_ones():
    thin = plan_scan(geometry(60, 0.8))
    assert "0.8 mm from acquired ones but are 1.25 mm thick" in overlap_warning(thin, 1.25)
    assert "--gap 2.5" in overlap_warning(thin, 1.25)
    assert overlap_warning(plan_scan(geometry(60, 0.8), gap_mm=3.2), 1.25) is None
    assert overlap_warning(plan_scan(geometry(60, 1.25)), 1.25) is None
    assert overlap_warning(thin, None) is None


def test_taken_slices_stay_in_their_place(ct):
    taken = take_slices(ct, 1, range(3, 12, 4))
    np.testing.assert_array_equal(taken.array, ct.array[:, [3, 7, 11]])
    np.testing.assert_allclose(taken.geometry.centers(1), ct.geometry.centers(1)[[3, 7, 11]])


# --- what is scored ---------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "gap", "step"), [(2, None, 1), (3, None, 1), (2, 20, 2)])
def test_a_method_that_knows_the_truth_is_perfect(ct, factor, gap, step):
    plan = plan_scan(ct.geometry, factor=factor, gap_mm=gap, slice_axis=1)
    result = evaluate(ct, {"cheat": cheat(ct, step)}, plan, binning=Binning())
    truth, test = ([s for s in result.scores if s.method == m] for m in (TRUTH, "cheat"))
    assert [s.index for s in test] == [plan.truth[t] for t in plan.removed]
    for score in test:
        assert score.metrics["psnr_db"] == np.inf
        assert score.metrics["rmse"] == score.metrics["mae_region"] == 0
        assert score.metrics["edge_accuracy"] == score.metrics["edge_robustness"] == 1
        assert score.metrics["edge_seed_compatible"] == 0.5
        assert score.position_mm == pytest.approx(score.index * 5)
    assert [s.features for s in truth] == [s.features for s in test]
    assert len(truth[0].features) == 75


def test_errors_are_those_of_the_removed_slices(ct):
    result = evaluate(ct, {"repeat": repeat})
    values = np.maximum(ct.to_physical(), -1024)
    for score in (s for s in result.scores if s.method == "repeat"):
        error = values[:, score.index - 1] - values[:, score.index]
        assert score.metrics["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-6)
        assert score.metrics["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-6)
        mse = (error**2).mean(dtype=np.float64)
        assert score.metrics["psnr_db"] == pytest.approx(10 * np.log10(4095**2 / mse), rel=1e-6)
        assert set(score.metrics) == set(METRICS)


def test_region_limits_its_error_and_texture(ct):
    region = np.zeros(ct.shape, bool)
    region[10:25, 4:9, 8:30] = True
    result = evaluate(
        ct, {"repeat": repeat}, region=Region("box", region), binning=Binning(count=8)
    )
    by_index = {(s.index, s.method): s for s in result.scores}
    values = ct.to_physical()[10:25, :, 8:30]
    error = np.abs(values[:, 4] - values[:, 5]).mean()
    assert by_index[5, "repeat"].metrics["mae_region"] == pytest.approx(error, rel=1e-6)
    assert np.isnan(by_index[11, "repeat"].metrics["mae_region"])
    assert by_index[5, TRUTH].features != by_index[5, "repeat"].features
    assert by_index[11, TRUTH].features == {}
    assert result.region == "box"


def test_map_errors_are_there_when_asked_for(ct):
    region = np.zeros(ct.shape, bool)
    region[12:24, :, 10:20] = True
    options = {"region": Region("box", region), "mapped": True}
    methods = {"cheat": cheat(ct), "repeat": repeat}
    scores = [s for s in evaluate(ct, methods, **options).scores if s.index == 5]
    errors = {score.method: score.map_errors for score in scores}
    assert errors[TRUTH] == {}
    assert set(errors["cheat"].values()) == {0.0}
    assert errors["repeat"]["glcm_Contrast"] > 0


def test_padding_below_air_does_not_count(ct):
    padded, clipped = ct.array.copy(), ct.array.copy()
    padded[:4], clipped[:4] = -3024, -1024
    padded, clipped = (ct.with_array(array, ct.geometry) for array in (padded, clipped))
    first, second = (evaluate(scan, {"repeat": repeat}) for scan in (padded, clipped))
    assert repr([s.metrics for s in first.scores]) == repr([s.metrics for s in second.scores])


def test_a_little_below_air_counts_as_it_is(ct):
    """Resampled CT: the error of a method that raises -1100 to -1024 is seen."""
    below = ct.with_array(np.where(ct.array < -950, -1100, ct.array), ct.geometry)
    raised = ct.with_array(np.maximum(below.array, -1024), ct.geometry)
    scores = [s for s in evaluate(below, {"cheat": cheat(raised)}).scores if s.method == "cheat"]
    for score in scores:
        share = np.mean(below.array[:, score.index] == -1100)
        assert score.metrics["mae"] == pytest.approx(76 * share, rel=1e-6)


def test_where_the_truth_is_padding_there_is_no_error(ct):
    """Declared as 0 in a frame; in the body 0 is a value. Left alone is what a method pads."""
    array = ct.array.copy()
    array[:3], array[-3:], array[..., :3], array[..., -3:] = 0, 0, 0, 0
    truth = replace(ct.with_array(array, ct.geometry), metadata={"padding_value": 0.0})
    # A method that continues tissue into the frame makes no error there.
    other = np.where(array == 0, 500, array)
    inside = np.zeros(array.shape, bool)
    inside[3:-3, :, 3:-3] = True
    tissue = replace(truth, array=np.where(inside, array, other))
    for score in evaluate(truth, {"tissue": cheat(tissue)}).scores:
        assert score.metrics.get("mae", 0) == 0
    # One that pads a column more misses what is there by as much as air does.
    wider = array.copy()
    wider[3] = 0
    for score in evaluate(truth, {"wider": cheat(replace(truth, array=wider))}).scores:
        if score.method == "wider":
            missed = np.abs(array[3, score.index, 3:-3] + 1024.0).sum()
            assert score.metrics["mae"] == pytest.approx(missed / array[:, 0].size, rel=1e-6)


def test_coverage_is_the_share_of_pixels_that_are_not_blank_within_the_interval(ct):
    """An interval of 60 HU around the truth in the right half, and beside it in the left."""
    truth = ct.array.astype(np.float32).clip(-1024, None)
    truth[:6] = -1024  # blank in all slices: counts for nothing, though the interval misses it
    scan = ct.with_array(truth, ct.geometry)
    middle = truth.shape[0] // 2

    def knowing(volume, *, factor, slice_axis):
        low, high = truth - 30, truth + 30
        low[:middle] += 40
        high[:6] = low[:6] = 0
        return scan, scan.with_array(low, ct.geometry), scan.with_array(high, ct.geometry)

    result = evaluate(scan, {"knowing": knowing, "repeat": repeat})
    for score in result.scores:
        if score.method == "knowing":
            assert score.metrics["mae"] == 0
            expected = (truth.shape[0] - middle) / (truth.shape[0] - 6)
            assert score.metrics["interval_coverage"] == pytest.approx(expected, abs=0.03)
        elif score.method == "repeat":
            assert np.isnan(score.metrics["interval_coverage"])


def test_mr_is_scored_on_its_own_range(ct):
    mr = replace(phantom_volume("mr", (30, 34, 7), (7.0, 7.0, 5.0), seed=1), slope=0.5)
    result = evaluate(mr, {"repeat": repeat}, plan_scan(mr.geometry, slice_axis=2))
    score = next(s for s in result.scores if s.index == 3 and s.method == "repeat")
    values = mr.to_physical().astype(np.float64)
    mse = ((values[..., 3] - values[..., 2]) ** 2).mean()
    peak = np.ptp(values)
    assert score.metrics["psnr_db"] == pytest.approx(10 * np.log10(peak**2 / mse), rel=1e-6)


def test_processes_give_the_same_scores_in_the_same_order(ct):
    options = {"binning": Binning()}
    alone = evaluate(ct, {"repeat": repeat}, **options)
    with ProcessPoolExecutor(2) as executor:
        together = evaluate(ct, {"repeat": repeat}, executor=executor, **options)
    assert repr(together.scores) == repr(alone.scores)


def test_progress_counts_methods_and_slices(ct):
    seen = []
    evaluate(ct, {"repeat": repeat}, progress=lambda *steps: seen.append(steps))
    assert seen == [("scan", done, 7) for done in range(1, 8)]


def test_thickness_comes_from_the_file_or_the_user(ct):
    known = replace(ct, metadata={"slice_thickness_mm": 7.5})
    assert evaluate(known, {"repeat": repeat}).thickness_mm == 7.5
    assert len(evaluate(known, {"repeat": repeat}).warnings) == 1
    result = evaluate(known, {"repeat": repeat}, thickness_mm=5.0)
    assert (result.thickness_mm, result.warnings) == (5, [])
    assert evaluate(ct, {"repeat": repeat}).thickness_mm is None


# --- what goes wrong --------------------------------------------------------------------------


def broken(volume: Volume, *, factor: int, slice_axis: int) -> Volume:
    result = repeat(volume, factor=factor, slice_axis=slice_axis)
    array = result.array.astype(np.float32)
    array[3, 3, 3] = np.nan
    return result.with_array(array, result.geometry)


def test_a_method_that_gives_nan_is_reported_and_left_out(ct):
    result = evaluate(ct, {"broken": broken, "repeat": repeat})
    assert result.failures == {"broken": "broken gave NaN or infinite values; it is left out."}
    assert {s.method for s in result.scores} == {TRUTH, "repeat"}


def test_no_method_left_is_an_error(ct):
    with pytest.raises(EvaluationError, match="No method gave a result: broken gave NaN"):
        evaluate(ct, {"broken": broken})


def test_blank_slices_are_counted_and_not_scored(ct):
    array = ct.array.copy()
    array[:, 7:] = -1024
    result = evaluate(ct.with_array(array, ct.geometry), {"repeat": repeat})
    assert {s.index for s in result.scores} == {1, 3, 5}
    assert result.blank == 3
    array[:, 1:] = -1024
    with pytest.raises(EvaluationError, match="Every removed slice is blank"):
        evaluate(ct.with_array(array, ct.geometry), {"repeat": repeat})


def test_empty_region_is_an_error(ct):
    region = np.zeros(ct.shape, bool)
    region[:, 2] = True  # acquired, not removed
    with pytest.raises(
        EvaluationError, match=r"interest \(lungs\) is empty in every removed slice"
    ):
        evaluate(ct, {"repeat": repeat}, region=Region("lungs", region))


def test_slices_too_small_to_compare_are_an_error(ct):
    small = ct.with_array(ct.array[:, :10], Geometry((40, 10, 36), ct.geometry.affine))
    with pytest.raises(EvaluationError, match=r"11 voxels a side .* got 10 x 36; choose another"):
        evaluate(small, {"repeat": repeat}, plan_scan(small.geometry, slice_axis=0))


def test_nan_in_the_scan_is_an_error(ct):
    array = ct.array.astype(np.float32)
    array[0, 0, 0] = np.nan
    with pytest.raises(EvaluationError, match="NaN or infinite voxels"):
        evaluate(ct.with_array(array, ct.geometry), {"repeat": repeat})


def test_a_method_with_too_few_slices_is_reported(ct):
    def short(volume, *, factor, slice_axis):
        return volume

    with pytest.raises(EvaluationError, match=r"short gave slices of shape \(7, 40, 36\)"):
        evaluate(ct, {"short": short})
