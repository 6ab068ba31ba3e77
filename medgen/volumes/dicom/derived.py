"""The slices of a finer scan as datasets of a derived DICOM series.

Acquired slices leave with the stored values they came with (decompressed, where they were
compressed; moved to the lowest bits, where they lay higher; bits beyond BitsStored, once used for
overlays, repeat the sign or are cleared). All slices are
uncompressed, explicit value representation, little endian. Nothing in a file depends on the time:
the same scan and options give the same bytes, unique identifiers included.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.utils import pixel_dtype
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import DSfloat

from medgen.errors import WriteError, quoted
from medgen.volumes.dicom.codec import Codecs
from medgen.volumes.dicom.decode import decode, fitting_dtype
from medgen.volumes.dicom.find import Series
from medgen.volumes.dicom.frames import functional_group, numbers
from medgen.volumes.dicom.headers import (
    FLATTENED_GROUPS,
    SINGLE_FRAME_CLASSES,
    coded,
    common_header,
    complete,
    derived_image_type,
    equipment,
    flat_header,
    plain,
    reference,
)
from medgen.volumes.volume import Volume

STACKING_AXIS = 2  # of a volume read from DICOM
SERIES_NUMBER_OFFSET = 1000
MODALITIES: dict[str, str] = {CTImageStorage: "CT", MRImageStorage: "MR"}


@dataclass(frozen=True)
class Derivation:
    """How the synthetic slices of a series came about, for its headers.

    Args:
        model: name of the model or method.
        version: of medgen.
        options: in words, such as `factor 2, seed 0`.
        identity: text that differs wherever input or options do; the unique identifiers follow
            from it and the voxels.
    """

    model: str
    version: str
    options: str
    identity: str


def sop_class_of(header: Dataset) -> str:
    """SOP class of single slices made from a source with this header.

    Raises:
        WriteError: the source is of a kind that is not written.
    """
    given = str(header.get("SOPClassUID") or "")
    classes = {modality: sop_class for sop_class, modality in MODALITIES.items()}
    sop_class = SINGLE_FRAME_CLASSES.get(given or classes.get(header.get("Modality"), ""))
    if sop_class is None:
        name = getattr(header.get("SOPClassUID"), "name", "") or "nameless"
        raise WriteError(
            f"medgen writes DICOM series of CT and MR, not of the kind {quoted(name)!r}; choose an "
            "output that ends in .nii.gz."
        )
    return sop_class


def require_derivable(path: Path, volume: Volume, source: Series) -> None:
    """Refuse a series that no other can be made of, before the work.

    Args:
        path: named in messages.
        volume: the scan, as read from `source`.
        source: the series.

    Raises:
        WriteError: it is neither CT nor MR, or its pixels are no integers.
    """
    sop_class_of(next(iter(source.headers.values())))
    scales = {(frame.slope, frame.intercept) for frame in source.frames}
    if volume.array.dtype.kind == "f" and len(scales) == 1:
        raise WriteError(
            f"{path} holds floating-point pixels, as parametric maps do, which slices of CT and MR "
            "cannot; choose an output that ends in .nii.gz."
        )


class DerivedSlices:
    """The slices of a derived series, in the order of their InstanceNumber.

    Attributes:
        how: synthetic slices were made, before the name of what made them.
        what: was contributed to the series, likewise.
    """

    how = "filled in between two acquired slices by"
    what = "Synthetic slices between acquired ones"

    def __init__(
        self,
        volume: Volume,
        source: Series,
        positions: np.ndarray,
        synthetic: np.ndarray,
        derivation: Derivation,
        codecs: Codecs,
    ):
        self.volume, self.source, self.derivation = volume, source, derivation
        self.positions, self.synthetic = positions, synthetic
        self.decode = lru_cache(maxsize=1)(lambda file: decode(file, codecs))
        self.first, last = self.header_of(0), self.header_of(-1)
        self.sop_class = sop_class_of(self.first)
        allocated = (int(header.BitsAllocated) for header in source.headers.values())
        self.itemsize = max(allocated) // 8
        order = np.arange(len(positions))
        numbered = (int(header.get("InstanceNumber") or 0) for header in (self.first, last))
        self.order = order[::-1] if next(numbered) > next(numbered) else order
        digest = hashlib.sha256(derivation.identity.encode())
        for k in range(len(positions)):
            digest.update(self.pixels(k).tobytes())
        self.digest = digest.hexdigest()

    # === Sources ===

    def header_of(self, k: int) -> Dataset:
        """Header of the file that holds acquired slice `k`."""
        return self.source.headers[self.source.frames[k].file]

    def flat(self, k: int) -> Dataset:
        """Header of acquired slice `k` alone."""
        frame, header = self.source.frames[k], self.header_of(k)
        groups = {
            name: functional_group(header, frame.index, name)
            for name in (*FLATTENED_GROUPS, "MREchoSequence")
        }
        own = {name: group for name, group in groups.items() if group is not header}
        return flat_header(header, own)

    def neighbours(self, k: int) -> tuple[int, ...]:
        """Acquired slices that slice `k` of the finer scan is, or lies between."""
        if not self.synthetic[k]:
            return (round(float(self.positions[k])),)
        before = int(self.positions[k])
        return before, before + 1

    def kept(self, headers: list[Dataset]) -> Dataset:
        """What the header of a slice keeps of those of its neighbours."""
        return headers[0] if len(headers) == 1 else common_header(*headers)

    def between(self, k: int, values: list[np.ndarray]) -> np.ndarray:
        """Value of slice `k`, given those of its neighbours."""
        weight = self.positions[k] - int(self.positions[k]) if len(values) == 2 else 0.0
        return values[0] * (1 - weight) + values[-1] * weight

    # === Voxels ===

    def pixels(self, k: int) -> np.ndarray:
        """Stored values `(rows, columns)` of slice `k`, little endian."""
        values = self.volume.array[:, :, k].T
        if not self.synthetic[k]:
            (own,) = self.neighbours(k)
            frame, header = self.source.frames[own], self.header_of(own)
            if values.dtype != pixel_dtype(header).newbyteorder("="):
                # The volume holds physical values, since the scale varies between slices, or
                # values of a type that holds those of all slices.
                values = self.decode(frame.file)[frame.index]
        elif self.has_own_scale(k):
            slope, intercept = self.own_scale(k)
            values = (self.volume.to_physical(values).astype(np.float64) - intercept) / slope
            values = np.rint(values).astype(np.uint16)
        elif values.dtype.itemsize > self.itemsize:
            values = values.astype(fitting_dtype(values, self.itemsize))
        return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))

    def has_own_scale(self, k: int) -> bool:
        """Whether no integers as wide as the source's hold the values of a synthetic slice."""
        values = self.volume.array[:, :, k]
        return values.dtype.kind == "f" or fitting_dtype(values, 1).itemsize > self.itemsize

    def own_scale(self, k: int) -> tuple[float, float]:
        """Slope and intercept that spread a synthetic slice over 16 bits."""
        values = self.volume.to_physical(self.volume.array[:, :, k])
        low, high = float(values.min()), float(values.max())
        low = float(DSfloat(low, auto_format=True))
        slope = (high - low) / 65534 or 1.0
        return float(DSfloat(slope, auto_format=True)), low

    # === Headers ===

    def uid(self, *what: object) -> str:
        """A unique identifier that follows from input, options and voxels."""
        return generate_uid(entropy_srcs=[self.digest, *map(str, what)])

    def dataset(self, k: int, number: int) -> FileDataset:
        """Slice `k` of the finer scan as a file, `number` in the series."""
        sources = self.neighbours(k)
        headers = [self.flat(source) for source in sources]
        header = self.kept(headers)
        self._identify(header, k, number)
        self._place(header, k, sources, headers)
        self._describe(header, k, sources, headers)
        self._fill(header, k)
        complete(header, self.sop_class)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = header.SOPClassUID
        meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        return FileDataset("", header, file_meta=meta, preamble=b"\0" * 128)

    def _identify(self, header: Dataset, k: int, number: int) -> None:
        first = self.first
        header.SOPClassUID = self.sop_class
        header.SOPInstanceUID = self.uid("instance", k)
        header.SeriesInstanceUID = self.uid("series")
        header.StudyInstanceUID = first.get("StudyInstanceUID") or self.uid("study")
        header.FrameOfReferenceUID = first.get("FrameOfReferenceUID") or self.uid("frame")
        header.Modality = first.get("Modality") or MODALITIES.get(self.sop_class, "OT")
        header.SeriesNumber = int(first.get("SeriesNumber") or 0) + SERIES_NUMBER_OFFSET
        header.InstanceNumber = number
        for name in ("InstanceCreationDate", "InstanceCreationTime", "InstanceCreatorUID"):
            if name in header:
                delattr(header, name)

    def _place(
        self, header: Dataset, k: int, sources: tuple[int, ...], headers: list[Dataset]
    ) -> None:
        header.SpacingBetweenSlices = DSfloat(self.volume.spacing[STACKING_AXIS], auto_format=True)
        frames = [self.source.frames[source] for source in sources]
        if self.synthetic[k]:
            place = self.between(k, [frame.position for frame in frames])
            header.ImagePositionPatient = [DSfloat(x, auto_format=True) for x in place]
        elif numbers(header, "SliceLocation"):
            return
        normal = np.cross(*frames[0].orientation)
        locations = [
            numbers(own, "SliceLocation") or [float(frame.position @ normal)]
            for own, frame in zip(headers, frames, strict=True)
        ]
        location = self.between(k, [np.array(at[0]) for at in locations])
        header.SliceLocation = DSfloat(float(location), auto_format=True)

    def _describe(
        self, header: Dataset, k: int, sources: tuple[int, ...], headers: list[Dataset]
    ) -> None:
        made = self.derivation
        by = f"medgen {made.version}, {made.model}"
        several = [self.source.frames[source].index for source in sources]
        references = [
            item
            for source, index in zip(sources, several, strict=True)
            for item in reference(
                self.header_of(source),
                index + 1 if int(self.header_of(source).get("NumberOfFrames") or 1) > 1 else None,
            )
        ]
        for name in ("SourceImageSequence", "DerivationCodeSequence"):
            if name in header:
                delattr(header, name)
        if references:
            header.SourceImageSequence = references
        kinds = [str(word) for word in headers[0].get("ImageType") or ()]
        if self.synthetic[k]:
            label = "SYNTHETIC"
            header.DerivationCodeSequence = coded(codes.DCM.SpatialResampling)
            header.ImageComments = f"SYNTHETIC SLICE, not acquired: {self.how} {plain(by, 'LO')}"
            text = f"Synthetic slice by {by} ({made.options})"
        else:
            label = "ACQUIRED"
            meta = getattr(self.header_of(sources[0]), "file_meta", {})
            syntax = meta.get("TransferSyntaxUID", ExplicitVRLittleEndian)
            unchanged = "decompressed, else unchanged" if syntax.is_compressed else "unchanged"
            text = (
                f"Acquired slice, stored values {unchanged}, in a series with synthetic slices by "
                f"{by} ({made.options})"
            )
        header.ImageType = derived_image_type(kinds, self.sop_class, label)
        header.DerivationDescription = plain(text, "ST")
        mark = plain(f" [{by}]".lstrip(), "LO")
        given = str(self.first.get("SeriesDescription") or "")
        header.SeriesDescription = f"{given[: 63 - len(mark)]} {mark}".strip()
        contributions = list(header.get("ContributingEquipmentSequence") or ())
        header.ContributingEquipmentSequence = [
            *contributions,
            equipment(made.version, f"{self.what} by {by}"),
        ]

    def _fill(self, header: Dataset, k: int) -> None:
        pixels = self.pixels(k)
        volume = self.volume
        if volume.array.dtype.kind != "f" and volume.intercept != self.source.frames[0].intercept:
            # The user has said what the headers lack.
            header.RescaleSlope = DSfloat(volume.slope, auto_format=True)
            header.RescaleIntercept = DSfloat(volume.intercept, auto_format=True)
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.Rows, header.Columns = pixels.shape
        bits = 8 * pixels.dtype.itemsize
        if self.synthetic[k]:
            signed = pixels.dtype.kind == "i"
            reach = max(int(pixels.max()), -int(pixels.min()) - 1)
            usual = int(self.header_of(0).get("BitsStored") or 1)
            header.BitsStored = min(bits, max(usual, reach.bit_length() + signed))
            header.PixelRepresentation = int(signed)
            if self.has_own_scale(k):
                slope, intercept = self.own_scale(k)
                header.RescaleSlope = DSfloat(slope, auto_format=True)
                header.RescaleIntercept = DSfloat(intercept, auto_format=True)
                for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
                    if name in header:
                        delattr(header, name)
        header.BitsAllocated = bits
        header.HighBit = int(header.get("BitsStored") or bits) - 1
        data = pixels.tobytes()
        header.add_new("PixelData", "OB" if bits == 8 else "OW", data + b"\0" * (len(data) % 2))
