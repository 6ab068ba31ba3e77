"""Nuclei in H&E images by their stain: whether a finer image invents any, or loses some."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree
from skimage.color import rgb2hed
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu

# In pixels: blur of the stain and of distances; what is narrower than twice the radius is no
# nucleus, and two are no nearer.
SMOOTH, RADIUS, APART = 1.0, 3.0, 7
# Less haematoxylin than the noise of glass has is none.
LEAST = 0.01


@dataclass(frozen=True)
class Nuclei:
    """How many nuclei an image has, how many a restored one, and how many are the same.

    Args:
        true: of the image.
        test: of the restored one.
        same: pairs, each of them the other's nearest, no farther apart than a nucleus is wide.
    """

    true: int
    test: int
    same: int


def compare_nuclei(true: np.ndarray, test: np.ndarray) -> Nuclei:
    """Count the nuclei of an image and of what was restored of it, both by the image's threshold.

    Haematoxylin is what Ruifrok & Johnston's colour deconvolution [1] makes of the optical density;
    a nucleus is a maximum of the distance to the border of what lies above Otsu's threshold. Pale
    nuclei are missed in both.

    Args:
        true: `(rows, cols, 3)` uint8, of nuclei some 6 to 60 pixels wide.
        test: likewise.

    References:
        [1] Ruifrok & Johnston, Quantification of histochemical staining by color deconvolution,
        Analytical and Quantitative Cytology and Histology 23(4), 2001.
    """
    stained_true, stained_test = (_haematoxylin(image) for image in (true, test))
    threshold = max(float(threshold_otsu(stained_true)), LEAST)
    of_true, of_test = (_centres(stain > threshold) for stain in (stained_true, stained_test))
    return Nuclei(len(of_true), len(of_test), _same(of_true, of_test))


def _haematoxylin(image: np.ndarray) -> np.ndarray:
    stain: np.ndarray = gaussian(rgb2hed(image)[..., 0], SMOOTH)
    return stain


def _centres(stained: np.ndarray) -> np.ndarray:
    """Rows and columns `(n, 2)`."""
    inside = gaussian(distance_transform_edt(stained), SMOOTH)
    centres: np.ndarray = peak_local_max(
        inside, min_distance=APART, threshold_abs=RADIUS, exclude_border=False
    )
    return centres


def _same(true: np.ndarray, test: np.ndarray) -> int:
    if not (len(true) and len(test)):
        return 0
    away, nearest = KDTree(test).query(true, distance_upper_bound=2 * RADIUS + 1e-9)
    _, back = KDTree(true).query(test)
    return sum(
        bool(np.isfinite(d)) and back[k] == own
        for own, (d, k) in enumerate(zip(away, nearest, strict=True))
    )
