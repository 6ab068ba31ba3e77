"""The fast way for a net of several resolutions: each stage updated only when it is due.

A row of the vertical stack is computed from the kept row above it, a pixel of the horizontal one
from the kept pixel to its left and from what the row above adds, which is computed once a row. A
stage at half the resolution has a new row at every other row of the one around it, and a new pixel
at every other pixel of such a row; a stage inside it, at every fourth.
"""

from __future__ import annotations

from keras import ops

from medgen.backends import Tensor, compiled, scan
from medgen.nets.pixelminer_published.masked import MaskedKernel
from medgen.nets.pixelminer_published.net import PixelMinerPublished
from medgen.sampling.protocols import Draw
from medgen.sampling.staged.evaluators import Middle, Pixel, Row
from medgen.sampling.staged.known import Known, kept_sizes

# Channels of the conditioning: two slices and five numbers that say where the wanted one lies.
CONDITIONS = 7


class StagedSampler:
    """Draws maps position by position from the same weights and numbers as `RasterSampler`.

    What the outer slices and the position say is read once for a slice, all weights are normalised
    once, and the rest is one compiled graph loop over rows with one over columns inside.

    Args:
        net: what to draw from.
        draw: to int32 values.
    """

    def __init__(self, net: PixelMinerPublished, draw: Draw):
        self.net, self.draw = net, draw
        maps = None, None, None
        self._sample = compiled(
            self._rows,
            net,
            takes=[((*maps, CONDITIONS), net.compute_dtype), ((*maps, None), "float32")],
        )

    def __call__(self, conditioning: Tensor, uniforms: Tensor) -> Tensor:
        """Values `(b, h, w)` for conditioning `(b, h, w, s)` and uniforms `(b, h, w, m)`."""
        return self._sample(conditioning, uniforms)

    def _rows(self, conditioning, uniforms):
        net, known = self.net, Known(self.net, conditioning)
        inputs = (net.first.vertical, net.first.above)
        conditioning = ops.transpose(conditioning, (1, 2, 0, 3))  # (h, w, b, s)
        uniforms = ops.transpose(uniforms, (1, 2, 0, 3))  # (h, w, b, m)

        def one_row(states, here):
            entering, kept, vertical, horizontal = states
            row, *pixels = here
            stack = Row(known, row, vertical)
            vertical = stack.states_after(net.vertical.walk(stack, entering[0]))
            values, embedded, horizontal = self._columns(
                known, row, entering[1], vertical, horizontal, *pixels
            )
            kept = dict(zip(inputs, kept, strict=True))
            below = Middle(known, MaskedKernel.row, kept, known.row_added(inputs, row))
            entering = [below.convolve(layer, embedded) for layer in inputs]
            kept = [below.kept_next[layer] for layer in inputs]
            return (entering, kept, vertical, horizontal), values

        rows = ops.arange(ops.shape(conditioning)[0])
        entries = (rows, conditioning, uniforms)
        _, values = scan(one_row, self._nothing_kept(known, inputs), entries, "int32")
        return ops.transpose(values, (2, 0, 1))  # (h, w, b) -> (b, h, w)

    def _nothing_kept(self, known, inputs):
        """What the first row is given, in zeros.

        What enters the two stacks, what their first convolutions keep, states of the vertical
        stack by level (see `Row`), and by level what a row of the horizontal one keeps and its
        outputs.
        """
        filters = self.net.config["filters"]
        return (
            [known.row(filters)] * 2,
            [(known.row(layer.channels), known.row(2 * layer.filters)) for layer in inputs],
            [
                (
                    known.row(sum(kept_sizes(known.vertical[level])), level),
                    known.row(len(self.net.vertical.gated(level)) * filters, level),
                    known.row(filters, level),
                )
                for level in known.levels
            ],
            [
                (
                    known.columns(sum(kept_sizes(known.horizontal[level])), level),
                    known.columns(filters, level),
                )
                for level in known.levels
            ],
        )

    def _columns(self, known, row, entering, vertical, above, conditioning, uniforms):
        """One row through the horizontal stack, drawing as it goes.

        Args:
            known: see `Known`.
            row: which.
            entering: what the row above adds to the stack's input, `(b, padded w, filters)`.
            vertical: states of the vertical stack, for the outputs of its gated layers.
            above: by level, what its last row kept `(w, b, ...)`, and its outputs.
            conditioning: of the row, `(w, b, s)`.
            uniforms: of the row, `(w, b, m)`.

        Returns:
            Values `(w, b)`, the row's embedding `(b, padded w, c)`, and `above` for the next row.
        """
        net, left = self.net, self.net.first.left
        width, filters = ops.shape(conditioning)[0], net.config["filters"]
        added = [
            ops.cond(
                row % 2**level == 0,
                lambda level=level: known.added(row, level, above[level][0], vertical[level][1]),
                lambda level=level: known.nothing_added(level),
            )
            for level in known.levels
        ]
        outputs = [output for _, output in above]

        def one_column(kept, here):
            moved, states = kept
            column, entered, conditioning, uniforms = here
            pixel = Pixel(known, (row, column), states, added, outputs)
            features = net.horizontal.walk(pixel, entered + moved)
            value = self.draw(net.head(features, conditioning), uniforms, conditioning)
            x = net.embed(value, conditioning)
            moved = pixel.convolve(left, x)
            states = pixel.states_after(features)
            return (moved, states), (value, x, states)

        nothing = [
            (known.pixel(sum(kept_sizes(known.horizontal[level]))), known.pixel(filters))
            for level in known.levels
        ]
        entering = ops.transpose(entering, (1, 0, 2))[:width]
        entries = (ops.arange(width), entering, conditioning, uniforms)
        dtypes = ("int32", known.dtype, [(known.dtype, known.dtype) for _ in known.levels])
        _, (values, embedded, states) = scan(
            one_column, (known.pixel(left.filters), nothing), entries, dtypes
        )

        def last(level, new, old):
            """Of the states at every column those at the level's own, if the row is one of its."""
            new = new[:: 2**level]
            missing = ops.shape(old)[0] - ops.shape(new)[0]
            new = ops.pad(new, [[0, missing], [0, 0], [0, 0]])
            return ops.where(row % 2**level == 0, new, old)

        above = [
            tuple(last(level, *pair) for pair in zip(states[level], above[level], strict=True))
            for level in known.levels
        ]
        embedded = net.pad(ops.transpose(embedded, (1, 0, 2))[:, None])
        return values, embedded[:, 0], above
