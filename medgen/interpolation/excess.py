"""Intensities beyond a model's range: the neighbours', not the model's."""

from __future__ import annotations

import numpy as np

from medgen.intensities.scale import Scale
from medgen.volumes.volume import Volume


def restore_excess(image: np.ndarray, stack: Volume, position: float, scale: Scale) -> np.ndarray:
    """Give a model's slice what its neighbours have beyond the model's range.

    Models know intensities from `scale.low` to `scale.high` only (no metal, little dense bone). To
    a slice comes what linear interpolation has beyond that range; where both neighbours lie beyond
    it on the same side, the slice is linear interpolation alone.

    Args:
        image: `(rows, cols)`, the model's slice in physical units.
        stack: as `Interpolator.fill` takes it.
        position: of the slice, likewise.
        scale: the model's range.

    Returns:
        `(rows, cols)` in physical units, of the stack's dtype.
    """
    before = int(position)
    weight = stack.array.dtype.type(position - before)
    neighbours = stack.array[before], stack.array[before + 1]
    excess = [values - np.clip(values, scale.low, scale.high) for values in neighbours]
    linear, beyond = (a * (1 - weight) + b * weight for a, b in (neighbours, excess))
    outside = np.sign(excess[0]) * np.sign(excess[1]) > 0
    return np.where(outside, linear, image + beyond).astype(stack.array.dtype)
