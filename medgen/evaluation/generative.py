"""Quality of images sampled from a generative model: are they copies, and do they differ?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from medgen.evaluation.similarity import ms_ssim, ssim


@dataclass(frozen=True, eq=False)
class Nearest:
    """The training slice most like each sample: its index and its SSIM, both `(samples,)`."""

    index: np.ndarray
    ssim: np.ndarray


def nearest_training_slice(
    samples: np.ndarray, training_slices: np.ndarray, *, data_range: float
) -> Nearest:
    """Find the training slice most like each sample, to tell a memorised image from a new one.

    A sample whose SSIM comes near 1 is a copy. What "near" means depends on the scans: compare with
    the same measure for held-out real slices.

    Args:
        samples: `(samples, rows, cols)`, values from 0 to `data_range`.
        training_slices: `(slices, rows, cols)`, same units.
        data_range: span of the possible values.

    Raises:
        ValueError: there is no training slice, or shapes differ.
    """
    if not len(training_slices):
        raise ValueError("at least one training slice is needed")
    likeness = np.array(
        [[ssim(s, t, data_range=data_range) for t in training_slices] for s in samples]
    ).reshape(len(samples), len(training_slices))
    return Nearest(likeness.argmax(axis=1), likeness.max(axis=1))


def ms_ssim_diversity(
    samples: np.ndarray, *, data_range: float, max_pairs: int = 1000, seed: int = 0
) -> float:
    """Mean MS-SSIM of pairs of samples: near 1 when all look alike, low when they differ.

    To be read beside the same number for real slices, as in Odena et al. [1].

    Args:
        samples: `(samples, rows, cols)`, at least two, values from 0 to `data_range`.
        data_range: span of the possible values.
        max_pairs: all pairs are used up to this many; beyond, that many drawn without replacement.
        seed: of the draw.

    Raises:
        ValueError: there are fewer than two samples.

    References:
        [1] Odena, Olah & Shlens, Conditional image synthesis with auxiliary classifier GANs,
            ICML 2017, section 4.2.
    """
    if len(samples) < 2:
        raise ValueError(f"diversity needs at least two samples, got {len(samples)}")
    pairs = np.array(list(combinations(range(len(samples)), 2)))
    if len(pairs) > max_pairs:
        pairs = np.random.default_rng(seed).permutation(pairs)[:max_pairs]
    return float(
        np.mean([ms_ssim(samples[a], samples[b], data_range=data_range) for a, b in pairs])
    )
