"""Grey level size zone matrix (GLSZM): connected zones of one level."""

from __future__ import annotations

import numpy as np
from skimage.measure import label

from medgen.evaluation.texture.emphasis import emphasis_statistics, renamed

FEATURES = {
    "SmallAreaEmphasis": "small",
    "LargeAreaEmphasis": "large",
    "GrayLevelNonUniformity": "level nonuniformity",
    "GrayLevelNonUniformityNormalized": "level nonuniformity normalized",
    "SizeZoneNonUniformity": "size nonuniformity",
    "SizeZoneNonUniformityNormalized": "size nonuniformity normalized",
    "ZonePercentage": "percentage",
    "GrayLevelVariance": "level variance",
    "ZoneVariance": "size variance",
    "ZoneEntropy": "entropy",
    "LowGrayLevelZoneEmphasis": "low",
    "HighGrayLevelZoneEmphasis": "high",
    "SmallAreaLowGrayLevelEmphasis": "small low",
    "SmallAreaHighGrayLevelEmphasis": "small high",
    "LargeAreaLowGrayLevelEmphasis": "large low",
    "LargeAreaHighGrayLevelEmphasis": "large high",
}


def zones(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Levels and sizes, in voxels, of all zones; neighbours also touch by edge or corner.

    Args:
        levels: at least 1 in the region, 0 outside; 2-D or 3-D.
    """
    labels = label(levels, background=0, connectivity=levels.ndim).ravel()
    sizes = np.bincount(labels)
    zone_levels = np.zeros_like(sizes)
    zone_levels[labels] = levels.ravel()
    return zone_levels[1:], sizes[1:]


def glszm_features(levels: np.ndarray, sizes: np.ndarray) -> dict[str, float]:
    """The 16 GLSZM features of PyRadiomics (and IBSI) of zones given by level and size."""
    return renamed(emphasis_statistics(levels, sizes), FEATURES)
