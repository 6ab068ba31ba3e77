"""VQ-VAE on single slices: pixels ⇄ codes."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from medgen.layers.quantizer import VectorQuantizer
from medgen.layers.residual import ResidualBlock


@keras.saving.register_keras_serializable("medgen")
class VQVAE(keras.Model):
    """Vector-quantised variational autoencoder (van den Oord et al. 2017).

    A strided residual encoder, a `VectorQuantizer`, and a decoder that mirrors the encoder. The
    reconstruction likelihood is a logistic around the decoder's output with one learnt scale (as
    the Gaussian one in Rybkin et al. 2021), so that reconstruction and commitment stay in
    proportion whatever the noise of the data.

    Images of any size are padded inside to a multiple of `compression` by repeating the last row
    and column; reconstructions have the size of the input.

    Args:
        filters: channels at the resolution of the codes; half of them one stage finer, and so on.
        residual_blocks: in the encoder, and again in the decoder.
        compression: pixels per code along each axis: 2, 4 or 8.
        num_embeddings: codes.
        embedding_dim: length of a codebook vector.
        commitment_cost: see `VectorQuantizer`.
        decay: see `VectorQuantizer`.
        seed: of the revival draws.
        channels: values a pixel.

    Input shape:
        `(b, h, w, channels)`, intensities in −0.5…0.5.

    Output shape:
        As the input.

    References:
        van den Oord, Vinyals, Kavukcuoglu, Neural Discrete Representation Learning, NeurIPS 2017.
        Rybkin, Daniilidis, Levine, Simple and Effective VAE Training with Calibrated Decoders,
        ICML 2021.
    """

    # Long: every argument once more in the configuration, then one layer after the other.
    def __init__(
        self,
        filters: int,
        residual_blocks: int,
        compression: int,
        num_embeddings: int,
        embedding_dim: int,
        commitment_cost: float = 0.25,
        decay: float = 0.99,
        seed: int = 0,
        channels: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {
            "filters": filters,
            "residual_blocks": residual_blocks,
            "compression": compression,
            "num_embeddings": num_embeddings,
            "embedding_dim": embedding_dim,
            "commitment_cost": commitment_cost,
            "decay": decay,
            "seed": seed,
            "channels": channels,
        }
        self.compression = compression
        stages = int(math.log2(compression))
        # Channels from the finest stage to that of the codes.
        widths = [max(8, filters >> (stages - 1 - i)) for i in range(stages)]

        # === Layers ===
        layers = keras.layers
        self.encoder = keras.Sequential(
            [
                *[
                    layers.Conv2D(n, 4, strides=2, padding="same", activation="silu")
                    for n in widths
                ],
                layers.Conv2D(filters, 3, padding="same"),
                *[ResidualBlock(filters) for _ in range(residual_blocks)],
                layers.Activation("silu"),
                layers.Conv2D(embedding_dim, 1),
            ],
            name="encoder",
        )
        self.quantizer = VectorQuantizer(
            num_embeddings,
            embedding_dim,
            commitment_cost=commitment_cost,
            decay=decay,
            seed=seed,
            name="quantizer",
        )
        self.decoder = keras.Sequential(
            [
                layers.Conv2D(filters, 3, padding="same"),
                *[ResidualBlock(filters) for _ in range(residual_blocks)],
                layers.Activation("silu"),
                *[
                    layers.Conv2DTranspose(n, 4, strides=2, padding="same", activation="silu")
                    for n in reversed(widths[:-1])
                ],
                layers.Conv2DTranspose(
                    max(8, widths[0] // 2), 4, strides=2, padding="same", activation="silu"
                ),
                layers.Conv2D(channels, 3, padding="same", dtype="float32"),
            ],
            name="decoder",
        )
        self.log_scale = self.add_weight(name="log_scale", shape=(), initializer=_log_scale)
        self.nll = keras.metrics.Mean(name="nll")
        self.commitment = keras.metrics.Mean(name="commitment")

    def build(self, input_shape=None):
        self.encoder.build((None, None, None, self.config["channels"]))
        self.quantizer.build((None, None, None, self.quantizer.embedding_dim))
        self.decoder.build((None, None, None, self.quantizer.embedding_dim))
        self.built = True

    def latents(self, images, training=False):
        """Encoder output `(b, ⌈h/f⌉, ⌈w/f⌉, embedding_dim)` before quantisation."""
        return self.encoder(self._pad(images), training=training)

    def encode(self, images):
        """Codes `(b, ⌈h/f⌉, ⌈w/f⌉)` int32 of `images` `(b, h, w, channels)`."""
        return self.quantizer.encode(self.latents(images))

    def decode(self, codes):
        """Images `(b, h·f, w·f, channels)` of `codes` `(b, h, w)`; crop to the size if padded."""
        return self.decoder(self.quantizer.decode(codes))

    def call(self, images, training=False):
        quantized, _ = self.quantizer(self.latents(images, training), training=training)
        shape = ops.shape(images)
        return self.decoder(quantized, training=training)[:, : shape[1], : shape[2]]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Nats per pixel of the logistic likelihood, plus the commitment."""
        scaled = ops.subtract(x, y_pred) * ops.exp(-self.log_scale)
        # -log of the logistic density: z + 2·softplus(-z) + log s
        nll = ops.mean(scaled + 2 * ops.softplus(-scaled)) + self.log_scale
        commitment = sum(self.losses)
        self.nll.update_state(nll)
        self.commitment.update_state(commitment)
        return nll + commitment

    def _pad(self, images):
        for axis in (1, 2):
            size = ops.shape(images)[axis]
            padded = -(-size // self.compression) * self.compression
            rows = ops.minimum(ops.arange(padded), size - 1)
            images = ops.take(images, rows, axis=axis)
        return images

    def get_config(self):
        return self.config


def _log_scale(shape, dtype=None):
    return ops.full(shape, math.log(0.05), dtype=dtype)
