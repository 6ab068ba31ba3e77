"""NRRD (.nrrd) and MetaImage (.mha) files, written through SimpleITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medgen.errors import WriteError
from medgen.volumes.geometry import LPS_TO_RAS
from medgen.volumes.reading import last_line
from medgen.volumes.volume import Volume

WRITABLE = (".nrrd", ".mha")

ITK_DTYPES = {
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64",
}  # fmt: skip


def write_itk(volume: Volume, path: Path) -> None:
    """Write `volume` as a compressed NRRD or MetaImage file; the same volume gives the same bytes.

    These formats hold no scaling, so physical values are written: as stored where there is none,
    as exact integers where the slope is 1 and the intercept a whole number, else in the floating
    point that brings back every stored value (`Volume.physical_dtype`).

    Raises:
        WriteError: the affine is sheared and the format is MetaImage, whose readers expect a
            rotation.
    """
    import SimpleITK as sitk

    if path.suffix.lower() == ".mha" and volume.geometry.is_sheared:
        raise WriteError(
            "MetaImage cannot hold a sheared affine (tilted gantry); write .nii.gz or .nrrd."
        )
    image = sitk.GetImageFromArray(np.ascontiguousarray(exact_physical(volume).T))
    affine = LPS_TO_RAS @ volume.geometry.affine
    try:
        image.SetSpacing(volume.spacing)
        image.SetDirection((affine[:3, :3] / volume.spacing).ravel().tolist())
        image.SetOrigin(affine[:3, 3].tolist())
        sitk.WriteImage(image, str(path), True)
    except RuntimeError as error:
        raise WriteError(
            f"Cannot write the scan with SimpleITK ({last_line(error)}); is there room on the "
            "disk, and are its positions true?"
        ) from error


def exact_physical(volume: Volume) -> np.ndarray:
    """Physical values without loss where integers can hold them, else in floating point."""
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
    return volume.to_physical()
