import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medgen.evaluation.noise import (
    high_frequency_power_ratio,
    homogeneous_tissue,
    local_deviation,
    local_deviation_ratio,
    power_spectrum_distance,
    radial_power_spectrum,
    seam_score,
)


def slices(count: int, deviation: float, seed: int = 0) -> np.ndarray:
    """A disc of tissue (1000) in air (0) with white noise everywhere: `(count, 96, 81)`."""
    i, j = np.mgrid[:96, :81]
    disc = 1000.0 * (np.hypot(i - 48, j - 40) < 33)
    return disc + np.random.default_rng(seed).normal(0, deviation, (count, 96, 81))


def test_same_noise_gives_ratios_of_one():
    neighbours, test = slices(2, 20), slices(1, 20, seed=1)[0]
    assert high_frequency_power_ratio(neighbours, test) == pytest.approx(1, abs=0.05)
    assert local_deviation_ratio(neighbours, test) == pytest.approx(1, abs=0.05)
    assert high_frequency_power_ratio(neighbours[:1], neighbours[0]) == 1
    assert local_deviation_ratio(neighbours[:1], neighbours[0]) == 1


def test_mean_of_two_slices_has_half_the_noise_power():
    # What linear interpolation at the middle of a gap does.
    neighbours = slices(2, 20)
    mean = neighbours.mean(axis=0)
    assert local_deviation_ratio(neighbours, mean) == pytest.approx(np.sqrt(0.5), abs=0.03)
    assert high_frequency_power_ratio(neighbours, mean) == pytest.approx(0.5, abs=0.05)


def test_noise_twice_as_strong_doubles_deviation_and_quadruples_power():
    neighbours = slices(2, 20)
    test = slices(1, 40, seed=1)[0]
    assert local_deviation_ratio(neighbours, test) == pytest.approx(2, abs=0.1)
    assert high_frequency_power_ratio(neighbours, test) == pytest.approx(4, rel=0.05)


def test_smoothing_takes_high_frequencies_first():
    neighbours = slices(2, 20)
    smooth = gaussian_filter(slices(1, 20, seed=1)[0], 1.5)
    assert high_frequency_power_ratio(neighbours, smooth) < 0.01


def test_homogeneous_tissue_is_inside_the_disc_and_off_its_edge():
    tissue = homogeneous_tissue(slices(2, 20))
    i, j = np.nonzero(tissue)
    assert np.hypot(i - 48, j - 40).max() < 31
    disc = np.pi * 33**2
    assert tissue.sum() == pytest.approx(disc / 4, rel=0.02)


def test_padding_is_not_tissue():
    padded = slices(2, 20)
    padded[:, :, 50:] = 3000.0  # constant, and brighter than the tissue
    assert not homogeneous_tissue(padded)[:, 53:].any()


def test_constant_neighbours_have_no_noise_to_compare_with():
    flat, test = np.full((2, 30, 40), 5.0), slices(1, 20)[0, :30, :40]
    assert np.isnan(local_deviation_ratio(flat, test))
    assert np.isnan(high_frequency_power_ratio(flat, test))


def test_local_deviation_by_hand():
    image = np.random.default_rng(3).normal(500, 30, (12, 15))
    assert local_deviation(image)[5, 7] == pytest.approx(image[3:8, 5:10].std())
    assert (local_deviation(np.full((9, 8), 1000.1)) == 0).all()


@pytest.mark.parametrize("shape", [(96, 81), (60, 140)])
def test_white_noise_has_its_variance_as_density_at_every_frequency(shape):
    images = np.random.default_rng(5).normal(50, 7, (60, *shape))
    spectra = np.array([radial_power_spectrum(image)[1] for image in images])
    assert spectra.shape[1] == min(shape) // 2
    np.testing.assert_allclose(spectra.mean(axis=0)[2:], 49, rtol=0.15)
    assert spectra.mean() == pytest.approx(49, rel=0.03)


def test_a_wave_lies_on_its_ring():
    i = np.mgrid[:96, :80][0]
    frequencies, power = radial_power_spectrum(np.sin(2 * np.pi * 0.2 * i))
    assert frequencies[power.argmax()] == pytest.approx(0.2, abs=1 / 80)


def test_power_spectrum_distance_of_scaled_noise_is_its_gain_in_decibels():
    image = slices(1, 20)[0]
    assert power_spectrum_distance(image, image) == 0
    assert power_spectrum_distance(image, 2 * image) == pytest.approx(20 * np.log10(2))
    assert power_spectrum_distance(2 * image, image) == pytest.approx(20 * np.log10(2))
    assert np.isnan(power_spectrum_distance(image, np.zeros_like(image)))


def test_seams_raise_the_score_only_at_their_own_borders():
    image = np.random.default_rng(2).normal(0, 1, (64, 96))
    assert seam_score(image, window=(16, 24)) == pytest.approx(1, abs=0.1)
    i, j = np.mgrid[:64, :96]
    tiles = image + 5 * ((i // 16 + j // 24) % 2)
    assert seam_score(tiles, window=(16, 24)) > 4
    assert seam_score(tiles, window=(15, 25)) < 1


def test_seam_score_by_hand():
    image = np.tile([0.0, 1, 0, 10, 11, 10], (2, 1))  # border between columns 2 and 3: step 10
    assert seam_score(image, window=(2, 3)) == pytest.approx(10 / (8 / 14))


def test_no_border_no_score():
    assert np.isnan(seam_score(np.random.default_rng(0).normal(size=(8, 9)), window=(8, 9)))
