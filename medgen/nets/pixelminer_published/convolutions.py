"""Convolutions of PixelMiner, over three slices of which the outer two are known.

Each of two causal stacks, vertical and horizontal, carries three maps: of the previous slice, of
the slice to be written (the *middle*) and of the next. Between layers they lie behind each other
along the batch axis, `(3b, h, w, c)`, so that whatever acts on each alone is written once. Only
`PixelMinerConv` mixes them: the middle takes from the outer ones, never the reverse. What depends
on the outer ones alone can therefore be computed once for a slice, and the middle a row or a pixel
at a time.

References:
    [1] Salimans et al., PixelCNN++: Improving the PixelCNN with discretized logistic mixture
        likelihood and other modifications, ICLR 2017.
    [2] Rogers et al., Towards texture accurate slice interpolation of medical images using
        PixelMiner, 2023.
"""

from __future__ import annotations

import keras
from keras import ops

from medgen.nets.pixelminer_published.masked import MaskedKernel, pad
from medgen.nets.pixelminer_published.weightnorm import WeightNormConv2D, WeightNormConv2DTranspose


@keras.saving.register_keras_serializable("medgen")
class PixelMinerConv(keras.layers.Layer):
    """Mixed causal and non-causal convolution [2].

    The outer slices pass one ordinary 3 x 3 convolution, so that after a few layers each of their
    positions knows its surroundings on all sides. The middle one passes two masked convolutions:
    one of depth 2 over [previous, middle] and, with the same weights, over [middle, next]; another
    of depth 2 merges both results. A 3-D convolution of depth 2 over two slices is a 2-D one over
    their channels, and computed so.

    Args:
        filters: output channels.
        kernel_size: rows and columns of the masked convolutions.
        horizontal: whether they belong to the horizontal or the vertical stack.
        strides: of the outer and of the merging convolution, 1 or 2.

    Input shape:
        `(3b, h, w, c)`: previous, middle and next, behind each other.

    Output shape:
        `(3b, h / strides, w / strides, filters)`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: tuple[int, int],
        horizontal: bool,
        strides: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = tuple(kernel_size)
        self.horizontal = horizontal
        self.strides = strides
        policy = self.dtype_policy
        self.outer = WeightNormConv2D(filters, (3, 3), strides, dtype=policy, name="outer")
        self.mix = WeightNormConv2D(filters, kernel_size, dtype=policy, name="mix")
        self.merge = WeightNormConv2D(filters, kernel_size, strides, dtype=policy, name="merge")

    def build(self, input_shape):
        maps = (None, None, None)
        self.channels = input_shape[-1]
        self.outer.build((*maps, self.channels))
        self.mix.build((*maps, 2 * self.channels))
        self.merge.build((*maps, 2 * self.filters))

    def call(self, x):
        previous, middle, following = ops.split(x, 3, axis=0)
        mixed = [
            self.mix(self._pad(ops.concatenate(pair, axis=-1)))
            for pair in ((previous, middle), (middle, following))
        ]
        middle = self.merge(self._pad(ops.concatenate(mixed, axis=-1)))
        outer = self._outer(ops.concatenate([previous, following], axis=0))
        previous, following = ops.split(outer, 2, axis=0)
        return ops.concatenate([previous, middle, following], axis=0)

    def read(self, x):
        """The outer slices' part.

        Args:
            x: `(2b, h, w, c)`, previous and next behind each other.

        Returns:
            The outer slices `(2b, h / strides, w / strides, filters)` of the output, and what the
            input adds to both mixed maps of the middle, `(b, h, w, 2 * filters)`.
        """
        previous, following = (self._pad(half) for half in ops.split(x, 2, axis=0))
        first, second = ops.split(self.mix.kernel, 2, axis=2)
        mixed = [
            ops.conv(previous, first, padding="valid") + self.mix.bias,
            ops.conv(following, second, padding="valid") + self.mix.bias,
        ]
        return self._outer(x), ops.concatenate(mixed, axis=-1)

    def middle(self) -> tuple[MaskedKernel, MaskedKernel]:
        """The middle's own part: from the middle to both mixed maps, and from these to the output.

        Without biases: that of `mix` is in what `read` gives, that of `merge` is `merge.bias`.
        """
        first, second = ops.split(self.mix.kernel, 2, axis=2)
        mixing = ops.concatenate([second, first], axis=-1)
        return (
            MaskedKernel(mixing, self.horizontal),
            MaskedKernel(self.merge.kernel, self.horizontal, self.strides),
        )

    def _pad(self, x):
        rows, columns = self.kernel_size
        return pad(x, rows, columns, self.horizontal)

    def _outer(self, x):
        return self.outer(ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]))

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "horizontal": self.horizontal,
            "strides": self.strides,
        }


@keras.saving.register_keras_serializable("medgen")
class PixelMinerTranspose(keras.layers.Layer):
    """Transposed convolution of stride 2 that keeps the order of its stack.

    A position of the coarse map reaches the two rows that begin with its own; in the vertical stack
    also a column to the left and right, in the horizontal one the two columns that begin with its
    own.

    Args:
        filters: output channels.
        horizontal: which stack.

    Input shape:
        `(b, h, w, c)`.

    Output shape:
        `(b, 2h, 2w, filters)`.
    """

    def __init__(self, filters: int, horizontal: bool, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.horizontal = horizontal
        self.conv = WeightNormConv2DTranspose(
            filters, (2, 2) if horizontal else (2, 3), dtype=self.dtype_policy, name="conv"
        )

    def build(self, input_shape):
        self.conv.build(input_shape)

    def call(self, x):
        x = self.conv(x)
        return x if self.horizontal else x[:, :, 1:]

    def row(self, kernel, x, parity):
        """An even (0) or odd (1) row `(b, 2w, filters)` from a coarse one `(b, w, c)`.

        For the vertical stack; `kernel` is the layer's, computed before.
        """
        kernel = ops.take(kernel, ops.stack([parity]), axis=0)
        x = ops.conv_transpose(x[:, None], kernel, strides=(1, 2), padding="valid")
        return x[:, 0, 1:] + self.conv.bias

    def step(self, kernel, x, row_parity, column_parity):
        """A pixel `(b, filters)` from the coarse one `(b, c)`, likewise; horizontal stack."""
        kernel = ops.take(ops.take(kernel, row_parity, axis=0), column_parity, axis=0)
        return ops.matmul(x, ops.transpose(kernel)) + self.conv.bias

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "horizontal": self.horizontal,
        }


@keras.saving.register_keras_serializable("medgen")
class PixelMinerInput(keras.layers.Layer):
    """First layers of both stacks: the middle sees earlier pixels only, never the current one.

    As in [1], the vertical stack begins with what lies above, its map moved down a row; the
    horizontal one with the row above, likewise, plus what lies left, moved right a column. The
    outer slices have nothing to hide and stay where they are ([2]'s code moves them along, a pixel
    out of register with the middle).

    Args:
        filters: channels of both stacks.

    Input shape:
        `(3b, h, w, c)`.

    Output shape:
        Vertical and horizontal maps, each `(3b, h, w, filters)`.
    """

    def __init__(self, filters: int, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

        def conv(size: tuple[int, int], horizontal: bool, name: str) -> PixelMinerConv:
            return PixelMinerConv(filters, size, horizontal, dtype=self.dtype_policy, name=name)

        self.vertical = conv((2, 3), False, "vertical")
        self.above = conv((1, 3), False, "above")
        self.left = conv((2, 1), True, "left")

    def build(self, input_shape):
        for layer in (self.vertical, self.above, self.left):
            layer.build(input_shape)

    def call(self, x):
        vertical = _move_middle(self.vertical(x), axis=1)
        above, left = _move_middle(self.above(x), axis=1), _move_middle(self.left(x), axis=2)
        return vertical, above + left

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def _move_middle(x, axis: int):
    """`(3b, h, w, c)` with the middle maps moved by 1 along `axis`, behind zeros."""
    previous, middle, following = ops.split(x, 3, axis=0)
    rows, columns = (1, 0) if axis == 1 else (0, 1)
    middle = ops.pad(middle, [[0, 0], [rows, 0], [columns, 0], [0, 0]])
    middle = middle[:, :-1] if axis == 1 else middle[:, :, :-1]
    return ops.concatenate([previous, middle, following], axis=0)
