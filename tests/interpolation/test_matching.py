"""Texture of the acquired neighbours, given to a drawn slice."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import (
    gaussian_filter,
    gaussian_gradient_magnitude,
    maximum_filter,
    minimum_filter,
)
from scipy.stats import rankdata

from medgen.evaluation.noise import high_frequency_power_ratio, power_spectrum_distance
from medgen.interpolation.matching import REACH, Texture, _ranked


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
    np.testing.assert_allclose(Texture(np.stack([image, image])).given_to(image), image, atol=1e-9)


@pytest.mark.parametrize("deviation", [6, 15])
def test_every_tissue_gets_its_own_noise(deviation):
    drawn = two_tissues(3, deviation, deviation)
    matched = Texture(NEIGHBOURS).given_to(drawn)
    for columns, wanted in ((slice(8, 40), 10), (slice(56, 88), 30)):
        assert matched[:, columns].std() == pytest.approx(wanted, rel=0.1)
        # The same noise, stronger or weaker.
        assert np.corrcoef(matched[:, columns].ravel(), drawn[:, columns].ravel())[0, 1] > 0.7


def test_every_frequency_gets_its_own_noise():
    neighbours = np.stack([noise(seed, (96, 96), 10, sigma=1.0) for seed in (1, 2)])
    drawn = noise(3, (96, 96), 10)
    matched = Texture(neighbours).given_to(drawn)
    much, little = (high_frequency_power_ratio(neighbours, one) for one in (drawn, matched))
    assert much - 1 > 5 * abs(little - 1)
    far, near = (power_spectrum_distance(neighbours[0], one) for one in (drawn, matched))
    assert near < far - 1


def test_an_edge_stays_where_it_was_drawn():
    drawn = np.roll(two_tissues(3, 15, 15), 5, axis=1)
    matched = Texture(NEIGHBOURS).given_to(drawn)[:, 8:]
    assert ((matched[:, :42] < 200).mean(), (matched[:, 49:] > 200).mean()) == (1, 1)


def test_nothing_the_neighbours_have_not_nearby():
    drawn = two_tissues(3, 10, 30)
    drawn[20, 20], drawn[60, 70] = 900, -900
    matched = Texture(NEIGHBOURS).given_to(drawn)
    for row, column in ((20, 20), (60, 70)):
        around = NEIGHBOURS[:, row - REACH // 2 :, column - REACH // 2 :][:, :REACH, :REACH]
        assert around.min() <= matched[row, column] <= around.max()


def test_constant_where_the_neighbours_are():
    neighbours = NEIGHBOURS.copy()
    neighbours[:, :30, :30] = -1024
    matched = Texture(neighbours).given_to(two_tissues(3, 10, 30))
    assert (matched[: 30 - REACH // 2, : 30 - REACH // 2] == -1024).all()
    np.testing.assert_array_equal(Texture(np.full((2, 9, 8), 7.0)).given_to(noise(3, (9, 8))), 7)


def test_means_come_from_the_reference():
    drawn = two_tissues(3, 10, 30)
    drifting = drawn + np.linspace(-30, 30, 96)[:, None]
    reference = two_tissues(4, 0, 0)

    def drift(image):
        smooth = gaussian_filter(image - reference, 8.0)[8:-8]
        return np.ptp(smooth.mean(axis=1))

    without, with_reference = (
        drift(Texture(NEIGHBOURS).given_to(drifting, given)) for given in (None, reference)
    )
    assert with_reference < without / 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (3, 2), (5, 7)])
def test_small_slices(shape):
    neighbours = np.stack(
        [noise(seed, shape) if np.prod(shape) > 1 else [[seed]] for seed in (1, 2)]
    )
    matched = Texture(neighbours).given_to(np.full(shape, 9.0))
    assert matched.shape == shape
    assert (neighbours.min() <= matched).all()
    assert (matched <= neighbours.max()).all()


def class_by_class(image, neighbours, reference):
    """What `Texture` gives, written as it is told: one class, one rank after the other."""
    low = np.min([minimum_filter(one, REACH) for one in neighbours], axis=0)
    high = np.max([maximum_filter(one, REACH) for one in neighbours], axis=0)
    varies = low < high

    def parted(image):
        means = [gaussian_filter(image, sigma) for sigma in (0.8, 1.6, 3.2)]
        bands = [fine - coarse for fine, coarse in pairwise([image, *means])]
        gradient = gaussian_gradient_magnitude(image, 1.6)
        return [values[varies] for values in (means[1], gradient, *bands)]

    def centred(image):
        return image - gaussian_filter(image - reference, 8.0)

    def between(values, count):
        return np.quantile(values, np.arange(1, count) / count)

    means, gradients, *shown = map(np.concatenate, zip(*map(parted, neighbours), strict=True))
    count = min(12, max(1, means.size // 4000))
    limits = between(means, count)
    steps = [between(gradients[np.searchsorted(limits, means) == k], 4) for k in range(count)]

    def classes(mean, gradient):
        of = np.searchsorted(limits, mean)
        finer = [np.searchsorted(steps[k], one) for k, one in zip(of, gradient, strict=True)]
        return 4 * of + finer

    of_shown = classes(means, gradients)
    for _ in range(3):
        image = centred(np.clip(image, low, high))
        mean, gradient, *bands = parted(image)
        of = classes(mean, gradient)
        for band, wanted in zip(bands, shown, strict=True):
            mapped = band.copy()
            for k in np.unique(of):
                target = np.sort(wanted[of_shown == k])
                ranks = rankdata(band[of == k], method="ordinal") - 0.5
                places = ranks * target.size / ranks.size - 0.5
                mapped[of == k] = np.interp(places, np.arange(target.size), target)
            image[varies] += mapped - band
    return np.clip(centred(image), low, high)


def test_each_class_is_mapped_in_its_order():
    neighbours = NEIGHBOURS.copy()
    neighbours[:, :30, :30] = -1024
    drawn, reference = two_tissues(9, 15, 15), two_tissues(4, 0, 0)
    expected = class_by_class(drawn, neighbours, reference)
    matched = Texture(neighbours).given_to(drawn, reference)
    np.testing.assert_allclose(matched, expected, rtol=0, atol=1e-6)
    single = Texture(neighbours.astype(np.float32)).given_to(drawn.astype(np.float32), reference)
    assert single.dtype == np.float32
    # Pixels whose values are equal but for rounding may change places.
    assert np.abs(single - expected).mean() < 0.01


def test_a_texture_is_given_again_as_the_first_time():
    texture = Texture(NEIGHBOURS)
    first = texture.given_to(two_tissues(3, 15, 15))
    texture.given_to(two_tissues(5, 5, 50))
    np.testing.assert_array_equal(texture.given_to(two_tissues(3, 15, 15)), first)
    columns_first = np.asfortranarray(two_tissues(3, 15, 15))
    np.testing.assert_array_equal(texture.given_to(columns_first), first)


@given(
    arrays(np.float32, 40, elements=st.sampled_from([-np.inf, -3, -2.5, -0.0, 0, 1e-40, 2, 7])),
    st.lists(st.integers(0, 20), min_size=1, max_size=4),
)
def test_pixels_are_ranked_class_by_class_and_equal_values_by_place(values, sizes):
    pixels = np.random.default_rng(0).permutation(40)[: sum(sizes)]
    sizes = np.diff(np.minimum(np.cumsum([0, *sizes]), len(pixels)))
    parts = np.split(np.array(pixels), np.cumsum(sizes)[:-1])
    expected = [sorted(part, key=lambda pixel: (values[pixel], pixel)) for part in parts]
    ranked = _ranked(values, pixels, sizes)
    np.testing.assert_array_equal(ranked, np.concatenate(expected))
