"""Colour images made finer, tile by tile, and how that compares with bicubic interpolation."""

from __future__ import annotations

import numpy as np
from keras import ops

from medgen.bundles.bundle import Bundle
from medgen.degradation import coarsened
from medgen.evaluation.edges import edge_preservation_ratio
from medgen.evaluation.noise import power_spectrum_distance
from medgen.evaluation.similarity import psnr, ssim
from medgen.evaluation.texture.glcm import cooccurrences, glcm_features
from medgen.evaluation.texture.levels import Bins
from medgen.images.levels import WHITE, to_levels, to_unit
from medgen.nets.image_espcn import ImageESPCN
from medgen.tiling import finer, tiles

# Side of a tile in coarse pixels.
TILE = 256
# Grey levels for texture, of 8 values each.
BINS = Bins(0.0, 256.0, 32)
MEASURES = ("psnr_db", "ssim", "edges", "texture", "spectrum_db")


def image_espcn_of(bundle: Bundle) -> ImageESPCN:
    """The net of a model that makes images finer.

    Raises:
        BundleError: the model is none.
    """
    bundle.require_kind("image-espcn", "makes no images finer")
    net: ImageESPCN = bundle.nets["image_espcn"]
    return net


def degraded(image: np.ndarray, factor: int) -> np.ndarray:
    """Means of `factor` x `factor` pixels in 8 bits; rows and columns left over are cut off.

    Args:
        image: `(rows, cols, 3)` uint8.
        factor: int >= 2.
    """
    means = coarsened(image.astype(np.float64), factor, axes=(0, 1))
    return np.rint(means).astype(np.uint8)


def refined(net: ImageESPCN, coarse: np.ndarray, side: int = TILE) -> np.ndarray:
    """An image `factor` times as fine, computed in tiles that leave no seam.

    Args:
        net: trained.
        coarse: `(rows, cols, 3)` uint8.
        side: of a tile in coarse pixels, which bounds the memory that is needed.

    Returns:
        `(factor * rows, factor * cols, 3)` uint8.
    """
    rows, cols = coarse.shape[:2]
    fine = np.empty((rows * net.factor, cols * net.factor, 3), np.uint8)
    for tile in tiles((rows, cols), side, net.reach):
        found = _levels(net.refine(to_unit(coarse[tile.seen])[None]))
        fine[finer(tile.box, net.factor)] = found[tile.inner(net.factor)]
    return fine


def bicubic(coarse: np.ndarray, factor: int) -> np.ndarray:
    """The same by bicubic interpolation, which such nets begin as."""
    size = (coarse.shape[0] * factor, coarse.shape[1] * factor)
    return _levels(ops.image.resize(to_unit(coarse)[None], size, interpolation="bicubic"))


def comparison(true: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """How a restored image compares with the truth; both `(rows, cols, 3)` uint8.

    `psnr_db` over all values; of the mean of the channels, `ssim` (Wang et al. 2004), `edges`
    (share of the true edges kept), `texture` (median relative error of 24 GLCM features, levels of
    8) and `spectrum_db` (distance of the radial power spectra).
    """
    grey_true, grey_test = (image.mean(-1) for image in (true, test))
    return {
        "psnr_db": psnr(true, test, data_range=WHITE),
        "ssim": ssim(grey_true, grey_test, data_range=WHITE),
        "edges": edge_preservation_ratio(grey_true, grey_test, data_range=WHITE),
        "texture": _texture_error(grey_true, grey_test),
        "spectrum_db": power_spectrum_distance(grey_true, grey_test),
    }


def _texture_error(true: np.ndarray, test: np.ndarray) -> float:
    everywhere = np.ones(true.shape, bool)
    of_true, of_test = (
        glcm_features(cooccurrences(BINS.levels(grey, everywhere), BINS.count).sum(0))
        for grey in (true, test)
    )
    errors = [abs(of_test[k] - of_true[k]) / max(abs(of_true[k]), 1e-12) for k in of_true]
    return float(np.nanmedian(errors))


def _levels(batch: object) -> np.ndarray:
    """The one image of a batch in 8 bits."""
    return to_levels(ops.convert_to_numpy(batch)[0])
