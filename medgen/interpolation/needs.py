"""Memory that filling in slices takes: a scan is refused before the work, not killed in it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from medgen.interpolation.contract import Interpolator
from medgen.interpolation.plan import SlicePlan
from medgen.volumes import itk
from medgen.volumes.files import suffix_of
from medgen.volumes.volume import Volume

# Of `stack_slices` beside the values: what is padding and background.
OUTSIDE_BYTES = 1
# Of the uncertainty: four maps in float32, and the scan in it.
MAPS_BYTES = 16
# Of writing NRRD or MetaImage: physical values and a copy.
ITK_BYTES = 16
# Whatever the size of the scan: libraries, a batch of slices, a model's layers.
ALWAYS = 2**29


def writing_bytes(path: Path) -> int:
    """What writing a scan takes for each of its voxels."""
    return ITK_BYTES * (suffix_of(path) in itk.WRITABLE)


def bytes_needed(
    volume: Volume,
    plan: SlicePlan,
    interpolator: Interpolator,
    *,
    samples: int = 1,
    uncertainty: bool = False,
    writing_bytes: int = 0,
) -> int:
    """Upper bound of the memory for finer scans of a volume that is in memory already.

    Args:
        volume: the scan.
        plan: of the finer one.
        interpolator: what fills in its slices.
        samples: see `insert`.
        uncertainty: likewise.
        writing_bytes: for each voxel of a finer scan while it is written.
    """
    voxels, finer = math.prod(volume.shape), math.prod(plan.geometry.shape)
    value = volume.physical_dtype.itemsize
    of_interpolator = interpolator.bytes_per_voxel * value // 4
    of_stack = value + OUTSIDE_BYTES + of_interpolator
    of_finer = samples * volume.array.itemsize + MAPS_BYTES * uncertainty + writing_bytes
    in_gap = np.bincount(plan.positions[plan.synthetic].astype(int)).max(initial=0)
    of_gap = interpolator.bytes_per_pixel * int(in_gap)
    pixels = voxels // volume.shape[plan.axis]
    return voxels * of_stack + finer * of_finer + pixels * of_gap + ALWAYS
