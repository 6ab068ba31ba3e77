"""Super-resolution of colour images: convolutions at low resolution, then depth to space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from medgen.layers.residual import ResidualBlock


@keras.saving.register_keras_serializable("medgen")
class ImageESPCN(keras.Model):
    """Efficient sub-pixel network (Shi et al. 2016) with residual blocks and a bicubic long skip.

    A pixel of low resolution is the mean of `factor` x `factor` finer ones, so the pixel `(i, j)`
    stands at `(factor i + (factor - 1) / 2, factor j + ...)` of the fine image; bicubic
    interpolation, which the net begins as and adds to, keeps that place.

    The loss is the mean squared error of pixels, and once `judge` was given, that of features added
    (Johnson et al. 2016).

    Args:
        factor: fine pixels for a coarse one, along either axis.
        filters: channels.
        blocks: residual blocks.

    Input shape:
        Fine images `(b, h, w, 3)` in −0.5…0.5, sides multiples of `factor`: they are made coarse
        first. See `refine` for coarse ones.

    Output shape:
        As the input.

    References:
        Shi et al., Real-time single image and video super-resolution using an efficient sub-pixel
        convolutional neural network, CVPR 2016.
        Johnson, Alahi & Fei-Fei, Perceptual losses for real-time style transfer and
        super-resolution, ECCV 2016.
    """

    def __init__(self, factor: int, filters: int, blocks: int, **kwargs):
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {"factor": factor, "filters": filters, "blocks": blocks}
        self.factor = factor
        layers = keras.layers
        self.body = keras.Sequential(
            [
                layers.Conv2D(filters, 3, padding="same"),
                *[ResidualBlock(filters) for _ in range(blocks)],
                layers.Activation("silu"),
                layers.Conv2D(
                    3 * factor**2, 3, padding="same", kernel_initializer="zeros", dtype="float32"
                ),
            ],
            name="body",
        )
        self.pixels = keras.metrics.Mean(name="pixels")
        self.features = keras.metrics.Mean(name="features")
        self._judge: tuple[Callable[[Any], Any], float] | None = None

    def build(self, input_shape=None):
        self.body.build((None, None, None, 3))
        self.built = True

    @property
    def reach(self) -> int:
        """Coarse pixels beyond which nothing counts; the bicubic kernel reaches 2."""
        return self.config["blocks"] + 2

    def judged_by(self, features: Callable[[Any], Any], weight: float) -> None:
        """Add to the loss the mean squared error of `features(images)`, times `weight`."""
        self._judge = features, weight

    def degrade(self, images):
        """Means of `factor` x `factor` pixels: `(b, h, w, 3)` to `(b, h/factor, w/factor, 3)`."""
        return ops.average_pool(images, self.factor, self.factor)

    def refine(self, coarse):
        """Fine images `(b, h·factor, w·factor, 3)` of coarse ones `(b, h, w, 3)`."""
        shape, r = ops.shape(coarse), self.factor
        fine = (shape[1] * r, shape[2] * r)
        detail = ops.reshape(self.body(coarse), (-1, shape[1], shape[2], r, r, 3))
        # [b, i, j, di, dj, c] is the value at (r i + di, r j + dj).
        detail = ops.reshape(ops.transpose(detail, (0, 1, 3, 2, 4, 5)), (-1, *fine, 3))
        return ops.image.resize(coarse, fine, interpolation="bicubic") + detail

    def call(self, images, training=False):
        return self.refine(self.degrade(images))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean squared error of pixels, and of features where there is a judge."""
        loss = ops.mean(ops.square(ops.subtract(x, y_pred)))
        self.pixels.update_state(loss)
        if self._judge is not None:
            features, weight = self._judge
            difference = ops.mean(ops.square(features(x) - features(y_pred)))
            self.features.update_state(difference)
            loss = loss + weight * difference
        return loss

    def get_config(self):
        return self.config
