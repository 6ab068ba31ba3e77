"""Fields of a NIfTI header beyond voxels and grid: kept as they came, as long as they stay true.

A field that medgen does not know the meaning of better than the file does goes out byte for byte.
In a finer scan two things are no longer true: the timing of slices, and what an extension says of
single slices or of the grid.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import nibabel as nib
from nibabel.freesurfer.mghformat import MGHHeader

from medgen.volumes.metadata import Metadata

# What a writer knows better than the file that was read.
WRITTEN_ANEW = {
    "sizeof_hdr", "magic", "eol_check", "dim", "datatype", "bitpix", "vox_offset", "scl_slope",
    "scl_inter", "qform_code", "sform_code", "xyzt_units", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
}  # fmt: skip
SLICE_TIMING = ("slice_code", "slice_start", "slice_end", "slice_duration")
# Extensions that tell nothing of slices or grid: comment, workflow, identifier, gradient table (b
# value, direction, component, order of harmonics), labels and colours of Connectome Workbench.
TRUE_ON_ANY_GRID = {6, 12, 18, 20, 22, 24, 26, 30}
TIME = 0x38  # bits of xyzt_units
MILLIMETRE, MILLISECOND = 2, 16
SECONDS, MILLISECONDS, MICROSECONDS = 8, 16, 24
LONGEST_DESCRIPTION = 79  # characters

Extension = tuple[int, bytes]  # code, content with its padding


def kept_fields(header: nib.Nifti1Header) -> dict[str, Any]:
    """Fields of a header, by name, that a writer does not set itself."""
    return {name: header[name].tolist() for name in header if name not in WRITTEN_ANEW}


def put_back(kept: Mapping[str, Any], header: nib.Nifti1Header) -> None:
    """Set the fields of `kept` that this kind of header has; of pixdim what lies behind space."""
    for name, value in kept.items():
        if name == "pixdim":
            header[name][4:] = value[4:]
        elif name in header and name not in WRITTEN_ANEW:
            header[name] = value


def at_volume(kept: Mapping[str, Any], index: int) -> dict[str, Any]:
    """The same fields for one volume of a series in time, which starts later than the first."""
    if kept["xyzt_units"] & TIME not in (SECONDS, MILLISECONDS, MICROSECONDS):
        return dict(kept)
    return {**kept, "toffset": kept["toffset"] + index * kept["pixdim"][4]}


def extensions_in(block: bytes, order: str) -> tuple[Extension, ...]:
    """Extensions of a header.

    Args:
        block: everything between the four bytes that announce them and the first voxel.
        order: of bytes, `<` or `>`.
    """
    found, place = [], 0
    while place + 8 <= len(block):
        size, code = struct.unpack_from(f"{order}2i", block, place)
        if not 8 <= size <= len(block) - place:
            break
        found.append((code, block[place + 8 : place + size]))
        place += size
    return tuple(found)


def extension_block(extensions: Sequence[Extension]) -> bytes:
    """Bytes that stand between a header's fields and the first voxel."""
    parts = [bytes([bool(extensions), 0, 0, 0])]
    for code, content in extensions:
        padded = content + bytes(-(len(content) + 8) % 16)
        parts.append(struct.pack("=2i", len(padded) + 8, code) + padded)
    return b"".join(parts)


def in_finer_scan(metadata: Metadata, axis: int | None) -> tuple[Metadata, tuple[str, ...]]:
    """Metadata of a scan with more slices along `axis`, and sentences on what that leaves out.

    Args:
        metadata: of the scan as read.
        axis: 0, 1 or 2; None for more voxels along all of them.
    """
    left_out = [*metadata.get("unwritten", ())]
    fields = dict(metadata.get("nifti", {}))
    slices_along = (fields.get("dim_info", 0) >> 4 & 3) - 1  # -1 if the file does not say
    if axis is None or slices_along in (-1, axis):
        timing = {name: fields[name] for name in SLICE_TIMING if fields.get(name)}
        if timing.keys() & {"slice_code", "slice_duration"}:
            told = ", ".join(f"{name} {value:.6g}" for name, value in timing.items())
            left_out.append(f"Slice timing ({told}) does not hold for more slices and is left out.")
        fields |= dict.fromkeys(fields.keys() & set(SLICE_TIMING), 0)
    extensions = fields.get("extensions", ())
    for code, content in extensions:
        if code not in TRUE_ON_ANY_GRID:
            left_out.append(
                f"A header extension ({extension_name(code)}, {len(content)} bytes) may describe "
                "slices as they were and is left out."
            )
    finer = metadata.copy()
    if fields:
        fields["extensions"] = tuple(e for e in extensions if e[0] in TRUE_ON_ANY_GRID)
        finer["nifti"] = fields
    return finer, tuple(left_out)


def of_another_quantity(metadata: Metadata) -> Metadata:
    """Metadata of a map on a scan's grid: of the header only what tells where it lies."""
    fields = metadata.get("nifti", {})
    place = {name: fields[name] for name in ("sform_code", "qform_code") if name in fields}
    return {**metadata, "nifti": place}


def extension_name(code: int) -> str:
    """Whose an extension is, as far as the standard tells."""
    known = nib.nifti1.extension_codes.label
    return f"{known[code]}, code {code}" if code in known and code else f"code {code}"


def fields_of_mgh(header: MGHHeader) -> dict[str, Any]:
    """What an MGH file tells of its acquisition, as fields of a NIfTI header.

    The repetition time goes where NIfTI keeps it, in pixdim; all times and the flip angle, for
    which there is no field, into the description.
    """
    names = {"tr": "TR", "te": "TE", "ti": "TI"}
    values = {name: float(header[name]) for name in (*names, "flip_angle")}
    values = {name: value for name, value in values.items() if value and math.isfinite(value)}
    told = [f"{names[name]} {values[name]:.6g} ms" for name in names if name in values]
    if "flip_angle" in values:
        told.append(f"flip angle {math.degrees(values['flip_angle']):.6g} degrees")
    return {
        "descrip": ", ".join(told).encode()[:LONGEST_DESCRIPTION],
        "pixdim": [0.0] * 4 + [values.get("tr", 0.0)] + [0.0] * 3,
        "xyzt_units": MILLIMETRE | (MILLISECOND if "tr" in values else 0),
    }
