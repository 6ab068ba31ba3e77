"""The fast way for a net of several resolutions: each stage updated only when it is due.

A row of the vertical stack is computed from the kept row above it, a pixel of the horizontal one
from the kept pixel to its left and from what the row above adds, which is computed once a row. A
stage at half the resolution has a new row at every other row of the one around it, and a new pixel
at every other pixel of such a row; a stage inside it, at every fourth.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from medgen.nets.pixelminer_published.convolutions import PixelMinerConv
from medgen.nets.pixelminer_published.masked import MaskedKernel
from medgen.nets.pixelminer_published.net import PixelMinerPublished
from medgen.nets.pixelminer_published.stages import concat_elu
from medgen.sampling.draw import Draw

# Channels of the conditioning: two slices and five numbers that say where the wanted one lies.
CONDITIONS = 7

Tensors = dict[PixelMinerConv, tuple[tf.Tensor, tf.Tensor]]


class StagedSampler:
    """Draws maps position by position from the same weights and numbers as `RasterSampler`.

    What the outer slices and the position say is read once for a slice, all weights are normalised
    once, and the rest is one compiled graph loop over rows with one over columns inside.

    Args:
        net: what to draw from.
        draw: from outputs `(b, p)`, uniforms `(b, m)` and conditioning `(b, s)` to values `(b,)`.
        dtype: of the values.
    """

    def __init__(self, net: PixelMinerPublished, draw: Draw, dtype: tf.DType = tf.int32):
        self.net, self.draw, self.dtype = net, draw, dtype
        maps = [None] * 3
        self._sample = tf.function(  # any size in one graph, which takes long to trace
            self._rows,
            input_signature=[
                tf.TensorSpec([*maps, CONDITIONS], net.compute_dtype),
                tf.TensorSpec([*maps, None]),
            ],
        )

    def __call__(self, conditioning: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Values `(b, h, w)` for conditioning `(b, h, w, s)` and uniforms `(b, h, w, m)`."""
        return self._sample(conditioning, uniforms)

    def _rows(self, conditioning, uniforms):
        first, known = self.net.first, _Known(self.net, conditioning)
        height = tf.shape(conditioning)[1]
        conditioning = tf.transpose(conditioning, (1, 2, 0, 3))  # (h, w, b, s)
        uniforms = tf.transpose(uniforms, (1, 2, 0, 3))  # (h, w, b, m)
        inputs = (first.vertical, first.above)

        def one_row(row, entering, kept, vertical, horizontal, rows):
            stack = _Row(known, row, vertical)
            vertical = stack.states_after(self.net.vertical.walk(stack, entering[0]))
            values, embedded, horizontal = self._columns(
                known, row, entering[1], vertical, horizontal, conditioning[row], uniforms[row]
            )
            kept = dict(zip(inputs, kept, strict=True))
            below = _Middle(known, MaskedKernel.row, kept, known.row_added(inputs, row))
            entering = [below.convolve(layer, embedded) for layer in inputs]
            kept = [below.kept_next[layer] for layer in inputs]
            return row + 1, entering, kept, vertical, horizontal, rows.write(row, values)

        filters = self.net.config["filters"]
        start = (
            0,
            [known.row(filters)] * 2,
            [(known.row(layer.channels), known.row(2 * layer.filters)) for layer in inputs],
            [
                (
                    known.row(sum(_kept_sizes(known.vertical[level])), level),
                    known.row(len(self.net.vertical.gated(level)) * filters, level),
                    known.row(filters, level),
                )
                for level in known.levels
            ],
            [
                (
                    known.array(sum(_kept_sizes(known.horizontal[level])), level),
                    known.array(filters, level),
                )
                for level in known.levels
            ],
            tf.TensorArray(self.dtype, size=height),
        )
        *_, rows = tf.while_loop(
            lambda row, *_: row < height, one_row, start, shape_invariants=_invariants(start)
        )
        return tf.transpose(rows.stack(), (2, 0, 1))  # (h, w, b) -> (b, h, w)

    def _columns(self, known, row, entering, vertical, arrays, conditioning, uniforms):
        """One row through the horizontal stack, drawing as it goes.

        Args:
            known: see `_Known`.
            row: which.
            entering: what the row above adds to the stack's input, `(b, w, filters)`.
            vertical: states of the vertical stack, for the outputs of its gated layers.
            arrays: by level, what the row above kept, and the output.
            conditioning: of the row, `(w, b, s)`.
            uniforms: of the row, `(w, b, m)`.

        Returns:
            Values `(w, b)`, the row's embedding `(b, padded w, c)`, and `arrays` of this row.
        """
        net, left = self.net, self.net.first.left
        width = tf.shape(conditioning)[0]
        entering = tf.transpose(entering, (1, 0, 2))
        added = [
            tf.cond(
                row % 2**level == 0,
                lambda level=level: known.added(row, level, arrays[level][0], vertical[level][1]),
                lambda level=level: known.nothing_added(level),
            )
            for level in known.levels
        ]

        def one_column(column, moved, states, values, embedded):
            pixel = _Pixel(known, (row, column), states, added)
            features = net.horizontal.walk(pixel, entering[column] + moved)
            here = conditioning[column]
            value = self.draw(net.head(features, here), uniforms[column], here)
            x = net.embed(value, here)
            moved = pixel.convolve(left, x)
            states = pixel.states_after(features)
            return (
                column + 1,
                moved,
                states,
                values.write(column, value),
                embedded.write(column, x),
            )

        states = [
            (known.pixel(sum(_kept_sizes(known.horizontal[level]))), *arrays[level])
            for level in known.levels
        ]
        start = (
            0,
            known.pixel(left.filters),
            states,
            tf.TensorArray(self.dtype, size=width),
            tf.TensorArray(known.dtype, size=width, element_shape=(None, left.channels)),
        )
        _, _, states, values, embedded = tf.while_loop(
            lambda column, *_: column < width,
            one_column,
            start,
            shape_invariants=_invariants(start),
        )
        embedded = net.pad(tf.transpose(embedded.stack(), (1, 0, 2))[:, None])
        return values.stack(), embedded[:, 0], [state[1:] for state in states]


class _Known:
    """All that the loops use and do not change, as tensors.

    Attributes:
        injected: by convolution, what the outer slices add to the mixed maps `(b, h, w, 2f)`.
        constant: by convolution, what is added to its output everywhere, `(b, f)`: its bias and,
            at the end of a gated layer, the position.
        mixing: by convolution, see `PixelMinerConv.middle`.
        merging: likewise.
        links: by 1 x 1 link, its kernel and bias.
        grow: by transposed convolution, its kernel.
        levels: resolutions: 0 full, 1 half, ...
        vertical: convolutions of the vertical stack, by level of their input.
        horizontal: likewise of the horizontal stack, with the one that looks left of the pixel.
        gated: gated layers of the horizontal stack, by level.
    """

    def __init__(self, net: PixelMinerPublished, conditioning: tf.Tensor):
        self.injected, conditions = net.read(conditioning)
        self.dtype = conditioning.dtype
        shape = tf.shape(self.injected[net.first.left])
        self.batch, self.width = shape[0], shape[2]
        every = tf.zeros((self.batch, 1), self.dtype)
        self.constant, self.mixing, self.merging = {}, {}, {}
        for conv in self.injected:
            self.constant[conv] = every + conv.merge.bias
            self.mixing[conv], self.merging[conv] = conv.middle()
        self.links = {}
        for gated, condition in conditions.items():
            self.constant[gated.second] += condition
            for link in (gated.across, gated.beside):
                if link is not None:
                    self.links[link] = link.kernel, tf.convert_to_tensor(link.bias)
        self.grow = {
            layer: layer.conv.kernel for s in (net.vertical, net.horizontal) for layer in s.grow
        }
        self.levels = range(net.config["halvings"] + 1)
        self.vertical = [net.vertical.convolutions(level) for level in self.levels]
        self.horizontal = [net.horizontal.convolutions(level) for level in self.levels]
        self.horizontal[0].append(net.first.left)
        self.gated = [net.horizontal.gated(level) for level in self.levels]

    def row(self, channels: int, level: int = 0):
        """Zeros `(b, w, channels)` at a level."""
        return tf.zeros((self.batch, self.width // 2**level, channels), self.dtype)

    def pixel(self, channels: int):
        """Zeros `(b, channels)`."""
        return tf.zeros((self.batch, channels), self.dtype)

    def array(self, channels: int, level: int):
        """Zeros for each column of a level, `(b, channels)`."""
        width = self.width // 2**level
        zeros = tf.zeros((width, self.batch, channels), self.dtype)
        array = tf.TensorArray(
            self.dtype, size=width, element_shape=(None, channels), clear_after_read=False
        )
        return array.unstack(zeros)

    def link(self, layer, x):
        """Output of a weight-normalised 1 x 1 link."""
        kernel, bias = self.links[layer]
        return tf.matmul(x, kernel) + bias

    def row_added(self, convolutions, row):
        """By convolution, what is added to the mixed maps and to the output, in a row of it."""
        return {
            conv: (self.injected[conv][:, row], self.constant[conv][:, None])
            for conv in convolutions
        }

    def added(self, row, level: int, kept: tf.TensorArray, beside: tf.Tensor):
        """What is added to the horizontal stack's convolutions in a row of a level, by column.

        Args:
            row: at full resolution.
            level: a level at which `row` is due.
            kept: the row above of all convolutions' inputs.
            beside: outputs of the vertical stack's gated layers `(b, w, n * filters)`.

        Returns:
            `(w, b, ...)`, for each convolution to its mixed maps, then to its output.
        """
        beside = tf.split(beside, len(self.gated[level]), axis=-1)
        linked = {
            layer.first: self.link(layer.beside, concat_elu(x))
            for layer, x in zip(self.gated[level], beside, strict=True)
        }
        above = _split(tf.transpose(kept.stack(), (1, 0, 2)), self.horizontal[level], _kept_sizes)
        pieces = []
        for conv in self.horizontal[level]:
            x, mixed = above[conv]
            pieces.append(self.injected[conv][:, row // 2**level] + self.mixing[conv].above(x))
            output = self.constant[conv][:, None] + self.merging[conv].above(mixed)
            pieces.append(output + linked[conv] if conv in linked else output)
        return tf.transpose(tf.concat(pieces, axis=-1), (1, 0, 2))

    def nothing_added(self, level: int):
        """Zeros of the shape of `added`, for a row at which the level is not due."""
        channels = sum(_added_sizes(self.horizontal[level]))
        return tf.zeros((self.width // 2**level, self.batch, channels), self.dtype)


class _Middle:
    """Evaluates the middle slice's maps at one row or pixel; an `Evaluator` of the net's stages.

    Args:
        known: see `_Known`.
        apply: `MaskedKernel.row` or `MaskedKernel.step`.
        kept: by convolution, its input and its mixed maps one row or pixel before.
        added: by convolution, what is added to its mixed maps and to its output.

    Attributes:
        kept_next: `kept` for the next row or pixel.
        outputs: of the gated layers, in order.
    """

    def __init__(self, known: _Known, apply: Callable, kept: Tensors, added: Tensors):
        self.known, self.apply, self.kept, self.added = known, apply, kept, added
        self.kept_next: Tensors = {}
        self.outputs: list[tf.Tensor] = []

    def convolve(self, layer, x):
        return self._merge(layer, self._mix(layer, x))

    def link(self, layer, x):
        return self.known.link(layer, x)

    def drop(self, layer, x):
        return x

    def gated(self, layer, x, across=None):
        y = layer.evaluate(self, x, across)
        self.outputs.append(y)
        return y

    def _mix(self, layer, x):
        before, _ = self.kept[layer]
        mixed = self.apply(self.known.mixing[layer], before, x) + self.added[layer][0]
        self.kept_next[layer] = x, mixed
        return mixed

    def _merge(self, layer, mixed):
        _, before = self.kept[layer]
        return self.apply(self.known.merging[layer], before, mixed) + self.added[layer][1]


class _Row(_Middle):
    """The vertical stack at one row, from a level down.

    Args:
        known: see `_Known`.
        row: at full resolution, one at which `level` is due.
        states: of this level and those below, after the last row at which each was due: inputs and
            mixed maps of its convolutions, outputs of its gated layers, its own output.
        level: where to begin.
    """

    def __init__(self, known: _Known, row, states: list, level: int = 0):
        self.row, self.level, self.below = row, level, states[1:]
        self.convolutions = known.vertical[level]
        super().__init__(
            known,
            MaskedKernel.row,
            _split(states[0][0], self.convolutions, _kept_sizes),
            known.row_added(self.convolutions, row // 2**level),
        )

    def inside(self, shrink, grow, x, walk):
        mixed = self._mix(shrink, x)
        parity = self.row // 2**self.level % 2

        def update():
            inner = _Row(self.known, self.row, self.below, self.level + 1)
            return inner.states_after(walk(inner, self._merge(shrink, mixed)))

        self.below = tf.cond(parity == 0, update, lambda: self.below)
        return grow.row(self.known.grow[grow], self.below[0][-1], parity)

    def states_after(self, output):
        """`states` for the next row, given the output of this level."""
        kept = _joined(self.kept_next, self.convolutions)
        return [(kept, tf.concat(self.outputs, axis=-1), output), *self.below]


class _Pixel(_Middle):
    """The horizontal stack at one pixel, from a level down.

    Args:
        known: see `_Known`.
        place: row and column at full resolution, at which `level` is due.
        states: of this level and those below: inputs and mixed maps of its convolutions at the last
            pixel at which it was due, arrays of these over the columns, array of its own output.
        added: by level, see `_Known.added`.
        level: where to begin.
    """

    def __init__(self, known: _Known, place, states: list, added: list, level: int = 0):
        self.place, self.added_maps, self.level, self.below = place, added, level, states[1:]
        self.convolutions = known.horizontal[level]
        self.column = place[1] // 2**level
        _, self.rows, self.output = states[0]
        super().__init__(
            known,
            MaskedKernel.step,
            _split(states[0][0], self.convolutions, _kept_sizes),
            _split(added[level][self.column], self.convolutions, _added_sizes),
        )

    def inside(self, shrink, grow, x, walk):
        mixed = self._mix(shrink, x)
        row, column = (index // 2**self.level % 2 for index in self.place)

        def update():
            inner = _Pixel(self.known, self.place, self.below, self.added_maps, self.level + 1)
            return inner.states_after(walk(inner, self._merge(shrink, mixed)))

        self.below = tf.cond((row == 0) & (column == 0), update, lambda: self.below)
        coarse = self.below[0][-1].read(self.column // 2)
        return grow.step(self.known.grow[grow], coarse, row, column)

    def states_after(self, output):
        """`states` for the next pixel, given the output of this level."""
        kept = _joined(self.kept_next, self.convolutions)
        rows, outputs = self.rows.write(self.column, kept), self.output.write(self.column, output)
        return [(kept, rows, outputs), *self.below]


def _kept_sizes(convolutions) -> list[int]:
    """Channels of input and mixed maps of each convolution."""
    return [size for conv in convolutions for size in (conv.channels, 2 * conv.filters)]


def _added_sizes(convolutions) -> list[int]:
    """Channels of mixed maps and output of each convolution."""
    return [size for conv in convolutions for size in (2 * conv.filters, conv.filters)]


def _split(x, convolutions, sizes: Callable) -> Tensors:
    """Two tensors a convolution, of `sizes(convolutions)` channels, out of one."""
    parts = iter(tf.split(x, sizes(convolutions), axis=-1))
    return {conv: (next(parts), next(parts)) for conv in convolutions}


def _joined(pairs: Tensors, convolutions) -> tf.Tensor:
    """The reverse of `_split`."""
    return tf.concat([part for conv in convolutions for part in pairs[conv]], axis=-1)


def _invariants(start):
    """Shapes of loop variables, of which only the channels stay the same."""

    def shape(x):
        if isinstance(x, tf.TensorArray):
            return tf.TensorShape(None)
        rank = len(getattr(x, "shape", ()))
        return tf.TensorShape([None] * (rank - 1) + [x.shape[-1]]) if rank else tf.TensorShape([])

    return tf.nest.map_structure(shape, start)
