"""An encoding as pictures: three ways to spread its values over the greys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from skimage.exposure import equalize_hist, rescale_intensity

from medgen.images.levels import to_levels
from medgen.images.resolution import INCH, UNIT_UM

# Percentiles of an encoding that become black and white by a linear stretch.
STRETCHED = (2.0, 98.0)


def views(encoding: np.ndarray) -> dict[str, np.ndarray]:
    """Pictures `(rows, cols)` uint8 of an encoding of the same shape, by what they are called.

    `plain`: −0.5…0.5 as 0…255, whatever lies beyond limited, as images are; `stretched`: its 2nd to
    98th percentile over all greys; `equalised`: every grey as often as any other.
    """
    low, high = np.percentile(encoding, STRETCHED)
    if low < high:
        stretched = rescale_intensity(encoding, (low, high), (-0.5, 0.5))
        equalised = equalize_hist(encoding) - 0.5
    else:  # one value nearly everywhere
        stretched = equalised = np.zeros(encoding.shape)
    pictures = {"plain": encoding, "stretched": stretched, "equalised": equalised}
    return {name: to_levels(picture) for name, picture in pictures.items()}


def write_png(array: np.ndarray, path: Path, um_per_pixel: float | None) -> None:
    """Write a picture of 8 bits, grey or RGB, with the side of its pixels where it is known.

    PNG holds whole pixels per metre.
    """
    dpi = None if um_per_pixel is None else (UNIT_UM[INCH] / um_per_pixel,) * 2
    Pillow.fromarray(array).save(path, dpi=dpi)
