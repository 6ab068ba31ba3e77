"""Whether synthetic slices can be told from real ones: what a reader is shown, what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from medgen.evaluation.budgets import Budget
from medgen.evaluation.plan import Plan
from medgen.evaluation.statistics import proportion_interval

# Removed slices of a scan that a reader sees, evenly spread.
MOST_SLICES = 24


@dataclass(frozen=True, eq=False)
class Shown:
    """What a reader is shown of one scan.

    Args:
        scan: its name.
        indices: of the removed slices in the scan as read.
        true: these slices, `(n, rows, cols, c)` in physical units: `c` is 1, or 3 with the slices
            before and behind.
        tests: method -> what it put in their place, like `true`.
    """

    scan: str
    indices: tuple[int, ...]
    true: np.ndarray = field(repr=False)
    tests: Mapping[str, np.ndarray] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Reading:
    """Answers of a reader who was shown pairs, real and synthetic, of one method.

    Args:
        hits: of each pair 1 if the real one was named, 0 if not, 0.5 if they looked the same.
        scans: name of the scan of each.
        indices: of the slice of each in its scan.
    """

    hits: np.ndarray
    scans: tuple[str, ...]
    indices: tuple[int, ...]


def shown_slices(
    name: str,
    true: np.ndarray,
    tests: Mapping[str, np.ndarray],
    plan: Plan,
    scored: Sequence[int],
    budget: Budget,
) -> Shown:
    """Up to `MOST_SLICES` removed slices for a reader, those of interior gaps if there are any.

    Args:
        name: of the scan.
        true: the truth, `(n, rows, cols)`.
        tests: method -> what it made of it, likewise.
        plan: which slices were removed.
        scored: of these, indices in the truth of those that are not blank.
        budget: of the reader.
    """
    interior = [t for t in scored if plan.where(t) == "interior"] or list(scored)
    places = np.linspace(0, len(interior) - 1, min(MOST_SLICES, len(interior)))
    chosen = np.array(interior)[places.round().astype(int)]
    reach = (-1, 0, 1) if budget.neighbours else (0,)
    around = chosen[:, None] + reach  # (n, c); a removed slice has neighbours

    def taken(stack: np.ndarray) -> np.ndarray:
        return np.moveaxis(stack[around], 1, -1).astype(np.float32)

    return Shown(
        name,
        tuple(plan.truth[t] for t in chosen),
        taken(true),
        {method: taken(stack) for method, stack in tests.items()},
    )


def tell(readings: Mapping[str, Reading], budget: Budget, fewest_scans: int) -> dict[str, Any]:
    """The numbers of a report, as values that JSON knows.

    The proportion of pairs in which the real slice was named comes with a 95 % interval that
    respects that pairs of one slice, or of one scan where there are `fewest_scans`, go together.
    """
    return {
        "budget": asdict(budget),
        "methods": {method: _told(reading, fewest_scans) for method, reading in readings.items()},
    }


def _told(reading: Reading, fewest_scans: int) -> dict[str, Any]:
    by_scan = len(set(reading.scans)) >= fewest_scans
    cases = reading.scans if by_scan else zip(reading.scans, reading.indices, strict=True)
    share, low, high = proportion_interval(reading.hits, list(cases))
    scans = np.array(reading.scans)
    return {
        "told": share,
        "low": low,
        "high": high,
        "pairs": len(reading.hits),
        "slices": len(set(zip(reading.scans, reading.indices, strict=True))),
        "scans": {
            scan: float(reading.hits[scans == scan].mean()) for scan in dict.fromkeys(reading.scans)
        },
    }
