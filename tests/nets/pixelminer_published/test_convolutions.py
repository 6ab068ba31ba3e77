"""Convolutions over three slices: what they compute, and that their parts make the whole."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.nets.pixelminer_published.convolutions import (
    PixelMinerConv,
    PixelMinerInput,
    PixelMinerTranspose,
)

STACKS = [((2, 3), False), ((2, 2), True), ((1, 3), False), ((2, 1), True)]


def noise(*shape: int, seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


def built(layer, channels: int):
    layer.build((None, None, None, channels))
    rng = np.random.default_rng(5)
    for v in layer.trainable_variables:
        v.assign(rng.normal(size=v.shape))
    return layer


def conv3d(layer, slices, size, horizontal, strides):
    """Depth-2 convolution of `slices` `(b, 2, h, w, c)`, of a layer over channels behind others."""
    rows, columns = size
    sides = (columns - 1, 0) if horizontal else ((columns - 1) // 2,) * 2
    slices = tf.pad(slices, [[0, 0], [0, 0], [rows - 1, 0], [*sides], [0, 0]])
    kernel = tf.stack(tf.split(layer.kernel, 2, axis=2))  # (2, rows, columns, c, f)
    steps = (1, 1, strides, strides, 1)
    return tf.nn.conv3d(slices, kernel, steps, "VALID")[:, 0] + layer.bias


@pytest.mark.parametrize(("size", "horizontal"), STACKS)
@pytest.mark.parametrize("strides", [1, 2])
def test_3d_convolutions_of_depth_2_mix_and_merge(size, horizontal, strides):
    layer = built(PixelMinerConv(4, size, horizontal, strides, dtype="float64"), 3)
    slices = noise(3, 2, 6, 8, 3)  # previous, middle, next
    previous, middle, following = np.split(layer(tf.reshape(slices, (6, 6, 8, 3))).numpy(), 3)

    pairs = tf.stack(tuple(slices[:2]), 1), tf.stack(tuple(slices[1:]), 1)
    mixed = [conv3d(layer.mix, pair, size, horizontal, 1) for pair in pairs]
    merged = conv3d(layer.merge, tf.stack(mixed, 1), size, horizontal, strides)
    np.testing.assert_allclose(middle, merged, atol=1e-10)

    for outer, given in ((previous, slices[0]), (following, slices[2])):
        padded = tf.pad(given, [[0, 0], [1, 1], [1, 1], [0, 0]])
        expected = tf.nn.conv2d(padded, layer.outer.kernel, strides, "VALID") + layer.outer.bias
        np.testing.assert_allclose(outer, expected, atol=1e-10)


@pytest.mark.parametrize(("size", "horizontal"), STACKS)
@pytest.mark.parametrize("strides", [1, 2])
def test_outer_and_middle_parts_make_the_whole(size, horizontal, strides):
    layer = built(PixelMinerConv(4, size, horizontal, strides, dtype="float64"), 3)
    x = noise(6, 6, 8, 3)
    previous, middle, following = tf.split(x, 3)
    outer, injected = layer.read(tf.concat([previous, following], 0))
    mixing, merging = layer.middle()
    parts = merging(mixing(middle) + injected) + layer.merge.bias
    whole = tf.split(layer(x), 3)
    np.testing.assert_allclose(parts, whole[1], atol=1e-10)
    np.testing.assert_allclose(outer, tf.concat([whole[0], whole[2]], 0), atol=1e-10)


def test_transposed_rows_and_pixels():
    x = noise(2, 3, 4, 3)
    vertical = built(PixelMinerTranspose(5, False, dtype="float64"), 3)
    whole = vertical(x)
    assert whole.shape == (2, 6, 8, 5)
    for row in range(6):
        parity = tf.constant(row % 2)
        np.testing.assert_allclose(
            vertical.row(vertical.conv.kernel, x[:, row // 2], parity), whole[:, row], atol=1e-12
        )
    horizontal = built(PixelMinerTranspose(5, True, dtype="float64"), 3)
    whole = horizontal(x)
    assert whole.shape == (2, 6, 8, 5)
    for row, column in np.ndindex(6, 8):
        pixel = horizontal.step(
            horizontal.conv.kernel,
            x[:, row // 2, column // 2],
            tf.constant(row % 2),
            tf.constant(column % 2),
        )
        np.testing.assert_allclose(pixel, whole[:, row, column], atol=1e-12)


@pytest.mark.parametrize("horizontal", [False, True])
def test_transposed_maps_know_no_later_position(horizontal):
    """Rows 2r and 2r + 1 come from row r; horizontally, so do columns."""
    layer = built(PixelMinerTranspose(5, horizontal, dtype="float64"), 3)
    x = np.zeros((1, 3, 4, 3))
    x[0, 1, 2] = 1
    reached = (layer(tf.constant(x)) - layer.conv.bias).numpy()[0].any(-1)
    expected = np.zeros((6, 8), bool)
    expected[2:4, 4 - (not horizontal) : 6] = True
    np.testing.assert_array_equal(reached, expected)


def test_input_sees_earlier_pixels_of_the_middle_and_no_other():
    layer = built(PixelMinerInput(4, dtype="float64"), 2)
    x = noise(3, 6, 7, 2)
    seen = []
    for i in (0, 1):
        with tf.GradientTape() as tape:
            tape.watch(x)
            out = tf.reduce_sum(layer(x)[i][1, 4, 3] * noise(4, seed=2))
        seen.append(np.abs(tape.gradient(out, x).numpy()).max(-1)[1] > 0)
    # Two masked convolutions of 2 x 3, 1 x 3 and 2 x 1, the former two a row down, the last a
    # column right.
    vertical, horizontal = np.zeros((2, 6, 7), bool)
    vertical[1:4, 1:6] = True
    horizontal[3, 1:6] = True
    horizontal[2:5, 2] = True
    np.testing.assert_array_equal(seen[0], vertical)
    np.testing.assert_array_equal(seen[1], horizontal)


@pytest.mark.parametrize(
    "layer",
    [PixelMinerConv(4, (2, 3), False, 2), PixelMinerTranspose(4, True), PixelMinerInput(4)],
    ids=lambda x: type(x).__name__,
)
def test_config_round_trip(layer):
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
