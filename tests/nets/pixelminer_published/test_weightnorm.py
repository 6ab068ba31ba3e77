"""Weight normalisation against its formula, and against plain convolutions."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import correlate

from medgen.nets.pixelminer_published.weightnorm import (
    WeightNormConv2D,
    WeightNormConv2DTranspose,
    WeightNormDense,
)

CHANNELS, FILTERS = 3, 4
# Axis of the output channels in each kernel.
LAYERS = [
    (WeightNormDense(FILTERS, dtype="float64"), 1),
    (WeightNormConv2D(FILTERS, (2, 3), dtype="float64"), 3),
    (WeightNormConv2DTranspose(FILTERS, (2, 3), dtype="float64"), 2),
]


@pytest.mark.parametrize(("layer", "axis"), LAYERS, ids=lambda x: type(x).__name__)
def test_the_gain_is_the_norm_and_the_direction_alone_counts(layer, axis):
    layer.build((None, None, None, CHANNELS))
    untrained = layer.kernel.numpy()
    np.testing.assert_allclose(untrained, layer.direction.numpy(), rtol=1e-12)
    assert 0.1 < np.abs(untrained).max() < 2

    gain = np.array([0.5, -2.0, 1.0, 3.0])
    layer.gain.assign(gain)
    layer.direction.assign(7 * layer.direction)
    kernels = np.moveaxis(layer.kernel.numpy(), axis, 0).reshape(FILTERS, -1)
    directions = np.moveaxis(untrained, axis, 0).reshape(FILTERS, -1)
    np.testing.assert_allclose(np.linalg.norm(kernels, axis=1), np.abs(gain), rtol=1e-12)
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    np.testing.assert_allclose(kernels, gain[:, None] * unit, rtol=1e-12)


def test_convolution_is_a_correlation_plus_bias():
    layer = WeightNormConv2D(FILTERS, (2, 3), strides=2, dtype="float64")
    x = np.random.default_rng(0).normal(size=(1, 7, 8, CHANNELS))
    layer.build(x.shape)
    layer.bias.assign([1.0, 2.0, 3.0, 4.0])
    y = layer(x).numpy()[0]
    for i, kernel in enumerate(np.moveaxis(layer.kernel.numpy(), -1, 0)):
        expected = correlate(x[0], kernel, mode="valid")[::2, ::2, 0] + i + 1
        np.testing.assert_allclose(y[..., i], expected, atol=1e-12)


def test_transposed_convolution_spreads_each_position():
    layer = WeightNormConv2DTranspose(FILTERS, (2, 3), dtype="float64")
    x = np.random.default_rng(0).normal(size=(1, 3, 2, CHANNELS))
    layer.build(x.shape)
    expected = np.zeros((6, 5, FILTERS))
    for row in range(3):
        for column in range(2):
            spread = np.einsum("ijfc,c->ijf", layer.kernel.numpy(), x[0, row, column])
            expected[2 * row : 2 * row + 2, 2 * column : 2 * column + 3] += spread
    np.testing.assert_allclose(layer(x)[0], expected, atol=1e-12)


def test_both_parts_of_the_weights_are_trained():
    layer = WeightNormDense(FILTERS, dtype="float64")
    layer.build((None, CHANNELS))
    x = tf.constant(np.random.default_rng(0).normal(size=(5, CHANNELS)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    direction, gain, bias = tape.gradient(loss, layer.trainable_variables)
    assert (gain.numpy() != 0).all()
    assert (bias.numpy() != 0).all()
    # What would only lengthen a direction changes nothing.
    along = (direction * layer.direction).numpy().sum(0)
    np.testing.assert_allclose(along, 0, atol=1e-12)
    assert np.abs(direction).max() > 1e-3


@pytest.mark.parametrize(("layer", "axis"), LAYERS, ids=lambda x: type(x).__name__)
def test_config_round_trip(layer, axis):
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
