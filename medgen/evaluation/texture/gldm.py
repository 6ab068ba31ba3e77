"""Grey level dependence matrix (GLDM; IBSI: NGLDM): how many neighbours have a voxel's level."""

from __future__ import annotations

import numpy as np

from medgen.evaluation.texture.emphasis import emphasis_statistics, renamed
from medgen.evaluation.texture.levels import half_directions, neighbour_slices

FEATURES = {
    "SmallDependenceEmphasis": "small",
    "LargeDependenceEmphasis": "large",
    "GrayLevelNonUniformity": "level nonuniformity",
    "DependenceNonUniformity": "size nonuniformity",
    "DependenceNonUniformityNormalized": "size nonuniformity normalized",
    "GrayLevelVariance": "level variance",
    "DependenceVariance": "size variance",
    "DependenceEntropy": "entropy",
    "LowGrayLevelEmphasis": "low",
    "HighGrayLevelEmphasis": "high",
    "SmallDependenceLowGrayLevelEmphasis": "small low",
    "SmallDependenceHighGrayLevelEmphasis": "small high",
    "LargeDependenceLowGrayLevelEmphasis": "large low",
    "LargeDependenceHighGrayLevelEmphasis": "large high",
}


def dependences(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level of every voxel of the region, and how many of its neighbourhood share it.

    The neighbourhood is the voxel itself and those that touch it, also by edge or corner; levels
    must be equal (alpha 0).

    Args:
        levels: at least 1 in the region, 0 outside; 2-D or 3-D.
    """
    equal = np.ones(levels.shape, np.int32)
    for offset in half_directions(levels.ndim):
        here, there = neighbour_slices(offset)
        same = levels[here] == levels[there]
        equal[here] += same
        equal[there] += same
    inside = levels > 0
    return levels[inside], equal[inside]


def gldm_features(levels: np.ndarray, dependences: np.ndarray) -> dict[str, float]:
    """The 14 GLDM features of PyRadiomics of voxels given by level and dependence.

    IBSI has three more that PyRadiomics leaves out: the normalised grey level non-uniformity, the
    dependence percentage, which is always 1, and the dependence energy.
    """
    return renamed(emphasis_statistics(levels, dependences), FEATURES)
