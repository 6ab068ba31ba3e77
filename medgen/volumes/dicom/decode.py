"""Stored values of a file, whatever their encoding and wherever in their cells they lie.

Uncompressed and RLE voxels are decoded by pydicom, JPEG, JPEG-LS and JPEG 2000 by GDCM within
SimpleITK. Either is given the voxels alone, as unsigned cells all of whose bits count, so that it
has no say in their scale and place, nor in which bits hold the value and which an old overlay.
"""

from __future__ import annotations

import os
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medgen.errors import ReadError, quoted
from medgen.volumes.dicom.codec import CodecError, Codecs
from medgen.volumes.dicom.frames import pydicom_errors

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

FREE_BYTES = 1 << 26  # of voxels that a file may tell of, however short it is
LARGEST_RATIO = 1000  # of bytes beyond that to compressed bytes
JPEG_2000 = b"\xff\x4f\xff\x51"  # start of the stream and of its SIZ segment
# Second byte of the markers that start a frame, by ITU T.81 and T.87.
JPEG_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


def decode(file: Path, codecs: Codecs) -> np.ndarray:
    """Stored values `(frames, rows, columns)` of a file in native byte order.

    Raises:
        ReadError: they are damaged, or not of the size and kind that the header tells.
    """
    import pydicom
    from pydicom.pixels import pixel_array
    from pydicom.uid import RLELossless

    with pydicom_errors(file, "has voxels that cannot be decoded"):
        dataset = pydicom.dcmread(file, force=True)
        dataset.file_meta.TransferSyntaxUID = syntax = transfer_syntax(dataset)
        size = (int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns))
        if "PixelData" not in dataset:  # but FloatPixelData or DoubleFloatPixelData
            pixels = pixel_array(dataset, raw=True).reshape(size)
            return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        cell = Cell.of(file, dataset)
        if syntax.is_encapsulated:
            refuse_implausible_size(file, dataset)
        if syntax.is_encapsulated and syntax != RLELossless:
            frames = [
                cell.values(decoded_stream(file, dataset, stream, bits, codecs), precision=bits)
                for stream, bits in jpeg_streams(file, dataset)
            ]
            return np.stack(frames).reshape(size)
        bare = bare_dataset(dataset, cell.allocated)
        bare["PixelData"] = dataset["PixelData"]
        return cell.values(pixel_array(bare, raw=True).reshape(size))


def transfer_syntax(dataset: Dataset) -> UID:
    """The one that the file names, or what pydicom took it for where it names none."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit, little_endian = dataset.original_encoding
    if not little_endian:
        guessed = ExplicitVRBigEndian
    else:
        guessed = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    return dataset.file_meta.get("TransferSyntaxUID", guessed)


@dataclass(frozen=True)
class Cell:
    """Where in the bits of a pixel its value lies (PS3.5 8.1.1), and whether that has a sign.

    The other bits are of no meaning, or hold an overlay.
    """

    allocated: int
    stored: int
    high_bit: int
    signed: bool

    @classmethod
    def of(cls, file: Path, header: Dataset) -> Cell:
        """By the header of a file.

        Raises:
            ReadError: its numbers contradict each other.
        """
        allocated = int(header.BitsAllocated)
        stored = int(header.get("BitsStored") or allocated)
        given = header.get("HighBit")
        high_bit = stored - 1 if given is None else int(given)
        if allocated not in (8, 16, 32, 64) or not 0 < stored <= high_bit + 1 <= allocated:
            raise ReadError(
                f"{file} tells of {stored} bits up to bit {high_bit} in {allocated}, which cannot "
                "be (BitsStored, HighBit, BitsAllocated); mend its header first."
            )
        return cls(allocated, stored, high_bit, header.PixelRepresentation == 1)

    def values(self, cells: np.ndarray, precision: int | None = None) -> np.ndarray:
        """The values in `cells`.

        Args:
            cells: unsigned, or of the sign of the stream they come from.
            precision: bits that a compressed stream tells of. One of no more than are stored holds
                the values, not the cells.
        """
        cells = cells.astype(f"u{self.allocated // 8}", copy=False)
        in_place = precision is not None and precision <= self.stored
        above = self.allocated - (self.stored if in_place else self.high_bit + 1)
        kind = "i" if self.signed else "u"
        values = (cells << above).view(f"{kind}{self.allocated // 8}")
        # Shifting a signed number to the right repeats its sign.
        return values >> (self.allocated - self.stored)


def bare_dataset(dataset: Dataset, bits: int) -> Dataset:
    """A file of nothing but unsigned pixels of `bits`, which are still to be put in."""
    import pydicom
    from pydicom.uid import SecondaryCaptureImageStorage

    bare = pydicom.Dataset()
    bare.file_meta = pydicom.dataset.FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID = SecondaryCaptureImageStorage
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID = pydicom.uid.generate_uid()
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    bare.NumberOfFrames = int(dataset.get("NumberOfFrames") or 1)
    bare.Rows, bare.Columns = dataset.Rows, dataset.Columns
    bare.BitsAllocated = bare.BitsStored = bits
    bare.HighBit, bare.PixelRepresentation = bits - 1, 0
    return bare


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


def jpeg_streams(file: Path, dataset: Dataset) -> list[tuple[bytes, int]]:
    """The compressed stream of every frame, and its bits, each of the size that the header tells.

    Raises:
        ReadError: one tells another size.
        ValueError: one is no JPEG stream.
    """
    from pydicom.encaps import generate_frames

    size = (int(dataset.Rows), int(dataset.Columns), 1)
    count = int(dataset.get("NumberOfFrames") or 1)
    streams = []
    for stream in generate_frames(dataset.PixelData, number_of_frames=count):
        *told, bits = jpeg_size(stream)
        if tuple(told) != size or not 1 < bits <= dataset.BitsAllocated:
            raise ReadError(
                f"{file} holds a compressed image of {tuple(told)} rows, columns and colours and "
                f"{bits} bits where its header tells {size} and {dataset.BitsAllocated}; fetch the "
                "file again."
            )
        streams.append((stream, bits))
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


def decoded_stream(
    file: Path, dataset: Dataset, stream: bytes, bits: int, codecs: Codecs
) -> np.ndarray:
    """Cells `(rows, columns)` of one frame by GDCM, which sees nothing else of the file."""
    import pydicom

    bare = bare_dataset(dataset, next(cell for cell in (8, 16, 32) if bits <= cell))
    bare.NumberOfFrames = 1
    bare.PixelData = pydicom.encaps.encapsulate([stream])
    with tempfile.TemporaryDirectory(prefix="medgen-") as folder:
        bare_file = os.path.join(folder, "voxels.dcm")
        bare.save_as(bare_file, enforce_file_format=True)
        try:
            return codecs.decode(bare_file)[0]
        except CodecError as error:
            raise ReadError(
                f"{file} has voxels that GDCM cannot decode (as "
                f"{quoted(dataset.file_meta.TransferSyntaxUID.name)}); fetch the file again, or "
                "decompress it with another program first."
            ) from error


def fitting_dtype(values: np.ndarray, itemsize: int) -> np.dtype:
    """The narrowest integer type of `itemsize` bytes or more that holds all `values`, integers."""
    low, high = int(values.min()), int(values.max())
    for kind in (f"{sign}{size}" for size in (1, 2, 4, 8) if size >= itemsize for sign in "ui"):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.dtype(kind)
    return values.dtype
