import numpy as np
import pytest

from medgen.evaluation.generative import ms_ssim_diversity, nearest_training_slice
from medgen.evaluation.similarity import ms_ssim, ssim


@pytest.fixture(scope="module")
def images():
    """Six unrelated smooth images, `(6, 30, 41)`, in 0 ... 1."""
    i, j = np.mgrid[:30, :41]
    return np.array([0.5 + 0.4 * np.sin(i / (2 + n)) * np.cos(j * (1 + n) / 9) for n in range(6)])


def test_a_copy_is_found_with_its_source(images):
    samples = np.array([images[4], 0.5 * images[1] + 0.5 * images[2], images[0] + 1e-3])
    nearest = nearest_training_slice(samples, images, data_range=1)
    assert nearest.index[0] == 4
    assert nearest.index[2] == 0
    assert nearest.ssim[0] == pytest.approx(1)
    by_hand = [ssim(samples[1], image, data_range=1) for image in images]
    assert nearest.ssim[1] == max(by_hand) < 0.95


def test_nearest_needs_training_slices(images):
    with pytest.raises(ValueError, match="at least one training slice"):
        nearest_training_slice(images, images[:0], data_range=1)


def test_diversity_is_the_mean_over_pairs(images):
    three = images[:3]
    pairs = [(0, 1), (0, 2), (1, 2)]
    by_hand = np.mean([ms_ssim(three[a], three[b], data_range=1) for a, b in pairs])
    assert ms_ssim_diversity(three, data_range=1) == pytest.approx(by_hand)
    assert by_hand < 0.9


def test_equal_samples_have_diversity_one(images):
    assert ms_ssim_diversity(images[[2, 2, 2]], data_range=1) == pytest.approx(1)


def test_drawn_pairs_depend_on_the_seed_only(images):
    first, again, other = (
        ms_ssim_diversity(images, data_range=1, max_pairs=4, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_diversity_needs_two_samples(images):
    with pytest.raises(ValueError, match="at least two samples, got 1"):
        ms_ssim_diversity(images[:1], data_range=1)
