"""A DICOM series that another is made of, and how the other says so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medgen.errors import WriteError
from medgen.jobs.provenance import identity
from medgen.volumes import Volume
from medgen.volumes.dicom.derived import Derivation, require_derivable
from medgen.volumes.dicom.find import Series, find_series
from medgen.volumes.dicom.frames import pydicom_errors


def source_series(
    path: Path,
    scan: Volume,
    *,
    series: str | None = None,
    gaps: bool = False,
    intercept: float | None = None,
) -> Series:
    """The headers of a scan, for a series to be made of.

    Args:
        path: of the scan.
        scan: as it was read.
        series: see `read_volume`, as for `gaps` and `intercept`.
        gaps: likewise.
        intercept: likewise.

    Raises:
        WriteError: no series can be made of it.
        ReadError: its headers are malformed.
    """
    if scan.metadata["format"] != "DICOM":
        raise WriteError(
            f"{path} is not DICOM, so no series can be made of it; choose an output that ends in "
            ".nii.gz."
        )
    if intercept is not None and scan.array.dtype.kind == "f":
        raise WriteError(
            "The slices of this series differ in their rescale, so --intercept cannot stand in "
            "their headers; choose an output that ends in .nii.gz."
        )
    source = find_series(path, series, gaps=gaps)
    with pydicom_errors(path, "has a malformed DICOM header"):
        require_derivable(path, scan, source)
    return source


def derivation_of(facts: Mapping[str, Any]) -> Derivation:
    """What the headers of a series say of how it was made, from its provenance."""
    options = facts["options"]
    if "factor" in facts:  # which may have been left to the model
        options = options | {"factor": facts["factor"]}
    named = [
        f"{name} {value}"
        for name, value in options.items()
        if value is not None and value is not False
    ]
    return Derivation(
        model=facts["model"]["name"],
        version=facts["medgen"],
        options=", ".join(named),
        identity=identity(facts),
    )
