"""Images to encodings and back, by a trained autoencoder, tile by tile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np

from medgen.bundles.bundle import Bundle
from medgen.evaluation.similarity import psnr, ssim
from medgen.images.levels import WHITE, to_levels, to_unit
from medgen.nets.autoencoder import COMPRESSION, Autoencoder
from medgen.tiling import finer, tiles

# Of images that come back exactly, which would make a mean infinite.
HIGHEST_PSNR_DB = 120.0
# Side of a tile in values of the encoding.
TILE = 192


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
        return to_levels(self.unit)


def autoencoder_of(bundle: Bundle) -> Autoencoder:
    """The net of an autoencoder.

    Raises:
        BundleError: the model is none.
    """
    bundle.require_kind("autoencoder", "encodes no images")
    net: Autoencoder = bundle.nets["autoencoder"]
    return net


def decoded(net: Autoencoder, image: np.ndarray, side: int = TILE) -> Decoded:
    """Encode an image and decode its encoding, in tiles that overlap by what the net sees.

    Tiles leave no seam: every value has around it all that it depends on.

    Args:
        net: trained.
        image: `(rows, cols, 3)` uint8.
        side: of a tile in values of the encoding, which bounds the memory that is needed.
    """
    rows, cols = image.shape[:2]
    shape = -(-rows // COMPRESSION), -(-cols // COMPRESSION)
    encoding = np.empty(shape, np.float32)
    for tile in tiles(shape, side, net.reach):
        window = to_unit(image[finer(tile.seen, COMPRESSION)])
        encoding[tile.box] = _computed(net.encode, window)[..., 0][tile.inner()]
    unit = np.empty(image.shape, np.float32)
    for tile in tiles(shape, side, net.reach):
        found = _computed(net.decode, encoding[tile.seen][..., None])
        target = unit[finer(tile.box, COMPRESSION)]
        within = found[tile.inner(COMPRESSION)]
        target[...] = within[: target.shape[0], : target.shape[1]]
    return Decoded(encoding, unit)


def likeness(true: np.ndarray, test: np.ndarray) -> tuple[float, float]:
    """PSNR (dB) over all values of two 8-bit images `(rows, cols, 3)`, and mean SSIM of channels.

    Raises:
        ValueError: shapes differ, or a side is below 11.
    """
    db = min(psnr(true, test, data_range=WHITE), HIGHEST_PSNR_DB)
    channels = [ssim(true[..., k], test[..., k], data_range=WHITE) for k in range(3)]
    return db, float(np.mean(channels))


def _computed(of: Callable[[np.ndarray], object], array: np.ndarray) -> np.ndarray:
    """What a function of a batch gives for one."""
    found: np.ndarray = keras.ops.convert_to_numpy(of(array[None]))
    return found[0]
