"""Other quantisers for `ablation_codes.py`: codes in several codebooks, on two levels, and finite.

Each holds `books`, which have the methods of a `VectorQuantizer`. Codes are a tuple of maps, one a
book, and each book quantises what those before it tell.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from medgen.layers.quantizer import VectorQuantizer
from medgen.layers.residual import ResidualBlock

# Top codes for one along each axis.
COARSER = 4
# Of the blocks that read them, which together see a window of 96 pixels.
DILATIONS = (1, 2, 4)


class Quantizer(keras.layers.Layer):
    """What they have in common.

    Args:
        books: see the module.
    """

    def __init__(self, books: list[VectorQuantizer], **kwargs):
        super().__init__(**kwargs)
        self.books = books

    @property
    def coarser(self) -> tuple[int, ...]:
        """Of each book, how many of the finest codes are one of its, along each axis."""
        return (1,) * len(self.books)

    def remaining(self, inputs, codes):
        """What the next book quantises, after those that gave `codes`."""
        raise NotImplementedError

    def encode(self, inputs):
        """A tuple of maps of codes."""
        codes = ()
        for book in self.books:
            codes += (book.encode(self.remaining(inputs, codes)),)
        return codes

    def take_usage(self) -> np.ndarray:
        """See `VectorQuantizer`, one codebook behind the other."""
        return np.concatenate([book.take_usage() for book in self.books])


class ResidualQuantizer(Quantizer):
    """Codebooks one after the other, each for what those before it left over (Lee et al. 2022).

    Args:
        depth: codebooks.
        options: of each, see `VectorQuantizer`.
    """

    def __init__(self, depth: int, options: Mapping[str, object], **kwargs):
        books = [VectorQuantizer(**options, name=f"book_{i}") for i in range(depth)]
        super().__init__(books, **kwargs)

    def build(self, input_shape):
        """See `keras.layers.Layer`."""
        for book in self.books:
            book.build(input_shape)

    def remaining(self, inputs, codes):
        """See `Quantizer`."""
        return inputs - self.decode(codes) if codes else inputs

    def decode(self, codes):
        """Of the first codebooks, if there are fewer codes."""
        return sum(self.books[i].decode(each) for i, each in enumerate(codes))

    def call(self, inputs, training=False):
        """Quantized vectors and codes."""
        rest, found = inputs, ()
        for book in self.books:
            quantized, codes = book(rest, training=training)
            rest = rest - ops.stop_gradient(quantized)
            found += (codes,)
        return inputs - ops.stop_gradient(rest), found


class FiniteQuantizer(Quantizer):
    """A vector's numbers rounded, each to one of `side` levels (Mentzer et al. 2023).

    Numbers are first brought to mean 0 and deviation 1, by the batch in training and by moving
    averages later: codebooks follow their vectors, too, and without, all come to the same levels.

    Args:
        side: levels of each number.
        dim: numbers.
    """

    def __init__(self, side: int, dim: int, **kwargs):
        super().__init__([_FiniteBook(side, dim, name="book")], **kwargs)

    def build(self, input_shape):
        """See `keras.layers.Layer`."""
        self.books[0].build(input_shape)

    def remaining(self, inputs, codes):
        """See `Quantizer`."""
        return inputs

    def decode(self, codes):
        """Vectors of codes."""
        return self.books[0].decode(codes[0])

    def call(self, inputs, training=False):
        """Quantized vectors and codes."""
        quantized, codes = self.books[0](inputs, training=training)
        return quantized, (codes,)


class _FiniteBook(VectorQuantizer):
    """All combinations of levels as a codebook."""

    def __init__(self, side: int, dim: int, **kwargs):
        super().__init__(side**dim, dim, **kwargs)
        self.side = side

    def build(self, input_shape):
        super().build(input_shape)
        self.middle = self._state("middle", ops.zeros((self.embedding_dim,)))
        self.spread = self._state("spread", ops.ones((self.embedding_dim,)))
        digits = np.arange(self.num_embeddings)[:, None] // self._places % self.side
        self.codebook.assign(2 * digits / (self.side - 1) - 1)

    @property
    def _places(self) -> np.ndarray:
        return self.side ** np.arange(self.embedding_dim)

    def set_codebook(self, vectors: np.ndarray) -> None:
        """Begin with numbers as those of `vectors` `(n, dim)`."""
        self.middle.assign(vectors.mean(axis=0))
        self.spread.assign(vectors.std(axis=0))

    def _digits(self, inputs, middle, spread):
        """Numbers between 0 and `side` - 1, to be rounded."""
        bounded = ops.tanh((inputs - middle) / (spread + 1e-6))
        return (bounded + 1) / 2 * (self.side - 1)

    def _coded(self, digits):
        places = ops.convert_to_tensor(self._places.astype(np.int32))
        return ops.sum(ops.cast(ops.round(digits), "int32") * places, axis=-1)

    def encode(self, inputs):
        return self._coded(self._digits(inputs, self.middle, self.spread))

    def call(self, inputs, training=False):
        middle, spread = self.middle, self.spread
        if training:
            middle, variance = ops.moments(ops.reshape(inputs, (-1, self.embedding_dim)), axes=0)
            spread = ops.sqrt(variance)
            for average, value in ((self.middle, middle), (self.spread, spread)):
                average.assign(0.9 * average + 0.1 * ops.stop_gradient(value))
        digits = self._digits(inputs, middle, spread)
        codes = self._coded(digits)
        if training:
            flat = ops.reshape(codes, (-1,))
            ones = ops.ones_like(flat, dtype="float32")
            self.usage.assign_add(ops.segment_sum(ones, flat, num_segments=self.num_embeddings))
        rounded = digits + ops.stop_gradient(ops.round(digits) - digits)
        return 2 * rounded / (self.side - 1) - 1, codes


class TwoLevelQuantizer(Quantizer):
    """Top codes of 4 x 4 bottom ones, which are read and decoded beside them (Razavi et al. 2019).

    Inputs are the features that bottom vectors are made of; what comes out are bottom vectors with
    what is made of the top ones, `2 * embedding_dim` channels.

    Args:
        filters: channels of the features.
        tops: top codes.
        options: of the bottom codebook, see `VectorQuantizer`.
    """

    def __init__(self, filters: int, tops: int, options: Mapping[str, object], **kwargs):
        books = [
            VectorQuantizer(**{**options, "num_embeddings": tops}, name="top"),
            VectorQuantizer(**options, name="bottom"),
        ]
        super().__init__(books, **kwargs)
        layers, dim = keras.layers, books[0].embedding_dim
        self.filters = filters
        self.reads = [
            *[
                layers.Conv2D(
                    filters, 4, strides=2, padding="same", activation="silu", name=f"coarser_{i}"
                )
                for i in range(2)
            ],
            *[ResidualBlock(filters, dilation=d, name=f"sees_{d}") for d in DILATIONS],
            layers.Activation("silu", name="coarse_silu"),
            layers.Dense(dim, name="top_out"),
        ]
        self.bottom_out = layers.Dense(dim, name="bottom_out")
        self.spread_out = layers.UpSampling2D(COARSER, name="spread_out")
        self.smooth = layers.Conv2D(dim, 3, padding="same", name="smooth")

    def build(self, input_shape):
        """See `keras.layers.Layer`."""
        maps, dim = (None, None, None), self.books[0].embedding_dim
        for layer in self.reads:
            layer.build((*maps, self.filters))
        for layer in (*self.books, self.smooth):
            layer.build((*maps, dim))
        self.bottom_out.build((*maps, self.filters + dim))

    @property
    def coarser(self) -> tuple[int, ...]:
        """See `Quantizer`."""
        return COARSER, 1

    def remaining(self, inputs, codes):
        """See `Quantizer`."""
        if not codes:
            return self._top(inputs)
        return self._bottom(inputs, self.lifted(self.books[0].decode(codes[0])))

    def lifted(self, top):
        """Of top vectors, what is shown where bottom ones are."""
        return self.smooth(self.spread_out(top))

    def decode(self, codes):
        """What comes out; of top codes alone, their part of it."""
        top = self.lifted(self.books[0].decode(codes[0]))
        if len(codes) == 1:
            return top
        return ops.concatenate([self.books[1].decode(codes[1]), top], axis=-1)

    def call(self, inputs, training=False):
        """Vectors and codes."""
        top, top_codes = self.books[0](self._top(inputs), training=training)
        lifted = self.lifted(top)
        bottom, codes = self.books[1](self._bottom(inputs, lifted), training=training)
        return ops.concatenate([bottom, lifted], axis=-1), (top_codes, codes)

    def _top(self, features):
        for layer in self.reads:
            features = layer(features)
        return features

    def _bottom(self, features, lifted):
        return self.bottom_out(ops.concatenate([features, lifted], axis=-1))
