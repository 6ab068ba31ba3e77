"""Grey level co-occurrence matrix (GLCM): how often two levels are neighbours."""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from medgen.evaluation.texture.levels import half_directions, neighbour_slices


def cooccurrences(levels: np.ndarray, count: int) -> np.ndarray:
    """Symmetric co-occurrence counts at distance 1, one matrix for each direction.

    Matrices of several slices or directions are merged by adding them.

    Args:
        levels: 1 ... `count` in the region, 0 outside; 2-D or 3-D.
        count: number of grey levels `n`.

    Returns:
        float64 `(directions, n, n)`.
    """
    matrices = []
    for offset in half_directions(levels.ndim):
        here, there = neighbour_slices(offset)
        pairs = levels[here].astype(np.int64) * (count + 1) + levels[there]
        matrix = np.bincount(pairs.ravel(), minlength=(count + 1) ** 2)
        matrix = matrix.reshape(count + 1, count + 1)[1:, 1:]
        matrices.append(matrix + matrix.T)
    return np.array(matrices, np.float64)


def glcm_features(matrices: np.ndarray) -> dict[str, np.ndarray]:
    """The 24 GLCM features of PyRadiomics of each matrix.

    IBSI names five of them otherwise: SumSquares is the joint variance, DifferenceAverage also the
    dissimilarity, JointEnergy the angular second moment, ClusterTendency also the sum variance,
    Imc1 and Imc2 the information correlations. MCC, which IBSI lacks, is the second largest
    singular value of `p(i, j) / sqrt(p_x(i) p_y(j))`. `n`, in Idn and Idmn, is the highest level.

    Args:
        matrices: symmetric counts `(..., n, n)`.

    Returns:
        Name -> values `(...)`, NaN where a matrix is empty.
    """
    shape = matrices.shape[:-2]
    count = matrices.shape[-1]
    matrices = matrices.reshape(-1, count, count)
    filled = matrices.any(axis=(1, 2))
    p = matrices[filled]
    p = p / p.sum(axis=(1, 2), keepdims=True)  # (m, n, n)

    level = np.arange(1, count + 1, dtype=np.float64)
    i, j = level[:, None], level[None, :]
    sums = np.arange(2 * count + 1, dtype=np.float64)
    differences = np.arange(count, dtype=np.float64)
    p_sum = _histogram(p, (i + j).astype(np.int64), sums.size)  # (m, 2n + 1)
    p_difference = _histogram(p, np.abs(i - j).astype(np.int64), differences.size)  # (m, n)
    p_level = p.sum(axis=2)  # (m, n)

    mean = p_level @ level
    variance = _moment(p_level, level, mean, 2)
    tendency = _moment(p_sum, sums, 2 * mean, 2)
    contrast = p_difference @ differences**2
    difference_average = p_difference @ differences
    joint_entropy = _entropy(p.reshape(-1, count**2))
    level_entropy = _entropy(p_level)
    mutual = np.maximum(2 * level_entropy - joint_entropy, 0)  # also H_xy1 - H_xy = H_xy2 - H_xy
    flat = np.count_nonzero(p_level, axis=1) == 1

    features = {
        "Autocorrelation": (p * (i * j)).sum(axis=(1, 2)),
        "JointAverage": mean,
        "ClusterProminence": _moment(p_sum, sums, 2 * mean, 4),
        "ClusterShade": _moment(p_sum, sums, 2 * mean, 3),
        "ClusterTendency": tendency,
        "Contrast": contrast,
        # The covariance of a symmetric matrix is (tendency - contrast) / 4.
        "Correlation": np.where(flat, 1, (tendency - contrast) / np.where(flat, 1, 4 * variance)),
        "DifferenceAverage": difference_average,
        "DifferenceEntropy": _entropy(p_difference),
        "DifferenceVariance": _moment(p_difference, differences, difference_average, 2),
        "JointEnergy": (p**2).sum(axis=(1, 2)),
        "JointEntropy": joint_entropy,
        "Imc1": np.where(flat, 0, -mutual / np.where(flat, 1, level_entropy)),
        "Imc2": np.sqrt(-np.expm1(-2 * mutual)),
        "Idm": p_difference @ (1 / (1 + differences**2)),
        "MCC": np.where(flat, 1, _second_singular_value(p, p_level)),
        "Idmn": p_difference @ (1 / (1 + (differences / count) ** 2)),
        "Id": p_difference @ (1 / (1 + differences)),
        "Idn": p_difference @ (1 / (1 + differences / count)),
        "InverseVariance": p_difference[:, 1:] @ differences[1:] ** -2,
        "MaximumProbability": p.max(axis=(1, 2), initial=0),
        "SumAverage": p_sum @ sums,
        "SumEntropy": _entropy(p_sum),
        "SumSquares": variance,
    }
    full = {}
    for name, values in features.items():
        full[name] = np.full(len(matrices), np.nan)
        full[name][filled] = values
    return {name: values.reshape(shape) for name, values in full.items()}


def _histogram(p: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """Add up the entries `(m, n, n)` with equal `index` `(n, n)`: `(m, size)`."""
    rows = np.arange(len(p))[:, None, None] * size
    flat = np.bincount((rows + index).ravel(), weights=p.ravel(), minlength=len(p) * size)
    return flat.reshape(len(p), size)


def _moment(p: np.ndarray, values: np.ndarray, mean: np.ndarray, order: int) -> np.ndarray:
    return (p * (values - mean[:, None]) ** order).sum(axis=1)


def _entropy(p: np.ndarray) -> np.ndarray:
    """Entropy in bits of each row."""
    return entr(p).sum(axis=1) / np.log(2)


def _second_singular_value(p: np.ndarray, p_level: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.where(p_level > 0, p_level, 1))
    symmetric = p / (scale[:, :, None] * scale[:, None, :])
    singular = np.sort(np.abs(np.linalg.eigvalsh(symmetric)), axis=1)
    return singular[:, -2] if singular.shape[1] > 1 else np.ones(len(p))
