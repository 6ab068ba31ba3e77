"""A series of slices read as one volume."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from medgen.errors import quoted
from medgen.memory import require_memory
from medgen.volumes.dicom.codec import Codecs
from medgen.volumes.dicom.decode import decode, fitting_dtype
from medgen.volumes.dicom.find import find_series, listed
from medgen.volumes.dicom.frames import Frame, padding_of, pydicom_errors
from medgen.volumes.geometry import Geometry
from medgen.volumes.metadata import Metadata
from medgen.volumes.reading import choose_volume
from medgen.volumes.volume import Volume


def read_dicom(
    path: Path, *, volume: int | None = None, series: str | None = None, gaps: bool = False
) -> Volume:
    """Read one series of a folder, or one file.

    Args:
        path: folder that holds the series, see `find`, or a single file.
        volume: for symmetry with other formats: a series is one volume, number 0.
        series: SeriesInstanceUID, where there are several.
        gaps: take a series with missing slices, see `medgen.volumes.read_volume`.

    Returns:
        Volume with axes along the rows, along the columns and from slice to slice. Stored values
        are kept where all slices share one rescale slope and intercept; else the array holds
        physical values as float32.

    Raises:
        ReadError: no DICOM image, several series, a damaged file, colour, or voxels whose meaning
            or place the headers do not tell.
        GeometryError: the slices do not make a regular volume (missing, repeated, tilted, mixed).
    """
    choose_volume(path, 1, volume)
    found = find_series(path, series, gaps=gaps)
    frames, first = found.frames, next(iter(found.headers.values()))
    with pydicom_errors(path, "has a malformed DICOM header"):
        tag, padding = quoted(first.get("Modality") or ""), padding_of(first)
        bits = int(first.BitsAllocated)
    voxels = sum(frame.size[0] * frame.size[1] for frame in frames)
    require_memory(2 * voxels * bits // 8, f"Reading {path}")
    array, slope, intercept = stored_values(frames)

    metadata: Metadata = {
        "format": "DICOM", "modality_tag": tag, "files": tuple(found.headers),
    }  # fmt: skip
    notes = []
    thickness = frames[0].thickness
    if thickness is not None and {frame.thickness for frame in frames} == {thickness}:
        metadata["slice_thickness_mm"] = thickness
    if len(frames) > 2:
        metadata["position_deviation_mm"] = found.deviation_mm
    if len({(frame.slope, frame.intercept) for frame in frames}) > 1:
        notes.append("Rescale differs between slices; values are physical ones in float32.")
    elif padding is not None:
        metadata["padding_value"] = padding * slope + intercept
    if gaps:
        slices = np.arange(found.places[-1] + 1)
        metadata["missing_slices"] = tuple(np.setdiff1d(slices, found.places).tolist())
        array = array[:, :, np.abs(found.places[:, None] - slices).argmin(axis=0)]
    if found.left_out:
        names = listed(os.path.relpath(file, path) for file in found.left_out)
        notes.append(f"Left out, being no DICOM image: {names}.")
    if len(frames) == 1 and path.is_file():
        notes.append("The file is one slice; give its folder to read the whole series.")
    if notes:
        metadata["notes"] = tuple(notes)
    return Volume(
        array,
        Geometry(array.shape, found.affine),
        slope=slope,
        intercept=intercept,
        metadata=metadata,
    )


def stored_values(frames: list[Frame]) -> tuple[np.ndarray, float, float]:
    """Voxels `(columns, rows, slices)` with slope and intercept, physical where these vary."""
    decoded: dict[Path, np.ndarray] = {}
    slices = []
    scales = {(frame.slope, frame.intercept) for frame in frames}
    with Codecs() as codecs:
        for frame in frames:
            if frame.file not in decoded:
                decoded[frame.file] = decode(frame.file, codecs)
            pixels = decoded[frame.file][frame.index]
            if len(scales) > 1:
                pixels = (pixels * frame.slope + frame.intercept).astype(np.float32)
            slices.append(pixels)
    array = np.stack(slices).T
    kinds = {pixels.dtype for pixels in slices}
    if len(kinds) > 1 and array.dtype.kind in "iu":
        array = array.astype(fitting_dtype(array, max(kind.itemsize for kind in kinds)), copy=False)
    slope, intercept = (1.0, 0.0) if len(scales) > 1 else scales.pop()
    return array, slope, intercept
