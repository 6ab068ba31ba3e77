"""Text headers, as NRRD and MetaImage files have them, checked field by field.

Nothing is read out of a header but what has the kind and number of values that it should have, and
nothing out of a file that it names but what lies below its own folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medgen.errors import ReadError
from medgen.volumes.fetched import is_in_annex, require_fetched
from medgen.volumes.geometry import Geometry
from medgen.volumes.metadata import Metadata
from medgen.volumes.reading import choose_volume, first_line
from medgen.volumes.volume import Volume
from medgen.volumes.voxels import Stored, read_voxels

LONGEST_HEADER = 1 << 20  # bytes
MOST_AXES = 16
SHOWN = 60  # characters of what a sentence quotes

CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
TEXT = r".*"
WORDS = r"[\w ?-]{1,60}"
WORD = r"[\w?-]{1,60}"
WHOLE = r"-?\d{1,18}"
SIDE = r"[1-9]\d{0,17}"
NUMBER = r"[-+]?(?:\d{1,20}(?:\.\d{0,40})?|\.\d{1,40})(?:e[-+]?\d{1,2})?"
ANY_NUMBER = rf"(?:{NUMBER}|[-+]?(?:nan|inf))"

Count = int | Callable[[int], int]  # of values, or for so many axes
Fields = Mapping[str, tuple[str, Count]]  # pattern of each value and how many of it, by field


@dataclass(frozen=True, eq=False)
class Header:
    """What a text header tells of a scan.

    Args:
        sizes: of all axes, the fastest first.
        spatial: the three axes that are the volume's.
        several: the axis along which there are several volumes, if any; all others have size 1.
        affine: `(4, 4)` in RAS mm, of the three axes.
        stored: where its voxels lie.
        notes: sentences for the user.
    """

    sizes: tuple[int, ...]
    spatial: tuple[int, int, int]
    several: int | None
    affine: np.ndarray
    stored: Stored
    notes: tuple[str, ...] = ()

    def read(self, path: Path, format_name: str, volume: int | None) -> Volume:
        """Volume number `volume` of the scan at `path`, whose header this is.

        Raises:
            ReadError: its voxels are not all there, or it holds several volumes and `volume` names
                none of them.
            GeometryError: the affine is degenerate.
        """
        i, j, k = (self.sizes[axis] for axis in self.spatial)
        geometry = Geometry((i, j, k), self.affine)
        count = 1 if self.several is None else self.sizes[self.several]
        index = choose_volume(path, count, volume)
        array, beyond = read_voxels(path, self.stored)
        array = array.reshape(self.sizes, order="F")
        if self.several is not None:
            array = array.take([index], self.several)
        array = array.reshape(geometry.shape, order="F")
        metadata: Metadata = {
            "format": format_name,
            "files": tuple(sorted({path, self.stored.file})),
        }
        if volume is not None:
            metadata["volume_index"] = volume
        behind = f"{beyond} bytes behind the voxels that the header tells of are left out."
        notes = (*self.notes, *([behind] if beyond else []))
        if notes:
            metadata["notes"] = notes
        native = self.stored.dtype.newbyteorder("=")
        return Volume(np.array(array, native, order="F"), geometry, metadata=metadata)


def read_by(
    read_header: Callable[[Path], Header], path: Path, format_name: str, volume: int | None
) -> Volume:
    """Volume number `volume` of the scan at `path`, which has a text header.

    Args:
        read_header: of the format; raises `ValueError` with what is wrong in a few words.
        path: the file with the header.
        format_name: as sentences have it.
        volume: which one of a 4-D file, from 0; needed only where there are several.

    Raises:
        ReadError: the header is damaged; or see `Header.read`, as for `GeometryError`.
    """
    try:
        header = read_header(path)
    except (OSError, ValueError) as error:
        raise ReadError(
            f"{path} is not a readable {format_name} file ({first_line(error)}); check that it was "
            "downloaded completely and is what its name says."
        ) from error
    return header.read(path, format_name, volume)


def per_axis(axes: int) -> int:
    """A value for each axis."""
    return axes


def per_entry(axes: int) -> int:
    """A value for each entry of a square matrix."""
    return axes * axes


def header_lines(path: Path, is_last: Callable[[str], bool]) -> tuple[list[str], int]:
    """Lines of a text header up to its last, and the position of the byte after it.

    Raises:
        ValueError: it has control characters, or no end.
    """
    lines = []
    with open(path, "rb") as file:
        while line := file.readline(LONGEST_HEADER):
            lines.append(line.decode("latin-1").strip(" \t\r\n"))
            if CONTROL.search(lines[-1]):
                raise ValueError("its header has control characters")
            if is_last(lines[-1]):
                break
            if file.tell() > LONGEST_HEADER:
                raise ValueError("its header does not end")
        return lines, file.tell()


def checked_fields(
    pairs: Iterable[tuple[str, str]], known: Fields, axes_field: str
) -> dict[str, str]:
    """Fields of a header as a dict.

    Args:
        pairs: names and values.
        known: what each field holds; others may hold anything.
        axes_field: name of the field with the number of axes.

    Raises:
        ValueError: a field stands there twice or has another kind or number of values.
    """
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"its header has {name[:SHOWN]} twice")
        fields[name] = value
    axes = fields.get(axes_field, "")
    if not re.fullmatch(r"\d{1,2}", axes) or int(axes) > MOST_AXES:
        raise ValueError(f"its header does not tell {axes_field}")
    for name, value in fields.items():
        pattern, count = known.get(name, (TEXT, 1))
        count = count(int(axes)) if callable(count) else count
        each = rf"{pattern}(?:\s+{pattern}){{{count - 1}}}" if count > 1 else pattern
        if not re.fullmatch(each, value, re.IGNORECASE):
            raise ValueError(f"its header has an odd {name[:SHOWN]}: {value[:SHOWN]!r}")
    return fields


def numbers(value: str) -> np.ndarray:
    """The numbers of a checked field, float64."""
    return np.array(value.split(), np.float64)


def data_beside(path: Path, name: str) -> Path:
    """The file of voxels that the header at `path` names.

    Raises:
        ReadError: it is not one file, or lies, links followed, outside the header's folder: a
            header from elsewhere must not bring any file of this machine into a scan.
    """
    shown = name if len(name) <= SHOWN else f"{name[:SHOWN]}…"
    file = path.parent / name
    if file.parent == path.parent:
        require_fetched(file)
    try:
        inside = file.resolve().is_relative_to(path.parent.resolve()) or is_in_annex(file)
    except (OSError, RuntimeError):  # links that lead in a circle
        inside = False
    if not inside:
        raise ReadError(
            f"{path} keeps its voxels in {shown}, which lies outside its folder; put the file "
            "itself beside the header (no link to it), or save the scan as one file."
        )
    if name.partition(" ")[0].lower() == "list" or not os.path.isfile(file):
        raise ReadError(
            f"{path} keeps its voxels in {shown}, which is not one file beside it; put it there, "
            "or save the scan as one file."
        )
    return file
