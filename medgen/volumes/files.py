"""Scans on disk: find them, read one, write one; the format follows from the name."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from medgen.errors import GeometryError, ReadError, SeveralVolumesError, WriteError, printable
from medgen.intensities.guess import guess_modality
from medgen.intensities.modality import MODALITIES
from medgen.intensities.padding import guess_padding
from medgen.storage import move, occupied, staging
from medgen.volumes.dicom.find import SUFFIXES as DICOM_SUFFIXES
from medgen.volumes.dicom.find import is_dicom, series_folders
from medgen.volumes.dicom.read import read_dicom
from medgen.volumes.fetched import is_missing, leads_nowhere, require_fetched
from medgen.volumes.formats import BY_SUFFIX, WRITABLE
from medgen.volumes.volume import Volume
from medgen.volumes.walk import walk

READABLE = (*BY_SUFFIX, *DICOM_SUFFIXES)
SAMPLED_VOXELS, RUN = 2_000_000, 64


def read_volume(
    path: str | Path,
    *,
    volume: int | None = None,
    series: str | None = None,
    gaps: bool = False,
    modality: str | None = None,
    intercept: float | None = None,
) -> Volume:
    """Read one scan.

    The modality is the one given, else what all evidence agrees on (see
    `medgen.intensities.guess`); it is `unknown` where there is doubt.

    Args:
        path: a NIfTI, Analyze, MGH, NRRD, MetaImage or DICOM file, or a folder with the files of
            a DICOM series.
        volume: which volume of a 4-D file, from 0.
        series: SeriesInstanceUID, where a folder holds several series.
        gaps: read a DICOM series that lacks slices, instead of refusing it: the nearest acquired
            one stands where one is missing, and `metadata["missing_slices"]` tells where.
        modality: what the scan is, where the user says so: a name in `intensities.modality.NAMED`.
        intercept: physical value of a stored 0, instead of the file's; for scans whose file has
            lost it, such as CT stored as HU + 1024.

    Returns:
        Volume with the voxels as stored, in native byte order.

    Raises:
        SeveralVolumesError: a file holds several, and `volume` is None.
        ReadError: the path cannot be read as one volume.
        GeometryError: positions do not make a regular grid.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from medgen.phantoms.phantom import phantom_volume
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "ct.nii.gz"
        ...     write_volume(phantom_volume("ct", (16, 12, 5), (20.0, 18.0, 30.0), seed=1), path)
        ...     scan = read_volume(path)
        >>> scan.shape, scan.spacing, scan.modality
        ((16, 12, 5), (20.0, 18.0, 30.0), 'ct')
    """
    path = Path(path)
    require_fetched(path)
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
    for part in _parts(path):
        require_fetched(part)
    # Absurd numbers end as infinite ones, which are refused or counted; no need to warn of them.
    with np.errstate(all="ignore"):
        try:
            if reads_dicom:
                scan = read_dicom(path, volume=volume, series=series, gaps=gaps)
            else:
                scan = BY_SUFFIX[suffix].read(path, volume=volume)
        except GeometryError as error:
            if printable(str(path)) in str(error):
                raise
            raise GeometryError(f"{path}: {error}") from error
        if intercept is not None:
            scan = with_intercept(scan, intercept)
        return with_modality(scan, modality, "" if reads_dicom else path.name)


def read_among(
    path: str | Path,
    *,
    volume: int | None = None,
    modality: str | None = None,
    intercept: float | None = None,
) -> Volume:
    """Read one of many scans, of which some files may hold several volumes and some one.

    Args:
        path: see `read_volume`.
        volume: which one where a file holds several, from 0; a file of one is read as it is.
        modality: see `read_volume`.
        intercept: likewise.

    Raises:
        SeveralVolumesError, ReadError, GeometryError: see `read_volume`.

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from medgen.volumes import Geometry, Volume
        >>> grid = Geometry.from_spacing((4, 3, 2), (1.0, 1.0, 5.0))
        >>> flat = Volume(np.zeros((4, 3, 2), np.int16), grid)
        >>> with TemporaryDirectory() as folder:
        ...     write_volume(flat, Path(folder) / "one.nii")
        ...     read_among(Path(folder) / "one.nii", volume=3, modality="mr").shape
        (4, 3, 2)
    """
    read = partial(read_volume, path, modality=modality, intercept=intercept)
    try:
        return read()
    except SeveralVolumesError:
        if volume is None:
            raise
    return read(volume=volume)


def with_intercept(scan: Volume, intercept: float) -> Volume:
    """The same stored values, read as `slope * stored + intercept`."""
    metadata = scan.metadata.copy()
    if "padding_value" in metadata:
        metadata["padding_value"] += intercept - scan.intercept
    return replace(scan, intercept=intercept, metadata=metadata)


def with_modality(scan: Volume, said: str | None = None, name: str = "") -> Volume:
    """The same scan with its modality said or guessed, and the padding of CT made known.

    Args:
        scan: as read.
        said: what the user says it is.
        name: of its file.
    """
    physical = sampled(scan.array) * scan.slope + scan.intercept
    guess = guess_modality(
        physical,
        said=said,
        tag=str(scan.metadata.get("modality_tag", "")),
        intent=scan.metadata.get("nifti", {}).get("intent_code", 0),
        name=name,
        eight_bits=scan.array.dtype.itemsize == 1 and not scan.is_scaled,
    )
    metadata = scan.metadata.copy()
    metadata["modality_guess"] = guess
    if MODALITIES[guess.taken].absolute and "padding_value" not in metadata:
        padding = guess_padding(physical)
        if padding is not None:
            metadata["padding_value"] = padding
    return replace(scan, modality=guess.taken, metadata=metadata)


def sampled(array: np.ndarray) -> np.ndarray:
    """About two million voxels, in runs of neighbours spread evenly: they tell as much as all."""
    flat = array.ravel(order="K")
    step = -(-flat.size // SAMPLED_VOXELS)
    whole = flat.size - flat.size % RUN
    return flat if step <= 1 else flat[:whole].reshape(-1, RUN)[::step].ravel()


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

    Example:
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from medgen.volumes import Geometry, Volume
        >>> grid = Geometry.from_spacing((4, 3, 2), (1.0, 1.0, 5.0))
        >>> flat = Volume(np.zeros((4, 3, 2), np.int16), grid)
        >>> with TemporaryDirectory() as folder:
        ...     write_volume(flat, Path(folder) / "flat.nii.gz")
        ...     [path.name for path in Path(folder).iterdir()]
        ['flat.nii.gz']
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
        GeometryError: it has several channels.
        OSError: the disk refuses.
    """
    volume.require_one_channel("A file")
    WRITABLE[suffix_of(path)](volume, path)


def require_writable(path: Path, *, overwrite: bool) -> None:
    """Raise `WriteError` where `write_volume` could not write, whatever the volume."""
    if suffix_of(path) not in WRITABLE:
        raise WriteError(f"Cannot write {path}: its name must end in {', '.join(WRITABLE)}.")
    if not path.parent.is_dir():
        raise WriteError(f"Cannot write {path}: there is no folder {path.parent}; make it first.")
    if path.is_dir() or (os.path.lexists(path) and not overwrite):
        raise occupied(path)


def find_scans(paths: Iterable[str | Path], leave_out: Collection[Path] = ()) -> list[Path]:
    """Every scan among `paths`, sorted, each once.

    Files count as they are given. Folders are searched recursively, links followed, for files that
    end as those of a readable format do, and for whatever is DICOM by its content; a pair of `.hdr`
    and `.img` counts as its header, and a DICOM series as the deepest folder that holds all of it.
    Hidden files and folders are left out. What is not fetched, or must not be read, counts as a
    scan where its name may be that of one, or of a folder of scans.

    Args:
        paths: files and folders.
        leave_out: folders that are not searched.

    Returns:
        Paths that `read_volume` takes, or refuses with a sentence on how to get the scan.

    Raises:
        ReadError: a path does not exist, or there is no scan in any of them.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for name in ("b.nii.gz", "a.mha", "notes.txt"):
        ...         Path(folder, name).touch()
        ...     [path.name for path in find_scans([folder])]
        ['a.mha', 'b.nii.gz']
    """
    given = [Path(path) for path in paths]
    found: set[Path] = set()
    for path in given:
        require_fetched(path)
        if not path.exists():
            raise ReadError(f"{path} does not exist; check the path.")
        if path.is_dir():
            files = list(walk(path, leave_out))
            found |= {header_of(file) for file in files if is_volume_file(file)}
            others = [file for file in files if not is_volume_file(file)]
            found |= series_folders(file for file in others if file.is_file() and is_dicom(file))
            found |= {
                place for other in others if is_missing(other) for place in _in_place_of(other)
            }
        else:
            found.add(header_of(path))
    if not found:
        raise ReadError(
            f"No scan in {', '.join(map(str, given)) or 'no path at all'}; give folders of DICOM "
            f"files or files ending in {', '.join(READABLE)}."
        )
    return sorted(found)


def _in_place_of(missing: Path) -> Iterator[Path]:
    """The scan, or folder of scans, that a name without content seems to stand for, if any."""
    if missing.is_dir():
        yield missing
    elif _may_be_slice(missing) and not leads_nowhere(missing):
        yield missing.parent
    elif leads_nowhere(missing) and not missing.suffix:
        yield missing


def _may_be_slice(path: Path) -> bool:
    """Whether a file that cannot be looked into has a name as slices of DICOM series have."""
    suffix = path.suffix.lower()
    numbered = any(character.isdigit() for character in path.name)
    return suffix in DICOM_SUFFIXES or (numbered and (not suffix or suffix[1:].isdigit()))


def _parts(path: Path) -> Iterator[Path]:
    """The files that a scan is read from beside the one that is named, as far as names tell."""
    if path.is_dir():
        yield from (part for part in walk(path) if _may_be_slice(part))
    for one, other in ((".hdr", ".img"), (".img", ".hdr")):
        suffix = suffix_of(path)
        if suffix.startswith(one):
            yield path.with_name(path.name[: -len(suffix)] + suffix.replace(one, other))


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
