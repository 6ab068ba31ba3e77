"""The pictures of a study: slices of scans and of methods, all stored alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from medgen.errors import StudyError
from medgen.evaluation.budgets import Budget
from medgen.evaluation.experiment import Progress
from medgen.evaluation.hanging import hung, hung_spacing
from medgen.evaluation.plan import Plan, overlap_warning, plan_scan
from medgen.evaluation.reading import Shown, shown_slices
from medgen.evaluation.recreate import Recreate, recreate_slices, take_slices, true_slices
from medgen.evaluation.regions import body_mask
from medgen.evaluation.scans import Settings
from medgen.study.draw import Case
from medgen.study.study import CLOSER, DTYPE, LEVELS, TRUTH, Pair, PicturedScan
from medgen.volumes.volume import Volume

# Acquired slices that can be scrolled to on either side.
AROUND = 2
# Slices with less of the patient, against the slice with most, are not asked about.
LEAST_BODY = 0.25
# What the truth is called once a Gaussian of so many pixels has gone over it, behind a space.
SMOOTHED = "smoothed"
# Percentiles of the acquired slices that a window spans where no other is asked for.
SPANNED = (0.5, 99.5)

Key = tuple[int, str]  # slice of the truth, and who made the picture of it


@dataclass(frozen=True, eq=False)
class Source:
    """A scan whose slices have been re-created.

    Args:
        scan: as it is to be shown.
        plan: which slices were removed.
        eligible: slices of the truth that can be asked.
        stacks: levels `(n, rows, cols)` of the truth and of each method, on disk.
        warnings: on the scan and the methods that failed on it.
    """

    scan: PicturedScan
    plan: Plan
    eligible: list[int]
    stacks: Mapping[str, np.ndarray] = field(repr=False)
    warnings: tuple[str, ...]

    def around(self, t: int) -> tuple[list[Key], list[Key]]:
        """Acquired slices before and behind slice `t` of the truth."""
        factor, count = self.plan.factor, len(self.plan.truth)
        last = t - t % factor
        before = [n for n in range(last - (AROUND - 1) * factor, t, factor) if n >= 0]
        behind = [n for n in range(last + factor, last + AROUND * factor + 1, factor) if n < count]
        return [(n, TRUTH) for n in before], [(n, TRUTH) for n in behind]

    def shown(self, budget: Budget) -> Shown:
        """What a machine reader of a budget sees of the slices that can be asked."""
        tests = {name: stack for name, stack in self.stacks.items() if name != TRUTH}
        true, name = self.stacks[TRUTH], self.scan.name
        return shown_slices(name, true, tests, self.plan, self.eligible, budget)


def source_of(
    name: str,
    path: Path,
    methods: Mapping[str, Recreate],
    settings: Settings,
    place: Path,
    number: int,
    progress: Progress,
) -> Source:
    """Read a scan and re-create its slices.

    Args:
        name: of the scan.
        path: of its file.
        methods: name -> function that inserts slices.
        settings: which slices are removed, and how the scan is read.
        place: folder for stacks while the study is prepared.
        number: of the scan, from 1.
        progress: called with the name, methods that are through, and how many there are.

    Raises:
        MedgenError: the scan cannot be read, gives no slice, or no method gives a result.
    """
    volume = settings.read(path)
    plan = plan_scan(
        volume.geometry,
        factor=settings.factor,
        gap_mm=settings.gap_mm,
        slice_axis=settings.slice_axis,
    )
    truth, padding = true_slices(volume, plan)
    eligible = _eligible(volume, plan, truth)
    made = recreate_slices(
        volume, methods, plan, padding, lambda done: progress(name, done, len(methods))
    )
    scan = _pictured(name, f"{number}.npy", volume, plan, truth)
    stacks = {}
    for kind, (who, stack) in enumerate({TRUTH: truth, **made.tests}.items()):
        file = place / f"{number}-{kind}.npy"
        levels = _levels(stack, scan)
        np.save(file, np.array([hung(image, volume.geometry, plan.axis) for image in levels]))
        stacks[who] = np.load(file, mmap_mode="r", allow_pickle=False)
    thickness = settings.thickness_mm or volume.metadata.get("slice_thickness_mm")
    notes = [text for text in (overlap_warning(plan, thickness), *volume.notes) if text]
    failed = [f"{method} failed: {text}" for method, text in made.failures.items()]
    return Source(scan, plan, eligible, stacks, tuple(f"{name}: {t}" for t in (*notes, *failed)))


def _eligible(volume: Volume, plan: Plan, truth: np.ndarray) -> list[int]:
    """Slices of the truth that were removed from inner gaps and show something of the patient."""
    inner = [t for t in plan.removed if np.ptp(truth[t]) > 0 and plan.where(t) == "interior"]
    body = np.moveaxis(body_mask(take_slices(volume, plan.axis, plan.truth)), plan.axis, 0)
    areas = body.sum(axis=(1, 2))
    eligible = [t for t in inner if areas[t] >= LEAST_BODY * areas.max()]
    if not eligible:
        raise StudyError(
            "no inner gap has a slice of the patient to ask about, for which it takes four "
            "acquired slices or more; choose a smaller --gap or --factor."
        )
    return eligible


def _pictured(name: str, file: str, volume: Volume, plan: Plan, truth: np.ndarray) -> PicturedScan:
    low, high = volume.kind.absolute or (float(truth.min()), float(truth.max()))
    dark, bright = np.percentile(truth[:: plan.factor], SPANNED)
    rows, cols = hung(truth[0], volume.geometry, plan.axis).shape
    return PicturedScan(
        name=name,
        modality=volume.modality,
        pictures=file,
        rows=rows,
        cols=cols,
        spacing_mm=hung_spacing(volume.geometry, plan.axis),
        gap_mm=plan.gap_mm,
        low=low,
        step=(high - low) / (LEVELS - 1),
        window=(float(dark + bright) / 2, max(float(bright - dark), (high - low) / (LEVELS - 1))),
    )


def _levels(stack: np.ndarray, scan: PicturedScan) -> np.ndarray:
    """Physical values as levels; what lies beyond is the lowest or the highest one."""
    return np.clip(np.rint((stack - scan.low) / scan.step), 0, LEVELS - 1).astype(DTYPE)


def write_pictures(
    folder: Path,
    sources: Sequence[Source],
    cases: Sequence[Case],
    design: str,
    generator: np.random.Generator,
) -> list[Pair]:
    """Write the pictures that are shown, each scan's in an order drawn by chance, and pair them.

    Args:
        folder: of pictures.
        sources: the scans.
        cases: what is asked and practised on.
        design: of the study.
        generator: draws the orders.

    Returns:
        The pairs, in the order of the cases.
    """
    keys: list[dict[Key, int]] = []
    for number, source in enumerate(sources):
        needed = {
            key for case in cases if case.scan == number for key in _shown(source, case, design)
        }
        order = [sorted(needed)[i] for i in generator.permutation(len(needed))]
        pictures = np.array([_picture(source, key) for key in order], DTYPE)
        np.save(
            folder / source.scan.pictures, pictures.reshape(-1, source.scan.rows, source.scan.cols)
        )
        keys.append({key: i for i, key in enumerate(order)})
    pairs = []
    for case in cases:
        source, index = sources[case.scan], keys[case.scan]
        before, behind = source.around(case.slice)
        t, contest = case.slice, case.contest
        pairs.append(
            Pair(
                scan=case.scan,
                slice=source.plan.truth[t],
                first=contest.first,
                second=contest.second,
                pictures=(index[t, contest.first], index[t, contest.second]),
                target=index[t, TRUTH] if design == CLOSER else None,
                before=tuple(index[key] for key in before),
                behind=tuple(index[key] for key in behind),
            )
        )
    return pairs


def _shown(source: Source, case: Case, design: str) -> list[Key]:
    """Pictures that a case shows."""
    before, behind = source.around(case.slice)
    names = [case.contest.first, case.contest.second, *([TRUTH] if design == CLOSER else [])]
    return [*((case.slice, name) for name in names), *before, *behind]


def _picture(source: Source, key: Key) -> np.ndarray:
    t, who = key
    if who in source.stacks:
        return source.stacks[who][t]
    sigma = float(who.removeprefix(SMOOTHED))
    return np.rint(gaussian_filter(source.stacks[TRUTH][t].astype(np.float64), sigma))
