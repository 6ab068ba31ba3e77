import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from medgen.likelihoods import logistic_mixture
from medgen.likelihoods.tfp import DiscretizedLogisticMixture

tfd = tfp.distributions


def oracle(params, center, levels):
    """The same mixture put together from TFP's own parts."""
    logits, means, log_scales = tf.split(params, 3, axis=-1)
    logistic = tfd.Logistic(center[..., None] + means, tf.exp(log_scales))
    shifted = tfd.TransformedDistribution(logistic, tfp.bijectors.Shift(-0.5))
    quantized = tfd.QuantizedDistribution(shifted, low=0.0, high=levels - 1.0)
    return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), quantized)


@pytest.fixture
def params():
    rng = np.random.default_rng(0)
    shape = (2, 3, 4)
    parts = (rng.normal(0, 2, shape), rng.normal(0, 30, shape), rng.uniform(-2, 4, shape))
    return tf.constant(np.concatenate(parts, axis=-1), tf.float32)  # (2, 3, 12)


@pytest.fixture
def center():
    return tf.constant(np.random.default_rng(1).uniform(60, 190, (2, 3)), tf.float32)


@pytest.mark.parametrize(("levels", "tolerance"), [(256, 2e-4), (4096, 2e-3)])
def test_log_prob_and_gradient_are_those_of_tfp(params, center, levels, tolerance):
    center = center * (levels / 256)
    ours = DiscretizedLogisticMixture(params, levels=levels, center=center)
    theirs = oracle(params, center, levels)
    offsets = np.array([-100, -30, -4, 0, 1, 9, 75])[:, None, None]
    values = np.clip(np.round(center.numpy() + offsets), 0, levels - 1).astype(np.float32)
    values = np.concatenate([values, np.zeros((1, 2, 3)), np.full((1, 2, 3), levels - 1)], 0)
    values = tf.constant(values, tf.float32)
    log_prob, expected = ours.log_prob(values), theirs.log_prob(values)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=tolerance)

    def gradient(log_prob_of):
        with tf.GradientTape() as tape:
            tape.watch(params)
            total = tf.reduce_sum(log_prob_of(params))
        return tape.gradient(total, params)

    expected = gradient(lambda p: oracle(p, center, levels).log_prob(values))
    actual = gradient(
        lambda p: DiscretizedLogisticMixture(p, levels=levels, center=center).log_prob(values)
    )
    np.testing.assert_allclose(actual, expected, rtol=10 * tolerance, atol=10 * tolerance)


def test_statistics_are_those_of_its_samples(params, center):
    mixture = DiscretizedLogisticMixture(params, levels=256, center=center)
    drawn = mixture.sample(20_000, seed=3)
    assert drawn.shape == (20_000, 2, 3)
    assert drawn.dtype == tf.float32
    np.testing.assert_array_equal(drawn, np.round(drawn))
    std = mixture.stddev().numpy()
    np.testing.assert_allclose(np.std(drawn, axis=0), std, rtol=0.05)
    assert (np.abs(np.mean(drawn, axis=0) - mixture.mean()) < 5 * std / np.sqrt(20_000)).all()
    surprise = -mixture.log_prob(drawn)
    error = np.std(surprise, axis=0) / np.sqrt(20_000)
    assert (np.abs(np.mean(surprise, axis=0) - mixture.entropy()) < 5 * error + 0.15).all()
    for p in (0.05, 0.5, 0.95):
        level = mixture.quantile(p)
        np.testing.assert_allclose(np.mean(drawn <= level, axis=0), mixture.cdf(level), atol=0.015)
        assert (mixture.cdf(level) >= p).numpy().all()
        assert (mixture.cdf(level - 1) < p).numpy().all()


def test_samples_are_those_of_its_parts(params, center):
    """Frequencies agree with draws from TFP's composition."""
    ours = DiscretizedLogisticMixture(params, levels=256, center=center).sample(20_000, seed=4)
    theirs = oracle(params, center, 256).sample(20_000, seed=5)
    for level in (30, 80, 128, 200):
        np.testing.assert_allclose(
            np.mean(ours <= level, axis=0), np.mean(theirs <= level, axis=0), atol=0.02
        )


def test_same_seed_same_levels(params, center):
    mixture = DiscretizedLogisticMixture(params, levels=256, center=center)
    first = mixture.sample(5, seed=1)
    np.testing.assert_array_equal(mixture.sample(5, seed=1), first)
    np.testing.assert_array_equal(mixture.sample(5, seed=(0, 1)), first)
    assert (mixture.sample(5, seed=2) != first).numpy().any()
    assert (mixture.sample(5) != mixture.sample(5)).numpy().any()


def test_batch_shape_slicing_and_copy(params, center):
    mixture = DiscretizedLogisticMixture(params, levels=256, center=center)
    assert mixture.batch_shape == (2, 3)
    assert mixture.event_shape == ()
    part = mixture[1, 1:]
    assert part.batch_shape == (2,)
    value = tf.constant([100.0, 101.0])
    expected = logistic_mixture.log_prob(params[1, 1:], value, levels=256, center=center[1, 1:])
    np.testing.assert_allclose(part.log_prob(value), expected)
    assert mixture.copy(levels=512).levels == 512
    assert DiscretizedLogisticMixture(params[0, 0], levels=256, center=center).batch_shape == (2, 3)


def test_docstring_example():
    mixture = DiscretizedLogisticMixture(
        [[0.0, 0.0, -40.0, 40.0, 2.0, 2.0]], levels=256, center=[100.0]
    )
    np.testing.assert_allclose(mixture.mean(), [100.0], atol=5e-3)
    np.testing.assert_array_equal(mixture.quantile(0.25), [60.0])


def test_serves_as_a_keras_loss_under_mixed_precision():
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        head = keras.layers.Dense(6)
        features = tf.ones((2, 3, 4))
        with tf.GradientTape() as tape:
            mixture = DiscretizedLogisticMixture(head(features), levels=4096, center=2000.0)
            loss = -tf.reduce_mean(mixture.log_prob(tf.fill((2, 3), 2003.0)))
        gradients = tape.gradient(loss, head.trainable_variables)
    finally:
        keras.config.set_dtype_policy(previous)
    assert mixture.dtype == tf.float32
    assert all(np.isfinite(g).all() and np.any(g) for g in gradients)
