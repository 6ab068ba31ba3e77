"""DICOM: a folder that holds a series of slices, or a multi-frame file.

pydicom reads the headers and `medgen.volumes.stacking` puts the slices in order. Uncompressed and
RLE voxels are decoded by pydicom, JPEG, JPEG-LS and JPEG 2000 by GDCM within SimpleITK, which is
given the voxels alone, so that it returns stored values and has no say in their scale and place.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medgen.errors import MedgenError, ReadError
from medgen.volumes.geometry import Geometry
from medgen.volumes.reading import choose_volume, last_line
from medgen.volumes.stacking import Frame, arrange
from medgen.volumes.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES = (".dcm", ".ima", ".dicom")

# What GDCM needs to know of a file to decode its voxels.
PIXEL_TAGS = (
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData",
)  # fmt: skip
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def read_dicom(path: Path, *, volume: int | None = None, series: str | None = None) -> Volume:
    """Read one series of a folder, or one file.

    Args:
        path: folder whose files hold the series, or a single file.
        volume: for symmetry with other formats: a series is one volume, number 0.
        series: SeriesInstanceUID, where there are several.

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
    with pydicom_errors(path, "has a malformed DICOM header"):
        headers = choose_series(path, read_headers(path), series)
        for file, header in headers.items():
            refuse_other_than_grey(file, header)
        frames = [frame for file, header in headers.items() for frame in frames_of(file, header)]
        first = next(iter(headers.values()))
        tag, padding = str(first.get("Modality") or ""), padding_of(first)
    frames, affine, deviation_mm = arrange(path, frames)
    array, slope, intercept = stored_values(frames)

    metadata: dict[str, object] = {"format": "DICOM", "modality_tag": tag}
    notes = []
    thicknesses = {frame.thickness for frame in frames}
    if len(thicknesses) == 1 and None not in thicknesses:
        metadata["slice_thickness_mm"] = frames[0].thickness
    if len(frames) > 2:
        metadata["position_deviation_mm"] = deviation_mm
    if len({(frame.slope, frame.intercept) for frame in frames}) > 1:
        notes.append("Rescale differs between slices; values are physical ones in float32.")
    elif padding is not None:
        metadata["padding_value"] = padding * slope + intercept
    if len(frames) == 1 and path.is_file():
        notes.append("The file is one slice; give its folder to read the whole series.")
    if notes:
        metadata["notes"] = tuple(notes)
    return Volume(
        array,
        Geometry(array.shape, affine),
        slope=slope,
        intercept=intercept,
        modality={"CT": "ct", "MR": "mr"}.get(tag, "unknown"),
        metadata=metadata,
    )


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
    frames = []
    for index in range(int(header.get("NumberOfFrames") or 1)):
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
        if syntax.is_encapsulated and syntax != RLELossless:
            pixels = decode_with_gdcm(file, dataset)
        else:
            pixels = pixel_array(dataset, raw=True)
        size = (int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns))
        pixels = pixels.reshape(size)
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


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
