"""What kind of scan the numbers look like, where a file does not say."""

from __future__ import annotations

import numpy as np

AIR_RANGE_HU = (-1200.0, -500.0)  # air and lung, with noise
LOWEST_HU = -8192.0
LEAST_AIR = 0.001
MOST_NEGATIVE = 0.02
FEWEST_LEVELS = 16


def guess_modality(physical: np.ndarray) -> str:
    """Guess `ct`, `mr` or `unknown` from voxel values in physical units.

    - `ct`: at least 0.1 % of the voxels lie between -1200 and -500, as air and lung do in HU, and
      none below -8192 (scanners pad with -1024, -2000, -2048 or -3024).
    - `mr`: at most 2 % of the voxels are negative (resampling rings below zero) and there are at
      least 16 different values, so that a mask is not taken for a scan.
    - `unknown`: anything else, such as a CT cropped inside the body or a map of a statistic.

    CT windowed to 8 bits is no longer in HU and counts as `mr`: arbitrary units from 0 upwards.

    Args:
        physical: any shape; NaN and infinite values are left out.
    """
    values = physical[np.isfinite(physical)]
    if not values.size:
        return "unknown"
    air = np.mean((values >= AIR_RANGE_HU[0]) & (values <= AIR_RANGE_HU[1]))
    if air >= LEAST_AIR and values.min() >= LOWEST_HU:
        return "ct"
    if np.mean(values < 0) <= MOST_NEGATIVE and np.unique(values).size >= FEWEST_LEVELS:
        return "mr"
    return "unknown"
