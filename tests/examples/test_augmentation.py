"""Changes to examples are those of physics: the right size, alike where they must be."""

import numpy as np
from scipy.ndimage import gaussian_filter

from medgen.examples.augmentation import (
    add_noise,
    change_kernel,
    random_half_thickness,
    random_kernel,
    random_noise,
    random_zoom,
    resized,
    slice_profile,
)


def test_profile_of_a_slice_as_thick_as_its_distance():
    class Largest:
        def random(self):
            return 1.0

        def uniform(self, low, high):
            return high

    def thickest(gap, largest):
        return slice_profile(random_half_thickness(gap, largest, Largest()))

    np.testing.assert_allclose(thickest(4, 1.0), np.array([0.5, 1, 1, 1, 0.5]) / 4)
    np.testing.assert_allclose(thickest(5, 1.0), np.full(5, 0.2))
    np.testing.assert_allclose(thickest(2, 0.25), [1.0])


def test_half_of_the_profiles_are_thin_and_all_are_symmetric():
    def drawn(largest, seed):
        return slice_profile(random_half_thickness(6, largest, np.random.default_rng(seed)))

    profiles = [drawn(1.0, seed) for seed in range(60)]
    assert 20 <= sum(len(profile) == 1 for profile in profiles) <= 45
    for profile in profiles:
        assert np.isclose(profile.sum(), 1)
        np.testing.assert_array_equal(profile, profile[::-1])
    assert max(map(len, profiles)) == 7
    assert drawn(0.0, 3).tolist() == [1.0]


def test_zoom_keeps_places_and_constants():
    assert np.isclose(resized(np.full((2, 40, 40), 7.0), 64), 7).all()
    ramp = np.broadcast_to(np.arange(40.0), (2, 40, 40))
    larger, smaller = resized(ramp, 80), resized(ramp, 20)
    # Pixel i of the new image lies at (i + 1/2) * 40 / side - 1/2 of the old one.
    np.testing.assert_allclose(
        larger[0, 40, 10:-10], (np.arange(10, 70) + 0.5) / 2 - 0.5, atol=0.02
    )
    np.testing.assert_allclose(smaller[0, 10, 4:-4], (np.arange(4, 16) + 0.5) * 2 - 0.5, atol=0.02)
    zooms = [random_zoom(0.3, np.random.default_rng(seed)) for seed in range(50)]
    assert 0.7 <= min(zooms) < 0.8
    assert 1.3 < max(zooms) <= 1 / 0.7
    assert 10 <= zooms.count(1.0) <= 40


def test_noise_has_one_strength_and_correlation_but_is_new_in_each_slice():
    images = np.zeros((7, 64, 64), np.float32)
    touched = []
    for seed in range(20):
        noise = add_noise(images, *random_noise(0.02, images.shape, np.random.default_rng(seed)))
        if noise.any():
            touched.append(noise)
            deviations = noise.std(axis=(1, 2))
            assert deviations.max() < 1.2 * deviations.min()
            assert 0 < noise.std() <= 0.02
            correlation = np.corrcoef(noise.reshape(7, -1))
            assert np.abs(correlation - np.eye(7)).max() < 0.25
    assert 4 <= len(touched) <= 16
    neighbouring = [np.corrcoef(n[:, 1:].ravel(), n[:, :-1].ravel())[0, 1] for n in touched]
    assert min(neighbouring) < 0.3
    assert max(neighbouring) > 0.6


def test_kernel_sharpens_and_smooths_all_slices_alike():
    images = np.random.default_rng(0).normal(size=(3, 40, 40)).astype(np.float32)

    def changed(images, seed):
        return change_kernel(images, *random_kernel(0.8, np.random.default_rng(seed)))

    power = [np.square(changed(images, seed)).mean() for seed in range(20)]
    original = np.square(images).mean()
    assert min(power) < 0.8 * original
    assert max(power) > 1.3 * original
    # A pattern that the filter multiplies by one factor gets the same factor in every slice.
    pattern = np.broadcast_to(np.cos(np.pi * np.arange(40)), (3, 40, 40))
    factor = changed(pattern, 1)[:, 8:-8, 8:-8] / pattern[:, 8:-8, 8:-8]
    np.testing.assert_allclose(factor, factor[0, 0, 0], rtol=1e-3)
    flat = gaussian_filter(np.ones((2, 30, 30)), (0, 1, 1))
    np.testing.assert_allclose(changed(flat, 1), flat)
