"""Which file formats there are: what their names end in, how they are read and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medgen.volumes.itk import write_itk
from medgen.volumes.metaimage import read_metaimage
from medgen.volumes.nifti import read_nifti, write_nifti
from medgen.volumes.nrrd import read_nrrd
from medgen.volumes.volume import Volume


@dataclass(frozen=True)
class Format:
    """A format of files that hold a volume, or describe one.

    Args:
        suffixes: lower case.
        read: one volume of the file at a path.
        write: a volume to a path; None for a format that is only read.
    """

    suffixes: tuple[str, ...]
    read: Callable[..., Volume]
    write: Callable[[Volume, Path], None] | None = None


FORMATS = (
    Format((".nii", ".nii.gz"), read_nifti, write_nifti),
    Format((".hdr", ".hdr.gz", ".img", ".img.gz", ".mgz", ".mgh"), read_nifti),
    Format((".nrrd",), read_nrrd, write_itk),
    Format((".nhdr",), read_nrrd),
    Format((".mha",), read_metaimage, write_itk),
    Format((".mhd",), read_metaimage),
)
BY_SUFFIX = {suffix: format_ for format_ in FORMATS for suffix in format_.suffixes}
WRITABLE = {suffix: format_.write for suffix, format_ in BY_SUFFIX.items() if format_.write}
