"""Text headers of NRRD and MetaImage files, checked field by field before ITK sees them.

ITK's parsers write past their buffers on some malformed headers, which ends the process. So a field
must stand there once and have values of the kind and number that it should have.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from medgen.errors import ReadError

LONGEST_HEADER = 1 << 20  # bytes
LONGEST_NAME = 100  # characters
LONGEST_VALUE = 2000  # characters
PIECE = 1 << 20  # bytes
ZLIB_OR_GZIP = 47  # window bits by which zlib tells its own streams from gzip's
GZIP_MAGIC = b"\x1f\x8b"

KNOWN_SPACES = {
    "left-posterior-superior", "lps", "right-anterior-superior", "ras",
    "left-anterior-superior", "las",
}  # fmt: skip

CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
TEXT = r".*"
WORDS = r"[\w ?-]{1,60}"
WORD = r"[\w?-]{1,60}"
WHOLE = r"-?\d{1,18}"
SIDE = r"[1-9]\d{0,17}"
# ITK turns for ever on a matrix with 1e308 in it, so no number of more than two digits of exponent.
NUMBER = r"[-+]?(?:\d{1,20}(?:\.\d{0,40})?|\.\d{1,40})(?:e[-+]?\d{1,2})?"
ANY_NUMBER = rf"(?:{NUMBER}|[-+]?(?:nan|inf))"
VECTOR = rf"(?:\( ?{NUMBER}(?: ?, ?{NUMBER}){{2}} ?\)|none)"

Count = int | Callable[[int], int]  # of values, or for so many axes


def per_axis(axes: int) -> int:
    """A value for each axis."""
    return axes


def per_entry(axes: int) -> int:
    """A value for each entry of a square matrix."""
    return axes * axes


NRRD_FIELDS: dict[str, tuple[str, Count]] = {
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
META_FIELDS: dict[str, tuple[str, Count]] = {
    **dict.fromkeys(("ElementType", "Modality", "AnatomicalOrientation"), (WORD, 1)),
    **dict.fromkeys(("BinaryData", "CompressedData", "DistanceUnits"), (WORD, 1)),
    **dict.fromkeys(("BinaryDataByteOrderMSB", "ElementByteOrderMSB"), (WORD, 1)),
    **dict.fromkeys(("NDims", "ID", "ParentID", "CompressedDataSize"), (WHOLE, 1)),
    **dict.fromkeys(("CompressionLevel", "HeaderSize", "ElementNBits"), (WHOLE, 1)),
    "ElementNumberOfChannels": (SIDE, 1),
    **dict.fromkeys(("ElementMin", "ElementMax"), (ANY_NUMBER, 1)),
    "DimSize": (SIDE, per_axis),
    **dict.fromkeys(("Position", "Offset", "Origin", "CenterOfRotation"), (NUMBER, per_axis)),
    **dict.fromkeys(("ElementSpacing", "ElementSize", "SequenceID"), (NUMBER, per_axis)),
    **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), (NUMBER, per_entry)),
    "Color": (NUMBER, 4),
}


@dataclass(frozen=True)
class Header:
    """Fields of a text header, and where it says the voxels' bytes are."""

    fields: dict[str, str]
    data_file: Path
    offset: int
    compressed: bool

    def count_bytes(self) -> int:
        """Bytes of voxels on disk, decompressed; checksums are verified on the way.

        Raises:
            ValueError: the compressed stream ends early.
            zlib.error: the compressed stream is damaged.
        """
        if not self.compressed:
            return self.data_file.stat().st_size - self.offset
        count = 0
        stream = zlib.decompressobj(ZLIB_OR_GZIP)
        with open(self.data_file, "rb") as file:
            file.seek(self.offset)
            while piece := stream.unused_data or stream.unconsumed_tail or file.read(PIECE):
                if stream.eof:
                    if not piece.startswith(GZIP_MAGIC):
                        break
                    stream = zlib.decompressobj(ZLIB_OR_GZIP)
                count += len(stream.decompress(piece, PIECE))
        if not stream.eof:
            raise ValueError("the compressed voxels end too early")
        return count


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
    pairs: Iterable[tuple[str, str]], known: Mapping[str, tuple[str, Count]], axes_field: str
) -> dict[str, str]:
    """Fields of a header as a dict.

    Args:
        pairs: names and values.
        known: pattern of each value and how many there are of it, by field.
        axes_field: name of the field with the number of axes.

    Raises:
        ValueError: a field stands there twice or has another kind or number of values.
    """
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"its header has {name[:60]} twice")
        fields[name] = value
    if not re.fullmatch(r"\d{1,2}", fields.get(axes_field, "")):
        raise ValueError(f"its header does not tell {axes_field}")
    axes = int(fields[axes_field])
    for name, value in fields.items():
        pattern, count = known.get(name, (TEXT, 1))
        count = count(axes) if callable(count) else count
        each = rf"{pattern}(?:\s+{pattern}){{{count - 1}}}" if count > 1 else pattern
        if len(value) > LONGEST_VALUE or not re.fullmatch(each, value, re.IGNORECASE):
            raise ValueError(f"its header has an odd {name[:60]}: {value[:60]!r}")
    return fields


def nrrd_header(path: Path) -> Header:
    """Header of an NRRD file that places its voxels in the patient.

    Raises:
        ReadError: it does not, or its voxels are encoded in a way medgen does not read.
        ValueError: it is no NRRD file.
    """
    lines, end = header_lines(path, lambda line: not line)
    if not lines or not lines[0].startswith("NRRD"):
        raise ValueError("its first line is not NRRD's")
    pairs = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if line[:1] in ("", "#") or value.startswith("="):  # the end, a comment, a key of its own
            continue
        name = name.lower().replace(" ", "")
        if not colon or name not in NRRD_FIELDS:
            raise ValueError(f"its header has an unknown line {line[:60]!r}")
        pairs.append((name, value.strip()))
    fields = checked_fields(pairs, NRRD_FIELDS, "dimension")
    space = fields.get("space", "").lower()
    if space not in KNOWN_SPACES or not {"spacedirections", "spaceorigin"} <= fields.keys():
        raise ReadError(
            f"{path} does not place its voxels in the patient (space: {space or 'missing'}); save "
            "it with space left-posterior-superior, space directions and space origin."
        )
    if any(unit not in ('"mm"', '""') for unit in fields.get("spaceunits", "").split()):
        raise ReadError(f"{path} has space units {fields['spaceunits']}; save it with mm.")
    encoding = fields.get("encoding", "raw").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise ReadError(f"{path} has encoding {encoding}; save it with encoding raw or gzip.")
    compressed = encoding != "raw"
    detached = fields.get("datafile")
    if detached is None:
        return Header(fields, path, end, compressed)
    skip = 0 if compressed else max(int(fields.get("byteskip", 0)), 0)
    return Header(fields, data_beside(path, detached), skip, compressed)


def meta_header(path: Path) -> Header:
    """Header of a MetaImage file.

    Raises:
        ReadError: it has no spacing in mm, or its voxels are text or in several files.
        ValueError: it is no MetaImage file.
    """
    lines, end = header_lines(path, lambda line: line.startswith("ElementDataFile"))
    pairs = [line.partition("=") for line in lines if line]
    for name, equals, _ in pairs:
        if not equals or len(name) > LONGEST_NAME:
            raise ValueError(f"its header has an odd line {name[:60]!r}")
    pairs = [(name.strip(), value.strip()) for name, _, value in pairs]
    fields = checked_fields(pairs, META_FIELDS, "NDims")
    if not {"NDims", "DimSize", "ElementDataFile"} <= fields.keys():
        raise ValueError("NDims, DimSize or ElementDataFile is missing in its header")
    spacing = fields.get("ElementSpacing", fields.get("ElementSize", "")).split()
    if not spacing or min(map(float, spacing)) <= 0 or fields.get("DistanceUnits", "mm") != "mm":
        raise ReadError(
            f"{path} has no voxel size in mm (ElementSpacing: {' '.join(spacing) or 'missing'}, "
            f"DistanceUnits: {fields.get('DistanceUnits', 'mm')}); set the true one in the header."
        )
    if fields.get("BinaryData", "True").lower() != "true":
        raise ReadError(f"{path} holds its voxels as text; save it with BinaryData = True.")
    compressed = fields.get("CompressedData", "False").lower() == "true"
    if fields["ElementDataFile"].lower() == "local":
        return Header(fields, path, end, compressed)
    skip = max(int(fields.get("HeaderSize", 0)), 0)
    return Header(fields, data_beside(path, fields["ElementDataFile"]), skip, compressed)


def data_beside(path: Path, name: str) -> Path:
    """File of voxels that the header at `path` names."""
    data_file = path.parent / name
    if not data_file.is_file():
        raise ReadError(
            f"{path} keeps its voxels in {name}, which is not one file beside it; put it there, or "
            "save the scan as one file."
        )
    return data_file
