"""The guess at modality."""

import numpy as np
import pytest

from medgen.intensities.guess import guess_modality

RNG = np.random.default_rng(11)
TISSUE = RNG.normal(40, 20, 10_000).round()
AIR = RNG.normal(-1000, 15, 1000).round()
SIGNAL = RNG.rayleigh(100, 10_000).round()
OUTSIDE = np.full(2000, -3024.0)


@pytest.mark.parametrize(
    ("values", "modality"),
    [
        (np.concatenate([TISSUE, AIR]), "ct"),
        (np.concatenate([TISSUE, AIR, OUTSIDE]), "ct"),
        (np.concatenate([TISSUE, AIR[:5]]), "unknown"),  # cropped inside the body
        (np.concatenate([TISSUE, AIR]) + 1024, "mr"),  # no longer HU
        (SIGNAL, "mr"),
        (np.concatenate([SIGNAL, -SIGNAL[:100]]), "mr"),  # ringing after resampling
        (np.concatenate([SIGNAL, -SIGNAL[:1000]]), "unknown"),
        (SIGNAL > 100, "unknown"),  # a mask
        (np.concatenate([TISSUE, AIR, [-30000.0]]), "unknown"),
        (np.concatenate([TISSUE, AIR, [np.nan, -np.inf]]), "ct"),
        (np.full(10, np.nan), "unknown"),
        (np.zeros(10), "unknown"),
    ],
)
def test_guess(values, modality):
    assert guess_modality(values.astype(np.float32)) == modality
