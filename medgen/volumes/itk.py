"""NRRD (.nrrd, .nhdr) and MetaImage (.mha, .mhd) files, through SimpleITK.

SimpleITK 2.5 takes a damaged compressed stream without a complaint, treats an NRRD space it does
not know as LPS, and an NRRD without a space as a grid at the origin. So the text header is checked
first (`medgen.volumes.text_headers`) and the voxels' bytes are counted; SimpleITK then reads what is
known to be sound.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medgen.errors import ReadError, WriteError
from medgen.volumes.geometry import LPS_TO_RAS, Geometry
from medgen.volumes.text_headers import meta_header, nrrd_header
from medgen.volumes.memory import require_memory
from medgen.volumes.reading import choose_volume, last_line
from medgen.volumes.volume import Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

FORMATS = {
    ".nrrd": ("NRRD", "NrrdImageIO"),
    ".nhdr": ("NRRD", "NrrdImageIO"),
    ".mha": ("MetaImage", "MetaImageIO"),
    ".mhd": ("MetaImage", "MetaImageIO"),
}
SUFFIXES = tuple(FORMATS)
WRITABLE = (".nrrd", ".mha")

META_ORIENTATION = {"TransformMatrix", "Rotation", "Orientation"}
ITK_DTYPES = {
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64",
}  # fmt: skip


def read_itk(path: Path, *, volume: int | None = None) -> Volume:
    """Read one volume of an NRRD or MetaImage file.

    Args:
        path: the file with the header.
        volume: which volume of a 4-D file, from 0; needed only where there are several.

    Returns:
        Volume with the stored voxels, slope 1 and intercept 0 (these formats know no scaling).

    Raises:
        ReadError: the file is damaged, is no grey-value image, does not say where its voxels lie,
            or holds several volumes and `volume` names none of them.
        GeometryError: the affine is degenerate.
    """
    import SimpleITK as sitk

    name, io = FORMATS[path.suffix.lower()]
    try:
        header = nrrd_header(path) if name == "NRRD" else meta_header(path)
        reader = sitk.ImageFileReader()
        reader.SetImageIO(io)
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size, channels = reader.GetSize(), reader.GetNumberOfComponents()
        sample = sitk.Image([1] * len(size), reader.GetPixelID(), channels)
        needed = math.prod(size) * sitk.GetArrayViewFromImage(sample).nbytes
        available = header.count_bytes()
        if available < needed:
            raise ReadError(
                f"{path} needs {needed} bytes of voxels but {header.data_file.name} holds "
                f"{available}; fetch the file again."
            )
        require_memory(2 * needed, f"Reading {path}")
        image = reader.Execute()
    except (OSError, ValueError, zlib.error, RuntimeError) as error:
        raise ReadError(
            f"{path} is not a readable {name} file ({last_line(error)}); check that it was "
            "downloaded completely and is what its name says."
        ) from error

    array = sitk.GetArrayFromImage(image)
    if array.dtype.kind == "c":
        raise ReadError(f"{path} holds complex voxels, not grey values; convert it to magnitudes.")
    if channels > 1 and "list" not in header.fields.get("kinds", "").split():
        raise ReadError(
            f"{path} holds {channels} values a voxel (colours or vectors), not grey values; "
            "convert it to one channel."
        )
    if array.ndim == 3 and len(size) == 3:
        array = array[None]
    elif len(size) == 3:
        array = np.moveaxis(array, -1, 0)
    if array.ndim != 4:
        raise ReadError(
            f"{path} has {len(size)} axes; volumes have three, or four where there are several."
        )
    index = choose_volume(path, len(array), volume)  # of (t, z, y, x)
    files = tuple(sorted({path, header.data_file}))
    metadata: dict[str, object] = {"format": name, "files": files}
    if volume is not None:
        metadata["volume_index"] = volume
    if name == "MetaImage" and not header.fields.keys() & META_ORIENTATION:
        metadata["notes"] = ("The header names no orientation; MetaImage's default is used (LPS).",)
    array = np.ascontiguousarray(array[index]).T
    return Volume(array, Geometry(array.shape, affine_of(image)), metadata=metadata)


def affine_of(image: sitk.Image) -> np.ndarray:
    """RAS affine `(4, 4)` of the first three axes of an ITK image, which counts in LPS."""
    n = image.GetDimension()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (n, n))[:3, :3] * image.GetSpacing()[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return LPS_TO_RAS @ affine


def write_itk(volume: Volume, path: Path) -> None:
    """Write `volume` as a compressed NRRD or MetaImage file; the same volume gives the same bytes.

    These formats hold no scaling, so physical values are written: as stored where there is none,
    as exact integers where the slope is 1 and the intercept a whole number, else as float32.

    Raises:
        WriteError: the affine is sheared and the format is MetaImage, whose readers expect a
            rotation.
    """
    import SimpleITK as sitk

    if FORMATS[path.suffix.lower()][0] == "MetaImage" and volume.geometry.is_sheared:
        raise WriteError(
            "MetaImage cannot hold a sheared affine (tilted gantry); write .nii.gz or .nrrd."
        )
    image = sitk.GetImageFromArray(np.ascontiguousarray(exact_physical(volume).T))
    affine = LPS_TO_RAS @ volume.geometry.affine
    image.SetSpacing(volume.spacing)
    image.SetDirection((affine[:3, :3] / volume.spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    try:
        sitk.WriteImage(image, str(path), True)
    except RuntimeError as error:
        raise WriteError(
            f"Cannot write the scan with SimpleITK ({last_line(error)}); is there room on the disk?"
        ) from error


def exact_physical(volume: Volume) -> np.ndarray:
    """Physical values without loss where integers can hold them, else float32."""
    array = volume.array
    if array.dtype == bool:
        return array.astype(np.uint8)
    if not volume.is_scaled and array.dtype.name in ITK_DTYPES:
        return array
    if volume.slope == 1 and volume.intercept.is_integer() and array.dtype.kind in "iu":
        lowest, highest = (int(n) + int(volume.intercept) for n in (array.min(), array.max()))
        for dtype in (array.dtype, *map(np.dtype, ("int16", "uint16", "int32", "uint32", "int64"))):
            if np.iinfo(dtype).min <= lowest and highest <= np.iinfo(dtype).max:
                return (array.astype(np.int64) + int(volume.intercept)).astype(dtype)
    return volume.physical()
