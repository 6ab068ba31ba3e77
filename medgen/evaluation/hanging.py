"""How slices hang on the light box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def hung(image: np.ndarray, codes: tuple[str, str]) -> np.ndarray:
    """A slice as it hangs on the light box: front or head up, the patient's right on the left.

    Args:
        image: `(rows, cols)`.
        codes: anatomical direction in which rows and columns run, such as `("L", "P")`.
    """
    if _is_sideways(codes):
        image, codes = image.T, codes[::-1]
    # Rows run to the back or the feet, columns to the patient's left, or to the back.
    return image[:: 1 if codes[0] in "PI" else -1, :: 1 if codes[1] in "LP" else -1]


def hung_spacing(spacing: Sequence[float], codes: tuple[str, str]) -> tuple[float, float]:
    """Spacing of rows and columns of a `hung` slice."""
    rows, columns = spacing
    return (columns, rows) if _is_sideways(codes) else (rows, columns)


def _is_sideways(codes: tuple[str, str]) -> bool:
    """Whether the axis that should run down the image, head-foot or else front-back, is second."""
    height = ["LR", "AP", "SI"]
    first, second = (next(n for n, pair in enumerate(height) if code in pair) for code in codes)
    return second > first
