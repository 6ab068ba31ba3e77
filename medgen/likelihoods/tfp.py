"""The discretised mixture of logistics as a TensorFlow Probability distribution.

Needs TensorFlow as Keras's backend.
"""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from medgen.likelihoods import logistic_mixture


class DiscretizedLogisticMixture(tfp.distributions.Distribution):
    """Discretised mixture of logistics over the integer levels 0, ..., `levels - 1`.

    A face of `medgen.likelihoods.logistic_mixture`, whose formulas it uses: as
    `MixtureSameFamily(Categorical, QuantizedDistribution(Logistic - 1/2))` in TFP's own terms, but
    accurate in the tails and with mean, variance, cdf, quantile and an entropy. Levels are float32
    numbers, as in TFP's other distributions over integers; `quantile` gives the lowest level whose
    cdf reaches the probability, and `entropy` is estimated by quadrature. An integer `seed` of
    `sample` always gives the same levels, unlike elsewhere in TFP.

    Args:
        params: `(..., 3k)`, a net's output: k logits, k means relative to `center`, k log-scales;
            means and scales in levels.
        levels: number of levels.
        center: `(...)`, in levels, added to every mean.

    Example:
        >>> params = [[0.0, 0.0, -40.0, 40.0, 2.0, 2.0]]  # two modes, 80 levels apart
        >>> mixture = DiscretizedLogisticMixture(params, levels=256, center=[100.0])
        >>> mixture.mean().numpy().round(2)
        array([100.], dtype=float32)
        >>> mixture.quantile(0.25).numpy()
        array([60.], dtype=float32)
    """

    def __init__(
        self,
        params,
        *,
        levels: int,
        center=0.0,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "DiscretizedLogisticMixture",
    ):
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            self._params = tf.cast(params, tf.float32)
            self._center = tf.cast(center, tf.float32)
            self._levels = levels
            super().__init__(
                dtype=tf.float32,
                reparameterization_type=tfp.distributions.NOT_REPARAMETERIZED,
                validate_args=validate_args,
                allow_nan_stats=allow_nan_stats,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {
            "params": tfp.util.ParameterProperties(event_ndims=1),
            "center": tfp.util.ParameterProperties(),
        }

    @property
    def params(self) -> tf.Tensor:
        """Logits, means and log-scales `(..., 3k)`, float32."""
        return self._params

    @property
    def center(self) -> tf.Tensor:
        """What the means are relative to, `(...)`, float32, in levels."""
        return self._center

    @property
    def levels(self) -> int:
        """Number of levels."""
        return self._levels

    @property
    def _over(self) -> dict:
        return {"levels": self.levels, "center": self.center}

    def _event_shape(self):
        return tf.TensorShape([])

    def _event_shape_tensor(self):
        return tf.constant([], tf.int32)

    def _sample_n(self, n, seed=None):
        shape = tf.concat([[n], self.batch_shape_tensor(), [2]], axis=0)
        seed = (0, seed) if isinstance(seed, int) else tfp.random.sanitize_seed(seed)
        uniforms = tf.random.stateless_uniform(shape, seed)
        drawn = logistic_mixture.sample(self.params, uniforms, **self._over)
        return tf.cast(drawn, self.dtype)

    def _log_prob(self, value):
        return logistic_mixture.log_prob(self.params, value, **self._over)

    def _cdf(self, value):
        return logistic_mixture.cdf(self.params, value, **self._over)

    def _quantile(self, value):
        level = logistic_mixture.quantile(self.params, value, **self._over)
        return tf.cast(level, self.dtype)

    def _mean(self):
        return logistic_mixture.mean(self.params, **self._over)

    def _variance(self):
        return logistic_mixture.variance(self.params, **self._over)

    def _entropy(self):
        return logistic_mixture.entropy(self.params, **self._over)
