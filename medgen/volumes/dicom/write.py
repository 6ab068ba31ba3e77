"""A finer scan written as a derived DICOM series, one file for each slice."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np

from medgen.errors import WriteError
from medgen.storage import occupied
from medgen.volumes.dicom.codec import Codecs
from medgen.volumes.dicom.derived import Derivation, DerivedSlices
from medgen.volumes.dicom.find import Series
from medgen.volumes.dicom.frames import pydicom_errors
from medgen.volumes.dicom.subdivided import SubdividedSlices
from medgen.volumes.volume import Volume

SLICE_FILE = "slice-{:04d}.dcm"


def write_series(
    volume: Volume,
    source: Series,
    positions: np.ndarray,
    synthetic: np.ndarray,
    folder: Path,
    derivation: Derivation,
) -> None:
    """Write a finer scan as a new series.

    Study, patient and frame of reference are the source's; series and instances are new. A
    synthetic slice says so in ImageType, ImageComments and DerivationDescription; its header holds
    what both acquired neighbours agree on, its position lies between theirs.

    Args:
        volume: the finer scan, slices along axis 2, made of the scan that was read from `source`.
        source: the series it was made of.
        positions: `(m,)`, place of each slice in units of acquired slices, see `SlicePlan`.
        synthetic: bool `(m,)`, which are synthetic.
        folder: made here, to be moved to its place when it is whole (see `medgen.storage`).
        derivation: what made the synthetic slices.

    Raises:
        WriteError: the source is neither CT nor MR.
        ReadError: it has a header that cannot be written again.
        OSError: the disk refuses.
    """
    _write(
        lambda codecs: DerivedSlices(volume, source, positions, synthetic, derivation, codecs),
        source,
        folder,
    )


def write_subdivided_series(
    volume: Volume, source: Series, factor: int, folder: Path, derivation: Derivation
) -> None:
    """Write a scan of finer voxels as a new series, see `SubdividedSlices`.

    Args:
        volume: on the grid `Geometry.subdivide` of the scan that was read from `source`.
        source: see `write_series`, as for `folder`.
        factor: slices for each of the source's; 1 where pixels alone were made finer.
        folder: made here.
        derivation: what made the voxels.

    Raises:
        WriteError: see `write_series`.
        ReadError: likewise.
        OSError: the disk refuses.
    """
    _write(
        lambda codecs: SubdividedSlices(volume, source, factor, derivation, codecs), source, folder
    )


def _write(make: Callable[[Codecs], DerivedSlices], source: Series, folder: Path) -> None:
    """Write the slices that `make` gives, one file for each."""
    first, trouble = next(iter(source.headers)), "has a header that cannot be written again"
    with Codecs() as codecs:
        with pydicom_errors(first, trouble):
            slices = make(codecs)
        folder.mkdir()
        for number, k in enumerate(slices.order, start=1):
            encoded = BytesIO()  # in one piece, since pydicom makes many lines of a full disk
            with pydicom_errors(first, trouble):
                slices.dataset(int(k), number).save_as(encoded, enforce_file_format=True)
            (folder / SLICE_FILE.format(number)).write_bytes(encoded.getvalue())


def require_series_writable(folder: Path, *, overwrite: bool) -> None:
    """Raise `WriteError` where no series may be put."""
    if not folder.parent.is_dir():
        raise WriteError(
            f"Cannot write {folder}: there is no folder {folder.parent}; make it first."
        )
    if not folder.exists():
        return
    if not folder.is_dir():
        raise WriteError(f"{folder} exists and is no folder; choose another name.")
    names = {path.name for path in folder.iterdir()}
    if names and not overwrite:
        raise occupied(folder)
    if names - {SLICE_FILE.format(number) for number in range(1, len(names) + 1)}:
        raise WriteError(
            f"{folder} holds other files than a series that medgen wrote and is not replaced; "
            "choose another name."
        )
