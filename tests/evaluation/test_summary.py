import json

import numpy as np
import pytest

from medgen.evaluation.agreement import concordance_correlation_coefficient, nrmse
from medgen.evaluation.experiment import Example, ScanResult
from medgen.evaluation.metrics import METRICS
from medgen.evaluation.plan import plan_scan
from medgen.evaluation.scoring import TRUTH, SliceScore
from medgen.evaluation.statistics import signed_rank_p
from medgen.evaluation.summary import gather_cases, plain, summarize
from medgen.volumes import Geometry

PLAN = plan_scan(Geometry.from_spacing((20, 21, 9), (1, 1, 3)))  # 4 slices removed, 2 interior


def scan(name: str, errors: dict[str, list[float]], features: bool = False) -> ScanResult:
    """A result whose metrics are all the given errors, and whose features carry them."""
    scores = []
    for number, t in enumerate(PLAN.removed):
        place = (t, 3.0 * t, PLAN.where(t))
        true = {"glcm_A": 10.0 + t, "ngtdm_B": 5.0 - t**2} if features else {}
        scores.append(SliceScore(*place, TRUTH, features=true))
        for method, values in errors.items():
            scores.append(
                SliceScore(
                    *place,
                    method,
                    {name: values[number] for name in METRICS},
                    {key: value + values[number] for key, value in true.items()},
                    {"glcm_A": values[number], "glcm_C": 100 * values[number]} if features else {},
                )
            )
    blank = np.zeros((20, 21))
    return ScanResult(
        name=name,
        modality="ct",
        geometry=Geometry.from_spacing((20, 21, 9), (1, 1, 3)),
        plan=PLAN,
        thickness_mm=None,
        region="body",
        binning=None,
        scores=tuple(scores),
        blank=0,
        failures={},
        example=Example(3, blank, blank, blank, {m: blank for m in errors}, blank > 0),
    )


ONE = scan("one", {"a": [9.0, 1.0, 2.0, 9.0], "b": [1.0, 3.0, 1.5, 1.0]}, features=True)


def test_interior_and_outermost_gaps_are_apart():
    table = summarize([ONE])["metrics"]
    assert table["interior"]["mae"]["a"] == {
        "mean": 1.5,
        "sd": pytest.approx(np.sqrt(0.5)),
        "median": 1.5,
        "slices": 2,
    }
    assert table["outermost"]["mae"]["a"]["mean"] == 9
    assert table["outermost"]["mae"]["b"]["mean"] == 1


def test_wins_follow_the_direction_of_the_metric():
    comparisons = summarize([ONE])["comparisons"]
    # Interior slices: a has 1 and 2, b has 3 and 1.5.
    assert comparisons["mae"]["wins_percent"] == [[None, 50], [50, None]]
    assert comparisons["mae"]["tests"][0]["first_wins"] == 1
    # A ratio counts by its factor from 1: a is at 1 and 2, b at 3 and 1.5.
    assert comparisons["noise_power_ratio"]["wins_percent"] == [[None, 50], [50, None]]
    high = scan("high", {"a": [0, 2.0, 2.0, 0], "b": [0, 1.0, 1.0, 0]})
    comparisons = summarize([high])["comparisons"]
    assert comparisons["psnr_db"]["wins_percent"] == [[None, 100], [0, None]]
    assert comparisons["mae"]["wins_percent"] == [[None, 0], [100, None]]


def test_ratios_are_judged_by_their_factor():
    ratio = scan("ratio", {"a": [1, 0.5, 1.9, 1], "b": [1, 1.9, 0.5, 1]})
    wins = summarize([ratio])["comparisons"]["noise_power_ratio"]["wins_percent"]
    assert wins == [[None, 50], [50, None]]  # 1.9 is nearer to 1 than 1 / 2 is
    seed = summarize([scan("s", {"a": [0, 0.45, 0.45, 0], "b": [0, 0.6, 0.6, 0]})])
    assert seed["comparisons"]["edge_seed_compatible"]["wins_percent"][0][1] == 100


def test_fewer_than_six_scans_are_compared_by_slice():
    cases = gather_cases([ONE] * 5)
    assert (cases.unit, len(cases.groups)) == ("slice", 10)
    np.testing.assert_array_equal(
        cases.values(["a", "b"], "metrics", "mae"), [[1, 2] * 5, [3, 1.5] * 5]
    )


def test_six_scans_are_compared_by_their_means():
    scans = [scan(str(n), {"a": [0, n, n + 2.0, 0], "b": [0, 4.0, 6.0, 0]}) for n in range(6)]
    summary = summarize(scans)
    assert (summary["unit"], summary["cases"]) == ("scan", 6)
    values = gather_cases(scans).values(["a", "b"], "metrics", "mae")
    np.testing.assert_array_equal(values, [[1, 2, 3, 4, 5, 6], [5] * 6])
    test = summary["comparisons"]["mae"]["tests"][0]
    assert (test["first_wins"], test["second_wins"], test["ties"]) == (4, 1, 1)
    assert test["wilcoxon_p"] == signed_rank_p(values[0] - values[1])


def test_a_method_missing_in_one_scan_is_compared_where_it_is():
    scans = [ONE, scan("two", {"a": [0, 5.0, 5.0, 0]})]
    summary = summarize(scans)
    assert summary["metrics"]["interior"]["mae"]["b"]["slices"] == 2
    assert summary["comparisons"]["mae"]["tests"][0]["ties"] == 0
    assert summary["comparisons"]["mae"]["tests"][0]["first_wins"] == 1


def test_texture_is_that_of_the_agreement_functions():
    texture = summarize([ONE])["texture"]
    true = np.array([[13.0, -4], [15, -20]])
    test = true + np.array([[3], [1.5]])
    assert texture["cases"] == 2
    assert texture["features"] == ["glcm_A", "ngtdm_B"]
    np.testing.assert_allclose(
        texture["concordance"]["b"], concordance_correlation_coefficient(true, test)
    )
    np.testing.assert_allclose(texture["nrmse"]["b"], nrmse(true, test))
    assert texture["nrmse_mean"]["b"] == pytest.approx(nrmse(true, test).mean())
    assert texture["wins_percent"] == [[None, 50], [50, None]]
    # Errors of a: 1, 2; of b: 3, 1.5; smallest 1 and largest 3 over both.
    assert texture["seed_nrmse_mean"]["a"] == pytest.approx((0 + 0.5) / 2)
    assert texture["seed_nrmse_mean"]["b"] == pytest.approx((1 + 0.25) / 2)


def test_median_and_wins_are_the_headline_where_one_feature_carries_the_mean():
    """As where a slice tapers to nothing: the truth hardly varies, and NRMSE has no bound."""
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1, (4, 5))
    true[:, 3] = [0, 0.001, 0.002, 0.001]
    a, b = true + 0.1, true + 0.2
    a[2, 3] = 5.0
    places = [(k, 3.0 * k, "interior") for k in range(4)]
    names = [f"glcm_{letter}" for letter in "ABCDE"]

    def scores(method, values):
        metrics = {} if method == TRUTH else dict.fromkeys(METRICS, 1.0)
        return [
            SliceScore(*place, method, metrics, dict(zip(names, row, strict=True)))
            for place, row in zip(places, values.tolist(), strict=True)
        ]

    every = (*scores(TRUTH, true), *scores("a", a), *scores("b", b))
    texture = summarize([ScanResult(**{**vars(ONE), "scores": every})])["texture"]
    errors = {"a": nrmse(true, a), "b": nrmse(true, b)}
    for method in ("a", "b"):
        assert texture["nrmse_median"][method] == pytest.approx(np.median(errors[method]))
        assert texture["nrmse_mean"][method] == pytest.approx(errors[method].mean())
    assert texture["nrmse_median"]["a"] < 0.1 < 200 < texture["nrmse_mean"]["a"]
    assert texture["features_won"] == {"a": pytest.approx(4 / 5), "b": pytest.approx(1 / 5)}
    first, second, third = texture["mean_carried_by"]["a"]
    assert (first["feature"], first["case"]) == ("glcm_D", "one, slice 2")
    assert first["nrmse"] == pytest.approx(errors["a"][3])
    assert first["of_mean"] == pytest.approx(errors["a"][3] / errors["a"].sum())
    squared = np.square(a - true)[:, 3]
    assert first["of_error"] == pytest.approx(squared[2] / squared.sum())
    assert second["nrmse"] >= third["nrmse"]


def test_a_tie_is_won_by_nobody_and_one_method_wins_all():
    texture = summarize([scan("s", {"a": [1.0, 1, 2, 1], "b": [1.0, 1, 2, 1]}, features=True)])
    assert texture["texture"]["features_won"] == {"a": 0, "b": 0}
    alone = summarize([scan("s", {"a": [1.0, 1, 2, 1]}, features=True)])
    assert alone["texture"]["features_won"] == {"a": 1}


def test_mapped_errors_are_brought_to_one_scale():
    maps = summarize([ONE])["texture_maps"]
    assert maps["msmfe"]["a"] == [1.5, 150]
    assert maps["msmfe_normalized_mean"]["a"] == pytest.approx(0.25)
    assert maps["wins_percent"] == [[None, 50], [50, None]]


def test_without_texture_there_is_none():
    summary = summarize([scan("plain", {"a": [1.0, 2.0, 3.0, 4.0]})])
    assert summary["texture"] is None
    assert summary["texture_maps"] is None


def test_scans_with_outermost_gaps_only_are_still_summed_up():
    short = ScanResult(**{**vars(ONE), "scores": tuple(s for s in ONE.scores if s.index in (1, 7))})
    summary = summarize([short])
    assert (summary["where"], summary["cases"]) == ("outermost", 2)
    assert summary["metrics"]["interior"]["mae"]["a"]["mean"] is None
    assert summary["comparisons"]["mae"]["wins_percent"][1][0] == 100


def test_everything_is_json():
    text = json.dumps(summarize([ONE]), allow_nan=False)
    assert '"gap_mm": 6.0' in text
    assert plain({"a": (np.float32(1.5), np.inf, np.int64(3), [float("nan")])}) == {
        "a": [1.5, None, 3, [None]]
    }


def test_same_seed_same_summary():
    assert summarize([ONE], seed=5) == summarize([ONE], seed=5)
