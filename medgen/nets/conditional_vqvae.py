"""VQ-VAE whose decoder sees the acquired slices: codes for what these cannot tell."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from medgen.layers.quantizer import VectorQuantizer
from medgen.layers.residual import ResidualBlock
from medgen.layers.unet import pad_to_multiple
from medgen.likelihoods import bits_per_dim, logistic_mixture
from medgen.nets.pixelminer_lean import PixelMinerLean, rescaled

# Pixels a code along each axis: two halvings.
COMPRESSION = 4
# Logarithms of the components' scales start between these, in spreads: alike, they would stay so.
FIRST_LOG_SCALES = (-1.0, 1.0)
# Where the acquired slices are not shown, so many spreads make the range of levels.
BLIND_SPREADS = 8


@keras.saving.register_keras_serializable("medgen")
class ConditionalVQVAE(keras.Model):
    """Vector-quantised autoencoder of a missing slice, given the acquired slices around it.

    A `PixelMinerLean` without autoregression, which is not trained here, predicts every pixel from
    the acquired slices. Its features, with the prediction's mean (the *center*) and scale (the
    *spread*), are brought to the resolutions of pixels, 2 x 2 and 4 x 4 of them; these maps, the
    *surroundings*, are added to the decoder's on its way up and shown to the encoder. So codes need
    not say what the neighbours show. Pixels have a mixture of logistics around the
    center, in spreads; its output layer starts at zero, so that the net begins as the prediction.
    Conditioning both sides of a quantiser on a reference is what [1, 2] do for video and stereo.

    Args:
        levels: number of grey levels.
        context: acquired slices a side that are read.
        conditioner_filters: of the prediction, see `PixelMinerLean`.
        conditioner_blocks: likewise.
        prediction_mixtures: likewise.
        filters: channels at the resolution of the codes; two thirds of them at 2 x 2 pixels, half
            at pixels.
        residual_blocks: of encoder and decoder at the resolution of the codes.
        mixtures: components of the decoder's likelihood.
        num_embeddings: codes.
        embedding_dim: length of a codebook vector.
        encoder_sees: whether the encoder is shown the acquired slices.
        decoder_sees: whether the decoder is; if not, pixels are relative to the middle of the range
            instead of the prediction. Without both, it is a plain VQ-VAE.
        commitment_cost: see `VectorQuantizer`.
        decay: see `VectorQuantizer`.
        seed: of the revival draws.

    Input shape:
        As `PixelMinerLean`, without `known`.

    Output shape:
        Mapping of `mixture` `(b, h, w, 3 * mixtures)` with `center` `(b, h, w)`, and `prediction`
        `(b, h, w, 3 * prediction_mixtures)` with `linear` `(b, h, w)`: parameters and centers of
        `likelihoods.logistic_mixture`.

    References:
        [1] Fan et al., RefTok: Reference-Based Tokenization for Video Generation, 2025.
        [2] Huang et al., Neural Distributed Source Coding, 2021.
    """

    # Long: every argument once more in the configuration, then one layer after the other.
    def __init__(
        self,
        levels: int,
        context: int,
        conditioner_filters: int,
        conditioner_blocks: int,
        prediction_mixtures: int,
        filters: int,
        residual_blocks: int,
        mixtures: int,
        num_embeddings: int,
        embedding_dim: int,
        encoder_sees: bool = True,
        decoder_sees: bool = True,
        commitment_cost: float = 0.25,
        decay: float = 0.99,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {
            "levels": levels,
            "context": context,
            "conditioner_filters": conditioner_filters,
            "conditioner_blocks": conditioner_blocks,
            "prediction_mixtures": prediction_mixtures,
            "filters": filters,
            "residual_blocks": residual_blocks,
            "mixtures": mixtures,
            "num_embeddings": num_embeddings,
            "embedding_dim": embedding_dim,
            "encoder_sees": encoder_sees,
            "decoder_sees": decoder_sees,
            "commitment_cost": commitment_cost,
            "decay": decay,
            "seed": seed,
        }
        self.levels, self.context = levels, context
        self.encoder_sees, self.decoder_sees = encoder_sees, decoder_sees
        self.widths = pixel, half, quarter = max(1, filters // 2), max(1, 2 * filters // 3), filters
        layers, policy = keras.layers, self.dtype_policy

        def strided(width: int, name: str):
            return layers.Conv2D(
                width, 4, strides=2, padding="same", activation="silu", dtype=policy, name=name
            )

        def mixing(width: int, name: str):
            return layers.Conv2D(width, 3, padding="same", dtype=policy, name=name)

        def residual(width: int, count: int, name: str):
            return [ResidualBlock(width, dtype=policy, name=f"{name}_{i}") for i in range(count)]

        # === Layers ===
        self.predictor = PixelMinerLean(
            levels,
            context,
            filters=1,
            blocks=1,
            mixtures=1,
            conditioner_filters=conditioner_filters,
            conditioner_blocks=conditioner_blocks,
            prediction_mixtures=prediction_mixtures,
            autoregressive=False,
            dtype=policy,
            name="predictor",
        )
        self.predictor.trainable = False
        self.shrink = [strided(half, "shrink_0"), strided(quarter, "shrink_1")]
        for layer in self.shrink:
            layer.trainable = decoder_sees  # the prior reads them as they are
        self.encoder = [
            strided(pixel, "encoder_0"),
            strided(quarter, "encoder_1"),
            mixing(quarter, "encoder_2"),
            *residual(quarter, residual_blocks, "encoder_residual"),
            layers.Activation("silu", dtype=policy, name="encoder_silu"),
            layers.Dense(embedding_dim, dtype=policy, name="encoder_out"),
        ]
        self.quantizer = VectorQuantizer(
            num_embeddings,
            embedding_dim,
            commitment_cost=commitment_cost,
            decay=decay,
            seed=seed,
            dtype=policy,
            name="quantizer",
        )
        self.merge = mixing(quarter, "merge")
        self.coarse = residual(quarter, residual_blocks, "coarse")
        self.grow = [layers.Dense(w, dtype=policy, name=f"grow_{w}") for w in (half, pixel)]
        self.middle = residual(half, 2, "middle")
        self.seen = layers.Dense(pixel, dtype=policy, name="seen")
        self.fine = residual(pixel, 2, "fine")
        self.upsample = layers.UpSampling2D(dtype=policy, name="upsample")
        self.out = layers.Dense(
            3 * mixtures,
            kernel_initializer="zeros",
            bias_initializer=_apart,
            dtype=policy,
            name="out",
        )
        self.bits = keras.metrics.Mean(name="bits_per_dim")

    def build(self, input_shape=None):
        config, maps = self.config, (None, None, None)
        known, (pixel, half, quarter) = config["conditioner_filters"] + 2, self.widths
        self.predictor.build()
        self.shrink[0].build((*maps, known))
        self.shrink[1].build((*maps, half))
        self.encoder[0].build((*maps, 2 + known if self.encoder_sees else 1))
        self.encoder[1].build((*maps, pixel))
        for layer in self.encoder[2:]:
            layer.build((*maps, quarter))
        self.quantizer.build((*maps, config["embedding_dim"]))
        self.merge.build((*maps, config["embedding_dim"] + quarter))
        self.grow[0].build((*maps, quarter))
        self.grow[1].build((*maps, half))
        self.seen.build((*maps, known))
        for width, blocks in zip(self.widths, (self.fine, self.middle, self.coarse), strict=True):
            for block in blocks:
                block.build((*maps, width))
        self.out.build((*maps, pixel))
        self.built = True

    def condition(self, inputs):
        """What the prediction knows of every pixel, see `PixelMinerLean.condition`."""
        return self.predictor.condition(inputs)

    def surroundings(self, known):
        """What decoder and prior are shown of the acquired slices.

        Args:
            known: `(b, h, w, s)`, from `condition`.

        Returns:
            Maps of as many pixels, of 2 x 2 and of 4 x 4 of them, those of pixels extended to
            multiples of 4; the last has `filters` channels.
        """
        known = pad_to_multiple(known, COMPRESSION)
        half = self.shrink[0](known)
        return known, half, self.shrink[1](half)

    def center(self, known):
        """What the pixels' mixtures are relative to, in levels `(...)`, see `condition`."""
        return self.predictor.center(self._shown(known))

    def latents(self, target, surroundings):
        """Encoder output `(b, ⌈h/4⌉, ⌈w/4⌉, embedding_dim)` before quantisation.

        Args:
            target: `(b, h, w)` levels.
            surroundings: see there.
        """
        known = surroundings[0]
        target = pad_to_multiple(ops.cast(target, known.dtype)[..., None], COMPRESSION)
        x = 4 * (target * (1 / (self.levels - 1)) - 0.5)
        if self.encoder_sees:
            off = target[..., 0] - self.predictor.center(known)
            off = ops.arcsinh(off / self.predictor.spread(known))
            x = ops.concatenate([x, off[..., None], known], axis=-1)
        return _through(self.encoder, x)

    def encode(self, target, surroundings):
        """Codes `(b, ⌈h/4⌉, ⌈w/4⌉)` int32; arguments as of `latents`."""
        return self.quantizer.encode(self.latents(target, surroundings))

    def decode(self, codes, surroundings):
        """Mixture of every pixel from codes `(b, ⌈h/4⌉, ⌈w/4⌉)`.

        Returns:
            Parameters `(b, 4⌈h/4⌉, 4⌈w/4⌉, 3 * mixtures)`, relative to the center.
        """
        return self._decoded(self.quantizer.decode(codes), surroundings)

    def mean(self, mixture, known):
        """Mean of pixels in levels, `(...)`, from their mixtures and what is known of them."""
        log_weights, means, _ = logistic_mixture.components(mixture)
        mean = ops.sum(ops.exp(log_weights) * means, axis=-1)
        center = self.center(known)
        return ops.clip(center + ops.cast(mean, center.dtype), 0, self.levels - 1)

    def call(self, inputs, training=False):
        features, params, linear = self.predictor.read(inputs)
        known = self.predictor.conditioning(features, params, linear)
        surroundings = self.surroundings(known)
        latents = self.latents(inputs["target"], surroundings)
        quantized, _ = self.quantizer(latents, training=training)
        rows, columns = ops.shape(linear)[1:]
        return {
            "mixture": self._decoded(quantized, surroundings)[:, :rows, :columns],
            "center": self.center(known),
            "prediction": params,
            "linear": linear,
        }

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean nats per pixel given the codes, plus the commitment."""
        log_prob = logistic_mixture.log_prob(
            y_pred["mixture"], x["target"], levels=self.levels, center=y_pred["center"]
        )
        self.bits.update_state(bits_per_dim(log_prob))
        return -ops.mean(log_prob) + sum(self.losses)

    def _decoded(self, quantized, surroundings):
        known, half, quarter = map(self._shown, surroundings)
        x = self.merge(ops.concatenate([quantized, quarter], axis=-1))
        x = _through(self.coarse, x)
        x = _through(self.middle, self.upsample(self.grow[0](x)) + half)
        x = _through(self.fine, self.upsample(self.grow[1](x)) + self.seen(known))
        spread = self.predictor.spread(known)
        if not self.decoder_sees:
            spread = ops.full_like(spread, self.levels / BLIND_SPREADS)
        return rescaled(self.out(keras.activations.silu(x)), spread)

    def _shown(self, maps):
        """Of what is known, what the decoder sees; zeros stand for the middle of the range."""
        return maps if self.decoder_sees else ops.zeros_like(maps)

    def get_config(self):
        return self.config


def _through(layers, x):
    for layer in layers:
        x = layer(x)
    return x


def _apart(shape, dtype=None):
    """Logits and means 0, log-scales evenly apart: to begin with a bias `(3k,)`."""
    components = shape[0] // 3
    log_scales = np.linspace(*FIRST_LOG_SCALES, components) if components > 1 else [0.0]
    return ops.convert_to_tensor(np.concatenate([np.zeros(2 * components), log_scales]), dtype)
