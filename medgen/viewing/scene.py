"""What a page shows: a scan, what was made of it, which slices are synthetic, how sure they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medgen.errors import GeometryError, ReadError
from medgen.interpolation import interpolator_named
from medgen.interpolation.gaps import AcrossGaps, plan_gaps
from medgen.interpolation.insert import insert
from medgen.interpolation.plan import SlicePlan, plan_onto
from medgen.jobs.outputs import uncertainty_files
from medgen.jobs.provenance import read_provenance
from medgen.volumes import Geometry, Volume, read_among
from medgen.volumes.geometry import AXES

# Each takes memory of the browser several times over.
MOST_OUTPUTS = 6
# Maps of the uncertainty that are laid over a scan, with their titles; the others are its values.
OVERLAYS = {"std": "standard deviation", "entropy": "entropy"}
# How far the grid of what belongs to a scan may lie from the scan's.
TOLERANCE = {"tolerance_mm": 0.1, "tolerance_voxels": 0.1}


@dataclass(frozen=True)
class Marks:
    """Slices that were not acquired.

    Args:
        axis: along which they are counted.
        slices: their indices from 0.
        word: what they are.
    """

    axis: int
    slices: tuple[int, ...]
    word: str = "synthetic"

    def mask(self, geometry: Geometry) -> Volume:
        """1 in voxels of these slices, 0 elsewhere, uint8."""
        array = np.zeros(geometry.shape, np.uint8)
        np.moveaxis(array, self.axis, 0)[list(self.slices)] = 1
        return Volume(array, geometry)


@dataclass(frozen=True, eq=False)
class Pane:
    """One scan of a page.

    Args:
        name: of its file or folder.
        volume: the scan.
        marks: its slices that were not acquired.
        plan: of its slices in terms of the input's, None where it does not lie on that grid.
        maps: of its uncertainty, by name in `OVERLAYS`.
    """

    name: str
    volume: Volume
    marks: Marks
    plan: SlicePlan | None = None
    maps: Mapping[str, Volume] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that a page shows.

    Args:
        panes: the input, then what was made of it.
        notes: sentences for the user.
    """

    panes: tuple[Pane, ...]
    notes: tuple[str, ...] = ()

    def linear(self, number: int) -> Volume:
        """Linear interpolation of the input on the grid of pane `number`, which has a plan.

        Raises:
            MedgenError: the input has voxels that are no numbers.
        """
        scan, plan = self.panes[0].volume, self.panes[number].plan
        assert plan is not None
        method = interpolator_named("linear")
        if scan.metadata.get("missing_slices"):
            scan, places, plan = plan_gaps(scan, plan.axis)
            method = AcrossGaps(method, places)
        return insert(scan, method, plan).volumes[0]


def open_scene(
    name: str,
    scan: Volume,
    outputs: Sequence[Path],
    *,
    mask: Path | None = None,
    uncertainty: Path | None = None,
    modality: str | None = None,
) -> Scene:
    """Read what was made of a scan, and find out which of its slices are synthetic.

    Args:
        name: of the scan's file or folder.
        scan: the input.
        outputs: finer scans.
        mask: 1 in voxels of synthetic slices, for the outputs on its grid; by default what the
            provenance beside each output tells.
        uncertainty: what `medgen interpolate` was given, for the outputs on the grid of its maps.
        modality: what the user says all are.

    Raises:
        MedgenError: one cannot be read, there are too many, or mask or maps lie on no output's
            grid.
    """
    if len(outputs) > MOST_OUTPUTS:
        raise ReadError(
            f"A page shows up to {MOST_OUTPUTS} scans beside the input, got {len(outputs)}; give "
            "fewer."
        )
    scan.require_one_channel("A page")
    told = None if mask is None else _marks_of(mask)
    maps = {} if uncertainty is None else _read_maps(uncertainty)
    missing = scan.metadata.get("missing_slices")
    axis = scan.geometry.slice_axis
    own = Marks(2, tuple(missing), "missing") if missing else Marks(axis, ())
    panes, notes = [Pane(name, scan, own)], list(scan.notes)
    masked = False
    for output in outputs:
        volume = read_among(output, modality=modality or scan.modality)
        volume.require_one_channel("A page")
        marks = _told_by_provenance(output, volume.geometry)
        if told is not None and _on_grid(told[0], volume.geometry):
            marks, masked = told[1], True
        if marks is None:
            notes.append(f"Which slices of {output.name} are synthetic nothing tells; give --mask.")
        fitting = {n: map_ for n, map_ in maps.items() if _on_grid(map_.geometry, volume.geometry)}
        plan = None if scan.kind.is_categorical else plan_onto(scan.geometry, volume.geometry)
        panes.append(Pane(output.name, volume, marks or Marks(axis, ()), plan, fitting))
    if maps and not any(pane.maps for pane in panes):
        raise GeometryError(f"The maps of {uncertainty} lie on the grid of no OUT; give theirs.")
    if told is not None and not masked:
        raise GeometryError(f"The mask {mask} lies on the grid of no OUT; give the mask of one.")
    return Scene(tuple(panes), tuple(notes))


def _on_grid(theirs: Geometry, ours: Geometry) -> bool:
    return theirs.shape == ours.shape and theirs.close_to(ours, **TOLERANCE)


def _told_by_provenance(output: Path, geometry: Geometry) -> Marks | None:
    """What the file beside an output says of it, None where there is none that fits."""
    facts = read_provenance(output) or {}
    try:
        axis, slices = int(facts["slice_axis"]), [int(k) for k in facts["synthetic_slices"]]
        theirs = Geometry(tuple(facts["shape"]), np.array(facts["affine"], np.float64))
    except (TypeError, KeyError, ValueError, GeometryError):
        return None
    if (
        not _on_grid(theirs, geometry)
        or axis not in AXES
        or not all(0 <= k < geometry.shape[axis] for k in slices)
    ):
        return None
    return Marks(axis, tuple(slices))


def _marks_of(path: Path) -> tuple[Geometry, Marks]:
    """Grid and marks of a mask as `medgen interpolate --mask` writes it."""
    mask = read_among(path)
    mask.require_one_channel("A mask")
    inside = mask.array != 0
    for axis in sorted(AXES, key=lambda axis: axis != mask.geometry.slice_axis):
        slices = np.moveaxis(inside, axis, 0).reshape(inside.shape[axis], -1)
        if (slices.all(axis=1) | ~slices.any(axis=1)).all():
            return mask.geometry, Marks(axis, tuple(np.flatnonzero(slices[:, 0]).tolist()))
    raise GeometryError(
        f"The mask {path} has slices that are 1 in part, so it does not tell which are synthetic; "
        "give one that --mask of `medgen interpolate` wrote."
    )


def _read_maps(told: Path) -> dict[str, Volume]:
    """Those maps of an uncertainty that are there."""
    files = {name: uncertainty_files(told)[name] for name in OVERLAYS}
    found = {name: read_among(path) for name, path in files.items() if path.exists()}
    if not found:
        raise ReadError(
            f"There is neither {' nor '.join(map(str, files.values()))}; give what --uncertainty "
            "of `medgen interpolate` was given."
        )
    return found
