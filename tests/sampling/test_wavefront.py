"""The wavefront sampler against the cached one, which is tested against the reference."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.nets.pixelcnn import PixelCNN
from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import categorical_draw, logistic_mixture_draw
from medgen.sampling.randomness import uniforms
from medgen.sampling.slices import SliceSampler
from medgen.sampling.wavefront import WavefrontSampler


def scrambled(model):
    """Weights under which everything in reach counts."""
    model.build()
    rng = np.random.default_rng(3)
    for v in model.trainable_variables:
        v.assign(1.5 * rng.normal(size=v.shape) / np.sqrt(max(1, np.prod(v.shape[:-1]))))
    return model


@pytest.fixture(scope="module")
def prior() -> PixelCNN:
    return scrambled(PixelCNN(11, 5, 6, 3, 4, 2, dtype="float64"))


# Narrower than the net's reach, of one row or column, of several turns of the slots.
@pytest.mark.parametrize(
    ("batch", "height", "width"), [(2, 9, 5), (3, 6, 16), (1, 1, 9), (1, 7, 1), (2, 13, 19)]
)
def test_equal_to_cached_code_for_code(prior, batch, height, width):
    rng = np.random.default_rng(4)
    conditioning = tf.constant(rng.normal(size=(batch, height, width, 4)))
    numbers = uniforms(5, range(batch), (height, width, 1))
    draw = categorical_draw()
    codes, outputs = CachedSampler(prior, draw).with_outputs(conditioning, numbers)
    got, got_outputs = WavefrontSampler(prior, draw).with_outputs(conditioning, numbers)
    np.testing.assert_array_equal(got, codes)
    np.testing.assert_allclose(got_outputs, outputs, atol=1e-10)
    np.testing.assert_array_equal(WavefrontSampler(prior, draw)(conditioning, numbers), codes)


def test_a_map_is_the_same_alone_and_among_others(prior):
    """Maps of several sizes on one canvas, each at its top left; nothing beyond a map counts."""
    sizes = [(9, 5), (3, 16), (13, 1), (1, 1), (8, 16)]
    rng = np.random.default_rng(7)
    conditioning = rng.normal(size=(len(sizes), 13, 16, 4))
    numbers = uniforms(2, range(len(sizes)), (13, 16, 1))
    sampler = WavefrontSampler(prior, categorical_draw())
    together, outputs = sampler.with_outputs(
        tf.constant(conditioning), tf.constant(numbers), tf.constant(sizes)
    )
    for i, (height, width) in enumerate(sizes):
        piece = np.s_[i : i + 1, :height, :width]
        codes, alone = sampler.with_outputs(
            tf.constant(conditioning[piece]), tf.constant(numbers[piece])
        )
        np.testing.assert_array_equal(together[piece], codes)
        np.testing.assert_allclose(outputs[piece], alone, atol=1e-10)


@pytest.mark.parametrize(
    ("batch", "height", "width"), [(1, 1, 4000), (3, 2, 700), (16, 64, 64), (2, 500, 1)]
)
def test_slots_are_no_more_than_rows_and_fill_registers(prior, batch, height, width):
    """So that a low and wide map takes memory by its pixels and not by its width squared."""
    sampler = WavefrontSampler(prior, categorical_draw())
    slots, cycle = (int(n) for n in sampler._slots(batch, height, width))
    assert slots * batch % 16 == 0
    assert height + 3 <= slots <= height + 3 + 16 or slots == cycle <= width // sampler.reach + 17
    assert sampler.reach * cycle >= width + sampler.reach - 1


def test_equal_levels_of_a_pixelminer():
    net = scrambled(PixelMinerLean(64, 1, 6, 2, 2, 4, 1, 2, dtype="float64"))
    rng = np.random.default_rng(4)
    inputs = {
        "context": rng.integers(0, 64, (2, 8, 23, 2)),
        "present": np.ones((2, 2)),
        "position": np.array([0.25, 0.5]),
        "gap_mm": np.array([3.0, 5.0]),
    }
    conditioning = net.condition(inputs)
    numbers = uniforms(1, range(2), (8, 23, 2))
    draw = logistic_mixture_draw(64, net.center)
    levels = CachedSampler(net, draw)(conditioning, numbers)
    np.testing.assert_array_equal(WavefrontSampler(net, draw)(conditioning, numbers), levels)
    assert len(np.unique(levels)) > 8
    whole = SliceSampler(net, method="wavefront", jit_compile=False)
    np.testing.assert_array_equal(whole(inputs, numbers), levels)
