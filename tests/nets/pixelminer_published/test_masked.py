"""A masked kernel on rows and pixels gives the values that it gives on the whole map."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.nets.pixelminer_published.masked import MaskedKernel

SIZES = [(2, 3, False), (1, 3, False), (2, 2, True), (2, 1, True)]


def masked(rows: int, columns: int, horizontal: bool, strides: int = 1) -> MaskedKernel:
    rng = np.random.default_rng(rows * 10 + columns)
    return MaskedKernel(tf.constant(rng.normal(size=(rows, columns, 3, 4))), horizontal, strides)


def noise(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(7).normal(size=shape))


@pytest.mark.parametrize(("rows", "columns", "horizontal"), SIZES)
def test_what_is_seen(rows, columns, horizontal):
    kernel, seen = masked(rows, columns, horizontal), set()
    for row in range(5):
        for column in range(6):
            x = np.zeros((1, 5, 6, 3))
            x[0, row, column] = 1
            if kernel(tf.constant(x))[0, 3, 2].numpy().any():
                seen.add((row - 3, column - 2))
    across = range(-1, 2) if not horizontal else range(1 - columns, 1)
    assert seen == {(i, j) for i in range(1 - rows, 1) for j in across}


@pytest.mark.parametrize(("rows", "columns", "horizontal"), SIZES)
@pytest.mark.parametrize("strides", [1, 2])
def test_row_by_row(rows, columns, horizontal, strides):
    kernel, x = masked(rows, columns, horizontal, strides), noise(2, 6, 8, 3)
    whole = kernel(x)
    assert whole.shape == (2, 6 // strides, 8 // strides, 4)
    above = tf.pad(x, [[0, 0], [1, 0], [0, 0], [0, 0]])
    for row in range(6 // strides):
        here = row * strides
        np.testing.assert_allclose(
            kernel.row(above[:, here], x[:, here]), whole[:, row], atol=1e-12
        )


@pytest.mark.parametrize(("rows", "columns", "horizontal"), SIZES[2:])
@pytest.mark.parametrize("strides", [1, 2])
def test_pixel_by_pixel(rows, columns, horizontal, strides):
    kernel, x = masked(rows, columns, horizontal, strides), noise(2, 4, 6, 3)
    whole = kernel(x)
    padded = tf.pad(x, [[0, 0], [1, 0], [1, 0], [0, 0]])
    for row in range(0, 4, strides):
        added = kernel.above(padded[:, row, 1:])
        for column in range(0, 6, strides):
            left, here = padded[:, row + 1, column], padded[:, row + 1, column + 1]
            np.testing.assert_allclose(
                added[:, column] + kernel.step(left, here),
                whole[:, row // strides, column // strides],
                atol=1e-12,
            )
