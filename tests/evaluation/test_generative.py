import numpy as np
import pytest

from medgen.errors import EvaluationError
from medgen.evaluation.generative import (
    compare,
    describe,
    features_of,
    mmd,
    ms_ssim_diversity,
    nearest_training_slice,
    precision_and_recall,
)
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


def test_descriptions_tell_place_and_texture_apart():
    rng = np.random.default_rng(0)
    smooth = np.tile(np.linspace(0, 1, 40), (1, 40, 1))
    noisy = smooth + 0.05 * rng.standard_normal((1, 40, 40))
    moved = np.roll(smooth, 20, axis=2)
    means, spectra = describe(np.concatenate([smooth, noisy, moved]))
    assert means.shape == (3, 100)
    np.testing.assert_allclose(means[0], smooth[0].reshape(10, 4, 10, 4).mean(axis=(1, 3)).ravel())
    # Noise is in the high frequencies alone, a shift in the places.
    assert np.abs(means[1] - means[0]).max() < 0.05 < np.abs(means[2] - means[0]).max()
    assert (spectra[1] - spectra[0])[-5:].min() > 2


def test_features_have_mean_0_and_both_parts_count_alike(images):
    real, same = features_of(images, images)
    np.testing.assert_array_equal(real, same)
    np.testing.assert_allclose(real.mean(axis=0), 0, atol=1e-12)
    places = describe(images)[0].shape[1]
    squares = (real**2).mean(axis=0)
    assert squares[:places].sum() == pytest.approx(squares[places:].sum())
    assert squares.mean() == pytest.approx(2)


def test_precision_and_recall_of_points_on_a_line():
    real = np.array([0.0, 1, 2, 3, 10])[:, None]
    samples = np.array([0.5, 2.5, 30, 40, 2.6])[:, None]
    # By the nearest neighbour: within 1 of 0 to 3 or 7 of 10; real ones within 2 of 0.5 (reached
    # by 2.5), 0.1 of 2.5, ... , 10 of 30 and of 40.
    precision, recall = precision_and_recall(real, samples, neighbour=1)
    assert precision == 3 / 5
    assert recall == 3 / 5
    assert precision_and_recall(real, real) == (1, 1)


def test_mmd_is_unbiased_and_sees_a_shift_and_a_spread():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((200, 4))
    none = np.mean([mmd(real, rng.standard_normal((50, 4))) for _ in range(60)])
    assert abs(none) < 0.002
    assert mmd(real, rng.standard_normal((50, 4)) + 0.5) > 0.03
    assert mmd(real, 2 * rng.standard_normal((50, 4))) > 0.03
    # By hand, for two points each on a line.
    a, b = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
    near, far = np.exp(-1 / 2), np.exp(-4 / 2)  # distances of 1 and 2, and 1 is the median
    assert mmd(a, b) == pytest.approx(2 * near - 2 * (1 + 2 * near + far) / 4)


def test_copies_are_told_from_new_images(images):
    rng = np.random.default_rng(1)
    turned = [np.clip(np.roll(images, k, axis=2) * 0.9, 0, 1) for k in (0, 7)]
    copies = compare(turned[0][:5], turned)
    assert copies.highest_ssim == pytest.approx(1)
    assert copies.precision == 1
    assert copies.real_highest_ssim < 0.99
    noise = compare(rng.random((5, 30, 41)), turned)
    assert noise.highest_ssim < 0.5
    assert noise.precision == 0
    assert noise.mmd > copies.mmd
    assert noise.ms_ssim < copies.ms_ssim
    assert np.isnan(compare(turned[0], [turned[1]]).real_nearest_ssim)


def test_a_comparison_needs_enough(images):
    with pytest.raises(
        EvaluationError, match=r"more than 3 samples that hold something .* got 3 and 6 of 30 x 41"
    ):
        compare(images[:3], [images])
