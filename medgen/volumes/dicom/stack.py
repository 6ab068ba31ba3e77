"""Slices, each with its own place in the patient, put in order on one regular grid.

Slices are sorted by their position along the normal of ImageOrientationPatient, and their spacing
follows from the positions; SliceThickness counts only where there is but one slice. A position may
be off the regular grid by as much as rounded headers are (see `tolerance_mm`); what is further off
is refused, since no affine could tell where its voxels lie.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medgen.errors import GeometryError
from medgen.volumes.dicom.frames import Frame
from medgen.volumes.geometry import LPS_TO_RAS

TOLERANCE_MM = 0.1  # furthest a slice may lie from its place on the regular grid
TOLERANCE_SPACINGS = 0.1  # likewise, where slices are near to each other
TOLERANCE_PIXELS = 0.5  # likewise, where pixels are small
ODD_PART = 0.1  # of a spacing, by which the distance of two slices may differ from a multiple
REPEATED_PIXELS = 0.01  # slices closer than this share a position
LARGEST_SHEAR = 1e-3  # radians between normal and stacking direction that rounding can explain
SAME_DIRECTION = 1e-3  # largest difference between direction cosines of parallel slices


def arrange(
    path: Path, frames: list[Frame], *, gaps: bool = False
) -> tuple[list[Frame], np.ndarray, np.ndarray, float]:
    """Put slices in order along their normal and fit the grid through the first and the last.

    Args:
        path: named in messages.
        frames: one or more, in any order.
        gaps: let slices be missing from the grid.

    Returns:
        The slices in order, their places on the grid (int, 0, 1, 2, ... where none is missing), the
        RAS affine `(4, 4)`, and the largest distance in mm between a stated position and the grid.
    """
    first = frames[0]
    along_row, along_column = first.orientation
    for frame in frames:
        if np.abs(frame.orientation - first.orientation).max() > SAME_DIRECTION:
            raise GeometryError(
                f"{path} holds slices of different orientations (a localizer?), such as "
                f"{first.label(path)} and {frame.label(path)}, which make no volume; move each "
                "orientation to a folder of its own."
            )
        if frame.size != first.size or not np.allclose(
            frame.pixel_spacing, first.pixel_spacing, rtol=1e-4
        ):
            raise GeometryError(
                f"{path} holds slices of different sizes or pixel spacings, such as "
                f"{first.label(path)} and {frame.label(path)}; move each kind to a folder of its "
                "own."
            )
    if min(first.pixel_spacing) <= 0:
        raise GeometryError(
            f"{path} has a PixelSpacing of zero length or below; set it in the header first."
        )
    if np.abs(first.orientation @ first.orientation.T - np.eye(2)).max() > SAME_DIRECTION:
        raise GeometryError(
            f"{path} has an ImageOrientationPatient that is not two unit vectors at a right angle."
        )
    normal = np.cross(along_row, along_column)
    frames = sorted(frames, key=lambda frame: frame.position @ normal)
    positions = np.array([frame.position for frame in frames])
    if len(frames) == 1:
        if not first.thickness or first.thickness <= 0:
            raise GeometryError(
                f"{path} is a single slice without a SliceThickness, so its third spacing is "
                "unknown; give the folder of the whole series."
            )
        places, step = np.array([0]), normal * first.thickness
    else:
        places = grid_places(path, frames, normal, gaps=gaps)
        step = slice_step(path, frames, places, normal)
    grid = positions[0] + places[:, None] * step
    deviation_mm = float(np.linalg.norm(positions - grid, axis=1).max())
    tolerated = tolerance_mm(step, first.pixel_spacing)
    if deviation_mm > tolerated:
        raise GeometryError(
            f"{path} has irregular slice positions, up to {deviation_mm:.3g} mm off a regular grid "
            f"where {tolerated:.3g} mm are tolerated; resample it to regular slices first."
        )
    between_rows, between_columns = first.pixel_spacing
    lps = np.eye(4)
    lps[:3, 0] = along_row * between_columns
    lps[:3, 1] = along_column * between_rows
    lps[:3, 2] = step
    lps[:3, 3] = positions[0]
    return frames, places, LPS_TO_RAS @ lps, deviation_mm


def tolerance_mm(step: np.ndarray, pixel_spacing: tuple[float, float]) -> float:
    """How far a slice may lie from its place on the regular grid.

    Args:
        step: `(3,)` in mm, from one place to the next.
        pixel_spacing: in mm.
    """
    return min(
        TOLERANCE_MM,
        TOLERANCE_SPACINGS * float(np.linalg.norm(step)),
        TOLERANCE_PIXELS * min(pixel_spacing),
    )


def grid_places(
    path: Path, frames: list[Frame], normal: np.ndarray, *, gaps: bool = False
) -> np.ndarray:
    """Place of each slice on a regular grid, from 0; refuses repeats, and gaps unless allowed.

    Args:
        path: named in messages.
        frames: two or more, in order along `normal`.
        normal: unit vector of the slices.
        gaps: let places be left out.
    """
    positions = np.array([frame.position for frame in frames])
    heights = (positions - positions[0]) @ normal
    distances = np.diff(heights)
    repeated = distances < REPEATED_PIXELS * min(frames[0].pixel_spacing)
    if repeated.any():
        distinct = 1 + int((~repeated).sum())
        one, other = (frames[k + repeated.argmax()].label(path) for k in (0, 1))
        plural = "s" * (distinct != 1)
        raise GeometryError(
            f"{path} has {len(positions)} slices for {distinct} position{plural}: several volumes "
            f"(times, echoes, b-values) or copies, such as {one} and {other}; move each to a "
            "folder of its own, or convert the series with dcm2niix and choose with --volume N."
        )
    # The smallest distance, unless it is an odd one out.
    multiples = distances / distances.min()
    regular = np.abs(multiples - np.rint(multiples)).max() < ODD_PART
    usual = float(distances.min() if regular else np.sort(distances)[(len(distances) - 1) // 2])
    wide = np.flatnonzero(distances > 1.5 * usual)
    if gaps:
        places = np.append(0, np.rint(distances / usual).astype(int).cumsum())
        missing = int(places[-1]) + 1 - len(frames)
        if not 0 < missing <= len(frames):
            raise GeometryError(
                f"{path} has {len(frames)} slices, most of them {usual:.4g} mm apart, and so lacks "
                f"{max(missing, 0)}; --fill-gaps is for one at least and as many as there are at "
                "most."
            )
        return places
    if wide.size:
        spots = ", ".join(
            f"{distances[k]:.4g} mm between {frames[k].label(path)} and {frames[k + 1].label(path)}"
            for k in wide[:5]
        )
        raise GeometryError(
            f"{path} lacks slices: they are {usual:.4g} mm apart, but {spots}; add the missing "
            "files, keep only an unbroken run, or have medgen interpolate fill the gaps in with "
            "--fill-gaps."
        )
    return np.arange(len(frames))


def slice_step(
    path: Path, frames: list[Frame], places: np.ndarray, normal: np.ndarray
) -> np.ndarray:
    """Vector `(3,)` in mm from one place on the grid to the next; refuses shear.

    Args:
        path: named in messages.
        frames: in order along `normal`.
        places: `(n,)`, theirs on the grid, see `grid_places`.
        normal: unit vector of the slices.
    """
    step = (frames[-1].position - frames[0].position) / places[-1]
    drift = step - (step @ normal) * normal
    shear = np.linalg.norm(drift) / (step @ normal)
    if shear <= LARGEST_SHEAR:
        return step
    if np.linalg.norm(drift) * places[-1] <= tolerance_mm(step, frames[0].pixel_spacing):
        return step - drift
    raise GeometryError(
        f"{path} is a sheared stack: its slices are shifted against their normal by "
        f"{np.degrees(np.arctan(shear)):.3g} degrees (gantry tilt); correct the tilt first, for "
        "instance with dcm2niix, which resamples to a straight stack."
    )
