"""Scans on disk: find them, read one, write one; the format follows from the name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from medgen.errors import GeometryError, ReadError, WriteError
from medgen.intensities.guess import guess_modality, guess_padding
from medgen.intensities.modality import CT, MODALITIES, MR
from medgen.storage import move, occupied, staging
from medgen.volumes.dicom.find import SUFFIXES as DICOM_SUFFIXES
from medgen.volumes.dicom.find import is_dicom
from medgen.volumes.dicom.read import read_dicom
from medgen.volumes.formats import BY_SUFFIX, WRITABLE
from medgen.volumes.volume import Volume

READABLE = (*BY_SUFFIX, *DICOM_SUFFIXES)
SAMPLED_VOXELS = 2_000_000


def read_volume(
    path: str | Path,
    *,
    volume: int | None = None,
    series: str | None = None,
    gaps: bool = False,
    modality: str | None = None,
) -> Volume:
    """Read one scan.

    The modality is the one given; else the one a DICOM header names, unless it says CT and the
    values look like MR.
    Where no header names one it is guessed from the values (see `medgen.intensities.guess`).

    Args:
        path: a NIfTI, Analyze, MGH, NRRD, MetaImage or DICOM file, or a folder with the files of
            a DICOM series.
        volume: which volume of a 4-D file, from 0.
        series: SeriesInstanceUID, where a folder holds several series.
        gaps: read a DICOM series that lacks slices, instead of refusing it: the nearest acquired
            one stands where one is missing, and `metadata["missing_slices"]` tells where.
        modality: what the scan is, where the user says so: a name in `intensities.modality.NAMED`.

    Returns:
        Volume with the voxels as stored, in native byte order.

    Raises:
        ReadError: the path cannot be read as one volume.
        GeometryError: positions do not make a regular grid.
    """
    path = Path(path)
    if not path.exists():
        raise ReadError(f"{path} does not exist; check the path.")
    if not (path.is_file() or path.is_dir()):
        raise ReadError(f"{path} is neither a file nor a folder; give the scan itself.")
    suffix = suffix_of(path)
    reads_dicom = path.is_dir() or (suffix not in BY_SUFFIX and is_dicom(path))
    if series is not None and not reads_dicom:
        raise ReadError(f"{path} is not DICOM, so it has no series to choose; leave out --series.")
    if gaps and not reads_dicom:
        raise ReadError(f"{path} is not DICOM, so it lacks no slices; leave out --fill-gaps.")
    if not reads_dicom and suffix not in BY_SUFFIX:
        raise ReadError(
            f"{path} is of no format medgen reads; give a folder of DICOM files or a file ending "
            f"in {', '.join(READABLE)}."
        )
    # Absurd numbers end as infinite ones, which are refused or counted; no need to warn of them.
    with np.errstate(all="ignore"):
        try:
            if reads_dicom:
                scan = read_dicom(path, volume=volume, series=series, gaps=gaps)
            else:
                scan = BY_SUFFIX[suffix].read(path, volume=volume)
        except GeometryError as error:
            if str(path) in str(error):
                raise
            raise GeometryError(f"{path}: {error}") from error
        return with_modality(scan, modality)


def with_modality(scan: Volume, said: str | None = None) -> Volume:
    """The same scan with its modality checked or guessed, and the padding of CT made known."""
    # Two million voxels, evenly spread over memory, tell as much as all of them.
    step = max(1, scan.array.size // SAMPLED_VOXELS)
    physical = scan.array.ravel(order="K")[::step] * scan.slope + scan.intercept
    guess = guess_modality(physical)
    metadata = {**scan.metadata, "modality_guess": guess}
    modality = scan.modality if scan.metadata.get("modality_tag") else guess
    if said is not None:
        modality = metadata["modality_said"] = said
    elif (scan.modality, guess) == (CT.name, MR.name):
        modality = guess
        note = "The header says CT, but the values look like MR; they are taken for MR."
        metadata["notes"] = (*scan.metadata.get("notes", ()), note)
    if MODALITIES[modality].absolute and "padding_value" not in metadata:
        padding = guess_padding(physical)
        if padding is not None:
            metadata["padding_value"] = padding
    return replace(scan, modality=modality, metadata=metadata)


def write_volume(volume: Volume, path: str | Path, *, overwrite: bool = False) -> None:
    """Write one scan; either the whole file appears under `path`, or nothing does.

    NIfTI keeps stored values and scaling; NRRD and MetaImage hold physical values (see
    `medgen.volumes.itk.write_itk`). The same volume gives the same bytes.

    Args:
        volume: what to write.
        path: target; its suffix chooses the format.
        overwrite: replace an existing file.

    Raises:
        WriteError: the suffix is unknown, the file exists, its folder cannot be written to, or
            the format cannot hold the volume.
    """
    path = Path(path)
    require_writable(path, overwrite=overwrite)
    with staging(path) as folder:
        unfinished = folder / f"unfinished{suffix_of(path)}"
        encode_volume(volume, unfinished)
        move(unfinished, path, overwrite=overwrite)


def encode_volume(volume: Volume, path: Path) -> None:
    """Write one scan in place, for those who move it; see `write_volume`.

    Raises:
        WriteError: the format cannot hold the volume.
        OSError: the disk refuses.
    """
    BY_SUFFIX[suffix_of(path)].write(volume, path)


def require_writable(path: Path, *, overwrite: bool) -> None:
    """Raise `WriteError` where `write_volume` could not write, whatever the volume."""
    if suffix_of(path) not in WRITABLE:
        raise WriteError(f"Cannot write {path}: its name must end in {', '.join(WRITABLE)}.")
    if not path.parent.is_dir():
        raise WriteError(f"Cannot write {path}: there is no folder {path.parent}; make it first.")
    if path.is_dir() or (os.path.lexists(path) and not overwrite):
        raise occupied(path)


def find_scans(paths: Iterable[str | Path]) -> list[Path]:
    """Every scan among `paths`, sorted, each once.

    Files count as they are given. Folders are searched recursively for files that end as those of
    a readable format do; a pair of `.hdr` and `.img` counts as its header, and a folder that holds
    DICOM files as one scan. Hidden files and folders are left out.

    Args:
        paths: files and folders.

    Returns:
        Paths that `read_volume` takes.

    Raises:
        ReadError: a path does not exist, or there is no scan in any of them.
    """
    paths = [Path(path) for path in paths]
    found: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise ReadError(f"{path} does not exist; check the path.")
        if path.is_dir():
            for folder, subfolders, names in os.walk(path):
                subfolders[:] = [name for name in subfolders if name[0] != "."]
                files = [Path(folder) / name for name in names if name[0] != "."]
                found |= {header_of(file) for file in files if is_volume_file(file)}
                if any(not is_volume_file(file) and is_dicom(file) for file in files):
                    found.add(Path(folder))
        else:
            found.add(header_of(path))
    if not found:
        raise ReadError(
            f"No scan in {', '.join(map(str, paths)) or 'no path at all'}; give folders of DICOM "
            f"files or files ending in {', '.join(READABLE)}."
        )
    return sorted(found)


def is_volume_file(path: Path) -> bool:
    """Whether the name is that of a file which holds a volume by itself or describes one."""
    suffix = suffix_of(path)
    if suffix in (".img", ".img.gz"):
        return header_of(path) != path
    return suffix in BY_SUFFIX


def header_of(path: Path) -> Path:
    """The `.hdr` beside an `.img`, if there is one, else the path itself."""
    suffix = suffix_of(path)
    if suffix not in (".img", ".img.gz"):
        return path
    header = path.with_name(path.name[: -len(suffix)] + suffix.replace("img", "hdr"))
    return header if header.exists() else path


def suffix_of(path: Path) -> str:
    """Lower-case suffix, with the one before `.gz`, as in `.nii.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])
