"""Headers of a derived DICOM series: what each slice keeps of its source, and what is new.

By PS3.3 of the standard (C.7.6.1 General Image, C.12.1 SOP Common, A.3 CT, A.4 MR).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy

from pydicom import DataElement, Dataset
from pydicom import Sequence as Items
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import DSfloat

# SOP class of the input to that of the output, which holds single slices.
SINGLE_FRAME_CLASSES: dict[str, str] = {
    CTImageStorage: CTImageStorage,
    EnhancedCTImageStorage: CTImageStorage,
    LegacyConvertedEnhancedCTImageStorage: CTImageStorage,
    MRImageStorage: MRImageStorage,
    EnhancedMRImageStorage: MRImageStorage,
    LegacyConvertedEnhancedMRImageStorage: MRImageStorage,
    SecondaryCaptureImageStorage: SecondaryCaptureImageStorage,
}

# Functional groups whose attributes have the same names in a header of one slice.
FLATTENED_GROUPS = (
    "PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence",
    "PixelValueTransformationSequence", "FrameVOILUTSequence",
    "MRTimingAndRelatedParametersSequence", "MRImagingModifierSequence",
    "CTXRayDetailsSequence", "CTReconstructionSequence",
)  # fmt: skip
OF_MANY_FRAMES = (
    "NumberOfFrames", "FrameIncrementPointer", "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence", "DimensionOrganizationSequence", "DimensionIndexSequence",
    "DimensionOrganizationType", "ConcatenationUID", "InConcatenationNumber",
    "InConcatenationTotalNumber", "ConcatenationFrameOffsetNumber",
    "SOPInstanceUIDOfConcatenationSource",
)  # fmt: skip
# Of the source's bytes: no longer true once anything in the file changes.
OF_THE_FILE = ("MACParametersSequence", "DigitalSignaturesSequence", "DataSetTrailingPadding")

# Attributes that a slice must have, but may leave empty where nothing is known (type 2).
MAY_BE_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber", "Manufacturer", "PatientPosition",
    "PositionReferenceIndicator", "SliceThickness",
)  # fmt: skip
MAY_BE_EMPTY_IN: dict[str, tuple[str, ...]] = {
    CTImageStorage: ("KVP", "AcquisitionNumber"),
    MRImageStorage: (
        "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength",
    ),
}  # fmt: skip
# The standard's word for what is not known or not of the usual kind, where empty is not allowed.
IF_UNKNOWN: dict[str, dict[str, object]] = {
    CTImageStorage: {"RescaleIntercept": 0, "RescaleSlope": 1},
    MRImageStorage: {"ScanningSequence": "RM", "SequenceVariant": "NONE"},
    SecondaryCaptureImageStorage: {"ConversionType": "WSD"},
}
# A synthetic slice has these of the slice before it where its neighbours differ.
OF_THE_SLICE_BEFORE = ("ImageOrientationPatient", "PixelSpacing", "WindowCenter", "WindowWidth")

LONGEST = {"LO": 64, "ST": 1024}


def flat_header(header: Dataset, groups: Mapping[str, Dataset]) -> Dataset:
    """Header of one slice, as it would be had the slice come in a file of its own.

    Args:
        header: of the file, without its voxels.
        groups: the functional groups that apply to the slice, by name; empty for a plain header.

    Returns:
        Dataset whose elements hold the bytes they had, wherever the encoding allows.
    """
    flat = Dataset()
    dropped = {tag_for_keyword(name) for name in (*OF_MANY_FRAMES, *OF_THE_FILE)}
    for tag in header.keys():  # noqa: SIM118 (iterating a Dataset would decode every element)
        # An overlay without data of its own lay in unused bits of the voxels, which are zero now.
        lost = tag.group & 0xFF00 == 0x6000 and (tag.group, 0x3000) not in header
        if tag not in dropped and tag.element != 0 and not lost:
            flat[tag] = portable(header, tag)
    for name in FLATTENED_GROUPS:
        for tag in groups[name].keys() if name in groups else ():
            flat[tag] = portable(groups[name], tag)
    echo = groups.get("MREchoSequence", Dataset()).get("EffectiveEchoTime")
    if echo is not None:
        flat.EchoTime = DSfloat(echo, auto_format=True)
    return flat


def portable(header: Dataset, tag: BaseTag) -> DataElement | RawDataElement:
    """An element that can be written with explicit value representation, little endian.

    A plain value keeps its bytes, so that text in a wrongly declared character set, say a
    patient's name, leaves as it came.
    """
    element = header.get_item(tag)
    if isinstance(element, RawDataElement) and element.is_little_endian:
        known = element.VR
        if known is None and not tag.is_private:
            known = dictionary_VR(tag)
        if known is not None and known != "SQ" and len(known) == 2:
            return element._replace(VR=known, is_implicit_VR=False)
    element = header[tag]
    if element.VR == "SQ":
        for item in element.value:
            for _ in item.iterall():  # decodes what was read without its representation
                pass
    return deepcopy(element)


def common_header(before: Dataset, after: Dataset) -> Dataset:
    """What two neighbours agree on, hence what can be said of a slice between them.

    Times, tube currents and whatever else belongs to one acquired slice is left out, and so are
    overlays, which are drawn for one image.
    """
    common = Dataset()
    kept = {tag_for_keyword(name) for name in OF_THE_SLICE_BEFORE}
    for tag in before.keys():  # noqa: SIM118
        if tag.group & 0xFF00 == 0x6000 or tag not in after:
            continue
        mine, other = before.get_item(tag), after.get_item(tag)
        if tag in kept or mine.value == other.value:
            common[tag] = mine
    for name in ("ImageComments", "IconImageSequence", "SmallestImagePixelValue",
                 "LargestImagePixelValue"):  # fmt: skip
        if name in common:
            delattr(common, name)
    return common


def complete(header: Dataset, sop_class: str) -> None:
    """Add in place the attributes that a slice must have, without claiming anything by them."""
    for name in (*MAY_BE_EMPTY, *MAY_BE_EMPTY_IN.get(sop_class, ())):
        if name not in header:
            setattr(header, name, None)
    if "ImageLaterality" not in header and "Laterality" not in header:
        header.Laterality = None
    for name, value in IF_UNKNOWN.get(sop_class, {}).items():
        if not header.get(name) and header.get(name) != 0:
            setattr(header, name, value)


def derived_image_type(source: Sequence[str], sop_class: str, label: str) -> list[str]:
    """ImageType of a derived image: what the source was beyond its first two words, and a label."""
    plane = "AXIAL" if sop_class == CTImageStorage else "OTHER"
    return ["DERIVED", "SECONDARY", *(list(source[2:]) or [plane]), label]


def coded(code: Code) -> Items:
    """A code as the single item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme_designator
    item.CodeMeaning = code.meaning
    return Items([item])


def reference(header: Dataset, frame: int | None) -> Iterator[Dataset]:
    """Item that refers to a source image, none if that has no SOP instance UID to refer to.

    Args:
        header: of the source.
        frame: number from 1 within a file of several, None where there is but one.
    """
    if not header.get("SOPInstanceUID") or not header.get("SOPClassUID"):
        return
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    if frame is not None:
        item.ReferencedFrameNumber = frame
    item.PurposeOfReferenceCodeSequence = coded(codes.DCM.SourceImageForImageProcessingOperation)
    yield item


def equipment(version: str, contribution: str) -> Dataset:
    """Item of ContributingEquipmentSequence for this program."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = coded(codes.DCM.ProcessingEquipment)
    item.Manufacturer = "medgen"
    item.SoftwareVersions = plain(version, "LO")
    item.ContributionDescription = plain(contribution, "ST")
    return item


def plain(text: str, vr: str) -> str:
    """Text as every character set and this value representation can hold it."""
    return text.encode("ascii", "replace").decode().replace("\\", "/")[: LONGEST[vr]]
