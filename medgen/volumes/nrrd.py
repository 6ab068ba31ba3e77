"""NRRD files (.nrrd, and .nhdr with its voxels in another file).

Read without ITK, whose reader ends the process on some malformed headers, treats a space it does
not know as LPS and a file without a space as a grid at the origin. Fields, encodings and the order
of skips follow the format's definition (http://teem.sourceforge.net/nrrd/format.html).
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Literal

import numpy as np

from medgen.errors import ReadError
from medgen.volumes.text_headers import (
    ANY_NUMBER,
    NUMBER,
    SHOWN,
    SIDE,
    TEXT,
    WHOLE,
    WORD,
    WORDS,
    Fields,
    Header,
    checked_fields,
    data_beside,
    header_lines,
    numbers,
    per_axis,
    read_by,
)
from medgen.volumes.volume import Volume
from medgen.volumes.voxels import Stored

# Each space's axes, as they count to right, anterior and superior.
SPACES = {
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
}  # fmt: skip
ENCODINGS = {
    "raw": "raw", "gzip": "deflate", "gz": "deflate", "bzip2": "bzip2", "bz2": "bzip2",
    "text": "text", "txt": "text", "ascii": "text", "hex": "hex",
}  # fmt: skip
ORDERS: dict[str, Literal["<", ">"]] = {"little": "<", "big": ">"}
DTYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        "longlong", "long long", "long long int", "signed long long", "signed long long int",
        "int64", "int64_t",
    ),
    "u8": (
        "ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t",
    ),
    "f4": ("float",),
    "f8": ("double",),
}  # fmt: skip
TYPES = {name: np.dtype(code) for code, names in DTYPES.items() for name in names}
SEVERAL_VOLUMES = ("list", "time")  # kinds of an axis

COMPONENT = rf"(?:{NUMBER}|nan)"
VECTOR = rf"(?:\( ?{COMPONENT}(?: ?, ?{COMPONENT}){{2}} ?\)|none)"
FIELDS: Fields = {
    **dict.fromkeys(("type", "encoding", "endian", "space"), (WORDS, 1)),
    **dict.fromkeys(("dimension", "spacedimension", "lineskip", "byteskip"), (WHOLE, 1)),
    **dict.fromkeys(("min", "max", "oldmin", "oldmax"), (ANY_NUMBER, 1)),
    "sizes": (SIDE, per_axis),
    **dict.fromkeys(("spacings", "thicknesses", "axismins", "axismaxs"), (ANY_NUMBER, per_axis)),
    **dict.fromkeys(("centers", "centerings", "kinds"), (WORD, per_axis)),
    "spacedirections": (VECTOR, per_axis),
    "spaceorigin": (VECTOR, 1),
    "measurementframe": (VECTOR, 3),
    **dict.fromkeys(("content", "labels", "units", "spaceunits", "sampleunits"), (TEXT, 1)),
    "datafile": (TEXT, 1),
}


def read_nrrd(path: Path, *, volume: int | None = None) -> Volume:
    """Read one volume of an NRRD file.

    Args:
        path: the file with the header.
        volume: which volume of a 4-D file, from 0; needed only where there are several.

    Returns:
        Volume with the stored voxels, slope 1 and intercept 0 (the format knows no scaling).

    Raises:
        ReadError: the file is damaged, is no grey-value image, does not say where its voxels lie,
            or holds several volumes and `volume` names none of them.
        GeometryError: the affine is degenerate.
    """
    return read_by(read_header, path, "NRRD", volume)


def read_header(path: Path) -> Header:
    """Header of an NRRD file that places its voxels in the patient.

    Raises:
        ReadError: it does not, or its voxels are no grey values or lie elsewhere.
        ValueError: it is no NRRD file.
    """
    lines, end = header_lines(path, lambda line: not line)
    if not lines or not re.fullmatch(r"NRRD\d{4}", lines[0]):
        raise ValueError("its first line is not NRRD's")
    pairs = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if line[:1] in ("", "#") or value.startswith("="):  # the end, a comment, a key of its own
            continue
        name = name.lower().replace(" ", "")
        if not colon or name not in FIELDS:
            raise ValueError(f"its header has an unknown line {line[:SHOWN]!r}")
        pairs.append((name, value.strip()))
    fields = checked_fields(pairs, FIELDS, "dimension")
    space = fields.get("space", "").lower()
    if space not in SPACES or not {"spacedirections", "spaceorigin"} <= fields.keys():
        raise ReadError(
            f"{path} does not place its voxels in the patient (space: {space or 'missing'}); save "
            "it with space left-posterior-superior, space directions and space origin."
        )
    if any(unit not in ('"mm"', '""') for unit in fields.get("spaceunits", "").split()):
        raise ReadError(f"{path} has space units {fields['spaceunits'][:SHOWN]}; save it with mm.")
    if "sizes" not in fields:
        raise ValueError("its header does not tell sizes")
    sizes = tuple(int(size) for size in fields["sizes"].split())
    directions, origin = vectors(fields["spacedirections"]), vectors(fields["spaceorigin"])
    for name in fields.keys() & {"spacings", "axismins", "axismaxs"}:
        if np.isfinite(directions + numbers(fields[name])[:, None]).any():
            raise ValueError(f"its header gives an axis both {name} and a space direction")
    units = re.findall(r'"([^"]*)"', fields.get("units", ""))
    if any(np.isfinite(directions[: len(units)]).all(axis=1) & (np.array(units) != "")):
        raise ValueError("its header gives an axis both units and a space direction")
    spatial, several = volume_axes(path, fields, sizes, directions)
    affine = np.eye(4)
    affine[:3] = np.vstack([directions[list(spatial)], origin]).T
    affine[:3] *= np.array(SPACES[space])[:, None]
    return Header(sizes, spatial, several, affine, where_stored(path, fields, end, sizes))


def vectors(value: str) -> np.ndarray:
    """The vectors of a checked field, float64 `(n, 3)`; NaN for `none`."""
    texts = [text.lower().strip("() ") for text in re.findall(VECTOR, value, re.IGNORECASE)]
    none = ["nan"] * 3
    return np.array([none if text == "none" else text.split(",") for text in texts], np.float64)


def volume_axes(
    path: Path, fields: dict[str, str], sizes: tuple[int, ...], directions: np.ndarray
) -> tuple[tuple[int, int, int], int | None]:
    """The three axes that lie in space, and the one along which there are several volumes, if any.

    Raises:
        ReadError: there are not three, or another axis holds something else.
    """
    placed = ~np.isnan(directions).all(axis=1)
    if placed.sum() != 3:
        raise ReadError(f"{path} has {placed.sum()} axes in space; volumes have three.")
    kinds = fields.get("kinds", "").lower().split() or ["???"] * len(sizes)
    several = None
    for axis in np.flatnonzero(~placed & (np.array(sizes) > 1)).tolist():
        if kinds[axis] == "complex":
            raise ReadError(
                f"{path} holds complex voxels, not grey values; convert it to magnitudes."
            )
        if kinds[axis] not in SEVERAL_VOLUMES or several is not None:
            raise ReadError(
                f"{path} holds {sizes[axis]} values a voxel (along an axis of kind {kinds[axis]} "
                "without a direction in space), not grey values; convert it to one channel."
            )
        several = axis
    i, j, k = np.flatnonzero(placed).tolist()
    return (i, j, k), several


def where_stored(path: Path, fields: dict[str, str], end: int, sizes: tuple[int, ...]) -> Stored:
    """Where the voxels lie: behind the header, which ends at byte `end`, or in a file of their own.

    Raises:
        ReadError: in a way that medgen does not read.
        ValueError: the header does not tell.
    """
    encoding = ENCODINGS.get(fields.get("encoding", "").lower())
    if encoding is None:
        raise ReadError(
            f"{path} has encoding {fields.get('encoding', 'missing')}; save it with encoding raw "
            "or gzip."
        )
    dtype = TYPES.get(" ".join(fields.get("type", "").lower().split()))
    if dtype is None:
        raise ValueError(f"its type is {fields.get('type', 'missing')!r}")
    if dtype.itemsize > 1 and encoding != "text":
        order = ORDERS.get(fields.get("endian", "").lower())
        if order is None:
            raise ValueError(f"its endian is {fields.get('endian', 'missing')!r}")
        dtype = dtype.newbyteorder(order)
    lines, skip = int(fields.get("lineskip", 0)), int(fields.get("byteskip", 0))
    if lines < 0 or skip < (-1 if encoding == "raw" else 0):
        raise ValueError(f"its line skip is {lines} and its byte skip {skip}")
    detached = "datafile" in fields
    return Stored(
        data_beside(path, fields["datafile"]) if detached else path,
        dtype,
        math.prod(sizes),
        encoding,
        start=0 if detached else end,
        lines=lines,
        skip=None if skip == -1 else skip,
    )
