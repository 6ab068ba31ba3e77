"""The quantiser against numpy, and the promises of its docstring."""

import keras
import numpy as np
import pytest
from keras import ops

from medgen.layers.quantizer import VectorQuantizer, codebook_statistics


@pytest.fixture
def quantizer() -> VectorQuantizer:
    layer = VectorQuantizer(7, 3, decay=0.9, commitment_cost=0.25, seed=2)
    layer.build((None, 3))
    layer.set_codebook(np.random.default_rng(0).normal(size=(7, 3)))
    return layer


def points(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(*shape, 3)).astype("float32")


def test_takes_the_nearest_entry(quantizer):
    x = points(2, 4, 5)
    quantized, codes = quantizer(x)
    codebook = np.array(quantizer.codebook)
    distances = np.linalg.norm(x[..., None, :] - codebook, axis=-1)
    np.testing.assert_array_equal(codes, distances.argmin(-1))
    np.testing.assert_allclose(quantized, codebook[distances.argmin(-1)], rtol=1e-6)
    np.testing.assert_array_equal(quantizer.decode(codes), codebook[np.array(codes)])


def test_gradient_passes_straight_through(quantizer):
    tf = pytest.importorskip("tensorflow")
    x = tf.constant(points(6))
    weights = tf.constant(points(6))
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(quantizer(x)[0] * weights)
    np.testing.assert_allclose(tape.gradient(loss, x), weights, rtol=1e-6)


def test_commitment_is_the_weighted_mean_square(quantizer):
    x = points(6)
    quantized, _ = quantizer(x)
    expected = 0.25 * np.mean((x - np.array(quantized)) ** 2)
    np.testing.assert_allclose(sum(quantizer.losses), expected, rtol=1e-5)


def test_inference_leaves_every_state_as_it_is(quantizer):
    before = [np.array(v) for v in quantizer.variables]
    quantizer(points(50), training=False)
    for old, new in zip(before, quantizer.variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_unused_entries_stay_put_and_used_ones_follow_their_mean(quantizer):
    codebook = np.array(quantizer.codebook)
    x = codebook[[2, 2, 5]] + 0.01
    quantizer(x.astype("float32"), training=True)
    updated = np.array(quantizer.codebook)
    unused = [i for i in range(7) if i not in (2, 5)]
    np.testing.assert_allclose(updated[unused], codebook[unused], rtol=1e-6)
    # Averages: (0.9 · 1 · e + 0.1 · n (e + 0.01)) / (0.9 + 0.1 n)
    for entry, n in ((2, 2), (5, 1)):
        np.testing.assert_allclose(
            updated[entry], codebook[entry] + 0.001 * n / (0.9 + 0.1 * n), rtol=1e-5
        )


def test_a_dead_entry_restarts_at_a_vector_of_the_batch():
    layer = VectorQuantizer(3, 2, decay=0.5, revival_threshold=0.2, seed=0)
    layer.build((None, 2))
    layer.set_codebook(np.array([[0.0, 0], [1, 1], [90, 90]]))
    x = np.array([[0.0, 0], [1, 1], [0, 0], [1, 1]], "float32")
    for _ in range(2):
        layer(x, training=True)
        np.testing.assert_allclose(layer.codebook[2], [90, 90], rtol=1e-5)
    layer(x, training=True)
    assert np.array(layer.codebook[2]).tolist() in ([0, 0], [1, 1])
    assert float(layer.ema_counts[2]) == 1.0


def test_usage_counts_every_training_batch_until_taken(quantizer):
    x = points(40)
    codes = np.array(quantizer.encode(x))
    quantizer(x, training=True)
    np.testing.assert_array_equal(quantizer.take_usage(), np.bincount(codes, minlength=7))
    assert quantizer.take_usage().sum() == 0


def test_statistics_of_known_counts():
    assert codebook_statistics(np.array([4, 4, 0, 0])) == {
        "usage": 0.5,
        "perplexity": 2.0,
        "entropy_bits": 1.0,
    }
    assert codebook_statistics(np.zeros(3))["perplexity"] == 0.0


def test_config_round_trip(quantizer):
    again = VectorQuantizer.from_config(quantizer.get_config())
    assert again.get_config() == quantizer.get_config()
    assert again.decay == 0.9


def test_encode_keeps_leading_axes(quantizer):
    x = points(2, 3, 4)
    flat = quantizer.encode(x.reshape(-1, 3))
    np.testing.assert_array_equal(ops.reshape(flat, (2, 3, 4)), quantizer.encode(x))
    assert keras.backend.standardize_dtype(flat.dtype) == "int32"
