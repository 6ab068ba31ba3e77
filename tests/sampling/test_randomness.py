"""Numbers that belong to a seed, a slice and a place, the same everywhere."""

import numpy as np
import pytest
import tensorflow as tf

from medgen.sampling.randomness import uniforms
from medgen.serving import graph


def test_they_belong_to_seed_slice_and_place():
    a = uniforms(3, [0, 5], (4, 6, 2))
    assert a.shape == (2, 4, 6, 2)
    assert a.dtype == np.float32
    assert ((a > 0) & (a < 1)).all()
    np.testing.assert_array_equal(a[1:], uniforms(3, [5], (4, 6, 2)))
    other = uniforms(4, [0, 5], (4, 6, 2))
    assert np.unique([a, other]).size == 192


def test_philox_as_its_authors_publish_it():
    """The first of the known answers of Random123 (kat_vectors): key and counter are 0."""
    words = np.array([0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8])
    expected = (words // 2**9 + 0.5) / 2**23
    np.testing.assert_array_equal(uniforms(0, [0], (1, 2, 2)).ravel(), expected)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("seed", [0, 7, 2**40 + 3])
def test_the_graph_of_an_exported_model_has_the_same_bits(seed, jit_compile):
    places = [0, 5, 2**40, 2**62]
    inside = tf.function(lambda s: graph.uniforms(seed, s, (5, 7, 3)), jit_compile=jit_compile)
    drawn = inside(tf.constant(places, tf.int64))
    np.testing.assert_array_equal(drawn, uniforms(seed, places, (5, 7, 3)))
