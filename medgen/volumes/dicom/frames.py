"""One slice by its header: where it lies, what its values mean, and whether it is one at all."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medgen.errors import MedgenError, ReadError, quoted
from medgen.volumes.reading import last_line

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice: where its voxels are on disk, in the patient (LPS, mm) and on the scale."""

    file: Path
    index: int
    position: np.ndarray  # (3,), centre of the first voxel
    orientation: np.ndarray  # (2, 3), directions along a row and along a column
    size: tuple[int, int]  # rows, columns
    pixel_spacing: tuple[float, float]  # between rows, between columns
    thickness: float | None
    slope: float
    intercept: float

    def label(self, path: Path) -> str:
        """Its file as seen from the folder `path`, and the number of the frame if not the first."""
        inside = self.file != path and self.file.is_relative_to(path)
        name = str(self.file.relative_to(path)) if inside else self.file.name
        return f"{name} frame {self.index + 1}" if self.index else name


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
            f"{file} is a colour image ({quoted(photometric)}), not grey values; give the original "
            "scan."
        )
    if photometric == "MONOCHROME1":
        raise ReadError(
            f"{file} has an inverted grey scale (MONOCHROME1); convert it to MONOCHROME2 first."
        )
    if header.get("PixelPresentation", "MONOCHROME") in ("COLOR", "MIXED"):
        raise ReadError(
            f"{file} is a colour-coded map ({quoted(' '.join(image_type))}); give the original "
            "scan."
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
                pixel_spacing=(pixel_spacing[0], pixel_spacing[1]),
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
    bits = int(header.get("BitsStored") or header.BitsAllocated)
    if header.get("PixelRepresentation") == 1 and padding >= 1 << (bits - 1):
        sign = 1 << (bits - 1)
        padding = ((int(padding) & (2 * sign - 1)) ^ sign) - sign
    return int(padding)
