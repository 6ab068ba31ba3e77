"""Weights of thin slices in a thick one."""

import numpy as np
import pytest

from medgen.profiles.shape import SliceProfile


@pytest.mark.parametrize("shape", ["box", "gaussian"])
@pytest.mark.parametrize("thickness", [0.0, 0.3, 2.5, 7.0])
def test_weights_sum_to_one_and_have_the_variance_of_the_profile(shape, thickness):
    profile = SliceProfile(shape, thickness)
    weights = profile.weights(0.5)
    offsets = (np.arange(len(weights)) - len(weights) // 2) * 0.5
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights, weights[::-1])
    if thickness > 0.5:  # as exactly as thin slices can have it
        assert weights @ offsets**2 == pytest.approx(profile.deviation_mm**2, abs=0.5**2 / 4)
    else:
        np.testing.assert_allclose(weights[len(weights) // 2], 1, atol=0.05)


def test_a_box_by_hand():
    np.testing.assert_allclose(SliceProfile("box", 4.0).weights(1.0), np.array([1, 2, 2, 2, 1]) / 8)
    np.testing.assert_allclose(SliceProfile("box", 3.0).weights(1.0), np.ones(3) / 3)


def test_half_the_maximum_at_half_the_width():
    weights = SliceProfile("gaussian", 4.0).weights(0.01)
    middle = len(weights) // 2
    assert weights[middle + 200] == pytest.approx(weights[middle] / 2, rel=1e-3)
