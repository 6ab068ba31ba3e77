"""The net's stages at one row or one pixel: each level updated only when it is due."""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from medgen.backends import Tensor
from medgen.nets.pixelminer_published.masked import MaskedKernel
from medgen.sampling.staged.known import Known, Pairs, added_sizes, joined, kept_sizes, split


class Middle:
    """Evaluates the middle slice's maps at one row or pixel; an `Evaluator` of the net's stages.

    Args:
        known: see `Known`.
        apply: `MaskedKernel.row` or `MaskedKernel.step`.
        kept: by convolution, its input and its mixed maps one row or pixel before.
        added: by convolution, what is added to its mixed maps and to its output.

    Attributes:
        kept_next: `kept` for the next row or pixel.
        outputs: of the gated layers, in order.
    """

    def __init__(self, known: Known, apply: Callable, kept: Pairs, added: Pairs):
        self.known, self.apply, self.kept, self.added = known, apply, kept, added
        self.kept_next: Pairs = {}
        self.outputs: list[Tensor] = []

    def convolve(self, layer, x):
        """See `nets.pixelminer_published.stages.Evaluator`."""
        return self._merge(layer, self._mix(layer, x))

    def link(self, layer, x):
        """See `nets.pixelminer_published.stages.Evaluator`."""
        return self.known.link(layer, x)

    def drop(self, layer, x):
        """See `nets.pixelminer_published.stages.Evaluator`."""
        return x

    def gated(self, layer, x, across=None):
        """See `nets.pixelminer_published.stages.Evaluator`."""
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


class Row(Middle):
    """The vertical stack at one row, from a level down.

    Args:
        known: see `Known`.
        row: at full resolution, one at which `level` is due.
        states: of this level and those below, after the last row at which each was due: inputs and
            mixed maps of its convolutions, outputs of its gated layers, its own output.
        level: where to begin.
    """

    def __init__(self, known: Known, row, states: list, level: int = 0):
        self.row, self.level, self.below = row, level, states[1:]
        self.convolutions = known.vertical[level]
        super().__init__(
            known,
            MaskedKernel.row,
            split(states[0][0], self.convolutions, kept_sizes),
            known.row_added(self.convolutions, row // 2**level),
        )

    def inside(self, shrink, grow, x, walk):
        """See `nets.pixelminer_published.stages.Evaluator`."""
        mixed = self._mix(shrink, x)
        parity = self.row // 2**self.level % 2

        def update():
            inner = Row(self.known, self.row, self.below, self.level + 1)
            return inner.states_after(walk(inner, self._merge(shrink, mixed)))

        self.below = ops.cond(parity == 0, update, lambda: self.below)
        return grow.row(self.known.grow[grow], self.below[0][-1], parity)

    def states_after(self, output):
        """`states` for the next row, given the output of this level."""
        kept = joined(self.kept_next, self.convolutions)
        return [(kept, ops.concatenate(self.outputs, axis=-1), output), *self.below]


class Pixel(Middle):
    """The horizontal stack at one pixel, from a level down.

    Args:
        known: see `Known`.
        place: row and column at full resolution, at which `level` is due.
        states: of this level and those below: inputs and mixed maps of its convolutions at the last
            pixel at which it was due, its own output there.
        added: by level, see `Known.added`.
        above: by level, its outputs `(w, b, filters)` in the last row before at which it was due.
        level: where to begin.
    """

    def __init__(self, known: Known, place, states: list, added: list, above: list, level: int = 0):
        self.place, self.level, self.below = place, level, states[1:]
        self.added_maps, self.above = added, above
        self.convolutions = known.horizontal[level]
        self.column = place[1] // 2**level
        super().__init__(
            known,
            MaskedKernel.step,
            split(states[0][0], self.convolutions, kept_sizes),
            split(added[level][self.column], self.convolutions, added_sizes),
        )

    def inside(self, shrink, grow, x, walk):
        """See `nets.pixelminer_published.stages.Evaluator`."""
        mixed = self._mix(shrink, x)
        row, column = (index // 2**self.level % 2 for index in self.place)

        def update():
            inner = Pixel(
                self.known, self.place, self.below, self.added_maps, self.above, self.level + 1
            )
            return inner.states_after(walk(inner, self._merge(shrink, mixed)))

        self.below = ops.cond((row == 0) & (column == 0), update, lambda: self.below)
        coarse = self.above[self.level + 1][self.column // 2]
        coarse = ops.where(row == 0, self.below[0][-1], coarse)
        return grow.step(self.known.grow[grow], coarse, row, column)

    def states_after(self, output):
        """`states` for the next pixel, given the output of this level."""
        kept = joined(self.kept_next, self.convolutions)
        return [(kept, output), *self.below]
