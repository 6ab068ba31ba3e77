"""The series of a folder: which files belong to it, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medgen.errors import ReadError
from medgen.volumes.dicom.frames import (
    Frame,
    frames_of,
    pydicom_errors,
    refuse_other_than_grey,
)
from medgen.volumes.dicom.stack import arrange

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES = (".dcm", ".ima", ".dicom")


@dataclass(frozen=True, eq=False)
class Series:
    """One series of slices as its headers describe it.

    Args:
        headers: of its files, without the voxels, in the order of their names.
        frames: the slices in order along their normal.
        places: int, theirs on the regular grid, 0, 1, 2, ... where none is missing.
        affine: RAS, `(4, 4)`.
        deviation_mm: how far a slice lies off the regular grid at most.
    """

    headers: Mapping[Path, Dataset]
    frames: list[Frame]
    places: np.ndarray
    affine: np.ndarray
    deviation_mm: float


def find_series(path: Path, series: str | None = None, *, gaps: bool = False) -> Series:
    """Headers, order and place of one series; for arguments and errors see `read_dicom`."""
    with pydicom_errors(path, "has a malformed DICOM header"):
        headers = choose_series(path, read_headers(path), series)
        for file, header in headers.items():
            refuse_other_than_grey(file, header)
        frames = [frame for file, header in headers.items() for frame in frames_of(file, header)]
    return Series(headers, *arrange(path, frames, gaps=gaps))


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its suffix or its magic bytes; a DICOMDIR is an index, not one."""
    if path.name.upper() == "DICOMDIR":
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_headers(path: Path) -> dict[Path, Dataset]:
    """Header of every image among the files of a folder, or of the one file."""
    import pydicom

    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.is_file() and f.name[0] != ".")
        files = [file for file in files if is_dicom(file)]
    else:
        files = [path]
    headers = {}
    for file in files:
        with pydicom_errors(file, "is not a readable DICOM file"):
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            if "Rows" in header:
                headers[file] = header
            elif "SOPClassUID" not in header:
                raise ReadError(
                    f"{file} is not a DICOM file or is damaged; fetch it again or remove it."
                )
    if not headers:
        raise ReadError(
            f"{path} holds no DICOM image; give the folder whose files are the slices of one scan."
        )
    return headers


def choose_series(
    path: Path, headers: Mapping[Path, Dataset], series: str | None
) -> dict[Path, Dataset]:
    """Files of the series asked for, or of the only one."""
    groups: dict[str, dict[Path, Dataset]] = {}
    for file, header in headers.items():
        groups.setdefault(str(header.get("SeriesInstanceUID") or ""), {})[file] = header
    if series is None and len(groups) == 1:
        return next(iter(groups.values()))
    if series in groups:
        return groups[series]
    listing = "; ".join(describe_series(uid, group) for uid, group in sorted(groups.items()))
    problem = f"no series {series}" if series is not None else f"{len(groups)} series"
    raise ReadError(f"{path} holds {problem}; choose one with --series UID: {listing}.")


def describe_series(uid: str, headers: Mapping[Path, Dataset]) -> str:
    """UID, modality, description and number of images, without a word on the patient."""
    first = next(iter(headers.values()))
    words = [str(first.get(tag) or "") for tag in ("Modality", "SeriesDescription")]
    count = sum(int(header.get("NumberOfFrames") or 1) for header in headers.values())
    words.append(f"{count} image" + "s" * (count != 1))
    return f"{uid or chr(39) * 2} ({', '.join(word for word in words if word)})"
