"""Two-sided causality, and rows and columns against the whole map."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.layers.causal import CausalInput, GatedBlock
from medgen.layers.stack import CausalStack


def noise(*shape: int, seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float64)


def randomise(layer) -> None:
    rng = np.random.default_rng(5)
    for v in layer.trainable_variables:
        v.assign(rng.normal(size=v.shape) / np.sqrt(max(1, np.prod(v.shape[:-1]))))


@pytest.fixture
def stack() -> CausalStack:
    layer = CausalStack(4, 2, kernel_size=5, dtype="float64")
    layer.build((None, None, None, 3), (None, None, None, 2))
    randomise(layer)
    return layer


def test_each_position_depends_on_all_earlier_ones_in_reach_and_on_no_other(stack):
    batch, height, width = 2, 7, 9
    row, column = 5, 4
    x = noise(batch, height, width, 3)
    conditioning = noise(batch, height, width, 2, seed=1)
    with tf.GradientTape() as tape:
        tape.watch(x)
        # A random direction, so that no gradient cancels by symmetry.
        out = tf.reduce_sum(stack(x, conditioning)[0, row, column] * noise(4, seed=2))
    gradient = np.abs(tape.gradient(out, x).numpy()).max(-1)
    assert not gradient[1].any()  # other images of the batch
    reach_up, reach_left = stack.receptive_field
    assert (reach_up, reach_left) == (4, 4)
    for r in range(height):
        for c in range(width):
            earlier = r < row or (r == row and c < column)
            # The widest row of the cone: 2 columns for the first layer, 1 for each block.
            near = row - r <= reach_up and abs(c - column) <= reach_left
            if not earlier:
                assert gradient[0, r, c] == 0, (r, c)
            elif near:
                assert gradient[0, r, c] > 0, (r, c)


def test_conditioning_reaches_from_its_own_row_and_above(stack):
    x, conditioning = noise(1, 4, 5, 3), noise(1, 4, 5, 2, seed=1)
    with tf.GradientTape() as tape:
        tape.watch(conditioning)
        out = tf.reduce_sum(stack(x, conditioning)[0, 2, 3] * noise(4, seed=2))
    gradient = np.abs(tape.gradient(out, conditioning).numpy()).max(-1)[0]
    # Through the vertical stack of the first block, 3 columns of this row and the one above.
    reached = np.zeros((4, 5), bool)
    reached[1:3, 2:5] = True
    np.testing.assert_array_equal(gradient > 0, reached)


def test_first_layer_by_rows_and_columns_equals_the_whole_map():
    layer = CausalInput(4, 5, dtype="float64")
    layer.build((None, None, None, 3))
    randomise(layer)
    x = noise(2, 6, 7, 3)
    vertical, horizontal = layer(x)
    padded = np.pad(x, ((0, 0), (2, 0), (0, 0), (0, 0)))
    for row in range(6):
        np.testing.assert_allclose(
            layer.rows(padded[:, row : row + 2])[:, 0], vertical[:, row], atol=1e-12
        )
    padded = np.pad(x, ((0, 0), (0, 0), (2, 0), (0, 0)))
    for column in range(7):
        np.testing.assert_allclose(
            layer.step(padded[:, 3, column : column + 2]), horizontal[:, 3, column], atol=1e-12
        )


def test_block_by_rows_and_columns_equals_the_whole_map():
    block = GatedBlock(4, dtype="float64")
    block.build(*[(None, None, None, 4)] * 2, (None, None, None, 2))
    randomise(block)
    v, h, s = noise(2, 6, 7, 4), noise(2, 6, 7, 4, seed=1), noise(2, 6, 7, 2, seed=2)
    vertical, horizontal = block(v, h, s)
    above = np.pad(v, ((0, 0), (1, 0), (0, 0), (0, 0)))
    left = np.pad(h, ((0, 0), (0, 0), (1, 0), (0, 0)))
    for row in range(6):
        rows, injected = block.rows(above[:, row : row + 2], s[:, row : row + 1])
        np.testing.assert_allclose(rows[:, 0], vertical[:, row], atol=1e-12)
        for column in range(7):
            np.testing.assert_allclose(
                block.step(left[:, row, column : column + 2], injected[:, 0, column]),
                horizontal[:, row, column],
                atol=1e-12,
            )


def test_config_round_trip(stack):
    assert CausalStack.from_config(stack.get_config()).get_config() == stack.get_config()
    block = GatedBlock(4, kernel_size=5, dropout=0.1)
    assert GatedBlock.from_config(block.get_config()).get_config() == block.get_config()
