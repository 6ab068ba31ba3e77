"""Weight normalisation: every output channel's kernel as a direction and a length of its own.

`kernel = gain * direction / |direction|`, the norm over all weights of one output channel (Salimans
and Kingma 2016, equation 2), as everywhere in PixelCNN++. The gains start at the norms, so that an
untrained layer is one without normalisation.

References:
    Salimans and Kingma, Weight Normalization: A Simple Reparameterization to Accelerate Training of
    Deep Neural Networks, NeurIPS 2016.
"""

from __future__ import annotations

import keras
from keras import ops


class _WeightNorm(keras.layers.Layer):
    """Holds direction, gain and bias; `axis` is the output channels' among the kernel's axes."""

    def __init__(self, filters: int, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def _add_weights(self, shape: tuple[int, ...], axis: int = -1):
        self._gain_shape = [1] * len(shape)
        self._gain_shape[axis] = self.filters
        self._reduced = [i for i in range(len(shape)) if i != axis % len(shape)]
        self.direction = self.add_weight(name="direction", shape=shape)
        norm = ops.reshape(self._norm(), (-1,))
        self.gain = self.add_weight(
            name="gain", shape=(self.filters,), initializer=lambda *_, **__: norm
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def _norm(self):
        return ops.sqrt(ops.sum(ops.square(self.direction), axis=self._reduced, keepdims=True))

    @property
    def kernel(self):
        """The normalised kernel, computed anew from direction and gain."""
        gain = ops.reshape(self.gain, self._gain_shape)
        return ops.cast(self.direction * (gain / self._norm()), self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable("medgen")
class WeightNormDense(_WeightNorm):
    """Weight-normalised 1 x 1 convolution: a matrix product over the last axis.

    Args:
        filters: output channels.

    Input shape:
        `(..., c)`.

    Output shape:
        `(..., filters)`.
    """

    def build(self, input_shape):
        self._add_weights((input_shape[-1], self.filters))

    def call(self, x):
        return ops.matmul(x, self.kernel) + ops.cast(self.bias, x.dtype)


@keras.saving.register_keras_serializable("medgen")
class WeightNormConv2D(_WeightNorm):
    """Weight-normalised convolution without padding.

    Args:
        filters: output channels.
        kernel_size: rows and columns.
        strides: of both.

    Input shape:
        `(b, h, w, c)`.

    Output shape:
        `(b, (h - rows) // strides + 1, (w - columns) // strides + 1, filters)`.
    """

    def __init__(self, filters: int, kernel_size: tuple[int, int], strides: int = 1, **kwargs):
        super().__init__(filters, **kwargs)
        self.kernel_size = tuple(kernel_size)
        self.strides = strides

    def build(self, input_shape):
        self._add_weights((*self.kernel_size, input_shape[-1], self.filters))

    def call(self, x):
        x = ops.conv(x, self.kernel, strides=self.strides, padding="valid")
        return x + ops.cast(self.bias, x.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
        }


@keras.saving.register_keras_serializable("medgen")
class WeightNormConv2DTranspose(_WeightNorm):
    """Weight-normalised transposed convolution of stride 2, nothing cropped.

    Args:
        filters: output channels.
        kernel_size: rows and columns, at least 2 each.

    Input shape:
        `(b, h, w, c)`.

    Output shape:
        `(b, 2 * (h - 1) + rows, 2 * (w - 1) + columns, filters)`.
    """

    def __init__(self, filters: int, kernel_size: tuple[int, int], **kwargs):
        super().__init__(filters, **kwargs)
        self.kernel_size = tuple(kernel_size)

    def build(self, input_shape):
        self._add_weights((*self.kernel_size, self.filters, input_shape[-1]), axis=2)

    def call(self, x):
        x = ops.conv_transpose(x, self.kernel, strides=2, padding="valid")
        return x + ops.cast(self.bias, x.dtype)

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size}
