"""What a slice costs that is only known to lie near another: the bits a model has to beat."""

from __future__ import annotations

import numpy as np

from medgen.likelihoods import bits_per_dim, logistic_mixture

# Logarithms of the scales that are tried, in levels, lie this far apart.
STEP = 0.25
LOWEST = -1.0


def logistic_bits_per_dim(target: np.ndarray, center: np.ndarray, levels: int) -> float:
    """Bits per pixel of a discretised logistic around `center` with the best one scale for all.

    Args:
        target: levels, any shape.
        center: of the same shape, in levels, float32.
        levels: number of levels.
    """
    bits = []
    for log_scale in np.arange(LOWEST, np.log(levels), STEP, dtype=np.float32):
        params = np.zeros((*target.shape, 3), np.float32)
        params[..., 2] = log_scale
        log_prob = logistic_mixture.log_prob(params, target, levels=levels, center=center)
        bits.append(float(bits_per_dim(log_prob)))
    return min(bits)
