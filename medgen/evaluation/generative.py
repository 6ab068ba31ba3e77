"""Quality of images sampled from a generative model: copies, variety, and likeness to real ones."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.spatial.distance import cdist, pdist
from skimage.measure import block_reduce

from medgen.errors import EvaluationError
from medgen.evaluation.noise import radial_power_spectrum
from medgen.evaluation.similarity import ms_ssim, ssim

# Of `describe`: places a side that an image is averaged at.
PLACES = 10
# Of `precision_and_recall`: the neighbour whose distance bounds what is like an image.
NEIGHBOUR = 3


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


def describe(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What images look like, coarsely: means over a grid of `PLACES`, and log power by frequency.

    The first part tells anatomy, the second texture. No net is asked, as one that was trained on
    photographs is no judge of scans, and one trained on the scans would know its own.

    Args:
        images: `(n, rows, cols)` of at least `PLACES` a side, values from 0 to 1.

    Returns:
        Means `(n, places)` and powers `(n, rings)`.
    """
    blocks = tuple(-(-side // PLACES) for side in images.shape[1:])
    means = block_reduce(images, (1, *blocks), np.mean).reshape(len(images), -1)
    spectra = np.log(np.array([radial_power_spectrum(image)[1] for image in images]) + 1e-12)
    return means, spectra


def features_of(real: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `describe` tells of both, of mean 0 and deviation 1 over the real images.

    The two parts, which differ in length, count alike.

    Returns:
        `(n, features)` and `(m, features)`.
    """
    parts = []
    for a, b in zip(describe(real), describe(samples), strict=True):
        mean, deviation = a.mean(axis=0), a.std(axis=0)
        scale = np.where(deviation > 0, deviation, 1) * a.shape[1] ** 0.5
        parts.append([(one - mean) / scale for one in (a, b)])
    of_real, of_samples = (np.hstack(one) for one in zip(*parts, strict=True))
    weight = of_real.shape[1] ** 0.5  # so that features have a deviation near 1
    return weight * of_real, weight * of_samples


def precision_and_recall(
    real: np.ndarray, samples: np.ndarray, neighbour: int = NEIGHBOUR
) -> tuple[float, float]:
    """Share of samples that are like a real image, and share of real images that a sample is like.

    An image is like another if it is no further from it than that one's k-th neighbour of its own
    kind (Kynkäänniemi et al. [1], equations 1 and 2).

    Args:
        real: features `(n, d)`, more than `neighbour` of them.
        samples: features `(m, d)`, likewise.
        neighbour: k.

    References:
        [1] Kynkäänniemi et al., Improved precision and recall metric for assessing generative
            models, NeurIPS 2019.
    """

    def share(inside: np.ndarray, of: np.ndarray) -> float:
        radius = np.sort(cdist(of, of), axis=1)[:, neighbour]  # column 0: itself
        return float((cdist(inside, of) <= radius).any(axis=1).mean())

    return share(samples, real), share(real, samples)


def mmd(real: np.ndarray, samples: np.ndarray) -> float:
    """Squared maximum mean discrepancy, without bias: 0 where both come from one distribution.

    Gretton et al. [1], equation 3, with a Gaussian kernel whose sigma is the median distance of
    real images (section 8), so that it is at most about 2.

    Args:
        real: features `(n, d)`, at least two.
        samples: features `(m, d)`, at least two.

    References:
        [1] Gretton et al., A kernel two-sample test, Journal of Machine Learning Research, 2012.
    """
    variance = float(np.median(pdist(real, "sqeuclidean"))) or 1.0

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(-cdist(a, b, "sqeuclidean") / (2 * variance))

    def within(a: np.ndarray) -> float:
        k = kernel(a, a)
        return float((k.sum() - np.trace(k)) / (len(a) * (len(a) - 1)))

    return within(real) + within(samples) - 2 * float(kernel(real, samples).mean())


@dataclass(frozen=True)
class Comparison:
    """Samples beside real slices; what is called `real_...` is of real slices among themselves.

    Args:
        nearest_ssim: mean over samples of the SSIM of the real slice most like each.
        highest_ssim: the highest of these: near 1, a copy.
        real_nearest_ssim: of as many real slices, evenly spread, the mean SSIM of the most alike
            slice of another scan; NaN with one scan.
        real_highest_ssim: the highest of these.
        ms_ssim: mean MS-SSIM of pairs of samples, see `ms_ssim_diversity`.
        real_ms_ssim: of pairs of real slices.
        precision: see `precision_and_recall`.
        recall: likewise.
        mmd: see there.
    """

    nearest_ssim: float
    highest_ssim: float
    real_nearest_ssim: float
    real_highest_ssim: float
    ms_ssim: float
    real_ms_ssim: float
    precision: float
    recall: float
    mmd: float


def compare(samples: np.ndarray, scans: list[np.ndarray], seed: int = 0) -> Comparison:
    """Compare samples with the slices of real scans.

    Args:
        samples: `(m, rows, cols)`, values from 0 to 1.
        scans: of each, `(n, rows, cols)`, likewise.
        seed: of the pairs that diversity is measured of.

    Raises:
        EvaluationError: too few samples or slices, or too small ones.
    """
    real = np.concatenate(scans)
    fewest = min(len(samples), len(real))
    if fewest <= NEIGHBOUR or min(samples.shape[1:]) < PLACES:
        raise EvaluationError(
            f"A comparison takes more than {NEIGHBOUR} samples that hold something and as many "
            f"real slices, of {PLACES} pixels a side or more; got {len(samples)} and {len(real)} "
            f"of {' x '.join(map(str, samples.shape[1:]))}."
        )
    nearest = nearest_training_slice(samples, real, data_range=1).ssim
    real_nearest = _nearest_of_another_scan(scans, len(samples))
    features = features_of(real, samples)
    precision, recall = precision_and_recall(*features)
    return Comparison(
        nearest_ssim=float(nearest.mean()),
        highest_ssim=float(nearest.max()),
        real_nearest_ssim=float(real_nearest.mean()),
        real_highest_ssim=float(real_nearest.max()),
        ms_ssim=ms_ssim_diversity(samples, data_range=1, seed=seed),
        real_ms_ssim=ms_ssim_diversity(real, data_range=1, seed=seed),
        precision=precision,
        recall=recall,
        mmd=mmd(*features),
    )


def _nearest_of_another_scan(scans: list[np.ndarray], count: int) -> np.ndarray:
    """SSIM `(count,)` of slices spread over all scans with the most alike of another scan."""
    if len(scans) == 1:
        return np.array([np.nan])
    every = [(i, k) for i, scan in enumerate(scans) for k in range(len(scan))]
    chosen = np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)
    likeness = []
    for i, k in (every[n] for n in chosen):
        others = np.concatenate(scans[:i] + scans[i + 1 :])
        likeness.append(nearest_training_slice(scans[i][k][None], others, data_range=1).ssim[0])
    return np.array(likeness)
