"""The instruments themselves: on nets whose dependence is known."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.doctor.causality import (
    changed_by,
    earlier,
    gradients,
    in_double,
    near,
    reach,
)
from medgen.nets.pixelminer_lean import PixelMinerLean


class Above:
    """Sees twice the value two rows above, and three times the one to its left, in either half."""

    def __init__(self, leak: float = 0.0):
        self.leak = leak

    def embed(self, values, conditioning):
        return tf.cast(values, tf.float64)[..., None] * tf.ones(2, tf.float64)

    def stack(self, x, conditioning, training=False):
        above = tf.pad(x, [[0, 0], [2, 0], [0, 0], [0, 0]])[:, :-2]
        left = tf.pad(x, [[0, 0], [0, 0], [1, 0], [0, 0]])[:, :, :-1]
        return 2 * above + 3 * left + conditioning + self.leak * tf.reduce_sum(x, 0, keepdims=True)

    def head(self, features, conditioning):
        return features


def test_gradients_are_those_of_each_direction_at_each_place():
    known = np.zeros((1, 5, 4, 2))
    values = np.arange(20).reshape(1, 5, 4)
    directions = np.array([[1.0, 0.0], [0.0, 10.0]])
    by_value, by_known, leaked = gradients(Above(), known, values, [(2, 1), (4, 3)], directions)
    expected = np.zeros((2, 2, 5, 4, 2))
    for i, (row, column) in enumerate([(2, 1), (4, 3)]):
        for j, size in enumerate((1, 10)):
            expected[i, j, row - 2, column, j] = 2 * size
            expected[i, j, row, column - 1, j] = 3 * size
    np.testing.assert_array_equal(by_value, expected)
    assert by_known[0, 1, 2, 1].tolist() == [0, 10]
    assert np.count_nonzero(by_known) == 4
    assert not leaked.any()


def test_a_leak_between_images_is_found():
    *_, leaked = gradients(
        Above(leak=0.5), np.zeros((1, 4, 3, 2)), np.ones((1, 4, 3)), [(1, 2)], np.eye(2)
    )
    assert leaked[1, 2].tolist() == [0.5, 0.5]
    assert np.count_nonzero(leaked) == 2


def test_order_neighbourhood_and_reach():
    where = earlier((3, 4), (1, 2))
    np.testing.assert_array_equal(where, [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    around = near((4, 5), (2, 1), (1, 2))
    np.testing.assert_array_equal(around.sum(axis=1), [0, 4, 4, 4])
    assert around[1:, :4].all()
    assert reach(where, (1, 2)) == (1, 0, 2, 1)
    assert reach(np.zeros((3, 4), bool), (1, 2)) == (0, 0, 0, 0)


def test_all_slices_of_a_map_change_at_one_place():
    context = np.zeros((1, 5, 6, 2), int)
    context[..., 1] = 7

    def read(inputs):
        both = inputs["context"].sum(-1, keepdims=True).astype(float)
        return np.concatenate([both, np.roll(both, (2, -1), (1, 2))], axis=-1)

    assert not changed_by(["context"], read, {"context": context}, (1, 3)).any()  # 0 + 1, 7 - 1
    context[..., 0] = 3
    where = changed_by(["context"], read, {"context": context}, (1, 3))
    assert np.argwhere(where).tolist() == [[1, 3], [3, 2]]


def test_in_double_the_net_is_the_same():
    net = PixelMinerLean(64, 1, 4, 2, 2, 4, 1, 2)
    net.build()
    double = in_double(net)
    rng = np.random.default_rng(0)
    given = {
        "target": rng.integers(0, 64, (1, 5, 6)),
        "context": rng.integers(0, 64, (1, 5, 6, 2)),
        "present": np.ones((1, 2)),
        "position": np.array([0.5]),
        "gap_mm": np.array([3.0]),
    }
    mine, theirs = net(given)["mixture"], double(given)["mixture"]
    assert theirs.dtype == "float64"
    np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-3)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            PixelMinerLean.from_config(net.get_config())(given)["mixture"],
            theirs,
            rtol=1e-3,
            atol=1e-3,
        )
