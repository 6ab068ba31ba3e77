"""Autoencoder of colour images: three channels to one at a quarter of the resolution, and back."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from medgen.layers.residual import ResidualBlock

# Pixels along each axis for one of the encoding.
COMPRESSION = 4


@keras.saving.register_keras_serializable("medgen")
class Autoencoder(keras.Model):
    """Strided convolutions with residual blocks between, and a decoder that mirrors them.

    An image of 181 x 181 x 3 numbers becomes an encoding of 46 x 46 x 1. Images of any size are
    padded inside to a multiple of 4 by repeating the last row and column, so that with kernels of 4
    at strides of 2 the value `(i, j)` of an encoding stands at pixel `(4i + 1.5, 4j + 1.5)`
    whatever the size: a crop that starts at a multiple of 4 has the encoding of the whole image
    there, but for what its border does.

    With `linear_paths` an encoding begins as the brightness of 4 x 4 pixels and an image as one
    colour for each brightness, bilinear between; the convolutions learn what this lacks.

    Args:
        fine: channels at half the resolution.
        coarse: channels at a quarter of it.
        narrow: channels before and behind the encoding.
        blocks: residual blocks in each of the three stages, of the encoder and of the decoder.
        linear_paths: whether convolutions are added to a linear way in and out.

    Input shape:
        `(b, h, w, 3)`, red, green and blue in −0.5…0.5.

    Output shape:
        As the input.

    References:
        Hinton & Salakhutdinov, Reducing the dimensionality of data with neural networks, Science
        313, 2006.
        He, Zhang, Ren & Sun, Identity mappings in deep residual networks, ECCV 2016.
    """

    def __init__(
        self,
        fine: int,
        coarse: int,
        narrow: int,
        blocks: int,
        linear_paths: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {
            "fine": fine,
            "coarse": coarse,
            "narrow": narrow,
            "blocks": blocks,
            "linear_paths": linear_paths,
        }
        layers = keras.layers
        half = {"kernel_size": 4, "strides": 2, "padding": "same"}
        same = {"kernel_size": 3, "padding": "same"}
        # What is added to a linear way begins as nothing.
        last = {"kernel_initializer": "zeros"} if linear_paths else {}

        # === Layers ===
        self.encoder = keras.Sequential(
            [
                layers.Conv2D(fine, **half),
                *_stage(fine, blocks),
                layers.Conv2D(coarse, **half),
                *_stage(coarse, blocks),
                layers.Conv2D(narrow, **same),
                *_stage(narrow, blocks),
                layers.Conv2D(1, **same, **last, dtype="float32"),
            ],
            name="encoder",
        )
        self.decoder = keras.Sequential(
            [
                layers.Conv2D(narrow, **same),
                *_stage(narrow, blocks),
                layers.Conv2D(coarse, **same),
                *_stage(coarse, blocks),
                layers.Conv2DTranspose(fine, **half),
                *_stage(fine, blocks),
                layers.Conv2DTranspose(3, **half, **last, dtype="float32"),
            ],
            name="decoder",
        )
        if linear_paths:
            self.brightness = layers.Conv2D(
                1,
                COMPRESSION,
                strides=COMPRESSION,
                kernel_initializer=keras.initializers.Constant(1 / (3 * COMPRESSION**2)),
                dtype="float32",
                name="brightness",
            )
            self.colour = layers.Conv2D(
                3, 1, kernel_initializer="ones", dtype="float32", name="colour"
            )

    def build(self, input_shape=None):
        self.encoder.build((None, None, None, 3))
        self.decoder.build((None, None, None, 1))
        if self.config["linear_paths"]:
            self.brightness.build((None, None, None, 3))
            self.colour.build((None, None, None, 1))
        self.built = True

    @property
    def reach(self) -> int:
        """Values of the encoding beyond which nothing counts, for the encoder and the decoder.

        Of a stage at the finer resolution a block reaches half a value, of the others one; the
        convolutions between reach less than 4 in all.
        """
        blocks = self.config["blocks"]
        return 2 * blocks + -(-blocks // 2) + 4

    def encode(self, images, training=False):
        """Encoding `(b, ⌈h/4⌉, ⌈w/4⌉, 1)` of images `(b, h, w, 3)`."""
        padded = _padded(images)
        encoding = self.encoder(padded, training=training)
        if self.config["linear_paths"]:
            encoding = encoding + self.brightness(padded)
        return encoding

    def decode(self, encoding, training=False):
        """Images `(b, 4h, 4w, 3)` of encodings `(b, h, w, 1)`; crop to the size if padded."""
        images = self.decoder(encoding, training=training)
        if self.config["linear_paths"]:
            shape = ops.shape(images)
            images = images + ops.image.resize(
                self.colour(encoding), (shape[1], shape[2]), interpolation="bilinear"
            )
        return images

    def call(self, images, training=False):
        shape = ops.shape(images)
        return self.decode(self.encode(images, training), training)[:, : shape[1], : shape[2]]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean squared error."""
        return ops.mean(ops.square(ops.subtract(x, y_pred)))

    def get_config(self):
        return self.config


def _padded(images):
    """Images with their last row and column repeated to sides that are multiples of 4."""
    for axis in (1, 2):
        size = ops.shape(images)[axis]
        whole = -(-size // COMPRESSION) * COMPRESSION
        images = ops.take(images, ops.minimum(ops.arange(whole), size - 1), axis=axis)
    return images


def _stage(channels: int, blocks: int) -> list[keras.layers.Layer]:
    """Residual blocks, and the activation that they leave to whoever comes next."""
    return [
        *[ResidualBlock(channels) for _ in range(blocks)],
        keras.layers.Activation("silu"),
    ]
