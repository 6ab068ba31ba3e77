"""The temperature that gives drawn slices the noise of acquired ones."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.evaluation.noise import high_frequency_power_ratio
from medgen.interpolation.matching import matching_temperature
from medgen.nets.pixelminer import PixelMiner
from medgen.samplers.randomness import PLACES, uniforms
from medgen.samplers.slices import SliceSampler

LEVELS = 400
POSITIONS = np.array([0.5, 1.25, 2.75])


class PlainNoise:
    """A net that draws every pixel from one logistic around level 200."""

    autoregressive, context, levels = False, 1, LEVELS

    def __init__(self, deviation: float):
        self.scale = deviation * np.sqrt(3) / np.pi

    def read(self, inputs):
        shape = inputs["context"].shape[:3]
        params = np.tile(np.float32([0, 0, np.log(self.scale)]), (*shape, 1))
        return None, tf.constant(params), tf.fill(shape, 200.0)


def acquired(deviation: float, shape=(4, 60, 70)) -> np.ndarray:
    """A dark margin around tissue at level 200 with noise of this standard deviation."""
    levels = np.full(shape, 20)
    noise = np.random.default_rng(1).normal(0, deviation, shape)
    levels[:, 5:-4, 3:-6] = np.rint(200 + noise)[:, 5:-4, 3:-6]
    return levels.clip(0, LEVELS - 1)


@pytest.mark.parametrize("expected", [0.5, 1.0, 1.6])
def test_it_is_the_ratio_of_the_noise(expected):
    net = PlainNoise(10 / expected)
    found = matching_temperature(net, acquired(10), POSITIONS, 4.0, seed=3)
    assert found == pytest.approx(expected, rel=0.06)
    assert found == round(found, 3)
    assert found == matching_temperature(net, acquired(10), POSITIONS, 4.0, seed=3)
    assert found != matching_temperature(net, acquired(10), POSITIONS, 4.0, seed=4)


@pytest.mark.parametrize(("deviation", "end"), [(60, 0.4), (1, 2.0)])
def test_what_cannot_be_matched_is_an_end_of_the_range(deviation, end):
    assert matching_temperature(PlainNoise(deviation), acquired(10), POSITIONS, 4.0, 3) == end


@pytest.mark.parametrize("levels", [np.full((4, 60, 70), 200), acquired(10)[:, :12, :9]])
def test_none_without_noise_in_homogeneous_tissue(levels):
    assert matching_temperature(PlainNoise(10), levels, POSITIONS, 4.0, 3) is None


def test_slices_drawn_at_it_are_as_noisy_as_their_neighbours():
    net = PixelMiner(LEVELS, 1, 4, 2, 2, 4, 1, 2)
    net.build()
    levels = acquired(40)
    found = matching_temperature(net, levels, POSITIONS, 4.0, seed=3)
    assert 0.4 < found < 2
    known = {
        "context": levels[[[0, 1]]].transpose(0, 2, 3, 1),
        "present": np.ones((1, 2)),
        "position": np.array([0.5]),
        "gap_mm": np.array([4.0]),
    }
    place = tf.constant([PLACES // 2], tf.int64)
    numbers = [uniforms(seed, place, (60, 70, 2)) for seed in range(8, 14)]

    def ratio(temperature: float) -> float:
        drawn, _ = SliceSampler(net, temperature, jit_compile=False).fill(known, numbers)
        return np.mean([high_frequency_power_ratio(levels[:2], one) for (one,) in drawn])

    assert ratio(found) == pytest.approx(1, abs=0.1)
    assert ratio(2 * found) > 1.5
