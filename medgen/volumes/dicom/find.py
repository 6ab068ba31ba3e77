"""The series of a folder: which files belong to it, and in which order.

Whatever is DICOM counts, however it is named and however deep it lies: scanners and archives name
files by numbers alone, and spread a series over several folders. A series *belongs* to the deepest
folder that holds all of it. Files are of one series where patient, study and series have the same
identifiers; but a folder of copies of others' images, or of images at the same places (another
time, or another scan under the same identifiers), is a series of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medgen.errors import ReadError, printable, quoted
from medgen.volumes.dicom.frames import (
    Frame,
    frames_of,
    pydicom_errors,
    refuse_other_than_grey,
)
from medgen.volumes.dicom.stack import arrange
from medgen.volumes.walk import walk

if TYPE_CHECKING:
    from pydicom import Dataset

Images = Mapping[Path, "Identity"]
SUFFIXES = (".dcm", ".ima", ".dicom")
INDEX = "DICOMDIR"  # name of the index on a disc, which is DICOM but no image
LONGEST_FIRST = 1024  # bytes of a first element
MOST_FILES, MOST_SERIES = 5, 20  # that a sentence names
# What tells images and series apart; all of it lies at the beginning of a file.
LAST_TAG = 0x00280010  # Rows
BRIEF_TAGS = (
    0x00080016, 0x00080018, 0x00080060, 0x0008103E, 0x00100020, 0x0020000D, 0x0020000E, 0x00200032,
    0x00280008, LAST_TAG,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Series:
    """One series of slices as its headers describe it.

    Args:
        headers: of its files, without the voxels, in the order of their names.
        frames: the slices in order along their normal.
        places: int, theirs on the regular grid, 0, 1, 2, ... where none is missing.
        affine: RAS, `(4, 4)`.
        deviation_mm: how far a slice lies off the regular grid at most.
        left_out: files beside these that are no DICOM image.
    """

    headers: Mapping[Path, Dataset]
    frames: list[Frame]
    places: np.ndarray
    affine: np.ndarray
    deviation_mm: float
    left_out: tuple[Path, ...] = ()


def find_series(path: Path, series: str | None = None, *, gaps: bool = False) -> Series:
    """Headers, order and place of one series; for arguments and errors see `read_dicom`."""
    import pydicom

    seen = sorted(file for file in walk(path) if file.is_file()) if path.is_dir() else []
    files = [file for file in seen if is_dicom(file)] if path.is_dir() else [path]
    images, damaged = identify_all(files)
    if not images:
        raise next(iter(damaged.values()), None) or ReadError(
            f"{path} holds no DICOM image; give the folder whose files are the slices of one scan."
        )
    chosen = choose_series(path, group_series(images), series)
    near = {path, *(file.parent for file in chosen)}
    for file, problem in damaged.items():
        if file.parent in near:
            raise problem
    with pydicom_errors(path, "has a malformed DICOM header"):
        headers = {}
        for file in chosen:
            with pydicom_errors(file, "is not a readable DICOM file"):
                headers[file] = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            refuse_other_than_grey(file, headers[file])
        frames = [frame for file, header in headers.items() for frame in frames_of(file, header)]
    strangers = [file for file in seen if file.parent in near and file not in images]
    left_out = tuple(file for file in strangers if file.name.upper() != INDEX)
    return Series(headers, *arrange(path, frames, gaps=gaps), left_out)


# === What a file is ===


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its suffix or by its content; a DICOMDIR is an index, not one."""
    if path.name.upper() == INDEX:
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with open(path, "rb") as file:
            start = file.read(132)
        if start[128:] == b"DICM":
            return True
        if not starts_data_set(start):
            return False
        identify(path)
    except (OSError, ReadError):
        return False
    return True


def starts_data_set(start: bytes) -> bool:
    """Whether bytes may be the beginning of a data set without preamble (PS3.5 7.1).

    That is, of an element of the group 0002 or 0008 from before (0008,0020), with two letters for
    its value representation or else a small length.
    """
    for order in ("little", "big"):
        group, element = (int.from_bytes(start[k : k + 2], order) for k in (0, 2))
        explicit = start[4:6].isalpha() and start[4:6].isupper()
        implicit = order == "little" and int.from_bytes(start[4:8], order) <= LONGEST_FIRST
        if group in (2, 8) and element < 0x20 and len(start) >= 12 and (explicit or implicit):
            return True
    return False


@dataclass(frozen=True)
class Identity:
    """What tells an image and its series from others, and what a user may be told of it."""

    patient: str
    study: str
    series: str
    image: str
    place: str  # ImagePositionPatient, empty where a file holds several
    modality: str
    description: str
    frames: int


def identify(file: Path) -> Identity | None:
    """Identity of a DICOM image, None for DICOM of another kind, such as a report.

    Raises:
        ReadError: the file cannot be read as far as that, or is not DICOM.
    """
    from pydicom.filereader import read_partial

    with pydicom_errors(file, "is not a readable DICOM file"), open(file, "rb") as stream:
        header = read_partial(
            stream,
            lambda tag, vr, length: tag > LAST_TAG,
            force=True,
            specific_tags=list(BRIEF_TAGS),
        )
        if "Rows" in header:
            return Identity(
                patient=str(header.get("PatientID") or ""),
                study=str(header.get("StudyInstanceUID") or ""),
                series=str(header.get("SeriesInstanceUID") or ""),
                image=str(header.get("SOPInstanceUID") or file),
                place=str(header.get("ImagePositionPatient") or ""),
                modality=str(header.get("Modality") or ""),
                description=str(header.get("SeriesDescription") or ""),
                frames=int(header.get("NumberOfFrames") or 1),
            )
        if "SOPClassUID" not in header:
            raise ReadError(
                f"{file} is not a DICOM file or is damaged; fetch it again or remove it."
            )
    return None


def identify_all(files: Iterable[Path]) -> tuple[Images, dict[Path, ReadError]]:
    """Every image among DICOM files, and what is wrong with those that are damaged."""
    images, damaged = {}, {}
    for file in files:
        try:
            identity = identify(file)
        except ReadError as error:
            damaged[file] = error
            continue
        if identity is not None:
            images[file] = identity
    return images, damaged


# === Series ===


def group_series(images: Images) -> list[Images]:
    """Images by their series, see above; those of no series by their folder."""
    by_series: dict[tuple[str, ...], dict[Path, dict[Path, Identity]]] = {}
    for file, identity in images.items():
        key: tuple[str, ...] = (identity.patient, identity.study, identity.series)
        key = key if identity.series else (str(file.parent),)
        by_series.setdefault(key, {}).setdefault(file.parent, {})[file] = identity
    groups = [group for folders in by_series.values() for group in joined([*folders.values()])]
    return [dict(sorted(group.items())) for group in groups]


def joined(folders: Sequence[Images]) -> Sequence[Images]:
    """The images of folders put together, unless one holds copies, or images at the same places.

    Of several that an image's folder could be joined with, the nearest is.
    """
    groups: list[dict[Path, Identity]] = []
    for images in sorted(folders, key=len, reverse=True):
        fitting = [group for group in groups if are_parts(images, group)]
        if fitting:
            nearest = max(fitting, key=lambda group: len(folder_of([*group, *images]).parts))
            nearest.update(images)
        else:
            groups.append(dict(images))
    return groups


def are_parts(images: Images, others: Images) -> bool:
    """Whether images and others of one series complete each other.

    They do not where all are there already, nor where others lie at the same place: then these are
    another time or echo, or another scan under the same identifiers.
    """
    known = {other.image for other in others.values()}
    new = [identity for identity in images.values() if identity.image not in known]
    places = {other.place for other in others.values() if other.place}
    return bool(new) and not any(identity.place in places for identity in new)


def folder_of(group: Iterable[Path]) -> Path:
    """The deepest folder that holds all files of a series."""
    return Path(os.path.commonpath([file.parent for file in group]))


def series_folders(files: Iterable[Path]) -> set[Path]:
    """The folders that the series among DICOM files belong to."""
    images, damaged = identify_all(sorted(files))
    return {folder_of(group) for group in group_series(images)} | {file.parent for file in damaged}


def choose_series(path: Path, groups: Sequence[Images], series: str | None) -> Images:
    """The series asked for, or the only one that belongs to the folder, or else lies below it."""
    found: Sequence[Images]
    if series is not None:
        found = [group for group in groups if uid_of(group) == series]
    else:
        found = [group for group in groups if folder_of(group) == path] or groups
    if len(found) == 1:
        return found[0]
    if len(found) > 1 and len({uid_of(group) for group in found}) == 1:
        places = listed(os.path.relpath(folder_of(group), path) for group in found)
        raise ReadError(
            f"{path} holds the series {quoted(uid_of(found[0]))} {len(found)} times, as copies or "
            f"of several patients or studies, in {places}; give one of these folders."
        )
    told = [describe_series(group) for group in sorted(groups, key=uid_of)]
    problem = f"no series {series}" if series is not None else f"{len(groups)} series"
    raise ReadError(
        f"{path} holds {problem}; choose one with --series UID: {listed(told, MOST_SERIES, '; ')}."
    )


def uid_of(group: Images) -> str:
    """SeriesInstanceUID of a series."""
    return next(iter(group.values())).series


def describe_series(group: Images) -> str:
    """UID, modality, description and number of images, without a word on the patient."""
    first = next(iter(group.values()))
    count = sum(identity.frames for identity in group.values())
    words = [
        quoted(first.modality),
        quoted(first.description),
        f"{count} image{'s' * (count != 1)}",
    ]
    return f"{quoted(first.series) or chr(39) * 2} ({', '.join(word for word in words if word)})"


def listed(names: Iterable[str], most: int = MOST_FILES, between: str = ", ") -> str:
    """Some names for a sentence, and how many more there are."""
    names = [printable(name) for name in names]
    more = len(names) - most
    return between.join(names[:most]) + (f" and {more} more" if more > 0 else "")
