"""What `ablation.py` measures of windows, and how pixels are drawn around what was decoded."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr, ndtri

from medgen.evaluation.agreement import nrmse
from medgen.evaluation.texture import texture_features
from medgen.families.pixelminer.fill import SHARE_OF_CHANCE
from medgen.interpolation.matching import BAND_SIGMAS, Texture


def psnr_db(images: np.ndarray, true: np.ndarray, levels: int) -> float:
    """Over the range of levels, of all windows together."""
    return float(20 * np.log10((levels - 1) / np.sqrt(np.mean((images - true) ** 2))))


def power(images: np.ndarray) -> float:
    """Mean square of what is left of `(..., h, w)` when a Gaussian of one pixel is taken off."""
    return float(np.mean(_fine(images, 1.0) ** 2))


def texture_error(images: np.ndarray, true: np.ndarray, level_width: float) -> float:
    """Median over the features of their NRMSE over windows `(n, h, w)` of levels.

    Bins are those of `medgen evaluate`; a region is a whole window.
    """
    everywhere = np.ones(true.shape[1:], bool)
    of_true, of_images = (
        np.array(
            [[*texture_features(one * level_width, everywhere).values()] for one in windows], float
        )
        for windows in (true, images)
    )
    return float(np.nanmedian(nrmse(of_true, of_images)))


def matched(images: np.ndarray, prediction: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """What `--temperature auto` makes of windows `(n, h, w)` with `neighbours` `(n, h, w, 2)`."""
    half_way = prediction + SHARE_OF_CHANCE * (images - prediction)
    return np.stack(
        [
            Texture(np.moveaxis(beside, -1, 0)).given_to(image, reference)
            for image, beside, reference in zip(half_way, neighbours, prediction, strict=True)
        ]
    )


def correlated(uniforms: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Uniform numbers `(n, h, w)` correlated as the fine structure of the neighbours is.

    White normal numbers get the spectrum that the bands of `Texture` have in both neighbours
    `(n, h, w, 2)` of their window (Galerne et al., Random phase textures, 2011).
    """
    fine = _fine(np.moveaxis(neighbours, -1, 0).astype(np.float64), BAND_SIGMAS[-1])
    rows, columns = fine.shape[-2:]
    fine *= np.hanning(rows)[:, None] * np.hanning(columns)
    amplitude = np.sqrt(np.mean(np.abs(np.fft.fft2(fine)) ** 2, axis=0))
    field = np.fft.ifft2(np.fft.fft2(ndtri(uniforms)) * amplitude).real
    scale = np.sqrt(np.mean(field**2, axis=(-2, -1), keepdims=True))
    return ndtr(np.divide(field, scale, out=np.zeros_like(field), where=scale > 0))


def _fine(images: np.ndarray, sigma: float) -> np.ndarray:
    """What a Gaussian of `sigma` pixels takes off."""
    return images - gaussian_filter(images, (*[0] * (images.ndim - 2), sigma, sigma))
