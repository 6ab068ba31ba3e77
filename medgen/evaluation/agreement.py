"""Agreement of radiomic features measured on true and on synthetic slices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

REPRODUCIBLE = 0.85


class Share(NamedTuple):
    """A share of features with its bootstrap interval, all from 0 to 1."""

    share: float
    low: float
    high: float


def concordance_correlation_coefficient(
    features_true: np.ndarray, features_test: np.ndarray
) -> np.ndarray:
    """Lin's concordance correlation coefficient of each feature over the cases.

    `2 s_xy / (s_x² + s_y² + (mean_x - mean_y)²)` with moments over n, as Lin defines them: 1 when
    both are equal in every case, lower for scatter, for a shift and for another scale.

    Args:
        features_true: `(cases, ...)`, at least two cases (slices or scans).
        features_test: of the same shape.

    Returns:
        `(...)`, from -1 to 1; NaN where both are constant and equal, or a value is not finite.

    Raises:
        ValueError: shapes differ or there are fewer than two cases.

    Example:
        >>> true = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])  # 3 cases, 2 features
        >>> test = np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]])
        >>> concordance_correlation_coefficient(true, test).round(3).tolist()
        [1.0, 0.571]

    References:
        Lin, A concordance correlation coefficient to evaluate reproducibility, Biometrics 45, 1989.
    """
    true, test = _as_cases(features_true, features_test)
    mean_true, mean_test = true.mean(axis=0), test.mean(axis=0)
    covariance = ((true - mean_true) * (test - mean_test)).mean(axis=0)
    spread = true.var(axis=0) + test.var(axis=0) + (mean_true - mean_test) ** 2
    rounding = (1e-12 * np.abs(true).max(axis=0)) ** 2
    concordance = np.full_like(spread, np.nan)
    return np.divide(2 * covariance, spread, out=concordance, where=spread > rounding)


def reproducible_share(
    features_true: np.ndarray,
    features_test: np.ndarray,
    *,
    threshold: float = REPRODUCIBLE,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Share:
    """Share of features whose concordance is at least `threshold`, with a bootstrap interval.

    The interval holds the middle `confidence` of the shares of `resamples` sets of cases drawn with
    replacement (percentile bootstrap). Features without a concordance coefficient do not count.

    Args:
        features_true: `(cases, features)`.
        features_test: of the same shape.
        threshold: lowest concordance that passes.
        confidence: of the interval.
        resamples: sets of cases drawn.
        seed: of the draws.

    Raises:
        ValueError: shapes differ or there are fewer than two cases.

    Example:
        >>> true = np.random.default_rng(0).normal(size=(20, 4))  # 20 cases, 4 features
        >>> test = true + [0.0, 0.0, 0.0, 9.0]
        >>> reproducible_share(true, test).share
        0.75
    """
    true, test = _as_cases(features_true, features_test)
    generator = np.random.default_rng(seed)
    draws = generator.integers(len(true), size=(resamples, len(true)))
    shares = [_share(true[cases], test[cases], threshold) for cases in draws]
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    finite = [share for share in shares if np.isfinite(share)]
    low, high = np.quantile(finite, tails) if finite else (np.nan, np.nan)
    return Share(_share(true, test, threshold), float(low), float(high))


def nrmse(features_true: np.ndarray, features_test: np.ndarray) -> np.ndarray:
    """Root mean squared error of each feature over its range (max - min) on the true slices.

    Args:
        features_true: `(cases, ...)`, at least two cases.
        features_test: of the same shape.

    Returns:
        `(...)`, 0 at best; NaN where the true feature is constant or a value is not finite.

    Raises:
        ValueError: shapes differ or there are fewer than two cases.

    Example:
        >>> true = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])  # 3 cases, 2 features
        >>> nrmse(true, true + [0.0, 1.0]).round(3).tolist()
        [0.0, 0.5]
    """
    true, test = _as_cases(features_true, features_test)
    spread = np.ptp(true, axis=0)
    error = np.sqrt(np.square(test - true).mean(axis=0))
    return np.divide(error, spread, out=np.full_like(error, np.nan), where=spread > 0)


def published_normalized_errors(features_true: np.ndarray, features_test: np.ndarray) -> np.ndarray:
    """Absolute errors brought to 0 ... 1 for each feature over all cases *and* methods.

    This is what the script published with PixelMiner averages and calls NRMSE. It depends on which
    methods are compared, so only the paper's own 0.11 can be set beside its mean.

    Args:
        features_true: `(cases, features)`.
        features_test: `(methods, cases, features)`.

    Returns:
        `(methods, cases, features)`; NaN for features whose errors are all alike.

    Raises:
        ValueError: shapes do not fit.

    Example:
        >>> true = np.zeros((2, 1))  # 2 cases, 1 feature
        >>> test = np.array([[[1.0], [3.0]], [[2.0], [5.0]]])  # of 2 methods
        >>> published_normalized_errors(true, test)[..., 0].tolist()
        [[0.0, 0.5], [0.25, 1.0]]

    References:
        Rogers et al., PixelMiner, 2023; script `results texture.py` published with it.
    """
    true, test = np.asarray(features_true, np.float64), np.asarray(features_test, np.float64)
    if test.shape[1:] != true.shape:
        raise ValueError(f"features of shape {test.shape} do not fit the true {true.shape}")
    errors = np.abs(test - true)
    smallest = errors.min(axis=(0, 1))
    spread = errors.max(axis=(0, 1)) - smallest
    return np.divide(errors - smallest, spread, out=np.full_like(errors, np.nan), where=spread > 0)


def _share(true: np.ndarray, test: np.ndarray, threshold: float) -> float:
    concordance = concordance_correlation_coefficient(true, test)
    concordance = concordance[np.isfinite(concordance)]
    return float((concordance >= threshold).mean()) if concordance.size else float("nan")


def _as_cases(
    features_true: np.ndarray, features_test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 arrays of one shape with at least two cases in front."""
    true, test = np.asarray(features_true, np.float64), np.asarray(features_test, np.float64)
    if true.shape != test.shape:
        raise ValueError(f"features must have one shape, got {true.shape} and {test.shape}")
    if true.ndim < 1 or len(true) < 2:
        raise ValueError(f"agreement needs at least two cases, got shape {true.shape}")
    return true, test
