"""The mixture against float64 arithmetic on the defining formula, level by level."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from rounding import assert_levels_alike
from scipy import special, stats

from medgen.likelihoods import bits_per_dim, logistic_mixture

TINY = float(np.log(1e-3))
SCALES = {
    "tiny": (TINY, -4.0),
    "levels": (-2.0, 2.0),
    "tens": (1.0, 4.0),
    "huge": (7.0, 12.0),
    "all": (TINY, 12.0),
}


def mixtures(levels, log_scales, n=24, k=5, seed=0):
    """`n` random mixtures `(n, 3k)` with centers `(n,)` from below the first to above the last."""
    rng = np.random.default_rng(seed)
    spread = np.exp(min(log_scales[1], np.log(levels / 4)))
    params = np.concatenate(
        [
            rng.normal(0, 1.5, (n, k)),
            rng.normal(0, spread, (n, k)),
            rng.uniform(*log_scales, (n, k)),
        ],
        axis=-1,
    )
    center = rng.uniform(-0.05 * levels, 1.05 * levels, n)
    return params.astype(np.float32), center.astype(np.float32)


def exact_probs(params, center, levels):
    """Probabilities `(levels, n)` in float64 by differences of the cdf or the survival function."""
    logits, means, log_scales = np.split(params.astype(np.float64), 3, axis=-1)
    location, scale = center[:, None].astype(np.float64) + means, np.exp(log_scales)
    x = np.arange(levels)[:, None, None]
    lower = np.where(x == 0, -np.inf, (x - 0.5 - location) / scale)
    upper = np.where(x == levels - 1, np.inf, (x + 0.5 - location) / scale)
    logistic = stats.logistic
    mass = np.where(
        lower > 0,
        logistic.sf(lower) - logistic.sf(upper),
        logistic.cdf(upper) - logistic.cdf(lower),
    )
    return (special.softmax(logits, axis=-1) * mass).sum(-1)


def log_probs(params, center, levels):
    """Log-probabilities `(levels, n)` of every level."""
    x = np.arange(levels)[:, None]
    return logistic_mixture.log_prob(params, x, levels=levels, center=center).numpy()


@pytest.mark.parametrize("levels", [256, 4096])
@pytest.mark.parametrize("scales", SCALES)
class TestAgainstFloat64:
    def test_log_prob(self, levels, scales):
        params, center = mixtures(levels, SCALES[scales])
        expected = exact_probs(params, center, levels)
        actual = log_probs(params, center, levels)
        seen = expected > 1e-290
        assert seen.any(axis=0).all()
        # 4096 + 1e-3 is not a float32: tiny scales see the rounding of location, hence rtol.
        np.testing.assert_allclose(actual[seen], np.log(expected[seen]), rtol=2e-5, atol=5e-5)
        assert np.isfinite(actual).all()
        assert (actual[~seen] < -600).all()

    def test_probabilities_sum_to_one(self, levels, scales):
        params, center = mixtures(levels, SCALES[scales], seed=1)
        total = np.exp(log_probs(params, center, levels).astype(np.float64)).sum(0)
        np.testing.assert_allclose(total, 1.0, atol=1e-5)

    def test_cdf_is_the_running_sum(self, levels, scales):
        params, center = mixtures(levels, SCALES[scales], seed=2)
        expected = np.cumsum(exact_probs(params, center, levels), axis=0)
        x = np.arange(levels)[:, None]
        actual = logistic_mixture.cdf(params, x, levels=levels, center=center).numpy()
        np.testing.assert_allclose(
            actual, expected, atol=2e-4 if scales in ("tiny", "all") else 2e-5
        )
        assert (np.diff(actual, axis=0) > -1e-6).all()
        assert (actual[-1] == 1).all()

    def test_quantile_is_the_lowest_level_whose_cdf_suffices(self, levels, scales):
        params, center = mixtures(levels, SCALES[scales], seed=3)
        kwargs = {"levels": levels, "center": center}
        for p in (0.0, 1e-4, 0.05, 0.25, 0.5, 0.75, 0.95, 0.9999):
            level = logistic_mixture.quantile(params, p, **kwargs).numpy()
            assert level.dtype == np.int32
            assert ((level >= 0) & (level < levels)).all()
            assert (logistic_mixture.cdf(params, level, **kwargs).numpy() >= p).all()
            below = logistic_mixture.cdf(params, level - 1, **kwargs).numpy()
            assert ((below < p) | (level == 0)).all()
        # Round trip: a probability in the middle of a level's step leads back to the level.
        cumulative = np.cumsum(exact_probs(params, center, levels), axis=0)
        step = np.diff(cumulative, axis=0, prepend=0)
        x, n = np.nonzero(step > 1e-3)
        middle = (cumulative - step / 2)[x, n]
        again = logistic_mixture.quantile(params[n], middle, levels=levels, center=center[n])
        np.testing.assert_array_equal(again, x)

    def test_mean_and_variance(self, levels, scales):
        params, center = mixtures(levels, SCALES[scales], seed=4)
        probs, x = exact_probs(params, center, levels), np.arange(levels)[:, None]
        mean = (probs * x).sum(0)
        std = np.sqrt((probs * (x - mean) ** 2).sum(0))
        kwargs = {"levels": levels, "center": center}
        actual = logistic_mixture.mean(params, **kwargs).numpy()
        np.testing.assert_allclose(actual, mean, atol=0.01)
        actual = np.sqrt(logistic_mixture.variance(params, **kwargs).numpy())
        np.testing.assert_allclose(actual, std, rtol=1e-3, atol=0.01)

    def test_entropy(self, levels, scales):
        params, center = mixtures(levels, SCALES[scales], n=60, seed=5)
        expected = special.entr(exact_probs(params, center, levels)).sum(0)
        actual = logistic_mixture.entropy(params, levels=levels, center=center).numpy()
        assert np.abs(actual - expected).max() < 0.25
        assert np.abs(actual - expected).mean() < 0.03


@pytest.mark.parametrize("center", [0.0, 1.5, 128.25, 254.0])
def test_entropy_of_a_single_component(center):
    log_scales = np.linspace(TINY, 9, 200)
    params = np.stack([0 * log_scales, 0 * log_scales, log_scales], -1).astype(np.float32)
    centers = np.full(200, center, np.float32)
    expected = special.entr(exact_probs(params, centers, 256)).sum(0)
    actual = logistic_mixture.entropy(params, levels=256, center=centers)
    np.testing.assert_allclose(actual, expected, atol=0.003)


class TestEdges:
    @pytest.mark.parametrize("levels", [256, 4096])
    def test_first_and_last_level_hold_the_open_tails(self, levels):
        scale = 3.0
        params = np.array([[0.0, 0.0, np.log(scale)]], np.float32)
        for center in (-50.0, 0.0, 7.25):
            kwargs = {"levels": levels, "center": np.array([center])}
            first = logistic_mixture.log_prob(params, [0], **kwargs)
            expected = stats.logistic.logcdf(0.5, center, scale)
            np.testing.assert_allclose(first, expected, rtol=1e-5, atol=1e-7)
            last = logistic_mixture.log_prob(params, [levels - 1], **kwargs)
            expected = stats.logistic.logsf(levels - 1.5, center, scale)
            np.testing.assert_allclose(last, expected, rtol=1e-5)
            second = logistic_mixture.log_prob(params, [1], **kwargs)
            closed = np.diff(stats.logistic.cdf([0.5, 1.5], center, scale))
            np.testing.assert_allclose(second, np.log(closed), rtol=1e-4)

    def test_far_tail_falls_on_linearly(self):
        # 2,000 scales from the location, where the difference of two cdfs is 0 even in float64.
        params = np.array([0.0, 0.0, np.log(2.0)], np.float32)
        actual = logistic_mixture.log_prob(params, [4001, 4002], levels=4096, center=1.0)
        expected = -(np.array([4000.0, 4001.0]) - 0.5) / 2 + np.log1p(-np.exp(-0.5))
        np.testing.assert_allclose(actual, expected, rtol=1e-6)

    def test_scales_are_limited(self):
        params = np.array([[0, 0, -80], [0, 0, -7], [0, 0, 12], [0, 0, 80]], np.float32)
        actual = log_probs(params, np.full(4, 100.2, np.float32), 256)
        np.testing.assert_array_equal(actual[:, 0], actual[:, 1])
        np.testing.assert_array_equal(actual[:, 2], actual[:, 3])
        assert actual[100, 0] == pytest.approx(0, abs=1e-6)


def gradient(params, value, levels, center):
    params = tf.constant(params)
    with tf.GradientTape() as tape:
        tape.watch(params)
        log_prob = logistic_mixture.log_prob(params, value, levels=levels, center=center)
    return tape.gradient(log_prob, params).numpy()


class TestGradients:
    @pytest.mark.parametrize("levels", [256, 4096])
    def test_finite_wherever_a_net_may_go(self, levels):
        value, mean, log_scale, logit = np.meshgrid(
            [0, 1, levels // 2, levels - 2, levels - 1],
            [-1e5, -0.5, 0.0, 0.5, levels / 2, levels - 0.5, 1e5],
            [-100.0, TINY, 0.0, 5.0, 12.0, 100.0],
            [-200.0, 0.0, 200.0],
        )
        value, mean, log_scale, logit = (a.ravel() for a in (value, mean, log_scale, logit))
        other = np.zeros_like(mean)
        params = np.stack([logit, other, mean, other, log_scale, other], -1).astype(np.float32)
        assert np.isfinite(gradient(params, value, levels, 0.0)).all()

    def test_is_that_of_the_float64_formula(self):
        levels, step = 64, 1e-5
        params, center = mixtures(levels, (0.0, 3.0), n=8, k=2, seed=6)
        for value in (0, 1, 30, 62, 63):
            actual = gradient(params, np.full(8, value), levels, center)
            expected = np.empty_like(actual, dtype=np.float64)
            for i in range(params.shape[-1]):
                shift = step * np.eye(params.shape[-1])[i]
                high, low = (
                    np.log(exact_probs(params.astype(np.float64) + s, center, levels)[value])
                    for s in (shift, -shift)
                )
                expected[:, i] = (high - low) / (2 * step)
            np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)

    def test_pulls_a_distant_mean_and_widens_a_narrow_scale(self):
        params = np.array([[0.0, -500.0, TINY], [0.0, 500.0, TINY]], np.float32)
        _, mean, log_scale = gradient(params, [2000, 2000], 4096, 2000.0).T
        np.testing.assert_allclose(mean, [1000, -1000], rtol=1e-5)  # 1 / scale
        np.testing.assert_allclose(log_scale, 499.5e3, rtol=1e-4)  # distance / scale

    def test_fits_what_it_is_given(self):
        truth, center = np.array([0.5, -0.5, -40, 3, 1.5, 2.5], np.float32), 60.0
        uniforms = np.random.default_rng(7).random((4000, 2))
        data = logistic_mixture.sample(truth, uniforms, levels=256, center=center)

        @tf.function
        def loss_and_gradient(params):
            with tf.GradientTape() as tape:
                tape.watch(params)
                log_prob = logistic_mixture.log_prob(params, data, levels=256, center=center)
                loss = -tf.reduce_mean(log_prob)
            return loss, tape.gradient(loss, params)

        params = tf.constant([0.0, 0.0, -10.0, 10.0, 3.0, 3.0])
        rate = tf.constant([0.1, 0.1, 40, 40, 0.2, 0.2])
        for _ in range(300):
            loss, gradient = loss_and_gradient(params)
            params -= rate * gradient
        assert loss <= loss_and_gradient(tf.constant(truth))[0] + 1e-3
        np.testing.assert_allclose(params[2:4], truth[2:4], atol=2)  # 3 standard errors
        np.testing.assert_allclose(params[4:], truth[4:], atol=0.1)


class TestSample:
    params = np.array([1.0, 0.0, 0.5, -9.0, 4.0, 0.4, 1.5, 0.0, TINY], np.float32)

    def test_frequencies_are_the_probabilities(self):
        center, levels, n = 6.0, 256, 200_000  # a third of the first component lies below level 0
        uniforms = np.random.default_rng(11).random((n, 2))
        drawn = logistic_mixture.sample(self.params, uniforms, levels=levels, center=center).numpy()
        assert drawn.dtype == np.int32
        probs = exact_probs(self.params[None], np.array([center]), levels)[:, 0]
        counts = np.bincount(drawn, minlength=levels)
        common = probs * n >= 10
        observed = np.append(counts[common], counts[~common].sum())
        expected = np.append(probs[common], probs[~common].sum()) * n
        assert common.sum() > 15
        assert common[0]
        assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-3

    def test_one_component_is_inverted_as_quantile_does(self):
        uniforms = np.random.default_rng(12).random((2, 300, 2)).astype(np.float32)
        params = np.array([0.0, 2.0, 3.0], np.float32)
        kwargs = {"levels": 256, "center": np.array([[120.3], [10.1]])}
        drawn = logistic_mixture.sample(params, uniforms, **kwargs).numpy()
        quantile = logistic_mixture.quantile(params, uniforms[..., 1], **kwargs).numpy()
        assert drawn.shape == (2, 300)
        assert_levels_alike(drawn, quantile, share=0.01)

    def test_first_number_chooses_the_component(self):
        weights = special.softmax(self.params[:3])
        just_within = np.cumsum(weights) - 1e-4
        uniforms = np.stack([just_within, np.full(3, 0.5)], -1)
        drawn = logistic_mixture.sample(self.params, uniforms, levels=256, center=100.0)
        np.testing.assert_array_equal(drawn, [91, 104, 100])  # means rounded

    def test_extreme_uniforms_stay_within_the_levels(self):
        ends = np.array([[0, 0], [0, 1 - 2**-24], [1 - 2**-24, 0], [1, 1]], np.float32)
        wide = np.array([0.0, 0.0, 9.0, 9.0, 9.0, 9.0], np.float32)
        drawn = logistic_mixture.sample(wide, ends, levels=4096, center=2000.0)
        np.testing.assert_array_equal(drawn, [0, 4095, 0, 4095])

    @pytest.mark.parametrize(("dtype", "share"), [(np.float64, 0), (np.float32, 0.01)])
    def test_same_levels_when_compiled(self, dtype, share):
        params, center = mixtures(4096, SCALES["tens"], n=600, seed=13)
        uniforms = np.random.default_rng(14).random((600, 2)).astype(np.float32)

        def draw(params, uniforms, center):
            return logistic_mixture.sample(params, uniforms, levels=4096, center=center)

        given = params.astype(dtype), uniforms, center.astype(dtype)
        compiled = tf.function(draw, jit_compile=True)(*given)
        assert_levels_alike(compiled, draw(*given), share=share)


class TestTemperature:
    def test_scales_and_weights(self):
        params, _ = mixtures(4096, SCALES["levels"], n=3)
        logits, means, log_scales = np.split(params, 3, axis=-1)
        temperature = np.array([0.5, 1.0, 2.0], np.float32)
        tempered = logistic_mixture.temper(params, temperature)
        weights, locations, widths = logistic_mixture.components(tempered)
        expected = special.log_softmax(logits / temperature[:, None], axis=-1)
        np.testing.assert_allclose(weights, expected, atol=1e-5)
        np.testing.assert_array_equal(locations, means)
        np.testing.assert_allclose(np.exp(widths), np.exp(log_scales) * temperature[:, None], 1e-5)
        np.testing.assert_array_equal(tempered[1], params[1])

    def test_towards_zero_the_likeliest_location_is_drawn(self):
        params = np.array([0.0, 2.0, 1.0, -50.0, 10.2, 60.0, 2.0, 2.0, 2.0], np.float32)
        uniforms = np.random.default_rng(15).random((50, 2))
        cold = logistic_mixture.temper(params, 1e-3)
        drawn = logistic_mixture.sample(cold, uniforms, levels=256, center=100.0)
        np.testing.assert_array_equal(drawn, np.full(50, 110))


def test_shapes_broadcast_along_unequal_axes():
    rng = np.random.default_rng(16)
    params = rng.normal(size=(2, 3, 1, 6)).astype(np.float32)
    center, value = rng.uniform(90, 110, (3, 4)), rng.integers(80, 120, (2, 3, 4))
    kwargs = {"levels": 256, "center": center}
    actual = logistic_mixture.log_prob(params, value, **kwargs).numpy()
    assert actual.shape == (2, 3, 4)
    one = logistic_mixture.log_prob(
        params[1, 2, 0], value[1, 2, 3], levels=256, center=center[2, 3]
    )
    assert actual[1, 2, 3] == pytest.approx(float(one), rel=1e-6)
    for function in (logistic_mixture.mean, logistic_mixture.variance, logistic_mixture.entropy):
        one = function(params[1, 2, 0], levels=256, center=center[2, 3])
        assert function(params, **kwargs)[1, 2, 3].numpy() == pytest.approx(float(one), rel=1e-4)
    assert logistic_mixture.quantile(params, 0.5, **kwargs).shape == (2, 3, 4)


def test_low_precision_nets_get_a_float32_likelihood():
    params, center = mixtures(4096, SCALES["tens"], n=6)
    low = tf.cast(params, tf.bfloat16)
    value = np.round(center).clip(0, 4095)
    actual = logistic_mixture.log_prob(low, value, levels=4096, center=center)
    assert actual.dtype == tf.float32
    expected = exact_probs(tf.cast(low, tf.float32).numpy(), center, 4096)
    expected = np.log(expected[value.astype(int), np.arange(6)])
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_double_nets_get_a_double_likelihood():
    params, center = mixtures(4096, SCALES["tens"], n=6)
    value = np.round(center).clip(0, 4095)
    double, center = params.astype(np.float64), center.astype(np.float64)
    actual = logistic_mixture.log_prob(double, value, levels=4096, center=center)
    assert actual.dtype == tf.float64
    expected = np.log(exact_probs(params, center, 4096)[value.astype(int), np.arange(6)])
    np.testing.assert_allclose(actual, expected, rtol=1e-11)
    kwargs = {"levels": 4096, "center": center}
    for function in (logistic_mixture.mean, logistic_mixture.variance, logistic_mixture.entropy):
        assert function(double, **kwargs).dtype == tf.float64


def test_channels_must_come_in_threes():
    with pytest.raises(ValueError, match="3k channels, got 16"):
        logistic_mixture.log_prob(
            np.zeros((4, 16), np.float32), np.zeros(4), levels=256, center=0.0
        )


def test_bits_per_dim():
    # A huge scale halves between the two ends: one bit; an exact location costs none.
    params = np.array([[0, 0, 12], [0, 0, TINY]], np.float32)
    log_prob = logistic_mixture.log_prob(params, [0, 100], levels=256, center=[127.5, 100.0])
    assert float(bits_per_dim(log_prob)) == pytest.approx((1 + 0) / 2, abs=1e-3)


OTHER_BACKEND = """
import sys
import numpy as np
from medgen.likelihoods import logistic_mixture
given = np.load(sys.argv[1])
kwargs = {"levels": 4096, "center": given["center"]}
for name in ("log_prob", "cdf", "quantile", "sample"):
    result = getattr(logistic_mixture, name)(given["params"], given[name + "_of"], **kwargs)
    beside = name in ("quantile", "sample")  # rounding may move a level to the one beside
    np.testing.assert_allclose(np.asarray(result), given[name], rtol=1e-4, atol=beside + 1e-4)
for name in ("mean", "variance", "entropy"):
    result = getattr(logistic_mixture, name)(given["params"], **kwargs)
    np.testing.assert_allclose(np.asarray(result), given[name], rtol=1e-3, atol=1e-3)
assert "tensorflow" not in sys.modules
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_same_numbers_without_tensorflow(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    params, center = mixtures(4096, SCALES["tens"])
    rng = np.random.default_rng(17)
    arrays = {"params": params, "center": center}
    of = {"log_prob": rng.integers(0, 4096, 24), "cdf": rng.integers(0, 4096, 24)}
    of |= {"quantile": rng.random(24), "sample": rng.random((24, 2))}
    for name in ("log_prob", "cdf", "quantile", "sample", "mean", "variance", "entropy"):
        arguments = (of[name],) if name in of else ()
        function = getattr(logistic_mixture, name)
        arrays[name] = function(params, *arguments, levels=4096, center=center).numpy()
    arrays |= {f"{name}_of": array for name, array in of.items()}
    np.savez(tmp_path / "given.npz", **arrays)
    subprocess.run(
        [sys.executable, "-c", OTHER_BACKEND, str(tmp_path / "given.npz")],
        env=os.environ | {"KERAS_BACKEND": backend},
        check=True,
    )
