"""The fixed-point sampler: the maps of the raster one, whatever it starts from."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.nets.pixelcnn import PixelCNN
from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import categorical_draw, logistic_mixture_draw
from medgen.sampling.fixed_point import FixedPointSampler
from medgen.sampling.randomness import uniforms
from medgen.sampling.raster import RasterSampler

LEVELS, BATCH, HEIGHT, WIDTH = 200, 2, 5, 6


def randomised(model, scale: float = 1.0):
    model.build()
    rng = np.random.default_rng(3)
    for v in model.trainable_variables:
        v.assign(scale * rng.normal(size=v.shape) / np.sqrt(max(1, np.prod(v.shape[:-1]))))
    return model


def numbers(count: int) -> tf.Tensor:
    return uniforms(5, range(BATCH), (HEIGHT, WIDTH, count))


@pytest.fixture(scope="module")
def pixelminer():
    """Net, conditioning, draw, and the linear interpolation in whole levels."""
    net = randomised(PixelMinerLean(LEVELS, 1, 6, 3, 3, 4, 1, 2, dtype="float64"))
    context = np.random.default_rng(4).integers(0, LEVELS, (BATCH, HEIGHT, WIDTH, 2))
    inputs = {
        "context": context,
        "present": np.ones((BATCH, 2)),
        "position": np.full(BATCH, 0.5),
        "gap_mm": np.full(BATCH, 4.0),
    }
    draw = logistic_mixture_draw(LEVELS, net.center)
    return net, net.condition(inputs), draw, np.rint(context.mean(axis=-1)).astype(np.int32)


def test_levels_equal_raster_and_cached(pixelminer):
    net, known, draw, linear = pixelminer
    slow = RasterSampler(net, draw)(known, numbers(2)).numpy()
    levels, passes = FixedPointSampler(net, draw)(known, numbers(2), linear)
    np.testing.assert_array_equal(slow, levels)
    np.testing.assert_array_equal(slow, CachedSampler(net, draw)(known, numbers(2)))
    same, outputs = FixedPointSampler(net, draw).with_outputs(known, numbers(2), linear)
    np.testing.assert_array_equal(slow, same)
    _, expected = CachedSampler(net, draw).with_outputs(known, numbers(2))
    np.testing.assert_allclose(outputs, expected, atol=1e-9)
    assert (slow != linear).mean() > 0.5
    assert 2 < passes <= HEIGHT * WIDTH + 1


def test_the_start_decides_the_number_of_passes_alone(pixelminer):
    net, known, draw, linear = pixelminer
    sampler = FixedPointSampler(net, draw)
    levels, passes = sampler(known, numbers(2), linear)
    again, once = sampler(known, numbers(2), levels)
    np.testing.assert_array_equal(levels, again)
    assert (once, passes > 1) == (1, True)
    other, _ = sampler(known, numbers(2), np.zeros_like(linear))
    np.testing.assert_array_equal(levels, other)


def test_codes_equal_raster():
    net = randomised(PixelCNN(11, 5, 6, 3, 4, 2, dtype="float64"), 1.5)
    rng = np.random.default_rng(4)
    known = net.condition(
        {
            "previous": rng.integers(0, 11, (BATCH, HEIGHT, WIDTH)),
            "next": rng.integers(0, 11, (BATCH, HEIGHT, WIDTH)),
            "position": np.full(BATCH, 0.5),
            "gap_mm": np.full(BATCH, 4.0),
        }
    )
    draw = categorical_draw(0.7)
    slow = RasterSampler(net, draw)(known, numbers(1)).numpy()
    codes, passes = FixedPointSampler(net, draw)(known, numbers(1), np.zeros_like(slow))
    np.testing.assert_array_equal(slow, codes)
    assert len(np.unique(slow)) > 4
    assert passes <= HEIGHT * WIDTH + 1
