"""Scans on disk: find them, read one, write one; the format follows from the name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from medgen.errors import MedgenError, ReadError, WriteError
from medgen.volumes import nifti
from medgen.volumes.modality import guess_modality
from medgen.volumes.volume import Volume


def suffix_of(path: Path) -> str:
    """Lower-case suffix, with the one before `.gz` (`.nii.gz`)."""
    parts = [part.lower() for part in path.suffixes]
    return "".join(parts[-2:]) if parts and parts[-1] == ".gz" else "".join(parts[-1:])


def read_volume(
    path: str | Path, *, volume: int | None = None, series: str | None = None
) -> Volume:
    """Read one scan.

    Args:
        path: a NIfTI, Analyze, MGH, NRRD or MetaImage file, a DICOM file, or a folder that holds a
            DICOM series.
        volume: which volume of a 4-D file, from 0.
        series: SeriesInstanceUID, where a folder holds several series.

    Returns:
        Volume with the voxels as stored; modality from the file, else guessed from the values.

    Raises:
        ReadError: the file cannot be read as one volume.
        GeometryError: positions do not make a regular grid.
    """
    path = Path(path)
    if not path.exists():
        raise ReadError(f"{path} does not exist; check the path.")
    suffix = suffix_of(path)
    try:
        if suffix in nifti.SUFFIXES:
            scan = nifti.read_nifti(path, volume=volume)
        else:
            raise ReadError(f"{path} has a suffix that medgen cannot read.")
    except MedgenError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error
    if scan.modality == "unknown":
        scan = replace(scan, modality=guess_modality(scan.physical()))
    return scan


def write_volume(volume: Volume, path: str | Path, *, overwrite: bool = False) -> None:
    """Write one scan; either the whole file appears under `path`, or nothing does.

    Args:
        volume: what to write.
        path: target; its suffix chooses the format.
        overwrite: replace an existing file.

    Raises:
        WriteError: the suffix is unknown, the file exists, or its folder cannot be written to.
    """
    path = Path(path)
    if suffix_of(path) not in nifti.WRITABLE:
        raise WriteError(
            f"Cannot write {path}: the suffix must be one of {', '.join(nifti.WRITABLE)}."
        )
    if path.exists() and not overwrite:
        raise WriteError(f"{path} exists; pass --overwrite to replace it.")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".medgen-") as folder:
            unfinished = Path(folder) / path.name
            nifti.write_nifti(volume, unfinished)
            os.replace(unfinished, path)
    except OSError as error:
        raise WriteError(f"Cannot write {path}: {error.strerror or error}.") from error


def find_scans(paths: Iterable[str | Path]) -> list[Path]:
    """Every scan among `paths`, folders searched recursively, sorted and each only once.

    Raises:
        ReadError: a path does not exist, or there is no scan at all.
    """
    found = set()
    for path in map(Path, paths):
        if not path.exists():
            raise ReadError(f"{path} does not exist; check the path.")
        if path.is_dir():
            for folder, _, names in os.walk(path):
                files = [Path(folder) / name for name in names if not name.startswith(".")]
                found |= {f for f in files if suffix_of(f) in nifti.SUFFIXES}
        else:
            found.add(path)
    if not found:
        raise ReadError("No scan found in the given paths.")
    return sorted(found)
