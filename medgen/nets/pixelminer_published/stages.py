"""The two stacks of PixelCNN++ [1], of gated residual layers in stages of several resolutions.

Which layer follows which is said once, in `GatedResidual.evaluate` and `ResidualStages.walk`; each
convolution is left to an `Evaluator`. Here are the one for whole maps and the one that reads the
outer slices; `sampling.staged` has one for a row and one for a pixel at a time.

References:
    [1] Salimans et al., PixelCNN++: Improving the PixelCNN with discretized logistic mixture
        likelihood and other modifications, ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import keras
from keras import ops

from medgen.nets.pixelminer_published.convolutions import PixelMinerConv, PixelMinerTranspose
from medgen.nets.pixelminer_published.weightnorm import WeightNormDense


def concat_elu(x):
    """ELU of `x` and of `-x`, behind each other along the last axis."""
    return ops.elu(ops.concatenate([x, -x], axis=-1))


class Evaluator(Protocol):
    """What a stack is evaluated with."""

    def convolve(self, layer: PixelMinerConv, x):
        """The layer's output."""

    def link(self, layer: WeightNormDense, x):
        """The layer's output."""

    def drop(self, layer: keras.layers.Dropout, x):
        """The layer's output."""

    def gated(self, layer: GatedResidual, x, across=None):
        """The layer's output, by `layer.evaluate` with all that it receives."""

    def inside(self, shrink: PixelMinerConv, grow: PixelMinerTranspose, x, walk):
        """Output of `shrink`, then `walk(evaluator, x)` at half the resolution, then `grow`."""


class Maps:
    """Evaluates a stack on whole maps.

    Args:
        place: condition `(3b, 1, 1, p)`.
        beside: outputs of the vertical stack's gated layers in order, for the horizontal one.
        training: whether to drop units.
    """

    def __init__(self, place, beside: Iterable = (), training: bool = False):
        self.place = place
        self.training = training
        self.outputs: list[Any] = []
        self._beside = iter(beside)

    def convolve(self, layer, x):
        return layer(x)

    def link(self, layer, x):
        return layer(x)

    def drop(self, layer, x):
        return layer(x, training=self.training)

    def gated(self, layer, x, across=None):
        y = layer.evaluate(self, x, across, next(self._beside, None), self.place)
        self.outputs.append(y)
        return y

    def inside(self, shrink, grow, x, walk):
        return grow(walk(self, self.convolve(shrink, x)))


class OuterMaps(Maps):
    """Evaluates the outer slices alone `(2b, ...)`, and keeps what they add to the middle.

    Attributes:
        injected: by `PixelMinerConv`, see its `read`.
    """

    def __init__(self, place, beside: Iterable = ()):
        super().__init__(place, beside)
        self.injected: dict[Any, Any] = {}

    def convolve(self, layer, x):
        y, self.injected[layer] = layer.read(x)
        return y


@keras.saving.register_keras_serializable("medgen")
class GatedResidual(keras.layers.Layer):
    """Gated residual layer of PixelCNN++ [1] around two `PixelMinerConv`.

    `x + a · sigmoid(b)` with both halves from the second convolution. Links of 1 x 1 bring other
    maps to the output of the first; the position of the wanted slice enters at the output of the
    second, as conditions do in [1]'s code.

    Args:
        filters: channels, equal to the input's.
        horizontal: which stack; in the horizontal one the vertical one's output links in.
        across: whether a long skip connection links in.
        dropout: rate between the convolutions.
        seed: of the dropout.

    Input shape:
        `(3b, h, w, filters)`, the condition `(3b, 1, 1, p)`, and maps to link in, as the first.

    Output shape:
        As the input.
    """

    def __init__(
        self,
        filters: int,
        horizontal: bool,
        across: bool,
        dropout: float = 0.0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {
            "filters": filters,
            "horizontal": horizontal,
            "across": across,
            "dropout": dropout,
            "seed": seed,
        }
        policy = self.dtype_policy
        size = (2, 2) if horizontal else (2, 3)
        self.first = PixelMinerConv(filters, size, horizontal, dtype=policy, name="first")
        self.second = PixelMinerConv(2 * filters, size, horizontal, dtype=policy, name="second")
        self.across = WeightNormDense(filters, dtype=policy, name="across") if across else None
        self.beside = WeightNormDense(filters, dtype=policy, name="beside") if horizontal else None
        self.place = keras.layers.Dense(2 * filters, use_bias=False, dtype=policy, name="place")
        self.dropout = keras.layers.Dropout(dropout, seed=seed, dtype=policy, name="dropout")

    def build(self, input_shape, place_shape):
        doubled = (*input_shape[:-1], 2 * self.config["filters"])
        for layer in (self.first, self.second, self.across, self.beside):
            if layer is not None:
                layer.build(doubled)
        self.place.build(place_shape)

    def call(self, x, place, across=None, beside=None, training=False):
        return self.evaluate(Maps(place, training=training), x, across, beside, place)

    def evaluate(self, evaluator: Evaluator, x, across=None, beside=None, place=None):
        """The layer's output by `evaluator`; what is None is not there, or is added elsewhere."""
        y = evaluator.convolve(self.first, concat_elu(x))
        if self.across is not None and across is not None:
            y = y + evaluator.link(self.across, concat_elu(across))
        if self.beside is not None and beside is not None:
            y = y + evaluator.link(self.beside, concat_elu(beside))
        y = evaluator.convolve(self.second, evaluator.drop(self.dropout, concat_elu(y)))
        if place is not None:
            y = y + self.place(place)
        a, b = ops.split(y, 2, axis=-1)
        return x + a * ops.sigmoid(b)

    def get_config(self):
        return {**super().get_config(), **self.config}


@keras.saving.register_keras_serializable("medgen")
class ResidualStages(keras.layers.Layer):
    """One stack: residual stages at full, half and quarter resolution, and back.

    Of a 64 x 64 window these are six stages, at 64, 32, 16, 16, 32 and 64 pixels [1, figure 2],
    between them strided and transposed PixelMiner convolutions. Every map of the way down, from the
    input on, meets a layer of the way up in a long skip connection.

    Args:
        filters: channels, equal to the input's.
        layers: gated residual layers of a stage on the way down and of the lowest; on the way up
            the others have one more.
        horizontal: which stack.
        dropout: rate in the gated layers.
        seed: of the dropout.
        halvings: of the resolution.

    Input shape:
        `(3b, h, w, filters)` with sides that are multiples of `2 ** halvings`, the condition
        `(3b, 1, 1, p)` and, for the horizontal stack, the outputs of the vertical one's layers.

    Output shape:
        As the input, and a list of the outputs of all gated layers in order.
    """

    def __init__(
        self,
        filters: int,
        layers: int,
        horizontal: bool,
        dropout: float = 0.0,
        seed: int = 0,
        halvings: int = 2,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config: dict[str, Any] = {
            "filters": filters,
            "layers": layers,
            "horizontal": horizontal,
            "dropout": dropout,
            "seed": seed,
            "halvings": halvings,
        }
        self.halvings = halvings
        policy = self.dtype_policy
        seeds = iter(range(seed, seed + 2 * (layers + 1) * (halvings + 1)))

        def stage(name: str, count: int, across: bool) -> list[GatedResidual]:
            return [
                GatedResidual(
                    filters,
                    horizontal,
                    across,
                    dropout,
                    next(seeds),
                    dtype=policy,
                    name=f"{name}_{i}",
                )
                for i in range(count)
            ]

        levels, size = range(halvings + 1), (2, 2) if horizontal else (2, 3)
        self.descent = [stage(f"descent_{n}", layers, False) for n in levels]
        self.ascent = [stage(f"ascent_{n}", layers + (n < halvings), True) for n in levels]
        self.shrink = [
            PixelMinerConv(filters, size, horizontal, 2, dtype=policy, name=f"shrink_{n}")
            for n in range(halvings)
        ]
        self.grow = [
            PixelMinerTranspose(filters, horizontal, dtype=policy, name=f"grow_{n}")
            for n in range(halvings)
        ]

    def build(self, input_shape, place_shape):
        for shrink in self.shrink:
            shrink.build(input_shape)
        for grow in self.grow:
            grow.build(input_shape)
        for level in range(self.halvings + 1):
            for layer in self.gated(level):
                layer.build(input_shape, place_shape)

    def call(self, x, place, beside=(), training=False):
        maps = Maps(place, beside, training)
        return self.walk(maps, x), maps.outputs

    def gated(self, level: int) -> list[GatedResidual]:
        """Gated layers at a resolution, in order."""
        return [*self.descent[level], *self.ascent[level]]

    def convolutions(self, level: int) -> list[PixelMinerConv]:
        """Convolutions whose inputs are at a resolution."""
        gated = [conv for layer in self.gated(level) for conv in (layer.first, layer.second)]
        return [*gated, *self.shrink[level : level + 1]]

    def walk(self, evaluator: Evaluator, x, level: int = 0):
        """All layers from `level` down and back to it, in order, each by `evaluator`."""
        skips = [x]
        for layer in self.descent[level]:
            x = evaluator.gated(layer, x)
            skips.append(x)
        if level == self.halvings:
            skips.pop()
        else:
            shrink, grow = self.shrink[level], self.grow[level]
            x = evaluator.inside(shrink, grow, x, lambda inner, y: self.walk(inner, y, level + 1))
        for layer in self.ascent[level]:
            x = evaluator.gated(layer, x, skips.pop())
        return x

    def get_config(self):
        return {**super().get_config(), **self.config}
