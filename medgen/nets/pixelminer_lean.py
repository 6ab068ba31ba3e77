"""PixelMiner, lean: a wide net reads the acquired slices once, a slim causal one writes pixels."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from medgen.layers.stack import CausalStack
from medgen.layers.unet import ResidualUNet
from medgen.likelihoods import bits_per_dim, logistic_mixture
from medgen.nets.pixelcnn import position_features

# What the intensity range is divided by for a difference of order one: 32 HU in 2048 levels of 1.
DIFFERENCES_PER_RANGE = 64
# Smallest spread, in levels, that residuals are divided by: constant air would divide by nothing.
MIN_SPREAD = 0.5


@keras.saving.register_keras_serializable("medgen")
class PixelMinerLean(keras.Model):
    """Grey levels of a missing slice, pixel by pixel, given the acquired slices around it.

    A relative of PixelMiner (Rogers et al. 2023) that parts what is known from what is drawn. The
    acquired slices are known in full, so an ordinary U-shaped net reads them once for a slice; from
    its features comes a *prediction* of every pixel on its own, a mixture of logistics around the
    linear interpolation with a likelihood of its own. The causal trunk, paid for pixel by pixel, is
    slim. It sees of earlier pixels only how far they lie from the prediction's mean (the *center*),
    in units of the prediction's scale (the *spread*), and gives a mixture of logistics relative to
    both; center and spread pass it no gradient. With noise on that input in training, the trunk
    adds texture to a prediction that it cannot do without; one that sees the grey levels themselves
    comes to lean on the pixel to the left, and drifts when it samples.

    Args:
        levels: number of grey levels.
        context: acquired slices a side that are read, at least 1.
        filters: channels of the causal trunk.
        blocks: its gated blocks.
        mixtures: components of its likelihood.
        conditioner_filters: channels of the net that reads the acquired slices.
        conditioner_blocks: its residual blocks, see `ResidualUNet`.
        prediction_mixtures: components of the prediction.
        input_noise: standard deviation of the noise on the trunk's input in training, in spreads.
        dropout: rate in all blocks.
        autoregressive: False leaves the trunk out: every pixel on its own, the ablation of [1].
        partially_causal: whether the net that reads the acquired slices is also shown those pixels
            of the target that are known, so that they count on all sides of them and not only below
            and to the right.
        seed: of noise and dropout.

    Input shape:
        Mapping with `target` `(b, h, w)` levels; `context` `(b, h, w, 2 * context)` levels of the
        acquired slices in their order, half of them before and half after the target, equally
        spaced; `present` `(b, 2 * context)`, 1 where there is such a slice and 0 beyond the ends of
        the scan (the nearest two always are); `position` `(b,)` in (0, 1) between the nearest two
        and `gap_mm` `(b,)`, their distance. All but `target` is enough for `condition`. `known`
        `(b, h, w)`, levels of the target, below 0 where it is not known, may be left out; only a
        partially causal net is shown them.

    Output shape:
        Mapping of `prediction` `(b, h, w, 3 * prediction_mixtures)` with `linear` `(b, h, w)`, its
        center, and, if autoregressive, `mixture` `(b, h, w, 3 * mixtures)` with `center`
        `(b, h, w)`: parameters and centers of `likelihoods.logistic_mixture`.

    References:
        [1] Rogers et al., Towards texture accurate slice interpolation of medical images using
            PixelMiner, 2023.
    """

    # Long: every argument once more in the configuration, then one layer after the other.
    def __init__(
        self,
        levels: int,
        context: int,
        filters: int,
        blocks: int,
        mixtures: int,
        conditioner_filters: int,
        conditioner_blocks: int,
        prediction_mixtures: int,
        input_noise: float = 0.0,
        dropout: float = 0.0,
        autoregressive: bool = True,
        partially_causal: bool = False,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {
            "levels": levels,
            "context": context,
            "filters": filters,
            "blocks": blocks,
            "mixtures": mixtures,
            "conditioner_filters": conditioner_filters,
            "conditioner_blocks": conditioner_blocks,
            "prediction_mixtures": prediction_mixtures,
            "input_noise": input_noise,
            "dropout": dropout,
            "autoregressive": autoregressive,
            "partially_causal": partially_causal,
            "seed": seed,
        }
        self.levels = levels
        self.context = context
        self.autoregressive = autoregressive
        self.partially_causal = partially_causal
        self.difference = levels / DIFFERENCES_PER_RANGE
        layers, policy = keras.layers, self.dtype_policy

        # === Layers ===
        self.acquired = layers.Conv2D(
            conditioner_filters, 3, padding="same", dtype=policy, name="acquired"
        )
        self.place = layers.Dense(conditioner_filters, dtype=policy, name="place")
        self.conditioner = ResidualUNet(
            conditioner_filters,
            conditioner_blocks,
            dropout=dropout,
            seed=seed + 100,
            dtype=policy,
            name="conditioner",
        )
        self.prediction = layers.Dense(3 * prediction_mixtures, dtype=policy, name="prediction")
        self.prediction_bits = keras.metrics.Mean(name="prediction_bits_per_dim")
        if autoregressive:
            self.noise = layers.GaussianNoise(
                input_noise, seed=seed + 200, dtype=policy, name="noise"
            )
            self.stack = CausalStack(
                filters, blocks, dropout=dropout, seed=seed, dtype=policy, name="stack"
            )
            self.out = layers.Dense(3 * mixtures, dtype=policy, name="out")
            self.bits = keras.metrics.Mean(name="bits_per_dim")

    def build(self, input_shape=None):
        config, maps = self.config, (None, None, None)
        width = config["conditioner_filters"]
        self.acquired.build((*maps, 2 * self.context + 1 + 2 * self.partially_causal))
        self.place.build((None, 5 + 2 * self.context))
        self.conditioner.build((*maps, width))
        self.prediction.build((*maps, width))
        if self.autoregressive:
            self.stack.build((*maps, 2), (*maps, width + 2))
            self.out.build((*maps, config["filters"]))
        self.built = True

    def read(self, inputs, training=False):
        """Read the acquired slices.

        Returns:
            Features `(b, h, w, conditioner_filters)`, parameters of the prediction
            `(b, h, w, 3 * prediction_mixtures)` and the linear interpolation `(b, h, w)` that they
            are relative to, in levels.
        """
        dtype = self.compute_dtype
        acquired = ops.cast(inputs["context"], dtype)
        position, gap_mm, present = (
            ops.cast(inputs[key], dtype) for key in ("position", "gap_mm", "present")
        )
        before, after = acquired[..., self.context - 1], acquired[..., self.context]
        linear = before + position[:, None, None] * (after - before)
        differences = ops.arcsinh((acquired - linear[..., None]) / self.difference)
        maps = [4 * self._unit(linear)[..., None], differences * present[:, None, None]]
        if self.partially_causal:
            maps.append(self._told(inputs.get("known"), linear))
        x = ops.concatenate(maps, axis=-1)
        place = ops.concatenate([position_features(position, gap_mm), present], axis=-1)
        x = self.acquired(x) + self.place(place)[:, None, None]
        features = keras.activations.silu(self.conditioner(x, training=training))
        params = rescaled(self.prediction(features), ops.full_like(linear, self.difference))
        return features, params, linear

    def condition(self, inputs, training=False):
        """What is known of every pixel, `(b, h, w, conditioner_filters + 2)`.

        The last two channels hold the center, divided as in the unit range, and the logarithm of
        the spread; `center` and `spread` take them out.
        """
        return self.conditioning(*self.read(inputs, training))

    def center(self, conditioning):
        """Mean of the prediction in levels, `(...)`, from conditioning `(..., s)`."""
        return (conditioning[..., -2] + 0.5) * (self.levels - 1)

    def spread(self, conditioning):
        """Scale of the prediction in levels, `(...)`, from conditioning `(..., s)`."""
        return ops.exp(conditioning[..., -1]) * self.difference

    def embed(self, values, conditioning, training=False):
        """The trunk's input `(..., 2)` for levels `(...)`: the residual, and 1 (0 is outside)."""
        residual = ops.cast(values, conditioning.dtype) - self.center(conditioning)
        residual = self.noise(residual / self.spread(conditioning), training=training)
        return ops.stack([ops.arcsinh(residual), ops.ones_like(residual)], axis=-1)

    def head(self, features, conditioning):
        """Parameters `(..., 3 * mixtures)`, means relative to `center`, from the trunk's output."""
        return rescaled(self.out(keras.activations.silu(features)), self.spread(conditioning))

    def call(self, inputs, training=False):
        features, params, linear = self.read(inputs, training)
        outputs = {"prediction": params, "linear": linear}
        if self.autoregressive:
            known = self.conditioning(features, params, linear)
            embedded = self.embed(inputs["target"], known, training)
            drawn = self.stack(embedded, known, training=training)
            outputs |= {"mixture": self.head(drawn, known), "center": self.center(known)}
        return outputs

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean nats per pixel of the prediction plus, if autoregressive, those of the mixture.

        Of pixels that are not known.
        """
        unknown = x["known"] < 0 if "known" in x else ops.ones_like(x["target"])
        weights = ops.cast(unknown, "float32")
        weights = weights / ops.maximum(ops.mean(weights), keras.config.epsilon())

        def nats(params, center, bits):
            log_prob = logistic_mixture.log_prob(
                y_pred[params], x["target"], levels=self.levels, center=y_pred[center]
            )
            log_prob = log_prob * ops.cast(weights, log_prob.dtype)
            bits.update_state(bits_per_dim(log_prob))
            return -ops.mean(log_prob)

        loss = nats("prediction", "linear", self.prediction_bits)
        return loss + nats("mixture", "center", self.bits) if self.autoregressive else loss

    def conditioning(self, features, params, linear):
        """What `condition` gives, from what `read` gives."""
        log_weights, means, log_scales = logistic_mixture.components(params)
        weights = ops.exp(log_weights)
        mean = ops.sum(weights * means, axis=-1, keepdims=True)
        # Of first order, so that a rare wide component does not count by its square.
        spread = ops.sum(weights * (ops.exp(log_scales) + ops.abs(means - mean)), axis=-1)
        center = ops.clip(ops.cast(mean[..., 0], linear.dtype) + linear, 0, self.levels - 1)
        spread = ops.cast(ops.maximum(spread, MIN_SPREAD), linear.dtype)
        reference = ops.stack([self._unit(center), ops.log(spread / self.difference)], axis=-1)
        return ops.concatenate([features, ops.stop_gradient(reference)], axis=-1)

    def _told(self, known, linear):
        """Two maps of what is known of the target: differences from `linear`, and where."""
        if known is None:
            return ops.zeros((*ops.shape(linear), 2), linear.dtype)
        where = ops.cast(known >= 0, linear.dtype)
        difference = ops.arcsinh((ops.cast(known, linear.dtype) - linear) / self.difference)
        return ops.stack([difference * where, where], axis=-1)

    def _unit(self, values):
        # Not a division, which a graph compiler would turn into this and round otherwise.
        return values * (1 / (self.levels - 1)) - 0.5

    def get_config(self):
        return self.config


def rescaled(outputs, spread):
    """A net's output of order one as a mixture's parameters, means and scales times `spread`."""
    logits, means, log_scales = ops.split(outputs, 3, axis=-1)
    spread = ops.expand_dims(spread, -1)
    return ops.concatenate([logits, means * spread, log_scales + ops.log(spread)], axis=-1)
