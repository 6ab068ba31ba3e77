"""Mean squared mapped feature error (MSMFE): do two images have the same texture everywhere?

A GLCM of a whole region is a summary: an image can have the right one with its texture in the wrong
places. Here every GLCM feature becomes a map, by a 5 x 5 window around every pixel, and the maps of
two images are compared.
"""

from __future__ import annotations

import numpy as np

from medgen.errors import EvaluationError
from medgen.evaluation.texture.levels import Bins, fit_bins, half_directions, neighbour_slices

WINDOW = 5
# Windows worked on at once; their arrays then fit the cache.
BLOCK = 8192
# Logarithms of how often a level can occur among the ends of a window's pairs; 0 counts nothing.
LOG2 = np.log2(np.maximum(np.arange(2 * WINDOW**2), 1))


def msmfe(
    image_true: np.ndarray,
    image_test: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    bin_width: float = 25.0,
    bin_count: int | None = 8,
) -> dict[str, float]:
    """Mean squared difference of every GLCM feature map of two slices.

    The settings published with PixelMiner: 8 grey levels, windows of 5 x 5 pixels, step 1, distance
    1, 4 directions. It deviates from the authors' script where that would blur the meaning: both
    images get the levels of the true one, where each was stretched from its own minimum; a window's
    matrix is symmetric, counts the pairs that lie within the window and sums to 1, where counts
    were rescaled over the whole image; features are averaged over the directions, where some were
    added up. So a map holds what `texture_features` would say of each window with these levels.

    Errors of different features have different scales: the paper rescales each feature to 0 ... 1
    over all scans and methods before it averages.

    To compare several images with one, make the maps of that one once: see `feature_maps`.

    Args:
        image_true: `(rows, cols)`, the reference; its values under `mask` set the grey levels.
        image_test: same shape and units. Values beyond the reference's get levels beyond its.
        mask: bool, same shape: windows are centred in it and see nothing outside; all by default.
        bin_width: width of a level in the images' units, if `bin_count` is None.
        bin_count: number of levels between the reference's minimum and maximum.

    Returns:
        Feature, such as `glcm_Contrast`, -> mean squared difference.

    Raises:
        EvaluationError: the mask is empty, has no two neighbouring pixels, or holds values that are
            not finite.
        ValueError: shapes differ.

    References:
        Rogers et al., Towards texture accurate slice interpolation of medical images using
        PixelMiner, Computers in Biology and Medicine, 2023, and the script published with it.
    """
    image_true, image_test = np.asarray(image_true), np.asarray(image_test)
    mask = np.ones(image_true.shape, bool) if mask is None else np.asarray(mask, bool)
    if not image_true.shape == image_test.shape == mask.shape:
        raise ValueError(
            "both images and the mask must match, got "
            f"{image_true.shape}, {image_test.shape} and {mask.shape}"
        )
    if not mask.any():
        raise EvaluationError(
            "The region of interest is empty, so it has no texture; give another mask or slice."
        )
    bins = fit_bins(image_true[mask], bin_width=bin_width, bin_count=bin_count)
    return map_errors(feature_maps(image_true, mask, bins), feature_maps(image_test, mask, bins))


def map_errors(
    maps_true: dict[str, np.ndarray], maps_test: dict[str, np.ndarray]
) -> dict[str, float]:
    """Mean squared difference of two sets of `feature_maps`, where both are defined.

    Raises:
        EvaluationError: no pixel has a defined feature.
    """
    errors = {}
    for name, true in maps_true.items():
        squares = (true - maps_test[name]) ** 2
        squares = squares[~np.isnan(squares)]
        if squares.size == 0:
            raise EvaluationError(
                "The region of interest has no two neighbouring pixels, so no window has a "
                "texture; give another mask or slice."
            )
        errors[name] = float(squares.mean())
    return errors


def feature_maps(image: np.ndarray, mask: np.ndarray, bins: Bins) -> dict[str, np.ndarray]:
    """The 24 GLCM features of the 5 x 5 window around every pixel, averaged over 4 directions.

    A symmetric co-occurrence matrix is the distribution of its pairs, so that every feature is a
    mean over the at most 20 pairs of a window in one direction, and no matrix is ever filled (but
    for MCC). A direction whose pairs all have one level counts as flat: Correlation and MCC are 1.

    Args:
        image: `(rows, cols)`.
        mask: bool, same shape: windows are centred in it and see nothing outside.
        bins: the grey levels; `bins.count` is `n` in Idn and Idmn.

    Returns:
        Name, such as `glcm_Contrast`, -> float64 `(rows, cols)`, NaN outside the mask and where no
        two pixels of the window are neighbours.

    Raises:
        EvaluationError: the image is not finite somewhere under the mask.
    """
    if not np.isfinite(image[mask]).all():
        raise EvaluationError(
            "The region of interest holds values that are not finite, so it has no grey levels; "
            "leave them out of the mask or mend the image."
        )
    radius = WINDOW // 2
    levels = np.pad(bins.levels(image, mask), radius)
    inside = np.pad(mask, radius)
    offsets = np.add.outer(np.arange(WINDOW) * levels.shape[1], np.arange(WINDOW)).ravel()
    rows, cols = np.nonzero(mask)
    corners = rows * levels.shape[1] + cols

    maps: dict[str, np.ndarray] = {}
    for start in range(0, corners.size, BLOCK):
        block = slice(start, start + BLOCK)
        pixels = offsets[:, None] + corners[block]  # (25, windows)
        features = _window_features(levels.ravel()[pixels], inside.ravel()[pixels], bins.count)
        for name, values in features.items():
            image_map = maps.setdefault(f"glcm_{name}", np.full(mask.shape, np.nan))
            image_map[rows[block], cols[block]] = values
    return maps


def _window_features(levels: np.ndarray, inside: np.ndarray, count: int) -> dict[str, np.ndarray]:
    """Features of windows given as columns of `levels` and `inside`, both `(25, windows)`."""
    ranks, distinct = _ranks(levels, inside)
    place = np.arange(WINDOW**2).reshape(WINDOW, WINDOW)
    sums: dict[str, np.ndarray] = {}
    directions = np.zeros(levels.shape[1])
    for offset in half_directions(2):
        here, there = (place[side].ravel() for side in neighbour_slices(offset))
        valid = inside[here] & inside[there]  # (pairs, windows)
        number = valid.sum(axis=0)
        features = _level_features(levels[here], levels[there], valid, count)
        features |= _rank_features(ranks[here], ranks[there], valid, distinct)
        flat = features.pop("flat")
        features["Correlation"] = np.where(
            flat,
            1,
            (features["ClusterTendency"] - features["Contrast"])
            / np.where(flat, 1, 4 * features["SumSquares"]),
        )
        directions += number > 0
        for name, values in features.items():
            sums[name] = sums.get(name, 0) + np.where(number > 0, values, 0)
    directions[directions == 0] = np.nan
    return {name: values / directions for name, values in sums.items()}


def _level_features(
    a: np.ndarray, b: np.ndarray, valid: np.ndarray, count: int
) -> dict[str, np.ndarray]:
    """Features of the levels `a` and `b` of every window's pairs, all `(pairs, windows)`."""
    weights = valid / np.maximum(valid.sum(axis=0), 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.einsum("pw,pw->w", weights, values)

    total, gap = a + b, np.abs(a - b)
    difference = gap.astype(np.float64)
    squared = difference**2
    sum_average, difference_average, contrast = mean(total), mean(difference), mean(squared)
    deviation = total - sum_average
    deviation_squared = deviation**2
    tendency = mean(deviation_squared)
    return {
        "Autocorrelation": mean(a.astype(np.float64) * b),
        "JointAverage": sum_average / 2,
        "ClusterProminence": mean(deviation_squared**2),
        "ClusterShade": mean(deviation_squared * deviation),
        "ClusterTendency": tendency,
        "Contrast": contrast,
        "DifferenceAverage": difference_average,
        "DifferenceEntropy": _entropy(_multiplicity(gap, valid), valid),
        "DifferenceVariance": mean((difference - difference_average) ** 2),
        "Id": mean(1 / (1 + difference)),
        "Idm": mean(1 / (1 + squared)),
        "Idn": mean(1 / (1 + difference / count)),
        "Idmn": mean(1 / (1 + squared / count**2)),
        "InverseVariance": mean((gap > 0) / np.maximum(squared, 1)),
        "SumAverage": sum_average,
        "SumEntropy": _entropy(_multiplicity(total, valid), valid),
        "SumSquares": (tendency + contrast) / 4,
    }


def _rank_features(
    a: np.ndarray, b: np.ndarray, valid: np.ndarray, distinct: np.ndarray
) -> dict[str, np.ndarray]:
    """Features that only depend on which levels are equal, and whether all are (`flat`).

    A pair of two levels that occurs `c` times among `N`, in either order, has two cells of the
    matrix, with probability `c / 2N` each; a pair of equal levels has one, with `c / N`.
    """
    number = np.maximum(valid.sum(axis=0), 1)
    pairs = np.minimum(a, b).astype(np.uint16) * WINDOW**2 + np.maximum(a, b)
    cells = np.where(a == b, 1, 2)
    in_pairs = _multiplicity(pairs, valid)
    probability = in_pairs / (cells * number) * valid
    ends = np.concatenate([a, b])
    valid_ends = np.concatenate([valid, valid])
    in_ends = _multiplicity(ends, valid_ends)

    flat = in_ends.max(axis=0) == 2 * valid.sum(axis=0)
    level_entropy = _entropy(in_ends, valid_ends)
    joint_entropy = _entropy(in_pairs, valid) + (valid & (a != b)).sum(axis=0) / number
    mutual = np.maximum(2 * level_entropy - joint_entropy, 0)
    return {
        "flat": flat,
        "JointEnergy": probability.sum(axis=0) / number,
        "JointEntropy": joint_entropy,
        "MaximumProbability": probability.max(axis=0),
        "Imc1": np.where(flat, 0, -mutual / np.where(flat, 1, level_entropy)),
        "Imc2": np.sqrt(-np.expm1(-2 * mutual)),
        "MCC": _maximal_correlation(a, b, valid, in_ends, np.where(flat, 1, distinct)),
    }


def _maximal_correlation(
    a: np.ndarray, b: np.ndarray, valid: np.ndarray, in_ends: np.ndarray, distinct: np.ndarray
) -> np.ndarray:
    """Second largest singular value of `p(i, j) / sqrt(p(i) p(j))`, 1 where `distinct` is 1.

    The matrix is symmetric and its largest eigenvalue is 1, so that of two levels the other follows
    from the trace.
    """
    in_a, in_b = np.split(in_ends.astype(np.float64), 2)
    weights = valid / np.sqrt(np.maximum(in_a * in_b, 1))
    found = np.ones(a.shape[1])
    for size in np.unique(distinct[distinct > 1]):
        chosen = np.flatnonzero(distinct == size)
        entry = np.arange(chosen.size) * size**2 + a[:, chosen] * size + b[:, chosen]
        matrix = np.bincount(
            entry.ravel(), weights[:, chosen].ravel(), minlength=chosen.size * size**2
        ).reshape(-1, size, size)
        matrix += matrix.transpose(0, 2, 1).copy()
        if size == 2:
            found[chosen] = np.abs(matrix[:, 0, 0] + matrix[:, 1, 1] - 1)
        else:
            eigenvalues = np.linalg.eigvalsh(matrix)
            found[chosen] = np.maximum(eigenvalues[:, -2], -eigenvalues[:, 0])
    return found


def _ranks(levels: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct levels of every window from 0, in order of appearance; and how many."""
    ranks = np.zeros(levels.shape, np.uint8)
    distinct = np.zeros(levels.shape[1], np.int64)
    for k in range(len(levels)):
        same = (levels[:k] == levels[k]) & inside[:k]
        seen = same.any(axis=0)
        known = (ranks[:k] * same).max(axis=0, initial=0)
        ranks[k] = np.where(inside[k], np.where(seen, known, distinct), 0)
        distinct += inside[k] & ~seen
    return ranks, distinct


def _multiplicity(codes: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """How many valid codes of its window equal each code, uint8 of the same shape; 0 if invalid."""
    equal = [((codes == code) & valid).sum(axis=0, dtype=np.uint8) for code in codes]
    return np.array(equal) * valid


def _entropy(multiplicity: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Entropy in bits of every window's codes: the mean of `-log2 p` over them."""
    number = np.maximum(valid.sum(axis=0), 1)
    return np.log2(number) - LOG2[multiplicity].sum(axis=0) / number
