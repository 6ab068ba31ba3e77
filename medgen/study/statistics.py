"""Statistics of a reader study: shares and their intervals, 2-AFC detection, agreement.

Scores are arrays `(readers, cases)`: 1 where a reader chose the first of a pair, 0 where the
second, NaN where the reader was not asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm, t

CONFIDENCE = 0.95
RESAMPLES = 4000


@dataclass(frozen=True)
class Interval:
    """Ends of an interval of 95 % confidence."""

    low: float
    high: float


@dataclass(frozen=True)
class Components:
    """Where the variance of a single answer comes from.

    Args:
        reader: variance between readers, each one's share over all cases.
        case: between cases, each one's share over all readers.
        both: what is left of an answer's variance.
    """

    reader: float
    case: float
    both: float

    def variance(self, *, readers: int, cases: int, answers: int) -> float:
        """Of the share chosen in a study of so many readers, cases, and answers in all."""
        return self.reader / readers + self.case / cases + self.both / answers


def exact_p(chosen: int, answers: int) -> float:
    """Two-sided p that answers are a fair coin's, as in PixelMiner's study; 1 without answers."""
    return float(binomtest(chosen, answers).pvalue) if answers else 1.0


def exact_interval(chosen: int, answers: int) -> Interval:
    """Of Clopper and Pearson (1934): for independent answers."""
    return _proportion(chosen, answers, "exact")


def wilson_interval(chosen: int, answers: int) -> Interval:
    """Of Wilson (1927): for independent answers."""
    return _proportion(chosen, answers, "wilson")


def mrmc_variance(scores: np.ndarray) -> float | None:
    """Variance of the mean score over other readers and other cases: unbiased, for any design.

    The mean is a U-statistic in readers and cases. Its variance is a sum of second moments: of the
    products of two scores by the same or different readers of the same or different cases, each
    moment estimated by its mean over the pairs of that kind, weighted by how many of all pairs
    there are of it, less the moment of pairs that share nothing.

    Returns:
        None where there are no two readers or no two cases. An unbiased estimate of something small
        can be negative.

    References:
        Gallas, One-shot estimate of MRMC variance: AUC, Acad. Radiol. 13, 2006; Gallas and Brown,
        Reader studies for validation of CAD systems, Neural Networks 21, 2008.
    """
    moments, counts = _moments(scores)
    if moments is None:
        return None
    shares = counts / counts.sum()
    return float((shares * moments).sum() - moments[3])


def components(scores: np.ndarray) -> Components | None:
    """Variance components from the same moments, none below 0.

    Returns:
        None where there are no two readers that answered two cases, and shared one.
    """
    moments, counts = _moments(scores)
    if moments is None or not counts.all():
        return None
    both, same_reader, same_case, neither = moments
    parts = (same_reader - neither, same_case - neither, both - same_reader - same_case + neither)
    return Components(*(max(float(part), 0.0) for part in parts))


def mrmc_interval(scores: np.ndarray) -> Interval | None:
    """Interval around the mean with `mrmc_variance` and `quantile`, within 0 and 1."""
    variance = mrmc_variance(scores)
    if variance is None or variance <= 0:
        return None
    asked = ~np.isnan(scores)
    counts = [int(asked.any(axis=axis).sum()) for axis in (1, 0)]
    half, mean = quantile(*counts) * variance**0.5, float(np.nanmean(scores))
    return Interval(max(mean - half, 0.0), min(mean + half, 1.0))


def quantile(readers: int, cases: int) -> float:
    """Standard errors on either side of a mean over so many readers and cases.

    Student's, with one degree of freedom less than there are of whichever are fewer.
    """
    return float(t.ppf((1 + CONFIDENCE) / 2, min(readers, cases) - 1))


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Samples of readers and units with replacement, drawn apart and crossed.

    An answer weighs the product of how often its reader and its unit were drawn (Owen, The
    pigeonhole bootstrap, 2007).

    Args:
        units: int `(cases,)`, which unit each case belongs to.
        of_readers: `(resamples, readers)`, how often each was drawn.
        of_units: `(resamples, units)`, likewise.
    """

    units: np.ndarray
    of_readers: np.ndarray
    of_units: np.ndarray

    @classmethod
    def drawn(
        cls, readers: int, units: np.ndarray, *, seed: int, resamples: int = RESAMPLES
    ) -> Bootstrap:
        """Draw the samples, of `readers` and of `units`, which are counted from 0."""
        generator = np.random.default_rng(seed)
        counts = (readers, int(units.max()) + 1)
        drawn = [generator.multinomial(n, np.full(n, 1 / n), resamples) for n in counts]
        return cls(units, *drawn)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values`, `(readers, cases)`, NaN as 0, in every sample."""
        by_case = self.of_readers @ np.nan_to_num(values)
        return (by_case * self.of_units[:, self.units]).sum(axis=1)

    def tells(self, scores: np.ndarray) -> bool:
        """Whether two readers or more, and two units or more, were asked."""
        asked = ~np.isnan(scores)
        return asked.any(axis=1).sum() >= 2 and len(set(self.units[asked.any(axis=0)])) >= 2

    def interval(self, scores: np.ndarray) -> Interval | None:
        """Percentile interval of the mean score; None where the samples do not tell."""
        if not self.tells(scores):
            return None
        answers = self.sums(~np.isnan(scores))
        return percentiles(self.sums(scores)[answers > 0] / answers[answers > 0])


def percentiles(values: np.ndarray) -> Interval:
    """The middle 95 % of values."""
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))


def detection(
    hits: np.ndarray, of_hits: np.ndarray, alarms: np.ndarray, of_alarms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """d′ and criterion of a choice between two.

    d′ = (z(H) - z(F)) / √2 and c = -(z(H) + z(F)) / 2, where H is how often 1 is chosen when 1 is
    right and F how often when 2 is right; rates are (k + ½) / (n + 1), so that none is 0 or 1.
    c > 0 leans to 2.

    Args:
        hits: choices of 1 where 1 was right.
        of_hits: answers where 1 was right.
        alarms: choices of 1 where 2 was right.
        of_alarms: answers where 2 was right.

    References:
        Macmillan and Creelman, Detection Theory, 2005, chapter 7; Hautus, Corrections for extreme
        proportions and their biasing effects on estimated values of d′, 1995.
    """
    hit = norm.ppf((np.asarray(hits) + 0.5) / (np.asarray(of_hits) + 1))
    alarm = norm.ppf((np.asarray(alarms) + 0.5) / (np.asarray(of_alarms) + 1))
    return (hit - alarm) / np.sqrt(2), -(hit + alarm) / 2


def fleiss_kappa(ratings: np.ndarray) -> float | None:
    """Agreement beyond chance of raters who each put items into one of two categories.

    Items may have different numbers of ratings: each counts as much as every other, and those with
    fewer than two not at all. With as many for each it is Fleiss's.

    Args:
        ratings: `(raters, items)` of 0 and 1, NaN where there is none.

    Returns:
        None where no item has two ratings, or all ratings are the same.

    References:
        Fleiss, Measuring nominal scale agreement among many raters, Psychol. Bull. 76, 1971.
    """
    rated = ~np.isnan(ratings)
    count = rated.sum(axis=0)
    enough = count >= 2
    if not enough.any():
        return None
    count, ones = count[enough], np.nansum(ratings[:, enough], axis=0)
    share = ones.sum() / count.sum()
    chance = share**2 + (1 - share) ** 2
    if chance == 1:
        return None
    zeros = count - ones
    agreed = (ones * (ones - 1) + zeros * (zeros - 1)) / (count * (count - 1))
    return float((agreed.mean() - chance) / (1 - chance))


def kappa_interval(ratings: np.ndarray, *, seed: int, resamples: int = 1000) -> Interval | None:
    """Percentile interval of `fleiss_kappa` over samples of the items."""
    items = np.flatnonzero((~np.isnan(ratings)).sum(axis=0) >= 2)
    if len(items) < 2:
        return None
    draws = np.random.default_rng(seed).choice(items, (resamples, len(items)))
    kappas = [fleiss_kappa(ratings[:, draw]) for draw in draws]
    known = [kappa for kappa in kappas if kappa is not None]
    return percentiles(np.array(known)) if known else None


def _proportion(chosen: int, answers: int, method: str) -> Interval:
    if not answers:
        return Interval(0.0, 1.0)
    found = binomtest(chosen, answers).proportion_ci(CONFIDENCE, method=method)
    return Interval(float(found.low), float(found.high))


def _moments(scores: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Mean products of two scores, and of how many ordered pairs each is the mean.

    Of pairs of the same reader and case, the same reader, the same case, and neither. A kind
    without pairs has the moment 0, as it has no weight.
    """
    asked = ~np.isnan(scores)
    values = np.nan_to_num(scores)

    def of_kinds(numbers: np.ndarray) -> np.ndarray:
        own = (numbers**2).sum()
        reader = (numbers.sum(axis=1) ** 2).sum() - own
        case = (numbers.sum(axis=0) ** 2).sum() - own
        return np.array([own, reader, case, numbers.sum() ** 2 - reader - case - own])

    counts = of_kinds(asked.astype(np.float64))
    if counts[3] == 0:
        return None, counts
    sums = of_kinds(values)
    return np.divide(sums, counts, out=np.zeros(4), where=counts > 0), counts
