"""A scene for a browser: volumes as it reads them, and what there is to know of them as JSON."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from medgen.viewing.scene import OVERLAYS, Pane, Scene
from medgen.volumes import Volume

# Types of voxels that a graphics card takes as they are.
DIRECT = ("uint8", "int16", "uint16", "float32")
# Share of the voxels that the first window shows as black or white, of either.
BEYOND = 0.005
# Of an uncertainty's voxels above 0, those that are shown in the brightest colour.
BRIGHTEST = 0.01
LINEAR, MARKS = "linear", "marks"


def files_of(scene: Scene) -> dict[str, Callable[[], Volume]]:
    """What gives each volume that a page may ask for, by name."""
    files: dict[str, Callable[[], Volume]] = {}
    for number, pane in enumerate(scene.panes):
        files[_file(number)] = partial(displayable, pane.volume)
        if pane.plan is not None:
            files[_file(number, LINEAR)] = partial(_linear, scene, number)
        if pane.marks.slices:
            files[_file(number, MARKS)] = partial(pane.marks.mask, pane.volume.geometry)
        for name, map_ in pane.maps.items():
            files[_file(number, name)] = partial(displayable, map_)
    return files


def described(scene: Scene) -> dict[str, Any]:
    """What a page is told of the volumes, in values that JSON can hold.

    Of each pane `to_slice` are the numbers `a, b, c, d` by which a place `(x, y, z)` in mm lies on
    slice `a x + b y + c z + d`, and `step` leads from there to the next one.
    """
    scan = scene.panes[0].volume
    windows = [
        {"name": window.name, "low": window.level - window.width / 2,
         "high": window.level + window.width / 2}
        for window in scan.kind.windows
    ]  # fmt: skip
    low, high = _spread(scan)
    return {
        "unit": scan.kind.unit,
        "windows": [{"name": "whole range", "low": low, "high": high}, *windows],
        "panes": [_pane(scene, number, pane) for number, pane in enumerate(scene.panes)],
        "notes": list(scene.notes),
    }


def displayable(volume: Volume) -> Volume:
    """The same values in voxels that any browser's graphics card takes, without the rest."""
    if volume.array.dtype.name in DIRECT:
        return Volume(volume.array, volume.geometry, volume.slope, volume.intercept)
    values = np.nan_to_num(volume.to_physical().astype(np.float32))
    return Volume(values, volume.geometry)


def _linear(scene: Scene, number: int) -> Volume:
    return displayable(scene.linear(number))


def _pane(scene: Scene, number: int, pane: Pane) -> dict[str, Any]:
    geometry, axis = pane.volume.geometry, pane.marks.axis
    return {
        "name": pane.name,
        "summary": geometry.summary,
        "file": _file(number),
        "linear": None if pane.plan is None else _file(number, LINEAR),
        "marks": _file(number, MARKS) if pane.marks.slices else None,
        "word": pane.marks.word,
        "slices": geometry.shape[axis],
        "marked": list(pane.marks.slices),
        "spacing_mm": geometry.spacing[axis],
        "plane": next(n for n, pair in enumerate(("SI", "AP", "LR"))
                      if geometry.orientation[axis] in pair),
        "to_slice": np.linalg.inv(geometry.affine)[axis].tolist(),
        "step": geometry.affine[:3, axis].tolist(),
        "centre": (geometry.affine @ [*(np.array(geometry.shape) // 2), 1])[:3].tolist(),
        "maps": [
            {
                "title": OVERLAYS[name],
                "unit": "bits" if name == "entropy" else pane.volume.kind.unit,
                "file": _file(number, name),
                "high": _brightest(map_),
            }
            for name, map_ in pane.maps.items()
        ],
    }  # fmt: skip


def _file(number: int, which: str = "scan") -> str:
    return f"{number}-{which}.nii"


def _spread(volume: Volume) -> tuple[float, float]:
    """Values between which all but few voxels lie, apart from one another."""
    values = volume.to_physical()
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(q) for q in np.quantile(values, (BEYOND, 1 - BEYOND)))
    return (low, high) if high > low else (low, low + 1)


def _brightest(map_: Volume) -> float:
    values = map_.to_physical()
    values = values[values > 0]
    return float(np.quantile(values, 1 - BRIGHTEST)) if values.size else 1.0
