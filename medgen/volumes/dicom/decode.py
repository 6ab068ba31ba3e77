"""Stored values of a file.

Uncompressed and RLE voxels are decoded by pydicom, JPEG, JPEG-LS and JPEG 2000 by GDCM within
SimpleITK, which is given the voxels alone, so that it returns stored values and has no say in their
scale and place.
"""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medgen.errors import ReadError
from medgen.volumes.dicom.frames import pydicom_errors

if TYPE_CHECKING:
    from pydicom import Dataset

# What GDCM needs to know of a file to decode its voxels.
PIXEL_TAGS = (
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip
FREE_BYTES = 1 << 26  # of voxels that a file may tell of, however short it is
LARGEST_RATIO = 1000  # of bytes beyond that to compressed bytes
JPEG_2000 = b"\xff\x4f\xff\x51"  # start of the stream and of its SIZ segment
# Second byte of the markers that start a frame, by ITU T.81 and T.87.
JPEG_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def decode(file: Path) -> np.ndarray:
    """Stored values `(frames, rows, columns)` of a file in native byte order."""
    import pydicom
    from pydicom.pixels import pixel_array
    from pydicom.uid import ImplicitVRLittleEndian, RLELossless

    with pydicom_errors(file, "has voxels that cannot be decoded"):
        dataset = pydicom.dcmread(file, force=True)
        syntax = dataset.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax.is_encapsulated:
            refuse_implausible_size(file, dataset)
        if syntax.is_encapsulated and syntax != RLELossless:
            pixels = decode_with_gdcm(file, dataset)
        else:
            pixels = pixel_array(dataset, raw=True)
        size = (int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns))
        pixels = pixels.reshape(size)
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def refuse_implausible_size(file: Path, dataset: Dataset) -> None:
    """Raise `ReadError` where compressed voxels are not of the size that the header tells.

    Decoders take memory for what is told before they look at what is there.
    """
    frames, rows, columns = int(dataset.get("NumberOfFrames") or 1), dataset.Rows, dataset.Columns
    needed, there = frames * rows * columns * dataset.BitsAllocated // 8, len(dataset.PixelData)
    if needed > FREE_BYTES + LARGEST_RATIO * there:
        raise ReadError(
            f"{file} tells of {needed} bytes of voxels but holds {there} compressed ones; fetch "
            "the file again."
        )


def jpeg_streams(file: Path, dataset: Dataset) -> list[bytes]:
    """The compressed stream of every frame, each of the size that the header tells.

    Raises:
        ReadError: one tells another size.
        ValueError: one is no JPEG stream.
    """
    from pydicom.encaps import generate_frames

    size = (int(dataset.Rows), int(dataset.Columns), 1)
    count = int(dataset.get("NumberOfFrames") or 1)
    streams = list(generate_frames(dataset.PixelData, number_of_frames=count))
    for stream in streams:
        *told, bits = jpeg_size(stream)
        if tuple(told) != size or not 1 < bits <= dataset.BitsAllocated:
            raise ReadError(
                f"{file} holds a compressed image of {tuple(told)} rows, columns and colours and "
                f"{bits} bits where its header tells {size} and {dataset.BitsAllocated}; fetch the "
                "file again."
            )
    return streams


def jpeg_size(stream: bytes) -> tuple[int, int, int, int]:
    """Rows, columns, components and bits that a JPEG, JPEG-LS or JPEG 2000 stream tells.

    Raises:
        ValueError: it is none of these, or ends before it tells.
    """
    if stream.startswith(JPEG_2000):
        right, lower, left, upper = struct.unpack_from(">4I", stream, 8)
        components, bits = struct.unpack_from(">HB", stream, 40)
        return lower - upper, right - left, components, (bits & 0x7F) + 1
    place = 2
    while stream[place : place + 1] == b"\xff":
        marker, length = struct.unpack_from(">xBH", stream, place)
        if marker in JPEG_FRAMES:
            bits, rows, columns, components = struct.unpack_from(">BHHB", stream, place + 4)
            return rows, columns, components, bits
        place += 1 if marker == 0xFF else 2 + length
    raise ValueError("no JPEG stream")


def decode_with_gdcm(file: Path, dataset: Dataset) -> np.ndarray:
    """Decode compressed voxels, handing on nothing else of the file."""
    import pydicom
    import SimpleITK as sitk

    bare = pydicom.Dataset()
    bare.file_meta = pydicom.dataset.FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID = SECONDARY_CAPTURE
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID = pydicom.uid.generate_uid()
    for name in PIXEL_TAGS:
        if name in dataset:
            bare[name] = dataset[name]
    bare.PixelData = pydicom.encaps.encapsulate(jpeg_streams(file, dataset))
    with tempfile.TemporaryDirectory(prefix="medgen-") as folder:
        bare_file = os.path.join(folder, "voxels.dcm")
        bare.save_as(bare_file, enforce_file_format=True)
        try:
            return sitk.GetArrayFromImage(sitk.ReadImage(bare_file, imageIO="GDCMImageIO"))
        except RuntimeError as error:
            raise ReadError(
                f"{file} has voxels that GDCM cannot decode (as "
                f"{dataset.file_meta.TransferSyntaxUID.name}); fetch the file again, or decompress "
                "it with another program first."
            ) from error
