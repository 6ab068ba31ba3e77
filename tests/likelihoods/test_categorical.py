import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from medgen.likelihoods import bits_per_dim, categorical


def test_log_prob_is_the_log_softmax_at_the_code():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 5, (2, 3, 4, 7)).astype(np.float32)
    codes = rng.integers(0, 7, (2, 3, 4))
    expected = special.log_softmax(logits.astype(np.float64), axis=-1)
    expected = np.take_along_axis(expected, codes[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(categorical.log_prob(logits, codes), expected, rtol=1e-5, atol=1e-6)


def test_log_prob_is_keras_cross_entropy_and_float32_for_bfloat16():
    logits = tf.cast(np.random.default_rng(1).normal(0, 3, (5, 6)), tf.bfloat16)
    codes = np.array([0, 5, 3, 1, 2])
    actual = categorical.log_prob(logits, codes)
    assert actual.dtype == tf.float32
    expected = tf.keras.losses.sparse_categorical_crossentropy(
        codes, tf.cast(logits, tf.float32), from_logits=True
    )
    np.testing.assert_allclose(actual, -expected, rtol=1e-5)


def test_extreme_logits_stay_finite_with_their_gradients():
    logits = tf.constant([[1e30, 0.0, -1e30], [-3e4, 3e4, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        log_prob = categorical.log_prob(logits, [1, 1])
    np.testing.assert_allclose(log_prob, [-1e30, 0.0])
    np.testing.assert_allclose(tape.gradient(log_prob, logits), [[-1, 1, 0], [0, 0, 0]])


def test_bits_of_uniform_codes():
    log_prob = categorical.log_prob(np.zeros((3, 4, 512), np.float32), np.full((3, 4), 17))
    assert float(bits_per_dim(log_prob)) == pytest.approx(9.0, abs=1e-5)


def test_bits_are_a_mean_over_everything():
    log_prob = np.log([[1.0, 0.5], [0.25, 0.125]])
    assert float(bits_per_dim(log_prob)) == pytest.approx((0 + 1 + 2 + 3) / 4)


def test_sample_inverts_the_cumulative_probabilities():
    logits = np.log(np.array([0.25, 0.0, 0.5, 0.25]) + 1e-38).astype(np.float32)
    uniforms = np.array([0.0, 0.2499, 0.2501, 0.7499, 0.7501, 1 - 2**-24, 1.0])
    drawn = categorical.sample(logits, uniforms)
    np.testing.assert_array_equal(drawn, [0, 0, 2, 2, 3, 3, 3])
    assert drawn.dtype == tf.int32


def test_frequencies_are_the_probabilities():
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 1.5, 40).astype(np.float32)
    drawn = categorical.sample(logits, rng.random(100_000)).numpy()
    expected = special.softmax(logits.astype(np.float64)) * 100_000
    assert stats.chisquare(np.bincount(drawn, minlength=40), expected).pvalue > 1e-3
