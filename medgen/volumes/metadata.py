"""What a reader knew of a scan beyond voxels and grid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from medgen.intensities.guess import Guess


class Metadata(TypedDict, total=False):
    """What a reader knew beyond voxels and grid; each key is absent where unknown.

    Attributes:
        format: `NIfTI-1`, `NIfTI-2`, `Analyze`, `MGH`, `NRRD`, `MetaImage` or `DICOM`.
        files: every file the volume was read from.
        volume_index: which volume of a 4-D file this is, from 0.
        modality_tag: Modality of the DICOM header, empty if that has none.
        modality_guess: what the evidence says of the modality.
        slice_thickness_mm: SliceThickness, where all slices share it; not their spacing.
        missing_slices: along axis 2, where no slice was acquired and the nearest one stands in;
            only if `read_volume` was told to take gaps.
        position_deviation_mm: how far a DICOM slice lies off the regular grid at most.
        padding_value: physical value outside the scanned region; by the DICOM header, or found by
            its being lower than any HU. The voxels keep it; which of them are padding and not
            tissue of the same value tells `medgen.intensities.padding`.
        nifti: header fields of a NIfTI file, by their names, that go out again when it is written
            (see `medgen.volumes.nifti_fields`), and `extensions`, a tuple of codes and bytes; of
            MGH the fields that can hold what it tells.
        unwritten: sentences on what the file holds and medgen does not write.
        notes: sentences for the user on what was odd and how it was taken.
    """

    format: str
    files: tuple[Path, ...]
    volume_index: int
    modality_tag: str
    modality_guess: Guess
    slice_thickness_mm: float
    missing_slices: tuple[int, ...]
    position_deviation_mm: float
    padding_value: float
    nifti: Mapping[str, Any]
    unwritten: tuple[str, ...]
    notes: tuple[str, ...]
