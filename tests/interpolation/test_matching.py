"""Texture of the acquired neighbours, given to a drawn slice."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medgen.evaluation.noise import high_frequency_power_ratio, power_spectrum_distance
from medgen.interpolation.matching import REACH, match_texture


def noise(seed: int, shape, deviation=1.0, sigma=0.0) -> np.ndarray:
    values = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)
    return deviation * values / values.std()


def two_tissues(seed: int, left: float, right: float, sigma=0.0) -> np.ndarray:
    """Noise of two deviations around 0 and 400."""
    image = noise(seed, (96, 96), 1.0, sigma)
    image[:, :48] *= left
    image[:, 48:] *= right
    image[:, 48:] += 400
    return image


NEIGHBOURS = np.stack([two_tissues(seed, 10, 30) for seed in (1, 2)])


def test_what_has_their_texture_stays():
    image = NEIGHBOURS[0]
    np.testing.assert_allclose(match_texture(image, np.stack([image, image])), image, atol=1e-9)


@pytest.mark.parametrize("deviation", [6, 15])
def test_every_tissue_gets_its_own_noise(deviation):
    drawn = two_tissues(3, deviation, deviation)
    matched = match_texture(drawn, NEIGHBOURS)
    for columns, wanted in ((slice(8, 40), 10), (slice(56, 88), 30)):
        assert matched[:, columns].std() == pytest.approx(wanted, rel=0.1)
        # The same noise, stronger or weaker.
        assert np.corrcoef(matched[:, columns].ravel(), drawn[:, columns].ravel())[0, 1] > 0.7


def test_every_frequency_gets_its_own_noise():
    neighbours = np.stack([noise(seed, (96, 96), 10, sigma=1.0) for seed in (1, 2)])
    drawn = noise(3, (96, 96), 10)
    matched = match_texture(drawn, neighbours)
    much, little = (high_frequency_power_ratio(neighbours, one) for one in (drawn, matched))
    assert much - 1 > 5 * abs(little - 1)
    far, near = (power_spectrum_distance(neighbours[0], one) for one in (drawn, matched))
    assert near < far - 1


def test_an_edge_stays_where_it_was_drawn():
    drawn = np.roll(two_tissues(3, 15, 15), 5, axis=1)
    matched = match_texture(drawn, NEIGHBOURS)[:, 8:]
    assert ((matched[:, :42] < 200).mean(), (matched[:, 49:] > 200).mean()) == (1, 1)


def test_nothing_the_neighbours_have_not_nearby():
    drawn = two_tissues(3, 10, 30)
    drawn[20, 20], drawn[60, 70] = 900, -900
    matched = match_texture(drawn, NEIGHBOURS)
    for row, column in ((20, 20), (60, 70)):
        around = NEIGHBOURS[:, row - REACH // 2 :, column - REACH // 2 :][:, :REACH, :REACH]
        assert around.min() <= matched[row, column] <= around.max()


def test_constant_where_the_neighbours_are():
    neighbours = NEIGHBOURS.copy()
    neighbours[:, :30, :30] = -1024
    matched = match_texture(two_tissues(3, 10, 30), neighbours)
    assert (matched[: 30 - REACH // 2, : 30 - REACH // 2] == -1024).all()
    np.testing.assert_array_equal(match_texture(noise(3, (9, 8)), np.full((2, 9, 8), 7.0)), 7)


def test_means_come_from_the_reference():
    drawn = two_tissues(3, 10, 30)
    drifting = drawn + np.linspace(-30, 30, 96)[:, None]
    reference = two_tissues(4, 0, 0)

    def drift(image):
        smooth = gaussian_filter(image - reference, 8.0)[8:-8]
        return np.ptp(smooth.mean(axis=1))

    without, with_reference = (
        drift(match_texture(drifting, NEIGHBOURS, given)) for given in (None, reference)
    )
    assert with_reference < without / 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (3, 2), (5, 7)])
def test_small_slices(shape):
    neighbours = np.stack(
        [noise(seed, shape) if np.prod(shape) > 1 else [[seed]] for seed in (1, 2)]
    )
    matched = match_texture(np.full(shape, 9.0), neighbours)
    assert matched.shape == shape
    assert (neighbours.min() <= matched).all()
    assert (matched <= neighbours.max()).all()
