"""Which method is better: paired tests, their correction, and how often one beats another.

Scores are arrays `(methods, cases)`: one score of each method for each case, the same cases in the
same order. A case is a slice, a scan, or a feature of a scan.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import binomtest, norm, t, wilcoxon


@dataclass(frozen=True)
class Comparison:
    """Method `first` against method `second` on the same cases.

    Args:
        first: index of a method.
        second: index of another.
        first_wins: cases where the first is strictly better.
        second_wins: cases where the second is.
        ties: cases with equal scores.
        wilcoxon_p: two-sided p of the signed-rank test on the differences.
        binomial_p: two-sided p that wins are a fair coin's, ties left out.
        wilcoxon_holm: `wilcoxon_p` after Holm's correction over all pairs compared.
        binomial_holm: `binomial_p` likewise.
    """

    first: int
    second: int
    first_wins: int
    second_wins: int
    ties: int
    wilcoxon_p: float
    binomial_p: float
    wilcoxon_holm: float
    binomial_holm: float


def win_matrix(scores: np.ndarray, *, higher_is_better: bool) -> np.ndarray:
    """Percent of cases in which the method of the row is strictly better than that of the column.

    The form of Tables 1 to 3 of the PixelMiner paper. A tie is a win of neither; cases where either
    score is NaN are left out of that pair.

    Args:
        scores: `(methods, cases)`.
        higher_is_better: the direction of the score.

    Returns:
        `(methods, methods)` in percent; NaN on the diagonal and for pairs without a case.

    References:
        Rogers et al., PixelMiner, 2023, Tables 1 to 3.
    """
    scores = _as_scores(scores)
    signed = scores if higher_is_better else -scores
    valid = ~np.isnan(signed)
    wins = (signed[:, None] > signed[None]).sum(axis=-1)
    cases = (valid[:, None] & valid[None]).sum(axis=-1)
    percent = np.full(wins.shape, np.nan)
    np.divide(100.0 * wins, cases, out=percent, where=cases > 0)
    np.fill_diagonal(percent, np.nan)
    return percent


def compare_methods(scores: np.ndarray, *, higher_is_better: bool) -> list[Comparison]:
    """Every pair of methods by Wilcoxon's signed-rank and the binomial test, Holm-corrected.

    Cases where either score is NaN are left out of that pair. Two methods with equal scores
    throughout have p = 1, as has a pair without a case.

    Args:
        scores: `(methods, cases)`.
        higher_is_better: the direction of the score; it decides who wins, not the p-values.
    """
    scores = _as_scores(scores)
    pairs = list(combinations(range(len(scores)), 2))
    signs = 1 if higher_is_better else -1
    differences = [_differences(scores[a], scores[b]) for a, b in pairs]
    wilcoxon_p = [signed_rank_p(difference) for difference in differences]
    wins = [((signs * d > 0).sum(), (signs * d < 0).sum(), (d == 0).sum()) for d in differences]
    binomial_p = [binomial_wins_p(first, second) for first, second, _ in wins]
    corrected = zip(holm(wilcoxon_p), holm(binomial_p), strict=True)
    return [
        Comparison(a, b, int(first), int(second), int(ties), wp, bp, float(wh), float(bh))
        for (a, b), (first, second, ties), wp, bp, (wh, bh) in zip(
            pairs, wins, wilcoxon_p, binomial_p, corrected, strict=True
        )
    ]


def signed_rank_p(differences: Sequence[float] | np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test (`scipy.stats.wilcoxon`, zeros dropped)."""
    differences = np.asarray(differences, np.float64)
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences).pvalue)


def binomial_wins_p(first_wins: int, second_wins: int) -> float:
    """Two-sided p that wins and losses come from a fair coin (`scipy.stats.binomtest`)."""
    decided = int(first_wins + second_wins)
    return float(binomtest(int(first_wins), decided).pvalue) if decided else 1.0


def holm(p_values: list[float] | np.ndarray) -> np.ndarray:
    """P-values after Holm's step-down correction for the number of tests.

    References:
        Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6, 1979.
    """
    p_values = np.asarray(p_values, np.float64)
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def proportion_interval(
    hits: Sequence[float] | np.ndarray, cases: Sequence[Hashable], *, level: float = 0.95
) -> tuple[float, float, float]:
    """A proportion, and the ends of its interval where observations come in cases.

    Wilson's interval at the effective number of observations: that by which a binomial variance
    would be the variance between cases, corrected for few of them [1]. Where all or none are hits
    the number of cases stands for it.

    Args:
        hits: 1 or 0 (0.5 for half a hit) of each observation.
        cases: of each observation the case that it belongs to.
        level: of the interval.

    References:
        [1] Korn and Graubard, Confidence intervals for proportions with small expected number of
            positive counts estimated from survey data, Survey Methodology 24, 1998.
    """
    hits = np.asarray(hits, np.float64)
    numbers = {case: number for number, case in enumerate(dict.fromkeys(cases))}
    count, groups, share = len(hits), len(numbers), float(hits.mean())
    if groups < 2:
        return share, 0.0, 1.0
    sums = np.zeros(groups)
    np.add.at(sums, [numbers[case] for case in cases], hits - share)
    variance = groups / (groups - 1) * (sums**2).sum() / count**2
    binomial = share * (1 - share)
    effective = float(groups if binomial == 0 else count)
    if variance > 0:
        effective = min(effective, count / (count - 1) * binomial / variance)
    tail = (1 + level) / 2
    effective = effective * (t.ppf(tail, count - 1) / t.ppf(tail, groups - 1)) ** 2
    z = norm.ppf(tail)
    centre = (share + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z / (1 + z**2 / effective)
    half *= np.sqrt(binomial / effective + z**2 / (4 * effective**2))
    return share, max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`first - second` of the cases both have; two infinite scores are a tie."""
    valid = ~(np.isnan(first) | np.isnan(second))
    first, second = first[valid], second[valid]
    return np.where(first == second, 0, first - np.where(first == second, 0, second))


def _as_scores(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2:
        raise ValueError(f"scores must be (methods, cases), got shape {scores.shape}")
    return scores
