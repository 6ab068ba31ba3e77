"""From scores of slices to the tables of a report: means, wins, tests, texture agreement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medgen.evaluation.agreement import (
    REPRODUCIBLE,
    concordance_correlation_coefficient,
    nrmse,
    published_normalized_errors,
    reproducible_share,
)
from medgen.evaluation.experiment import ScanResult
from medgen.evaluation.metrics import METRICS, Metric
from medgen.evaluation.protocols import PROTOCOLS
from medgen.evaluation.scoring import TRUTH, SliceScore
from medgen.evaluation.statistics import compare_methods, win_matrix

# Below this many pairs Wilcoxon's two-sided test cannot reach 0.05: 2 / 2^5 = 0.0625.
FEWEST_SCANS = 6
# Features named as carrying a mean.
CARRIERS = 3


@dataclass(frozen=True)
class Cases:
    """The units of all tables: slices, or means over the slices of a scan.

    Args:
        unit: `scan` or `slice`.
        where: `interior`, or `outermost` where there is no other gap.
        groups: the scores that make each case: method -> scores of its slices.
        names: of the cases, scan and slice.
    """

    unit: str
    where: str
    groups: tuple[dict[str, list[SliceScore]], ...]
    names: tuple[str, ...]

    def values(self, methods: Sequence[str], kind: str, name: str) -> np.ndarray:
        """Scores `(methods, cases)`: means over each case, NaN where a method has none.

        Args:
            methods: in the wanted order.
            kind: `metrics`, `features` or `map_errors`.
            name: one of their keys.
        """
        values = np.full((len(methods), len(self.groups)), np.nan)
        for case, group in enumerate(self.groups):
            for row, method in enumerate(methods):
                found = [getattr(score, kind).get(name, np.nan) for score in group.get(method, [])]
                found = [value for value in found if not np.isnan(value)]
                if found:
                    values[row, case] = np.mean(found)
        return values


def gather_cases(scans: Sequence[ScanResult]) -> Cases:
    """Make a case of every scan if there are at least six, else of every slice.

    Slices of one scan are not independent; with fewer scans there is no other choice, and p-values
    are then too small. Only interior gaps count, unless there are none.
    """
    where = (
        "interior" if any(s.where == "interior" for r in scans for s in r.scores) else "outermost"
    )
    unit = "scan" if len(scans) >= FEWEST_SCANS else "slice"
    groups: dict[tuple[int, ...], dict[str, list[SliceScore]]] = {}
    names = {}
    for number, scan in enumerate(scans):
        for score in scan.scores:
            if score.where == where:
                key = (number,) if unit == "scan" else (number, score.index)
                names[key] = ", slice ".join([scan.name, *map(str, key[1:])])
                groups.setdefault(key, {}).setdefault(score.method, []).append(score)
    return Cases(unit, where, tuple(groups.values()), tuple(names.values()))


def summarize(scans: Sequence[ScanResult], *, seed: int = 0) -> dict[str, Any]:
    """All numbers of a report, as values that JSON knows (non-finite ones as None).

    Args:
        scans: results of one modality, at least one.
        seed: of the bootstrap.
    """
    methods = list(dict.fromkeys(s.method for r in scans for s in r.scores if s.method != TRUTH))
    cases = gather_cases(scans)
    summary = {
        "methods": methods,
        "unit": cases.unit,
        "where": cases.where,
        "cases": len(cases.groups),
        "scans": [describe_scan(scan) for scan in scans],
        "metrics": {
            where: {
                metric.name: spread_of(scans, methods, metric, where) for metric in METRICS.values()
            }
            for where in ("interior", "outermost")
        },
        "protocols": published(scans, methods),
        "comparisons": {
            metric.name: compared(metric.merit(cases.values(methods, "metrics", metric.name)))
            for metric in METRICS.values()
        },
        "texture": texture_agreement(cases, methods, seed),
        "texture_maps": texture_maps(cases, methods),
    }
    return plain(summary)


def describe_scan(scan: ScanResult) -> dict[str, object]:
    """What was done to one scan."""
    places = [scan.plan.where(t) for t in scan.plan.removed]
    return {
        "name": scan.name,
        "modality": scan.modality,
        "shape": list(scan.geometry.shape),
        "slice_axis": scan.plan.axis,
        "factor": scan.plan.factor,
        "spacing_mm": scan.plan.spacing_mm,
        "gap_mm": scan.plan.gap_mm,
        "thickness_mm": scan.thickness_mm,
        "acquired": scan.plan.acquired,
        "removed_interior": places.count("interior"),
        "removed_outermost": places.count("outermost"),
        "blank": scan.blank,
        "region": scan.region,
        "texture": str(scan.binning) if scan.binning else None,
        "example_slice": scan.example.index,
        "warnings": scan.warnings,
        "failures": dict(scan.failures),
    }


def spread_of(
    scans: Sequence[ScanResult], methods: Sequence[str], metric: Metric, where: str
) -> dict[str, dict[str, float]]:
    """Mean, standard deviation, median and number of slices of each method in one kind of gap."""
    table = {}
    for method in methods:
        values = np.array(
            [
                score.metrics[metric.name]
                for scan in scans
                for score in scan.scores
                if score.method == method and score.where == where
            ]
        )
        values = values[~np.isnan(values)]
        finite = values[np.isfinite(values)]
        table[method] = {
            "mean": values.mean() if values.size else np.nan,
            "sd": finite.std(ddof=1) if finite.size > 1 else np.nan,
            "median": np.median(values) if values.size else np.nan,
            "slices": int(values.size),
        }
    return table


def published(scans: Sequence[ScanResult], methods: Sequence[str]) -> dict[str, dict[str, float]]:
    """PSNR of each method by each protocol of a paper that was asked for, mean over scans."""
    return {
        name: {
            method: PROTOCOLS[name].mean(
                [scan.published[name].get(method, np.nan) for scan in scans],
                [len(scan.plan.truth) for scan in scans],
            )
            for method in methods
        }
        for name in scans[0].published
    }


def compared(merits: np.ndarray) -> dict[str, object]:
    """Win matrix and paired tests of scores `(methods, cases)` where higher is better."""
    return {
        "wins_percent": win_matrix(merits, higher_is_better=True).tolist(),
        "tests": [asdict(pair) for pair in compare_methods(merits, higher_is_better=True)],
    }


def texture_agreement(cases: Cases, methods: Sequence[str], seed: int) -> dict[str, object] | None:
    """Agreement of texture features with the truth; None with fewer than two complete cases.

    Only cases in which the truth and every method have features count. NRMSE is over the range that
    a feature has in the truth; where that is next to nothing it has no bound, so methods are judged
    by their median over the features and by how many of these they win, and the mean comes with
    what it is carried by. Wins in pairs are counted over all features of all cases; the tests
    compare the mean normalised error of each case.
    """
    names, places, values = feature_cube(cases, [TRUTH, *methods], "features")
    if values.shape[1] < 2:
        return None
    true, tests = values[0], values[1:]
    errors = np.abs(tests - true)
    normalized = published_normalized_errors(true, tests)
    concordance = np.array([concordance_correlation_coefficient(true, test) for test in tests])
    share = [reproducible_share(true, test, seed=seed) for test in tests]
    relative = np.array([nrmse(true, test) for test in tests])
    return {
        "cases": values.shape[1],
        "features": names,
        "threshold": REPRODUCIBLE,
        "nrmse": dict(zip(methods, relative.tolist(), strict=True)),
        "nrmse_median": dict(zip(methods, finite_median(relative), strict=True)),
        "features_won": dict(zip(methods, shares_won(relative), strict=True)),
        "nrmse_mean": dict(zip(methods, finite_mean(relative), strict=True)),
        "mean_carried_by": {
            method: carriers(names, places, each, error)
            for method, each, error in zip(methods, relative, errors, strict=True)
        },
        "seed_nrmse_mean": dict(
            zip(methods, finite_mean(normalized.reshape(len(methods), -1)), strict=True)
        ),
        "concordance": dict(zip(methods, concordance.tolist(), strict=True)),
        "concordance_mean": dict(zip(methods, finite_mean(concordance), strict=True)),
        "reproducible": {
            method: each._asdict() for method, each in zip(methods, share, strict=True)
        },
        "wins_percent": win_matrix(
            -errors.reshape(len(methods), -1), higher_is_better=True
        ).tolist(),
        "tests": compared(-finite_mean(normalized))["tests"],
    }


def texture_maps(cases: Cases, methods: Sequence[str]) -> dict[str, object] | None:
    """Mean squared mapped feature errors, each feature brought to 0 ... 1 as published; or None."""
    names, _, errors = feature_cube(cases, methods, "map_errors")
    if not errors.shape[1]:
        return None
    normalized = published_normalized_errors(np.zeros(errors.shape[1:]), errors)
    return {
        "cases": errors.shape[1],
        "features": names,
        "msmfe": dict(zip(methods, errors.mean(axis=1).tolist(), strict=True)),
        "msmfe_normalized_mean": dict(
            zip(methods, finite_mean(normalized.reshape(len(methods), -1)), strict=True)
        ),
        **compared(-finite_mean(normalized)),
    }


def carriers(
    features: Sequence[str], cases: Sequence[str], relative: np.ndarray, errors: np.ndarray
) -> list[dict[str, object]]:
    """The features that carry a method's mean NRMSE most, and the case that carries each.

    Args:
        features: names.
        cases: names.
        relative: NRMSE of each feature.
        errors: absolute, `(cases, features)`.

    Returns:
        The first `CARRIERS` by NRMSE: `feature`, `nrmse`, `of_mean` (its share of the sum of all),
        `case` (where its error is largest) and `of_error` (that case's share of its squared error).
    """
    known = np.flatnonzero(np.isfinite(relative) & (relative > 0))
    largest = known[np.argsort(-relative[known], kind="stable")][:CARRIERS]
    total = relative[known].sum()
    squared = np.square(errors)
    return [
        {
            "feature": features[i],
            "nrmse": relative[i],
            "of_mean": relative[i] / total,
            "case": cases[squared[:, i].argmax()],
            "of_error": squared[:, i].max() / squared[:, i].sum(),
        }
        for i in largest
    ]


def feature_cube(
    cases: Cases, methods: Sequence[str], kind: str
) -> tuple[list[str], list[str], np.ndarray]:
    """Features, cases that every method has, and values `(methods, cases, features)`."""
    names = list(
        dict.fromkeys(
            name
            for group in cases.groups
            for scores in group.values()
            for score in scores
            for name in getattr(score, kind)
        )
    )
    if not names:
        return [], [], np.empty((len(methods), 0, 0))
    values = np.stack([cases.values(methods, kind, name) for name in names], axis=-1)
    complete = ~np.isnan(values).all(axis=-1).any(axis=0)
    return names, [cases.names[i] for i in np.flatnonzero(complete)], values[:, complete]


def finite_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where all is."""
    valid = ~np.isnan(values)
    total, count = np.where(valid, values, 0).sum(axis=-1), valid.sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def finite_median(values: np.ndarray) -> list[float]:
    """Median over the last axis of what is not NaN; NaN where all is."""
    return [np.median(row[~np.isnan(row)]) if not np.isnan(row).all() else np.nan for row in values]


def shares_won(errors: np.ndarray) -> np.ndarray:
    """Share of features `(methods, features)` in which each method's error is below all others'.

    A tie is won by nobody; features without an error of every method do not count.
    """
    known = errors[:, ~np.isnan(errors).any(axis=0)]
    if not known.size:
        return np.full(len(errors), np.nan)
    ordered = np.sort(known, axis=0)
    alone = ordered[0] < ordered[1] if len(errors) > 1 else np.ones(known.shape[1], bool)
    return ((known == ordered[0]) & alone).mean(axis=1)


def plain(value: Any) -> Any:
    """Numpy numbers as Python's, and numbers that JSON lacks as None, in nested dicts and lists."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
