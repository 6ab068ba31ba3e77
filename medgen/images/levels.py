"""Values of 8 bits and the unit range that nets see: 0 … 255 as −0.5…0.5."""

from __future__ import annotations

import numpy as np

WHITE = 255.0


def to_unit(image: np.ndarray) -> np.ndarray:
    """Float32 in −0.5…0.5 of an image uint8."""
    return image.astype(np.float32) / np.float32(WHITE) - np.float32(0.5)


def to_levels(unit: np.ndarray) -> np.ndarray:
    """Uint8 of values of the unit range, rounded; whatever lies beyond it is limited."""
    return np.clip(np.rint((unit + 0.5) * WHITE), 0, WHITE).astype(np.uint8)
