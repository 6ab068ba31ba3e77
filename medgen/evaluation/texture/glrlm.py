"""Grey level run length matrix (GLRLM): runs of voxels of one level along a direction."""

from __future__ import annotations

import numpy as np

from medgen.evaluation.texture.emphasis import emphasis_statistics, renamed
from medgen.evaluation.texture.levels import half_directions

FEATURES = {
    "ShortRunEmphasis": "small",
    "LongRunEmphasis": "large",
    "GrayLevelNonUniformity": "level nonuniformity",
    "GrayLevelNonUniformityNormalized": "level nonuniformity normalized",
    "RunLengthNonUniformity": "size nonuniformity",
    "RunLengthNonUniformityNormalized": "size nonuniformity normalized",
    "RunPercentage": "percentage",
    "GrayLevelVariance": "level variance",
    "RunVariance": "size variance",
    "RunEntropy": "entropy",
    "LowGrayLevelRunEmphasis": "low",
    "HighGrayLevelRunEmphasis": "high",
    "ShortRunLowGrayLevelEmphasis": "small low",
    "ShortRunHighGrayLevelEmphasis": "small high",
    "LongRunLowGrayLevelEmphasis": "large low",
    "LongRunHighGrayLevelEmphasis": "large high",
}


def runs(levels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Levels and lengths of all runs, for each direction.

    With a border of zeros around the array, a neighbour lies a fixed number of places ahead in
    memory, and no line passes from one side of the region to the other without meeting a zero.

    Args:
        levels: at least 1 in the region, 0 outside; 2-D or 3-D.
    """
    padded = np.pad(levels, 1)
    strides = np.array(padded.strides) // padded.itemsize
    flat = padded.ravel()
    found = []
    for offset in half_directions(levels.ndim):
        step = int(strides @ offset)
        # Columns of the table are the lines in this direction, one after another.
        lines = np.pad(flat, (0, -flat.size % step)).reshape(-1, step).T.ravel()
        starts = np.concatenate([[0], np.flatnonzero(np.diff(lines)) + 1])
        lengths = np.diff(starts, append=lines.size)
        inside = lines[starts] > 0
        found.append((lines[starts][inside], lengths[inside]))
    return found


def glrlm_features(levels: np.ndarray, lengths: np.ndarray) -> dict[str, float]:
    """The 16 GLRLM features of PyRadiomics (and IBSI) of runs given by level and length."""
    return renamed(emphasis_statistics(levels, lengths), FEATURES)
