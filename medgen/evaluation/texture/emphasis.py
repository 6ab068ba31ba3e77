"""Statistics shared by GLRLM, GLSZM and GLDM.

All three describe a list of things that have a grey level and a size: runs and their length, zones
and their area, voxels and the number of their equal neighbours. The matrices of the literature are
the histograms of these lists; merging matrices is joining lists.
"""

from __future__ import annotations

import numpy as np


def emphasis_statistics(levels: np.ndarray, sizes: np.ndarray) -> dict[str, float]:
    """Emphases, non-uniformities, variances and entropy of things with a level and a size.

    The definitions of IBSI 3.7, 3.8 and 3.11 with `N` things, `n(i, j)` of them of level `i` and
    size `j`: emphases are means of `i^±2 j^±2`, a non-uniformity is `sum n(i)² / N`, the percentage
    is `N` over the sum of sizes, variances are those of `i` and `j`, and the entropy, in bits, is
    that of the joint distribution.

    Args:
        levels: ints `(N,)`, at least 1.
        sizes: ints `(N,)`, at least 1.

    Returns:
        Statistic -> value, under the neutral names that the classes map to their own.
    """
    levels, sizes = levels.astype(np.int64), sizes.astype(np.int64)
    base = int(sizes.max()) + 1
    codes, n = np.unique(levels * base + sizes, return_counts=True)
    i, j = (part.astype(np.float64) for part in np.divmod(codes, base))
    total = n.sum()
    p = n / total
    by_level = np.bincount(i.astype(np.int64), weights=n)
    by_size = np.bincount(np.unique(j, return_inverse=True)[1], weights=n)
    level_nonuniformity = (by_level**2).sum() / total
    size_nonuniformity = (by_size**2).sum() / total
    return {
        "small": p @ j**-2,
        "large": p @ j**2,
        "low": p @ i**-2,
        "high": p @ i**2,
        "small low": p @ (i * j) ** -2,
        "small high": p @ (i / j) ** 2,
        "large low": p @ (j / i) ** 2,
        "large high": p @ (i * j) ** 2,
        "level nonuniformity": level_nonuniformity,
        "level nonuniformity normalized": level_nonuniformity / total,
        "size nonuniformity": size_nonuniformity,
        "size nonuniformity normalized": size_nonuniformity / total,
        "percentage": total / (n @ j),
        "level variance": p @ (i - p @ i) ** 2,
        "size variance": p @ (j - p @ j) ** 2,
        "entropy": -(p @ np.log2(p)),
    }


def renamed(statistics: dict[str, float], names: dict[str, str]) -> dict[str, float]:
    """The statistics that `names` asks for (feature -> statistic), under the features' names."""
    return {feature: float(statistics[statistic]) for feature, statistic in names.items()}
