"""The worst, the median and the best case, slice by slice: truth and methods to scroll through."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image as Pillow

from medgen.evaluation.hanging import hung, hung_spacing
from medgen.evaluation.plan import AnyPlan
from medgen.evaluation.regions import enlarged_region
from medgen.evaluation.scoring import TRUTH, SliceScore
from medgen.volumes.geometry import Geometry

# Slices shown before and behind the removed one, and the largest side of what is shown of them.
AROUND, SIDE = 3, 192
# Candidates kept of a scan: those of evenly spread ranks, so worst, median and best among them.
KEPT = 9
# Percentiles of the removed slice that black and white stand for.
SPANNED = (0.5, 99.5)
# Screen pixels for each of an image's narrower side.
MAGNIFIED = 2
SCORE = "psnr_db"


@dataclass(frozen=True, eq=False)
class Case:
    """A removed slice with those around it.

    Args:
        index: of the slice in the scan as read.
        score: PSNR in dB, mean over the methods.
        slices: indices in the scan of the slices shown.
        acquired: which of them every method saw.
        frames: truth and method -> `(k, rows, cols)` uint8.
        spacing: of rows and columns, mm.
    """

    index: int
    score: float
    slices: tuple[int, ...]
    acquired: tuple[bool, ...]
    frames: Mapping[str, np.ndarray] = field(repr=False)
    spacing: tuple[float, float] = (1.0, 1.0)


def kept_cases(
    true: np.ndarray,
    tests: Mapping[str, np.ndarray],
    regions: np.ndarray,
    plan: AnyPlan,
    geometry: Geometry,
    scores: Sequence[SliceScore],
) -> tuple[Case, ...]:
    """Candidates of a scan, from its worst slice to its best, of interior gaps if there are any.

    Args:
        true: the truth, `(n, rows, cols)`.
        tests: method -> what it made of it, likewise.
        regions: bool, likewise; a picture is of the part with most detail there.
        plan: which slices were removed.
        geometry: of the scan.
        scores: of its slices.
    """
    ranked = _ranked(scores)
    chosen = np.linspace(0, len(ranked) - 1, min(KEPT, len(ranked))).round().astype(int)
    where = {index: t for t, index in enumerate(plan.truth)}
    stacks = {TRUTH: true, **tests}
    return tuple(
        _case(stacks, regions, plan, geometry, where[ranked[n][1]], ranked[n][0]) for n in chosen
    )


def extremes(cases: Sequence[tuple[str, Case]]) -> list[tuple[str, str, Case]]:
    """The worst, the median and the best of all scans, each once: what it is, scan, case.

    The median is the candidate nearest to the median of all.

    Args:
        cases: name of the scan and case.
    """
    ranked = sorted(cases, key=lambda case: case[1].score)
    middle = np.median([case.score for _, case in ranked])
    median = min(ranked, key=lambda case: abs(case[1].score - middle))
    found = {"Worst": ranked[0], "Best": ranked[-1], "Median": median}
    shown: list[tuple[str, str, Case]] = []
    for title in ("Worst", "Median", "Best"):
        if all(found[title][1] is not case for *_, case in shown):
            shown.append((title, *found[title]))
    return shown


def for_page(title: str, scan: str, case: Case) -> dict[str, Any]:
    """A case in values that JSON can hold: each picture once, as a data URL, and whose it is."""
    pictures: list[str] = []
    numbers: dict[bytes, int] = {}
    rows: dict[str, list[int]] = {}
    for method, frames in case.frames.items():
        rows[method] = []
        for frame in frames:
            png = grey_png(frame)
            if png not in numbers:
                numbers[png] = len(pictures)
                pictures.append(f"data:image/png;base64,{base64.b64encode(png).decode()}")
            rows[method].append(numbers[png])
    height, width = next(iter(case.frames.values())).shape[1:]
    vertical, horizontal = (MAGNIFIED * mm / min(case.spacing) for mm in case.spacing)
    return {
        "title": title,
        "scan": scan,
        "index": case.index,
        "score": case.score,
        "height": round(height * vertical),
        "width": round(width * horizontal),
        "start": case.slices.index(case.index),
        "slices": list(case.slices),
        "acquired": list(case.acquired),
        "methods": [method for method in rows if method != TRUTH],
        "rows": rows,
        "pictures": pictures,
    }


def grey_png(image: np.ndarray) -> bytes:
    """An 8-bit greyscale PNG of `(rows, cols)` uint8."""
    png = io.BytesIO()
    Pillow.fromarray(image).save(png, "PNG", optimize=True)
    return png.getvalue()


def _ranked(scores: Sequence[SliceScore]) -> list[tuple[float, int]]:
    """Score and index of every slice, the worst first."""
    measured = [score for score in scores if score.method != TRUTH]
    measured = [score for score in measured if score.where == "interior"] or measured
    by_slice: dict[int, list[float]] = {}
    for score in measured:
        by_slice.setdefault(score.index, []).append(score.metrics[SCORE])
    return sorted((float(np.mean(values)), index) for index, values in by_slice.items())


def _case(
    stacks: Mapping[str, np.ndarray],
    regions: np.ndarray,
    plan: AnyPlan,
    geometry: Geometry,
    t: int,
    score: float,
) -> Case:
    """The case of slice `t` of the truth."""
    around = [n for n in range(t - AROUND, t + AROUND + 1) if 0 <= n < len(plan.truth)]
    low, high = np.percentile(stacks[TRUTH][t], SPANNED)
    window = _window(
        hung(stacks[TRUTH][t], geometry, plan.axis), hung(regions[t], geometry, plan.axis)
    )

    def grey(image: np.ndarray) -> np.ndarray:
        unit = (hung(image, geometry, plan.axis)[window] - low) / max(high - low, 1e-12)
        return np.rint(255 * np.clip(unit, 0, 1)).astype(np.uint8)

    return Case(
        plan.truth[t],
        score,
        tuple(plan.truth[n] for n in around),
        tuple(n not in plan.removed for n in around),
        {name: np.stack([grey(stack[n]) for n in around]) for name, stack in stacks.items()},
        hung_spacing(geometry, plan.axis),
    )


def _window(image: np.ndarray, region: np.ndarray) -> tuple[slice, slice]:
    """At most `SIDE` rows and columns around the part with most detail."""
    top, left, height, width = enlarged_region(image, region)
    centre = top + height // 2, left + width // 2
    starts = [
        max(0, min(place - SIDE // 2, n - SIDE))
        for place, n in zip(centre, image.shape, strict=True)
    ]
    rows, columns = (slice(start, start + SIDE) for start in starts)
    return rows, columns
