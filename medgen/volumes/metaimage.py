"""MetaImage files (.mha, and .mhd with its voxels in another file).

Read without ITK, whose reader gives whatever memory held where a compressed stream is not as long
as the header says, and ends the process on some malformed headers. Of several names for one field,
and of fields that are missing, the meaning is the one ITK gives them.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from medgen.errors import ReadError
from medgen.volumes.geometry import LPS_TO_RAS
from medgen.volumes.text_headers import (
    ANY_NUMBER,
    NUMBER,
    SHOWN,
    SIDE,
    WHOLE,
    WORD,
    Fields,
    Header,
    checked_fields,
    data_beside,
    header_lines,
    numbers,
    per_axis,
    per_entry,
    read_by,
)
from medgen.volumes.volume import Volume
from medgen.volumes.voxels import Stored

LONGEST_NAME = 100  # characters
DTYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2",
    "MET_INT": "i4", "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
# Names for one thing.
OFFSET = ("Offset", "Position", "Origin")
ORIENTATION = ("TransformMatrix", "Rotation", "Orientation")
MSB = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
INTENSITY = ("ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset")

YES_OR_NO = r"(?:true|t|1|false|f|0)"
FIELDS: Fields = {
    **dict.fromkeys(("ElementType", "Modality", "AnatomicalOrientation"), (WORD, 1)),
    **dict.fromkeys(("ObjectType", "DistanceUnits"), (WORD, 1)),
    **dict.fromkeys(("BinaryData", "CompressedData", *MSB), (YES_OR_NO, 1)),
    **dict.fromkeys(("NDims", "HeaderSize"), (WHOLE, 1)),
    "ElementNumberOfChannels": (SIDE, 1),
    **dict.fromkeys(("ElementMin", "ElementMax", *INTENSITY), (ANY_NUMBER, 1)),
    "DimSize": (SIDE, per_axis),
    **dict.fromkeys((*OFFSET, "CenterOfRotation"), (NUMBER, per_axis)),
    **dict.fromkeys(("ElementSpacing", "ElementSize"), (NUMBER, per_axis)),
    **dict.fromkeys(ORIENTATION, (NUMBER, per_entry)),
}


def read_metaimage(path: Path, *, volume: int | None = None) -> Volume:
    """Read one volume of a MetaImage file.

    Args:
        path: the file with the header.
        volume: which volume of a 4-D file, from 0; needed only where there are several.

    Returns:
        Volume with the stored voxels, slope 1 and intercept 0.

    Raises:
        ReadError: the file is damaged, is no grey-value image, has no voxel size in mm, or holds
            several volumes and `volume` names none of them.
        GeometryError: the affine is degenerate.
    """
    return read_by(read_header, path, "MetaImage", volume)


def read_header(path: Path) -> Header:
    """Header of a MetaImage file.

    Raises:
        ReadError: it has no spacing in mm, or its voxels are text, no grey values or lie elsewhere.
        ValueError: it is no MetaImage file.
    """
    lines, end = header_lines(path, lambda line: line.startswith("ElementDataFile"))
    parts = [line.partition("=") for line in lines if line]
    for name, equals, _ in parts:
        if not equals or len(name) > LONGEST_NAME:
            raise ValueError(f"its header has an odd line {name[:SHOWN]!r}")
    pairs = [(name.strip(), value.strip()) for name, _, value in parts]
    fields = checked_fields(pairs, FIELDS, "NDims")
    if not {"DimSize", "ElementType", "ElementDataFile"} <= fields.keys():
        raise ValueError("DimSize, ElementType or ElementDataFile is missing in its header")
    if fields.get("ObjectType", "Image").lower() != "image":
        raise ValueError(f"its ObjectType is {fields['ObjectType']}")
    channels = int(fields.get("ElementNumberOfChannels", 1))
    if channels > 1:
        raise ReadError(
            f"{path} holds {channels} values a voxel (colours or vectors), not grey values; "
            "convert it to one channel."
        )
    sizes = tuple(int(size) for size in fields["DimSize"].split())
    if len(sizes) not in (3, 4):
        raise ReadError(
            f"{path} has {len(sizes)} axes; volumes have three, or four where there are several."
        )
    several = 3 if len(sizes) == 4 else None
    affine = affine_of(path, fields, len(sizes))
    notes = []
    if not fields.keys() & set(ORIENTATION):
        notes.append("The header names no orientation; MetaImage's default is used (LPS).")
    mapping = [float(fields.get(name, k)) for name, k in zip(INTENSITY, (1, 0), strict=True)]
    if mapping != [1, 0]:
        notes.append(
            f"The header's function from elements to intensities (times {mapping[0]:g} plus "
            f"{mapping[1]:g}) is not applied, as it is not by ITK."
        )
    stored = where_stored(path, fields, end, sizes)
    return Header(sizes, (0, 1, 2), several, affine, stored, tuple(notes))


def affine_of(path: Path, fields: dict[str, str], axes: int) -> np.ndarray:
    """RAS affine `(4, 4)` of the first three of so many axes.

    Raises:
        ReadError: the voxels have no size in mm.
    """
    sizes = fields.get("ElementSpacing", fields.get("ElementSize", ""))
    spacing = numbers(sizes)
    if not sizes or spacing.min() <= 0 or fields.get("DistanceUnits", "mm").lower() != "mm":
        raise ReadError(
            f"{path} has no voxel size in mm (ElementSpacing: {sizes or 'missing'}, DistanceUnits: "
            f"{fields.get('DistanceUnits', 'mm')}); set the true one in the header."
        )
    directions = np.eye(axes)
    if (orientation := one_of(fields, ORIENTATION)) is not None:
        directions = numbers(orientation).reshape(axes, axes)  # a row for each axis
    offset = one_of(fields, OFFSET)
    affine = np.eye(4)
    affine[:3, :3] = directions[:3, :3].T * spacing[:3]
    affine[:3, 3] = 0 if offset is None else numbers(offset)[:3]
    return LPS_TO_RAS @ affine


def one_of(fields: dict[str, str], names: tuple[str, ...]) -> str | None:
    """The value that stands under any of `names`, None if there is none.

    Raises:
        ValueError: there are two that differ.
    """
    values = {name: " ".join(fields[name].lower().split()) for name in names if name in fields}
    if len(set(values.values())) > 1:
        raise ValueError(f"its header has different {' and '.join(values)}")
    return next(iter(values.values()), None)


def is_true(value: str | None) -> bool:
    """Whether a checked field says yes."""
    return value is not None and value.lower() in ("true", "t", "1")


def where_stored(path: Path, fields: dict[str, str], end: int, sizes: tuple[int, ...]) -> Stored:
    """Where the voxels lie: behind the header, which ends at byte `end`, or in a file of their own.

    A compressed stream's own length counts, not CompressedDataSize.

    Raises:
        ReadError: as text, or in several files.
        ValueError: of an unknown type, or within the header.
    """
    if not is_true(fields.get("BinaryData", "True")):
        raise ReadError(f"{path} holds its voxels as text; save it with BinaryData = True.")
    code = DTYPES.get(fields["ElementType"])
    if code is None:
        raise ValueError(f"its ElementType is {fields['ElementType']}")
    dtype = np.dtype(code).newbyteorder(">" if is_true(one_of(fields, MSB)) else "<")
    compressed = is_true(fields.get("CompressedData"))
    start = int(fields.get("HeaderSize", 0))
    local = fields["ElementDataFile"].lower() == "local"
    if local and start == 0:
        start = end
    if start < (0 if compressed else -1) or (local and 0 <= start < end):
        raise ValueError(f"its HeaderSize is {start}")
    return Stored(
        path if local else data_beside(path, fields["ElementDataFile"]),
        dtype,
        math.prod(sizes),
        "deflate" if compressed else "raw",
        start=max(start, 0),
        skip=None if start == -1 else 0,
    )
