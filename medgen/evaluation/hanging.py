"""How slices hang on the light box."""

from __future__ import annotations

import numpy as np

from medgen.volumes.geometry import Geometry


def hung(image: np.ndarray, geometry: Geometry, axis: int) -> np.ndarray:
    """A slice as it hangs on the light box: front or head up, the patient's right on the left.

    Args:
        image: `(rows, cols)`.
        geometry: of the scan.
        axis: which the slice lies across.
    """
    codes = _codes(geometry, axis)
    if _is_sideways(codes):
        image, codes = image.T, codes[::-1]
    # Rows run to the back or the feet, columns to the patient's left, or to the back.
    return image[:: 1 if codes[0] in "PI" else -1, :: 1 if codes[1] in "LP" else -1]


def hung_spacing(geometry: Geometry, axis: int) -> tuple[float, float]:
    """Spacing of rows and columns of a `hung` slice, mm."""
    rows, columns = (mm for n, mm in enumerate(geometry.spacing) if n != axis)
    return (columns, rows) if _is_sideways(_codes(geometry, axis)) else (rows, columns)


def _codes(geometry: Geometry, axis: int) -> tuple[str, str]:
    """Anatomical directions in which rows and columns of a slice run, such as `("L", "P")`."""
    rows, columns = (code for n, code in enumerate(geometry.orientation) if n != axis)
    return rows, columns


def _is_sideways(codes: tuple[str, str]) -> bool:
    """Whether the axis that should run down the image, head-foot or else front-back, is second."""
    height = ["LR", "AP", "SI"]
    first, second = (next(n for n, pair in enumerate(height) if code in pair) for code in codes)
    return second > first
