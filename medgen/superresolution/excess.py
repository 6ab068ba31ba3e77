"""Values beyond a model's range, which are not cut off: what lies beyond is made finer linearly."""

from __future__ import annotations

import numpy as np

from medgen.intensities.scale import Scale
from medgen.superresolution.classical import CLASSICAL
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume


def finer_excess(
    values: np.ndarray, scale: Scale, factor: int, *, in_plane: bool = False
) -> np.ndarray | float:
    """What is to be added to finer voxels, 0 where nothing lies beyond.

    Args:
        values: coarse, `(n, rows, cols)` in physical units, slices first.
        scale: the model's.
        factor: see `SuperResolver.refine`.
        in_plane: likewise.
    """
    excess = values - np.clip(values, scale.low, scale.high)
    if not excess.any():
        return 0.0
    stack = Volume(excess, Geometry(excess.shape, np.eye(4)))
    linear = CLASSICAL["linear"].refine(stack, factor, lambda done, total: None, in_plane=in_plane)
    return np.concatenate([part.values for part in linear])
