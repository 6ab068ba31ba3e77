"""Non-causal residual blocks, of images and of volumes."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("medgen")
class ResidualBlock(keras.layers.Layer):
    """`x + conv1x1(silu(conv3x3(silu(x))))`, optionally dilated and with dropout.

    Args:
        filters: channels, equal to the input's.
        dilation: of the 3 x 3 convolution.
        dropout: rate before the 1 x 1 convolution.
        seed: of the dropout.

    Input shape:
        `(b, h, w, filters)`.

    Output shape:
        As the input.
    """

    def __init__(
        self, filters: int, dilation: int = 1, dropout: float = 0.0, seed: int = 0, **kwargs
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.dilation = dilation
        self.rate = dropout
        self.seed = seed
        policy = self.dtype_policy
        self.wide = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            dilation_rate=dilation,
            activation="silu",
            dtype=policy,
            name="wide",
        )
        self.dropout = keras.layers.Dropout(dropout, seed=seed, dtype=policy, name="dropout")
        self.out = keras.layers.Conv2D(filters, 1, dtype=policy, name="out")

    def build(self, input_shape):
        self.wide.build(input_shape)
        self.out.build(input_shape)

    def call(self, x, training=False):
        update = self.dropout(self.wide(keras.activations.silu(x)), training=training)
        return x + self.out(update)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "dilation": self.dilation,
            "dropout": self.rate,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable("medgen")
class ResidualVoxelBlock(keras.layers.Layer):
    """`x + conv3x3x3(relu(conv3x3x3(relu(x))))`, the second convolution beginning small.

    Args:
        filters: channels, equal to the input's.
        seed: of the initial weights.

    Input shape:
        `(b, d, h, w, filters)`.

    Output shape:
        As the input.
    """

    def __init__(self, filters: int, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.seed = seed
        self.first, self.second = (
            keras.layers.Conv3D(
                filters,
                3,
                padding="same",
                kernel_initializer=keras.initializers.VarianceScaling(scale, seed=seed + n),
                dtype=self.dtype_policy,
                name=name,
            )
            for n, (name, scale) in enumerate((("first", 2.0), ("second", 0.2)))
        )

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build(input_shape)

    def call(self, x):
        return x + self.second(ops.relu(self.first(ops.relu(x))))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "seed": self.seed}
