"""NIfTI-1 and NIfTI-2 files, single or as a pair, and FreeSurfer's MGH format, through nibabel.

The affine is the one nibabel chooses: the sform, else the qform. A header with neither places the
voxels nowhere and is refused, as is plain Analyze 7.5, which cannot tell left from right. Files are
written byte by byte from the stored voxels rather than through nibabel's images, which would
rescale integers that carry a slope.
"""

from __future__ import annotations

import gzip
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import nibabel as nib
import numpy as np
from nibabel.imageglobals import logger as nibabel_logger
from nibabel.spatialimages import HeaderDataError

from medgen.errors import ReadError, WriteError
from medgen.volumes.geometry import Geometry
from medgen.volumes.metadata import Metadata
from medgen.volumes.nifti_fields import (
    MILLIMETRE,
    Extension,
    at_volume,
    extension_block,
    extensions_in,
    fields_of_mgh,
    kept_fields,
    put_back,
)
from medgen.volumes.reading import choose_volume, first_line
from medgen.volumes.text_headers import data_beside
from medgen.volumes.volume import Volume
from medgen.volumes.voxels import Stored, read_voxels

SPATIAL_UNITS_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # unknown, metre, mm, micrometre
STORED_AS: dict[np.dtype, np.dtype] = {
    np.dtype(bool): np.dtype(np.uint8),
    np.dtype(np.float16): np.dtype(np.float32),
}
LARGEST_NIFTI1_SIDE = 32767
FOOTER = 20  # bytes of TR, flip angle, TE, TI and FoV behind the voxels of an MGH file

# Two affines of one grid disagree beyond these. A quaternion in float32 turns by up to 0.08 degrees
# near half a turn (measured over random rotations), so less is rounding, although it moves the far
# corner of 512 voxels by 0.9 of one. Spacing and offset are rounded to 1e-7 of their value; 0.1 %
# of the spacing moves that corner by half a voxel.
AGREEMENT_DEG = 0.1
AGREEMENT_SPACING = 1e-3
AGREEMENT_VOXELS = 0.1  # of the first voxel's centre, in voxels

# A `nibabel.spatialimages.SpatialImage`, whose annotations tell nothing of what lies in its header.
Image = Any


def read_nifti(path: Path, *, volume: int | None = None) -> Volume:
    """Read one volume of a NIfTI, Analyze (with an SPM `.mat` beside it) or MGH file.

    Args:
        path: header, image or single file, gzipped or not.
        volume: which volume of a 4-D file, from 0; needed only where there are several.

    Returns:
        Volume with the stored voxels in native byte order, modality `unknown`.

    Raises:
        ReadError: the file is damaged, is no grey-value image, has no affine, or holds several
            volumes and `volume` names none of them.
        GeometryError: the affine is degenerate.
    """
    require_beside(path)
    try:
        with without_log():
            image: Image = nib.load(path)
            raw, extensions = raw_header(image)
    except Exception as error:  # nibabel's own kinds, and whatever a damaged header leads to
        raise ReadError(
            f"{path} is not a readable NIfTI, Analyze or MGH file ({first_line(error)}); check "
            "that it was downloaded completely and is what its name says."
        ) from error
    dtype = image.get_data_dtype()
    if dtype.kind not in "biuf":
        kind = "complex" if dtype.kind == "c" else "colour"
        raise ReadError(f"{path} holds {kind} voxels, not grey values; convert it to one channel.")
    sides = tuple(int(n) for n in image.shape)
    shape = in_space(sides)
    affine, metadata = affine_and_metadata(path, image, raw, sides)
    geometry = Geometry(shape, affine)
    count = count_volumes(path, sides)
    index = choose_volume(path, count, volume)
    if volume is not None:
        metadata["volume_index"] = volume
    if metadata["format"].startswith("NIfTI"):
        metadata["nifti"] = at_volume(metadata["nifti"], index) | {"extensions": extensions}
    names = {Path(holder.filename) for holder in image.file_map.values()}
    metadata["files"] = tuple(sorted(name for name in names if name.exists()))
    file = Path(image.file_map["image"].filename)
    encoding = "deflate" if file.suffix.lower() in (".gz", ".mgz") else "raw"
    skip = int(image.dataobj.offset)
    array, beyond = read_voxels(
        path, Stored(file, dtype, math.prod(shape) * count, encoding, skip=skip)
    )
    if metadata["format"] == "MGH" and beyond > FOOTER:
        metadata["unwritten"] = (
            f"FreeSurfer's tags behind the voxels ({beyond - FOOTER} bytes) are left out.",
        )
    array = array.reshape((*shape, count), order="F")[..., index]
    return Volume(
        np.array(array, dtype=dtype.newbyteorder("="), order="F"),
        geometry,
        slope=float(image.dataobj.slope),
        intercept=float(image.dataobj.inter),
        metadata=metadata,
    )


def in_space(sides: tuple[int, ...]) -> tuple[int, int, int]:
    """Sides along the first three axes; `Geometry` refuses an image of fewer than two."""
    return cast("tuple[int, int, int]", (*sides, 1)[:3])


def count_volumes(path: Path, shape: tuple[int, ...]) -> int:
    """Number of volumes behind the third axis."""
    counts = [n for n in shape[3:] if n != 1] or [1]
    if len(counts) > 1 or counts[0] < 1:
        raise ReadError(
            f"{path} has {len(shape)} axes of {' x '.join(map(str, shape))}; split it into files "
            "of one volume each first."
        )
    return counts[0]


def require_beside(path: Path) -> None:
    """Raise `ReadError` if the image of a pair lies outside the header's folder, or is no file."""
    if path.name.lower().endswith((".hdr", ".hdr.gz", ".img", ".img.gz")):
        files = nib.Spm2AnalyzeImage.filespec_to_file_map(path)
        image, mat = (Path(str(files[kind].filename)) for kind in ("image", "mat"))
        if os.path.lexists(image):
            data_beside(path, image.name)
        if mat.exists() and not mat.is_file():
            raise ReadError(f"{mat} is not one file beside {path}; remove it or put it there.")


@contextmanager
def without_log() -> Iterator[None]:
    """Keep nibabel from printing what it mends in a header; what matters of it is refused here."""
    nibabel_logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        nibabel_logger.disabled = False


def raw_header(image: Image) -> tuple[np.ndarray, tuple[Extension, ...]]:
    """Header as it stands in the file, before nibabel fills in what is missing or zero."""
    holder, voxels = image.file_map.get("header", image.file_map["image"]), image.dataobj
    with holder.get_prepare_fileobj("rb") as file:
        if isinstance(image, nib.MGHImage):
            dtype = image.header.template_dtype
            block = file.read(image.header.get_data_offset())
            return np.frombuffer(block.ljust(dtype.itemsize, b"\0"), dtype, count=1)[0], ()
        header = type(image.header).from_fileobj(file, check=False)
        if not isinstance(image, nib.Nifti1Pair):
            return header.structarr, ()
        file.seek(len(header.binaryblock))
        flag = file.read(4)
        if not any(flag[:1]):
            return header.structarr, ()
        room = max(int(voxels.offset) - file.tell(), 0) if header.is_single else -1
        return header.structarr, extensions_in(file.read(room), header.endianness)


def affine_and_metadata(
    path: Path,
    image: Image,
    raw: np.ndarray,
    sides: tuple[int, ...],
) -> tuple[np.ndarray, Metadata]:
    """Affine `(4, 4)` in RAS mm, and what else of the header is worth keeping."""
    if isinstance(image, nib.Nifti1Pair):
        return nifti_affine_and_metadata(path, image, raw, sides)
    if isinstance(image, nib.MGHImage):
        if not raw["goodRASFlag"]:
            raise ReadError(
                f"{path} has no orientation (its goodRASFlag is 0); set one, for instance with "
                "FreeSurfer's mri_convert."
            )
        return image.affine, {"format": "MGH", "nifti": fields_of_mgh(image.header)}
    mat = image.file_map.get("mat")
    if mat is None or not Path(mat.filename).exists():
        raise ReadError(
            f"{path} is an Analyze file, which cannot tell left from right, and no SPM .mat file "
            "lies beside it; convert it to NIfTI with a known orientation."
        )
    return image.affine, {"format": "Analyze"}


def nifti_affine_and_metadata(
    path: Path, image: Image, raw: np.ndarray, sides: tuple[int, ...]
) -> tuple[np.ndarray, Metadata]:
    """Affine `(4, 4)` in RAS mm by sform, else qform, and the header fields worth keeping."""
    header = image.header
    sform, qform = (max(int(header[name]), 0) for name in ("sform_code", "qform_code"))
    if not sform and not qform:
        raise ReadError(
            f"{path} has no affine (sform_code and qform_code are 0), so its voxels have no "
            "place in the patient; set one from the original scan before using this file."
        )
    if not sform and not all(raw["pixdim"][1:4]):
        sizes = ", ".join(f"{size:g}" for size in raw["pixdim"][1:4])
        raise ReadError(
            f"{path} has voxels of zero size (pixdim {sizes} mm); set the true voxel size in the "
            "header before using this file."
        )
    if header.is_single and image.dataobj.offset < header.single_vox_offset:
        raise ReadError(
            f"{path} has its first voxel within its header (vox_offset {image.dataobj.offset}); "
            f"set vox_offset to {header.single_vox_offset} if the voxels follow the header."
        )
    units = int(raw["xyzt_units"])
    scale = SPATIAL_UNITS_MM.get(units & 7)
    if scale is None:
        raise ReadError(
            f"{path} gives positions in an unknown unit (xyzt_units {units}); set it to mm (2)."
        )
    to_mm = np.diag([scale, scale, scale, 1.0])
    notes = []
    if scale != 1:
        notes.append("The header's unit of length was not mm; positions were converted to mm.")
        units = (units & ~7) | MILLIMETRE
    affine = to_mm @ image.affine
    if sform:
        geometry = Geometry(in_space(sides), affine)
        if qform:
            disagreement = qform_disagreement(geometry, header, to_mm)
        else:
            disagreement = pixdim_disagreement(geometry, raw["pixdim"][1 : 1 + len(sides)] * scale)
        if disagreement:
            notes.append(f"{disagreement}; the sform is used.")
            qform = sform
    kept = kept_fields(header)
    kept |= {"sform_code": sform or qform, "qform_code": qform or sform, "xyzt_units": units}
    version = 2 if isinstance(header, nib.Nifti2Header) else 1
    metadata: Metadata = {"format": f"NIfTI-{version}", "nifti": kept}
    if notes:
        metadata["notes"] = tuple(notes)
    return affine, metadata


def qform_disagreement(
    geometry: Geometry, header: nib.Nifti1Header, to_mm: np.ndarray
) -> str | None:
    """What is wrong with a qform beside the sform that `geometry` follows, None if nothing."""
    try:
        difference = place_difference(geometry, to_mm @ header.get_qform())
    except ValueError:
        return "The qform is no rotation"
    return difference and f"sform and qform disagree by up to {difference}"


def pixdim_disagreement(geometry: Geometry, pixdim: np.ndarray) -> str | None:
    """How voxel sizes in mm differ from those of the sform that `geometry` follows."""
    spacing = np.array(geometry.spacing)[: len(pixdim)]
    sizes = np.abs(pixdim[: len(spacing)].astype(np.float64))
    if np.allclose(sizes, spacing, rtol=AGREEMENT_SPACING, atol=0):
        return None
    return f"pixdim and sform disagree about the voxel size ({in_mm(sizes)} and {in_mm(spacing)})"


def place_difference(geometry: Geometry, affine: np.ndarray) -> str | None:
    """How far `affine` puts the grid elsewhere than `geometry`; None if rounding explains it."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    own = np.array(geometry.spacing)
    cosines = (affine[:3, :3] * geometry.affine[:3, :3]).sum(axis=0) / (spacing * own)
    angle = float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())
    moved = np.linalg.norm(affine[:3, 3] - geometry.affine[:3, 3])
    turned = not angle <= AGREEMENT_DEG
    scaled = not np.allclose(spacing, own, rtol=AGREEMENT_SPACING, atol=0)
    if not turned and not scaled and moved <= AGREEMENT_VOXELS * own.min():
        return None
    parts = [f"{geometry.distance_mm(affine):.3g} mm"]
    if turned:
        parts.append(f"{angle:.3g} degrees")
    if scaled:
        parts.append(f"voxel sizes of {in_mm(own)} against {in_mm(spacing)}")
    return ", ".join(parts)


def in_mm(sizes: Iterable[float]) -> str:
    """Voxel sizes such as `1 x 1 x 3 mm`."""
    return " x ".join(f"{size:.4g}" for size in sizes) + " mm"


def write_nifti(volume: Volume, path: Path) -> None:
    """Write `volume` as NIfTI-1, or NIfTI-2 where it was read from that or has too long a side.

    Stored voxels and scaling are kept as they are (booleans become uint8 and half floats float32,
    which hold the same values). sform and qform are both set and agree; a sheared affine, which no
    qform can hold, goes into the sform alone. Other fields and extensions go out as they came, see
    `metadata["nifti"]`. The same volume gives the same bytes.

    Raises:
        WriteError: NIfTI cannot store the dtype, or numbers as large or small as the affine's.
    """
    kept = volume.metadata.get("nifti", {})
    short = max(volume.shape) <= LARGEST_NIFTI1_SIDE and volume.metadata.get("format") != "NIfTI-2"
    header = nib.Nifti1Header() if short else nib.Nifti2Header()
    dtype = STORED_AS.get(volume.array.dtype, volume.array.dtype)
    try:
        header.set_data_dtype(dtype)
    except HeaderDataError as error:
        raise WriteError(f"NIfTI cannot store {dtype} voxels; convert them first.") from error
    header.set_data_shape(volume.shape)
    with np.errstate(
        all="ignore"
    ):  # numbers too large for a field are infinite in it, and looked at
        put_back(kept, header)
        header["xyzt_units"] = kept.get("xyzt_units", MILLIMETRE)
        header.set_slope_inter(volume.slope, volume.intercept)
        set_place(header, volume.geometry, kept)
    header["magic"] = header.single_magic
    extensions = extension_block(kept.get("extensions", ()))
    header["vox_offset"] = len(header.binaryblock) + len(extensions)
    compressed = path.name.lower().endswith(".gz")
    with open(path, "wb") as file:
        if not compressed:
            write_bytes(file, header, extensions, volume.array, dtype)
            return
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
            write_bytes(packed, header, extensions, volume.array, dtype)


def set_place(header: nib.Nifti1Header, geometry: Geometry, kept: Mapping[str, Any]) -> None:
    """Set sform and qform to the affine, with the codes of `kept`; a shear leaves the qform out.

    Raises:
        WriteError: the header's numbers cannot hold it.
    """
    code = kept.get("sform_code", 1)
    header.set_sform(geometry.affine, code)
    written = header.get_sform()
    spacing = np.linalg.norm(written[:3, :3], axis=0)
    if not (
        np.isfinite(written).all() and np.allclose(spacing, geometry.spacing, rtol=1e-3, atol=0)
    ):
        raise WriteError(
            f"NIfTI cannot hold voxels of {in_mm(geometry.spacing)} where they are; write .nrrd, "
            "or check whether positions and sizes are true."
        )
    header.set_zooms(geometry.spacing)
    header.set_qform(geometry.affine, kept.get("qform_code", code), strip_shears=True)
    quaternion = np.array([header[f"quatern_{name}"] for name in "bcd"], np.float64)
    for name, part in zip(
        "bcd", quaternion / max(1.0, float(np.linalg.norm(quaternion))), strict=True
    ):
        header[f"quatern_{name}"] = part  # a length that rounding made more than 1 is no rotation
    if place_difference(geometry, header.get_qform()):
        header["qform_code"] = 0


def write_bytes(
    file: IO[bytes] | gzip.GzipFile,
    header: nib.Nifti1Header,
    extensions: bytes,
    array: np.ndarray,
    dtype: np.dtype,
) -> None:
    """Header, extensions, then the voxels slice by slice."""
    file.write(header.binaryblock)
    file.write(extensions)
    for k in range(array.shape[2]):
        file.write(array[:, :, k].astype(dtype, copy=False).tobytes(order="F"))
