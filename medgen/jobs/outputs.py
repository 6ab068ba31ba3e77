"""Where a job writes: names of what belongs together, and refusing places that will not do."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from medgen.errors import WriteError
from medgen.interpolation.contract import UNCERTAINTY
from medgen.jobs.provenance import require_provenance_writable, writes_series
from medgen.volumes.dicom.write import require_series_writable
from medgen.volumes.files import require_writable, suffix_of

NIFTI = (".nii", ".nii.gz")


def with_ending(path: Path, ending: str) -> Path:
    """`scan_std.nii.gz` for `scan.nii.gz` and `std`."""
    suffix = "" if writes_series(path) else suffix_of(path)
    return path.with_name(f"{path.name[: len(path.name) - len(suffix)]}_{ending}{suffix}")


def uncertainty_files(told: Path, names: Iterable[str] = UNCERTAINTY) -> dict[str, Path]:
    """Where maps of the uncertainty are by name, of what the user calls them all together."""
    path = told if suffix_of(told) else Path(f"{told}.nii.gz")
    return {name: with_ending(path, name) for name in names}


def require_output_writable(path: Path, *, overwrite: bool) -> None:
    """Raise `WriteError` where no finer scan, file or folder, or no provenance can be put."""
    if writes_series(path):
        require_series_writable(path, overwrite=overwrite)
    else:
        require_writable(path, overwrite=overwrite)
    require_provenance_writable(path)


def require_map_writable(path: Path, *, overwrite: bool) -> None:
    """Raise `WriteError` where no map on a scan's grid can be put."""
    require_writable(path, overwrite=overwrite)
    if suffix_of(path) not in NIFTI:
        raise WriteError(f"Cannot write {path}: its name must end in {', '.join(NIFTI)}.")


def require_each_once(places: Iterable[Path]) -> None:
    """Raise `WriteError` if two things were to go to one place."""
    paths = [path.parent.resolve() / path.name for path in places]
    for path in paths:
        if paths.count(path) > 1:
            raise WriteError(f"{path} cannot hold two things; name another file for one.")
