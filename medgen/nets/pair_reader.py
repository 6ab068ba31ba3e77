"""A net that tells which of two images is real."""

from __future__ import annotations

import keras
from keras import layers, ops


class PairReader(keras.Model):
    """How real an image looks, learnt from pairs of a real and a synthetic one.

    Convolutions, the mean over all places, and one number for each image. The probability of
    naming the first of a pair is the logistic function of the difference of their numbers, as in a
    two-alternative forced choice after Bradley and Terry.

    Args:
        channels: of an image.
        filters: of the convolutions; all but the first halve the sides.
        seed: of the weights to begin with.

    Input shape:
        `(b, 2, h, w, channels)`, the real one first.

    Output shape:
        `(b, 2)`.
    """

    def __init__(self, channels: int, filters: tuple[int, ...], seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.tower = keras.Sequential(
            [
                *(
                    layers.Conv2D(
                        width,
                        3,
                        strides=2 if number else 1,
                        padding="same",
                        activation="silu",
                        kernel_initializer=keras.initializers.HeNormal(seed + number),
                    )
                    for number, width in enumerate(filters)
                ),
                layers.GlobalAveragePooling2D(),
                layers.Dense(1, kernel_initializer=keras.initializers.Zeros()),
            ],
            name="tower",
        )

    def build(self, input_shape=None):
        self.tower.build((None, None, None, self.channels))
        self.built = True

    def call(self, pairs, training=False):
        shape = ops.shape(pairs)
        images = ops.reshape(pairs, (shape[0] * 2, shape[2], shape[3], self.channels))
        return ops.reshape(self.tower(images, training=training), (shape[0], 2))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean negative logarithm of the probability of naming the real one."""
        return ops.mean(ops.softplus(y_pred[:, 1] - y_pred[:, 0]))
