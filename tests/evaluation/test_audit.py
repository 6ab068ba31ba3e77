import numpy as np
import pytest

from medgen.errors import EvaluationError
from medgen.evaluation.audit import DRAWS, audit_plans, audit_scan, interval_coverage
from medgen.evaluation.regions import Region
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import Geometry, Volume


@pytest.fixture(scope="module")
def ct():
    return phantom_volume("ct", (40, 36, 8), (9.0, 8.0, 20.0), seed=3)


def everywhere(scan: Volume) -> Region:
    return Region("everything", np.ones(scan.shape, bool))


def mean(volume: Volume, *, factor: int, slice_axis: int) -> Volume:
    """Halfway between neighbours, in float32."""
    geometry = volume.geometry.refine(slice_axis, factor)
    stack = volume.to_physical()
    array = np.repeat(stack, 2, axis=2)[..., :-1]
    array[..., 1::2] = (stack[..., :-1] + stack[..., 1:]) / 2
    return Volume(array, geometry, modality=volume.modality)


@pytest.mark.parametrize("count", [3, 4, 8, 9])
def test_every_inner_slice_is_left_out_once(count):
    plans = audit_plans(Geometry.from_spacing((20, 21, count), (1, 1, 3)))
    left_out = [plan.truth[t] for plan in plans for t in plan.removed]
    assert sorted(left_out) == list(range(1, count - 1))
    assert {plan.gap_mm for plan in plans} == {6}
    for plan in plans:
        assert max(plan.truth) < count


def test_two_slices_have_nothing_to_leave_out():
    with pytest.raises(EvaluationError, match="at least 3, but the scan has 2"):
        audit_plans(Geometry.from_spacing((20, 21, 2), (1, 1, 3)))


def test_errors_are_those_of_the_left_out_slices(ct):
    result = audit_scan(ct, {"mean": mean}, name="scan", region=everywhere(ct))
    scores = [score for score in result.scores if score.method == "mean"]
    assert [score.index for score in scores] == [1, 2, 3, 4, 5, 6]
    values = ct.to_physical()
    for score in scores:
        k = score.index
        error = (values[..., k - 1] + values[..., k + 1]) / 2 - values[..., k]
        assert score.metrics["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
        assert score.position_mm == pytest.approx(20 * k)


def noisy(scan: Volume, deviation: float, seed: int, bias: float = 0.0):
    """Draws around the scan itself: a model whose samples are the truth plus noise."""

    def recreate(volume: Volume, *, factor: int, slice_axis: int) -> Volume:
        geometry = volume.geometry.refine(slice_axis, factor)
        first = round((geometry.affine[2, 3] - scan.geometry.affine[2, 3]) / 20)
        array = scan.to_physical()[..., first : first + geometry.shape[2]].copy()
        noise = np.random.default_rng([seed, first]).normal(bias, deviation, array.shape)
        return Volume((array + noise).astype(np.float32), geometry, modality=scan.modality)

    return recreate


def world(deviation: float) -> tuple[Volume, Volume]:
    """What a model knows, and a scan that differs from it by noise."""
    known = Volume(np.full((30, 40, 9), 50.0), Geometry.from_spacing((30, 40, 9), (1, 1, 20)))
    noise = np.random.default_rng(99).normal(0, deviation, known.shape)
    return known, known.with_array(known.array + noise, known.geometry)


@pytest.mark.parametrize(
    ("deviation", "bias", "expected"),
    [
        (10, 0, (0.5, 0.9)),  # samples are noisy like the truth: calibrated
        (5, 0, (0.26, 0.64)),  # half as noisy: overconfident
        (40, 0, (0.93, 1.0)),  # four times as noisy
        (10, 60, (0.0, 0.0)),  # elsewhere
    ],
)
def test_coverage_tells_calibration(deviation, bias, expected):
    known, scan = world(10)
    draws = [noisy(known, deviation, seed, bias) for seed in range(DRAWS)]
    shown = []
    coverage = interval_coverage(
        scan, draws, region=everywhere(scan), progress=lambda *call: shown.append(call)
    )
    assert shown == [("Draws", n, len(shown)) for n in range(1, len(shown) + 1)]
    assert [c.nominal for c in coverage] == [0.5, 0.9]
    assert [c.observed for c in coverage] == pytest.approx(expected, abs=0.025)


def test_only_the_region_counts():
    known, scan = world(10)
    half = np.zeros(scan.shape, bool)
    half[:15] = True
    shifted = scan.array.copy()
    shifted[15:] += 500
    draws = [noisy(known, 10, seed) for seed in range(DRAWS)]
    shifted = scan.with_array(shifted, scan.geometry)
    inside = interval_coverage(shifted, draws, region=Region("half", half))
    whole = interval_coverage(shifted, draws, region=everywhere(scan))
    assert inside[1].observed == pytest.approx(0.9, abs=0.025)
    assert whole[1].observed == pytest.approx(0.45, abs=0.025)


def test_a_model_without_spread_gives_no_intervals(ct):
    assert interval_coverage(ct, [mean] * DRAWS, region=everywhere(ct)) is None


def test_intervals_need_nineteen_draws(ct):
    with pytest.raises(ValueError, match="19 draws, got 3"):
        interval_coverage(ct, [mean] * 3, region=everywhere(ct))
