"""Images to encodings and back, by a trained autoencoder."""

from __future__ import annotations

from dataclasses import dataclass, field

import keras
import numpy as np

from medgen.evaluation.similarity import psnr, ssim
from medgen.nets.autoencoder import Autoencoder

WHITE = 255.0
# Of images that come back exactly, which would make a mean infinite.
HIGHEST_PSNR_DB = 120.0


@dataclass(frozen=True)
class Decoded:
    """An image as an autoencoder sees it.

    Args:
        encoding: `(⌈rows/4⌉, ⌈cols/4⌉)` float32.
        unit: the reconstruction `(rows, cols, 3)` float32, 0 … 255 as −0.5…0.5, not limited.
    """

    encoding: np.ndarray = field(repr=False)
    unit: np.ndarray = field(repr=False)

    @property
    def image(self) -> np.ndarray:
        """The reconstruction in 8 bits, `(rows, cols, 3)` uint8."""
        return np.clip(np.rint((self.unit + 0.5) * WHITE), 0, WHITE).astype(np.uint8)


def decoded(net: Autoencoder, image: np.ndarray) -> Decoded:
    """Encode an image `(rows, cols, 3)` uint8 and decode its encoding."""
    unit = image[None].astype(np.float32) / np.float32(WHITE) - np.float32(0.5)
    encoding = net.encode(unit)
    back = keras.ops.convert_to_numpy(net.decode(encoding))
    return Decoded(
        keras.ops.convert_to_numpy(encoding)[0, ..., 0],
        back[0, : image.shape[0], : image.shape[1]],
    )


def likeness(true: np.ndarray, test: np.ndarray) -> tuple[float, float]:
    """PSNR (dB) over all values of two 8-bit images `(rows, cols, 3)`, and mean SSIM of channels.

    Raises:
        ValueError: shapes differ, or a side is below 11.
    """
    db = min(psnr(true, test, data_range=WHITE), HIGHEST_PSNR_DB)
    channels = [ssim(true[..., k], test[..., k], data_range=WHITE) for k in range(3)]
    return db, float(np.mean(channels))
