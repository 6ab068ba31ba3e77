"""Several scans, one experiment: read them, evaluate each, carry on when one fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path

from medgen.degradation import whole_voxels
from medgen.errors import EvaluationError, MedgenError, printable
from medgen.evaluation.budgets import Budget
from medgen.evaluation.experiment import Progress, ScanResult, evaluate_scan
from medgen.evaluation.plan import AnyPlan, plan_degraded, plan_scan
from medgen.evaluation.reading import Reading
from medgen.evaluation.recreate import Recreate
from medgen.evaluation.regions import Region, region_for
from medgen.evaluation.scoring import Binning
from medgen.processes import workers
from medgen.profiles.estimate import estimate_profile
from medgen.volumes import Geometry, Volume, read_among, read_volume

# Grey levels for texture where units mean nothing.
LEVELS = Binning(count=64)


@dataclass(frozen=True)
class Settings:
    """What an evaluation was told.

    Args:
        factor: 1 in `factor` slices of the truth is kept, or the factor of `degradation`.
        degradation: one of `degradation.DEGRADATIONS`: make voxels coarse by that along all
            axes instead of removing slices; None for the latter.
        in_plane: with that, make pixels coarse alone.
        gap_mm: wanted distance of the acquired slices, None for that of the scan times `factor`.
        slice_axis: 0, 1 or 2, None for each scan's own.
        binning: grey levels for texture, None for 25 HU in CT and 64 levels otherwise.
        mapped: whether to compare maps of texture features too (MSMFE).
        thickness_mm: of the slices, None for what the files say, or else what each scan itself
            tells (see `estimate_profile`).
        volume: which one of those files that hold several, see `read_among`.
        modality: what the user says the scans are, see `read_volume`.
        intercept: instead of the files', likewise.
        seed: of the methods' and the bootstrap's random choices.
        protocols: papers by whose PSNR CT is measured as well, see `PROTOCOLS`.
        reader: budget of a machine reader, None for none.
    """

    factor: int = 2
    degradation: str | None = None
    in_plane: bool = False
    gap_mm: float | None = None
    slice_axis: int | None = None
    binning: Binning | None = None
    mapped: bool = False
    thickness_mm: float | None = None
    volume: int | None = None
    modality: str | None = None
    intercept: float | None = None
    seed: int = 0
    protocols: tuple[str, ...] = ()
    reader: Budget | None = None

    def read(self, path: Path) -> Volume:
        """The scan at `path`.

        Raises:
            MedgenError: see `read_among`.
        """
        return read_among(
            path, volume=self.volume, modality=self.modality, intercept=self.intercept
        )


@dataclass(frozen=True)
class Evaluation:
    """Results of an experiment.

    Args:
        settings: what was told.
        scans: those that could be evaluated.
        failures: why others could not, by name.
        readings: method -> answers of the machine reader, where one was asked.
    """

    settings: Settings
    scans: tuple[ScanResult, ...]
    failures: Mapping[str, str]
    readings: Mapping[str, Reading] = field(default_factory=dict)


def evaluate_scans(
    paths: Sequence[Path],
    methods: Mapping[str, Recreate],
    settings: Settings,
    *,
    masks: Sequence[Path] = (),
    jobs: int = 1,
    progress: Progress = lambda name, done, total: None,
) -> Evaluation:
    """Evaluate methods on scans; one that fails is kept with its reason, and the rest goes on.

    Args:
        paths: scans of one modality.
        methods: name -> function that inserts slices.
        settings: what to do with each.
        masks: regions of interest, one for each scan in the same order; none for the default.
        jobs: processes that score slices.
        progress: see `evaluate_scan`.

    Raises:
        EvaluationError: modalities differ, masks do not match in number, or every scan failed.
    """
    if masks and len(masks) != len(paths):
        raise EvaluationError(
            f"Give one --mask for each scan, in the same order, got {len(masks)} for {len(paths)}."
        )
    names = scan_names(paths)
    failures: dict[str, str] = {}
    modalities: dict[str, str] = {}
    for name, path in zip(names, paths, strict=True):
        try:
            modalities[name] = settings.read(path).modality
        except MedgenError as error:
            failures[name] = str(error)
    if len(set(modalities.values())) > 1:
        found = ", ".join(f"{modality} in {name}" for name, modality in modalities.items())
        raise EvaluationError(
            f"All scans of a report must be of one modality, got {found}; evaluate them apart, or "
            "say what they are with --modality."
        )

    results = []
    with workers(jobs) as executor:
        for number, (name, path) in enumerate(zip(names, paths, strict=True)):
            if name in failures:
                continue
            mask = masks[number] if masks else None
            try:
                results.append(_evaluate(name, path, mask, methods, settings, executor, progress))
            except MedgenError as error:
                failures[name] = str(error)
            except Exception as error:  # a defect must not cost the other scans their results
                failures[name] = f"Unexpected {type(error).__name__}: {error}"
    if not results:
        reasons = " ".join(f"{name}: {reason}" for name, reason in failures.items())
        raise EvaluationError(f"No scan could be evaluated. {reasons}")
    return Evaluation(settings, tuple(results), failures)


def scan_names(paths: Sequence[Path]) -> list[str]:
    """File names, or whole paths where names are not unique; printable.

    Raises:
        EvaluationError: a scan is given twice.
    """
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if list(paths).count(path) > 1)
        raise EvaluationError(f"{twice} is given twice; name every scan once.")
    short = [path.name for path in paths]
    return [printable(str(path) if short.count(path.name) > 1 else path.name) for path in paths]


def read_mask(path: Path, scan: Volume) -> Region:
    """A region of interest from a file on the grid of `scan`; what is above 0 is inside.

    Raises:
        EvaluationError: it lies on another grid or is empty.
    """
    mask = read_volume(path)
    if mask.shape != scan.shape or not mask.geometry.close_to(
        scan.geometry, tolerance_mm=0.1, tolerance_voxels=0.5
    ):
        raise EvaluationError(
            f"The mask {path} of shape {mask.shape} does not lie on the grid of the scan of shape "
            f"{scan.shape}; resample it to the scan first."
        )
    inside = mask.to_physical() > 0
    if not inside.any():
        raise EvaluationError(f"The region of interest in {path} is empty; give another mask.")
    return Region(path.name, inside)


def _evaluate(
    name: str,
    path: Path,
    mask: Path | None,
    methods: Mapping[str, Recreate],
    settings: Settings,
    executor: Executor | None,
    progress: Progress,
) -> ScanResult:
    scan = settings.read(path)
    region = region_for(scan) if mask is None else read_mask(mask, scan)
    plan: AnyPlan
    if settings.degradation is None:
        plan = plan_scan(
            scan.geometry,
            factor=settings.factor,
            gap_mm=settings.gap_mm,
            slice_axis=settings.slice_axis,
        )
    else:
        axis = scan.geometry.slice_axis if settings.slice_axis is None else settings.slice_axis
        part = whole_voxels(scan.geometry, settings.factor, axis if settings.in_plane else None)
        array, region = scan.array[part], replace(region, mask=region.mask[part])
        scan = scan.with_array(array, Geometry(array.shape, scan.geometry.affine))
        plan = plan_degraded(
            scan.geometry,
            factor=settings.factor,
            by=settings.degradation,
            in_plane=settings.in_plane,
            slice_axis=axis,
        )
    width = scan.kind.bin_width
    thickness = settings.thickness_mm or scan.metadata.get("slice_thickness_mm")
    asked = thickness is None and settings.degradation is None
    estimate = estimate_profile(scan, plan.axis) if asked else None
    told = estimate is not None and estimate.is_told
    result = evaluate_scan(
        scan,
        methods,
        plan,
        name=name,
        region=region,
        binning=settings.binning or (LEVELS if width is None else Binning(width=width)),
        mapped=settings.mapped,
        thickness_mm=estimate.thickness_mm["box"] if estimate and told else thickness,
        protocols=settings.protocols,
        reader=settings.reader,
        executor=executor,
        progress=progress,
    )
    if estimate is None or not told:
        return result
    note = f"By the scan itself, slices are {estimate.sentence}; --thickness overrules that."
    return replace(result, notes=(*result.notes, note))
