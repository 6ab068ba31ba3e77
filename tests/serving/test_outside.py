"""Padding and background in a graph, against what interpolation finds in numpy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from medgen.intensities import padding
from medgen.intensities.modality import MODALITIES
from medgen.serving import outside as served


def scans():
    """Bodies of any shape amid one exact value or noise, with padding, in slices of any size."""
    rng = np.random.default_rng(8)
    for n, rows, cols in [(2, 30, 34), (5, 41, 28), (1, 12, 12), (3, 1, 9), (2, 1, 1), (4, 2, 3)]:
        for value in (0, -1000, -1024, -3024, None):
            body = gaussian_filter(rng.normal(size=(n, rows, cols)), (0, 3, 3)) > 0.05
            values = np.where(body, rng.integers(-3, 60, body.shape), 0 if value is None else value)
            if value is None:
                values += rng.integers(-2, 3, body.shape)
            corner = np.add.outer(np.arange(rows), np.arange(cols)) < rng.integers(1, 9, (n, 1, 1))
            yield np.where(corner, -2000, values).astype(np.float32)
            yield values.astype(np.float32)


@pytest.mark.parametrize("name", ["ct", "mr"])
def test_padding_and_background_are_those_of_interpolation(name):
    kind, with_background = MODALITIES[name], 0

    @tf.function(reduce_retracing=True, autograph=False)
    def find(values):
        outside = served.find_outside(values, kind)
        return outside.padding, outside.background

    for values in scans():
        expected = padding.find_outside(values, kind)
        outside = served.GraphOutside(*find(tf.constant(values)))
        np.testing.assert_array_equal(outside.padding, expected.padding)
        np.testing.assert_array_equal(outside.background, expected.background)
        with_background += expected.background.any()
        shown = values.copy()
        expected.without_padding(shown, kind.air)
        np.testing.assert_array_equal(outside.without_padding(values, kind.air), shown)
        for position in np.arange(1, 4 * len(values) - 4) / 4:
            if position.is_integer():
                continue
            weight = tf.constant(position % 1, tf.float64)
            held, nearest = outside.held(tf.constant(int(position)), weight)
            of, slice_ = expected.held(position)
            np.testing.assert_array_equal(held, of)
            assert int(nearest) == slice_
    assert with_background >= 8


def test_a_winding_inlet_is_reached_to_its_end():
    """Ten passages of 8 pixels, one behind the other, joined at alternate ends; one is open."""
    values = np.zeros((1, 91, 60), np.float32)
    values[:, ::9] = values[:, :, [0, -1]] = 7
    for number, wall in enumerate(range(9, 90, 9)):
        values[:, wall, slice(51, 59) if number % 2 else slice(1, 9)] = 0
    values[:, 1:9, -1] = 0
    values = np.pad(values, [(0, 0), (12, 12), (12, 12)])
    outside = served.find_outside(tf.constant(values), MODALITIES["mr"])
    np.testing.assert_array_equal(outside.background, values == 0)
    values[:, 12 + 45, 12:72] = 7  # half of them shut off
    outside = served.find_outside(tf.constant(values), MODALITIES["mr"])
    assert not outside.background[:, 58:102, 13:71].numpy().any()
