"""Causal convolutions in raster order, as two stacks without a blind spot.

The *vertical* stack at row `r` has seen every row above `r`; the *horizontal* stack at `(r, c)`
also the pixels left of `c` in row `r` (van den Oord et al. 2016, figure 1). Each layer can be
evaluated over a whole map, as in training, or a row and then a pixel at a time from the same
weights: `rows` takes any number of rows that follow a halo of earlier ones, `step` one column.

References:
    van den Oord et al., Conditional Image Generation with PixelCNN Decoders, NeurIPS 2016.
"""

from __future__ import annotations

import keras
from keras import ops


def gate(x):
    """`tanh(a) * sigmoid(b)` of the two halves of the last axis."""
    a, b = ops.split(x, 2, axis=-1)
    return ops.tanh(a) * ops.sigmoid(b)


def _pad(x, top=0, left=0, right=0):
    return ops.pad(x, [[0, 0], [top, 0], [left, right], [0, 0]])


def _patch(convolution, patches):
    """The output `(b, f)` of a `convolution` for patches `(b, ..., c)` as large as its kernel."""
    height, width, channels, filters = convolution.kernel.shape
    size = height * width * channels
    flat = ops.reshape(patches, (-1, size))
    return ops.matmul(flat, ops.reshape(convolution.kernel, (size, filters))) + convolution.bias


@keras.saving.register_keras_serializable("medgen")
class CausalInput(keras.layers.Layer):
    """First layer: sees only earlier pixels, never the current one.

    Args:
        filters: channels of both stacks.
        kernel_size: odd; `halo = kernel_size // 2` rows above and columns to the left are seen.

    Input shape:
        `(b, h, w, c)`.

    Output shape:
        Vertical and horizontal features, each `(b, h, w, filters)`.
    """

    def __init__(self, filters: int, kernel_size: int, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.halo = kernel_size // 2
        self.vertical = keras.layers.Conv2D(
            filters, (self.halo, kernel_size), dtype=self.dtype_policy, name="vertical"
        )
        self.horizontal = keras.layers.Conv2D(
            filters, (1, self.halo), dtype=self.dtype_policy, name="horizontal"
        )

    def build(self, input_shape):
        self.vertical.build(input_shape)
        self.horizontal.build(input_shape)

    def call(self, x):
        vertical = self.rows(_pad(x, top=self.halo)[:, :-1])
        horizontal = self.horizontal(_pad(x, left=self.halo)[:, :, :-1])
        return vertical, horizontal

    def rows(self, x):
        """Vertical features of `n` rows.

        Args:
            x: `(b, halo - 1 + n, w, c)`, ending with the row above the last of the `n`.
        """
        return self.vertical(_pad(x, left=self.halo, right=self.halo))

    def pixel(self, above):
        """Vertical features `(b, filters)` below `above` `(b, halo, kernel_size, c)`."""
        return _patch(self.vertical, above)

    def step(self, left):
        """Horizontal features `(b, filters)` behind the `halo` columns `left` `(b, halo, c)`."""
        return _patch(self.horizontal, left)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
        }


@keras.saving.register_keras_serializable("medgen")
class GatedBlock(keras.layers.Layer):
    """Conditional gated residual block over both stacks.

    `tanh(W * v + A s) · sigmoid(V * v + B s)` (van den Oord et al. 2016, equation 4) with spatial
    conditioning `s`, a 1 x 1 link from the vertical to the horizontal stack, and residual
    connections on both (the paper has one on the horizontal stack only).

    Args:
        filters: channels of both stacks.
        kernel_size: odd; the vertical kernel is `kernel_size // 2 + 1` rows high.
        dropout: rate on the gated units.
        seed: of the dropout.
        last: whether no block follows; the vertical features then pass unchanged.

    Input shape:
        Vertical and horizontal features `(b, h, w, filters)`; conditioning `(b, h, w, s)`.

    Output shape:
        Vertical and horizontal features `(b, h, w, filters)`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        dropout: float = 0.0,
        seed: int = 0,
        last: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.last = last
        self.halo = kernel_size // 2
        self.rate = dropout
        self.seed = seed
        policy = self.dtype_policy
        self.vertical = keras.layers.Conv2D(
            2 * filters, (self.halo + 1, kernel_size), dtype=policy, name="vertical"
        )
        self.horizontal = keras.layers.Conv2D(
            2 * filters, (1, self.halo + 1), dtype=policy, name="horizontal"
        )
        self.link = keras.layers.Dense(2 * filters, dtype=policy, name="link")
        injected = 2 * filters if last else 4 * filters
        self.inject = keras.layers.Dense(injected, dtype=policy, name="inject")
        if not last:
            self.vertical_out = keras.layers.Dense(filters, dtype=policy, name="vertical_out")
        self.horizontal_out = keras.layers.Dense(filters, dtype=policy, name="horizontal_out")
        self.dropout = keras.layers.Dropout(dropout, seed=seed, dtype=policy, name="dropout")

    def build(self, vertical_shape, horizontal_shape, conditioning_shape):
        self.vertical.build(vertical_shape)
        self.horizontal.build(horizontal_shape)
        self.link.build((*vertical_shape[:-1], 2 * self.filters))
        self.inject.build(conditioning_shape)
        if not self.last:
            self.vertical_out.build(vertical_shape)
        self.horizontal_out.build(vertical_shape)

    def call(self, vertical, horizontal, conditioning, training=False):
        vertical, injected = self.rows(_pad(vertical, top=self.halo), conditioning, training)
        update = gate(self.horizontal(_pad(horizontal, left=self.halo)) + injected)
        update = self.dropout(update, training=training)
        return vertical, horizontal + self.horizontal_out(update)

    def rows(self, vertical, conditioning, training=False):
        """Vertical pass over `n` rows that follow a halo of earlier ones.

        Args:
            vertical: `(b, halo + n, w, filters)`.
            conditioning: `(b, n, w, s)`.
            training: whether to drop units.

        Returns:
            Vertical features `(b, n, w, filters)`, and what these rows add to the horizontal stack
            before its gate, `(b, n, w, 2 * filters)`.
        """
        seen = self.vertical(_pad(vertical, left=self.halo, right=self.halo))
        return self._passed_on(vertical[:, self.halo :], seen, conditioning, training)

    def pixel(self, vertical, conditioning):
        """`rows` at one pixel.

        Args:
            vertical: around and above it, `(b, halo + 1, kernel_size, filters)`.
            conditioning: `(b, s)`.

        Returns:
            Vertical features `(b, filters)`, and what is added before the horizontal gate,
            `(b, 2 * filters)`.
        """
        seen = _patch(self.vertical, vertical)
        return self._passed_on(vertical[:, -1, self.halo], seen, conditioning)

    def _passed_on(self, vertical, seen, conditioning, training=False):
        injected = self.inject(conditioning)
        if not self.last:
            to_vertical, injected = ops.split(injected, 2, axis=-1)
            update = self.dropout(gate(seen + to_vertical), training=training)
            vertical = vertical + self.vertical_out(update)
        return vertical, self.link(seen) + injected

    def step(self, columns, injected):
        """Horizontal features `(b, filters)` of the last of `columns` `(b, halo + 1, filters)`."""
        update = gate(_patch(self.horizontal, columns) + injected)
        return columns[:, -1] + self.horizontal_out(update)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dropout": self.rate,
            "seed": self.seed,
            "last": self.last,
        }
