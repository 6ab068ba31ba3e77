"""DICOM: a folder that holds a series of slices, or a multi-frame file.

pydicom reads the headers and `medgen.volumes.stacking` puts the slices in order. Uncompressed and
RLE voxels are decoded by pydicom, JPEG, JPEG-LS and JPEG 2000 by GDCM within SimpleITK, which is
given the voxels alone, so that it returns stored values and has no say in their scale and place.
"""

from __future__ import annotations

import os
import struct
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medgen.errors import MedgenError, ReadError
from medgen.volumes.geometry import Geometry
from medgen.volumes.memory import require_memory
from medgen.volumes.reading import choose_volume, last_line
from medgen.volumes.stacking import Frame, arrange
from medgen.volumes.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES = (".dcm", ".ima", ".dicom")

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


def read_dicom(
    path: Path, *, volume: int | None = None, series: str | None = None, gaps: bool = False
) -> Volume:
    """Read one series of a folder, or one file.

    Args:
        path: folder whose files hold the series, or a single file.
        volume: for symmetry with other formats: a series is one volume, number 0.
        series: SeriesInstanceUID, where there are several.
        gaps: take a series with missing slices, see `medgen.volumes.read_volume`.

    Returns:
        Volume with axes along the rows, along the columns and from slice to slice. Stored values
        are kept where all slices share one rescale slope and intercept; else the array holds
        physical values as float32.

    Raises:
        ReadError: no DICOM image, several series, a damaged file, colour, or voxels whose meaning
            or place the headers do not tell.
        GeometryError: the slices do not make a regular volume (missing, repeated, tilted, mixed).
    """
    choose_volume(path, 1, volume)
    found = find_series(path, series, gaps=gaps)
    frames, first = found.frames, next(iter(found.headers.values()))
    with pydicom_errors(path, "has a malformed DICOM header"):
        tag, padding = str(first.get("Modality") or ""), padding_of(first)
        bits = int(first.BitsAllocated)
    voxels = sum(frame.size[0] * frame.size[1] for frame in frames)
    require_memory(2 * voxels * bits // 8, f"Reading {path}")
    array, slope, intercept = stored_values(frames)

    metadata: dict[str, object] = {
        "format": "DICOM", "modality_tag": tag, "files": tuple(found.headers),
    }  # fmt: skip
    notes = []
    thicknesses = {frame.thickness for frame in frames}
    if len(thicknesses) == 1 and None not in thicknesses:
        metadata["slice_thickness_mm"] = frames[0].thickness
    if len(frames) > 2:
        metadata["position_deviation_mm"] = found.deviation_mm
    if len({(frame.slope, frame.intercept) for frame in frames}) > 1:
        notes.append("Rescale differs between slices; values are physical ones in float32.")
    elif padding is not None:
        metadata["padding_value"] = padding * slope + intercept
    if gaps:
        slices = np.arange(found.places[-1] + 1)
        metadata["missing_slices"] = tuple(np.setdiff1d(slices, found.places).tolist())
        array = array[:, :, np.abs(found.places[:, None] - slices).argmin(axis=0)]
    if len(frames) == 1 and path.is_file():
        notes.append("The file is one slice; give its folder to read the whole series.")
    if notes:
        metadata["notes"] = tuple(notes)
    return Volume(
        array,
        Geometry(array.shape, found.affine),
        slope=slope,
        intercept=intercept,
        modality={"CT": "ct", "MR": "mr"}.get(tag, "unknown"),
        metadata=metadata,
    )


@dataclass(frozen=True, eq=False)
class Series:
    """One series of slices as its headers describe it.

    Args:
        headers: of its files, without the voxels, in the order of their names.
        frames: the slices in order along their normal.
        places: int, theirs on the regular grid, 0, 1, 2, ... where none is missing.
        affine: RAS, `(4, 4)`.
        deviation_mm: how far a slice lies off the regular grid at most.
    """

    headers: Mapping[Path, Dataset]
    frames: list[Frame]
    places: np.ndarray
    affine: np.ndarray
    deviation_mm: float


def find_series(path: Path, series: str | None = None, *, gaps: bool = False) -> Series:
    """Headers, order and place of one series; for arguments and errors see `read_dicom`."""
    with pydicom_errors(path, "has a malformed DICOM header"):
        headers = choose_series(path, read_headers(path), series)
        for file, header in headers.items():
            refuse_other_than_grey(file, header)
        frames = [frame for file, header in headers.items() for frame in frames_of(file, header)]
    return Series(headers, *arrange(path, frames, gaps=gaps))


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its suffix or its magic bytes; a DICOMDIR is an index, not one."""
    if path.name.upper() == "DICOMDIR":
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


# === Headers ===


@contextmanager
def pydicom_errors(file: Path, doing: str) -> Iterator[None]:
    """Silence pydicom's warnings, and make a `ReadError` of whatever else it raises.

    On a malformed file that can be any exception, from KeyError to struct.error, and also comes
    late, when a value is first looked at.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MedgenError:
        raise
    except Exception as error:
        raise ReadError(
            f"{file} {doing} ({last_line(error)}); fetch the file again or convert it first."
        ) from error


def read_headers(path: Path) -> dict[Path, Dataset]:
    """Header of every image among the files of a folder, or of the one file."""
    import pydicom

    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.is_file() and f.name[0] != ".")
        files = [file for file in files if is_dicom(file)]
    else:
        files = [path]
    headers = {}
    for file in files:
        with pydicom_errors(file, "is not a readable DICOM file"):
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            if "Rows" in header:
                headers[file] = header
            elif "SOPClassUID" not in header:
                raise ReadError(
                    f"{file} is not a DICOM file or is damaged; fetch it again or remove it."
                )
    if not headers:
        raise ReadError(
            f"{path} holds no DICOM image; give the folder whose files are the slices of one scan."
        )
    return headers


def choose_series(
    path: Path, headers: Mapping[Path, Dataset], series: str | None
) -> dict[Path, Dataset]:
    """Files of the series asked for, or of the only one."""
    groups: dict[str, dict[Path, Dataset]] = {}
    for file, header in headers.items():
        groups.setdefault(str(header.get("SeriesInstanceUID") or ""), {})[file] = header
    if series is None and len(groups) == 1:
        return next(iter(groups.values()))
    if series in groups:
        return groups[series]
    listing = "; ".join(describe_series(uid, group) for uid, group in sorted(groups.items()))
    problem = f"no series {series}" if series is not None else f"{len(groups)} series"
    raise ReadError(f"{path} holds {problem}; choose one with --series UID: {listing}.")


def describe_series(uid: str, headers: Mapping[Path, Dataset]) -> str:
    """UID, modality, description and number of images, without a word on the patient."""
    first = next(iter(headers.values()))
    words = [str(first.get(tag) or "") for tag in ("Modality", "SeriesDescription")]
    count = sum(int(header.get("NumberOfFrames") or 1) for header in headers.values())
    words.append(f"{count} image" + "s" * (count != 1))
    return f"{uid or chr(39) * 2} ({', '.join(word for word in words if word)})"


def refuse_other_than_grey(file: Path, header: Dataset) -> None:
    """Raise `ReadError` for images whose numbers are not one grey value for each voxel."""
    photometric = str(header.get("PhotometricInterpretation") or "missing")
    image_type = [str(word) for word in header.get("ImageType") or ()]
    if header.get("Modality") == "SEG":
        raise ReadError(f"{file} is a segmentation, not a scan; give the scan it was drawn on.")
    if int(header.get("SamplesPerPixel") or 1) != 1 or photometric not in (
        "MONOCHROME1",
        "MONOCHROME2",
    ):
        raise ReadError(
            f"{file} is a colour image ({photometric}), not grey values; give the original scan."
        )
    if photometric == "MONOCHROME1":
        raise ReadError(
            f"{file} has an inverted grey scale (MONOCHROME1); convert it to MONOCHROME2 first."
        )
    if header.get("PixelPresentation", "MONOCHROME") in ("COLOR", "MIXED"):
        raise ReadError(
            f"{file} is a colour-coded map ({' '.join(image_type)}); give the original scan."
        )
    if "MOSAIC" in image_type:
        raise ReadError(
            f"{file} holds its slices as a mosaic; convert it to NIfTI first, with dcm2niix."
        )
    if "ModalityLUTSequence" in header:
        raise ReadError(
            f"{file} maps its values by a table (ModalityLUTSequence), which medgen cannot undo; "
            "apply the table first."
        )


def frames_of(file: Path, header: Dataset) -> list[Frame]:
    """Every slice in a file, from its functional groups if it has them."""
    count = int(header.get("NumberOfFrames") or 1)
    described = len(header.get("PerFrameFunctionalGroupsSequence") or ())
    if count < 1 or count > max(described, 1):
        raise ReadError(
            f"{file} has no ImagePositionPatient for each of its {count} frames, so its voxels "
            "have no place in the patient; give the series as the scanner sent it."
        )
    frames = []
    for index in range(count):
        plane = functional_group(header, index, "PlanePositionSequence")
        turn = functional_group(header, index, "PlaneOrientationSequence")
        measures = functional_group(header, index, "PixelMeasuresSequence")
        rescale = functional_group(header, index, "PixelValueTransformationSequence")
        position = numbers(plane, "ImagePositionPatient")
        orientation = numbers(turn, "ImageOrientationPatient")
        pixel_spacing = numbers(measures, "PixelSpacing")
        for name, values, count in (
            ("ImagePositionPatient", position, 3),
            ("ImageOrientationPatient", orientation, 6),
            ("PixelSpacing", pixel_spacing, 2),
        ):
            if len(values) != count:
                raise ReadError(
                    f"{file} has no {name}, so its voxels have no place in the patient; give "
                    "the series as the scanner sent it."
                )
        frames.append(
            Frame(
                file=file,
                index=index,
                position=np.array(position),
                orientation=np.reshape(orientation, (2, 3)),
                size=(int(header.Rows), int(header.Columns)),
                pixel_spacing=tuple(pixel_spacing),
                thickness=next(iter(numbers(measures, "SliceThickness")), None),
                slope=next(iter(numbers(rescale, "RescaleSlope")), 1.0),
                intercept=next(iter(numbers(rescale, "RescaleIntercept")), 0.0),
            )
        )
        if not frames[-1].slope:
            raise ReadError(f"{file} has a RescaleSlope of 0; give the original scan.")
    return frames


def functional_group(header: Dataset, index: int, name: str) -> Dataset:
    """Attributes of one frame: its own, those all frames share, or those of the plain header."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or ()
    for groups in (
        *per_frame[index : index + 1],
        *header.get("SharedFunctionalGroupsSequence", ()),
    ):
        if groups.get(name):
            return groups[name][0]
    return header


def numbers(header: Dataset, name: str) -> list[float]:
    """Values of an attribute as finite floats, none where it is absent or empty."""
    value = header.get(name)
    if value is None or value == "":
        return []
    values = [float(v) for v in np.atleast_1d(value)]
    if not np.isfinite(values).all():
        raise ValueError(f"{name} is not finite")
    return values


def padding_of(header: Dataset) -> int | None:
    """PixelPaddingValue as a stored value; some writers give a negative one its unsigned bits."""
    padding = next(iter(numbers(header, "PixelPaddingValue")), None)
    if padding is None:
        return None
    bits = int(header.BitsAllocated)
    if header.get("PixelRepresentation") == 1 and padding >= 1 << (bits - 1):
        padding -= 1 << bits
    return int(padding)


# === Voxels ===


def stored_values(frames: list[Frame]) -> tuple[np.ndarray, float, float]:
    """Voxels `(columns, rows, slices)` with slope and intercept, physical where these vary."""
    decoded: dict[Path, np.ndarray] = {}
    slices = []
    scales = {(frame.slope, frame.intercept) for frame in frames}
    for frame in frames:
        if frame.file not in decoded:
            decoded[frame.file] = decode(frame.file)
        pixels = decoded[frame.file][frame.index]
        if len(scales) > 1:
            pixels = (pixels * frame.slope + frame.intercept).astype(np.float32)
        slices.append(pixels)
    array = np.stack(slices).T
    slope, intercept = (1.0, 0.0) if len(scales) > 1 else scales.pop()
    return array, slope, intercept


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
