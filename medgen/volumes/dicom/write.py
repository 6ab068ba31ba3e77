"""A finer scan written as a derived DICOM series: one file for each slice, the whole or nothing."""

from __future__ import annotations

import os
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np

from medgen.errors import WriteError
from medgen.volumes.dicom.derived import Derivation, DerivedSlices
from medgen.volumes.dicom.find import Series
from medgen.volumes.dicom.frames import pydicom_errors
from medgen.volumes.volume import Volume

SLICE_FILE = "slice-{:04d}.dcm"


def write_series(
    volume: Volume,
    source: Series,
    positions: np.ndarray,
    synthetic: np.ndarray,
    folder: Path,
    derivation: Derivation,
    *,
    overwrite: bool = False,
) -> None:
    """Write a finer scan as a new series; the whole folder appears at once, or nothing does.

    Study, patient and frame of reference are the source's; series and instances are new. A
    synthetic slice says so in ImageType, ImageComments and DerivationDescription; its header holds
    what both acquired neighbours agree on, its position lies between theirs.

    Args:
        volume: the finer scan, slices along axis 2, made of the scan that was read from `source`.
        source: the series it was made of.
        positions: `(m,)`, place of each slice in units of acquired slices, see `SlicePlan`.
        synthetic: bool `(m,)`, which are synthetic.
        folder: made here.
        derivation: what made the synthetic slices.
        overwrite: replace `folder` if it holds a series written here.

    Raises:
        WriteError: the source is neither CT nor MR, or the folder cannot be written.
    """
    require_series_writable(folder, overwrite=overwrite)
    with pydicom_errors(next(iter(source.headers)), "has a header that cannot be written again"):
        slices = DerivedSlices(volume, source, positions, synthetic, derivation)
        try:
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".medgen-") as temporary:
                unfinished = Path(temporary) / "unfinished"
                unfinished.mkdir()
                for number, dataset in enumerate(slices, start=1):
                    # In one piece, since pydicom wraps a full disk's error into many lines.
                    encoded = BytesIO()
                    dataset.save_as(encoded, enforce_file_format=True)
                    (unfinished / SLICE_FILE.format(number)).write_bytes(encoded.getvalue())
                replace_folder(unfinished, folder, Path(temporary) / "replaced")
        except OSError as error:
            raise WriteError(f"Cannot write {folder}: {error.strerror or error}.") from error


def replace_folder(new: Path, folder: Path, old: Path) -> None:
    """Move `new` to `folder`, and what was there to `old`; if that fails, all is as it was."""
    if not folder.exists():
        os.replace(new, folder)
        return
    os.replace(folder, old)
    try:
        os.replace(new, folder)
    except OSError:
        os.replace(old, folder)
        raise


def require_series_writable(folder: Path, *, overwrite: bool) -> None:
    """Raise `WriteError` where `write_series` could not write, whatever the series."""
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
        raise WriteError(f"{folder} exists; choose another name or pass --overwrite.")
    if names - {SLICE_FILE.format(number) for number in range(1, len(names) + 1)}:
        raise WriteError(
            f"{folder} holds other files than a series that medgen wrote and is not replaced; "
            "choose another name."
        )
