"""The reference: one full pass of the net for each position, as the definition has it."""

from __future__ import annotations

from keras import ops

from medgen.backends import Tensor, compiled
from medgen.sampling.protocols import AutoregressiveNet, Draw


class RasterSampler:
    """Draws maps position by position, evaluating the whole net each time.

    Slow (`h · w` full passes), and kept as the oracle for `CachedSampler`.

    Args:
        net: what to draw from.
        draw: to int32 values.
        positions: stop after so many, leaving the rest 0; None draws whole maps. All positions cost
            the same, so a few tell the time of all.
    """

    def __init__(self, net: AutoregressiveNet, draw: Draw, positions: int | None = None):
        self.net, self.draw, self.positions = net, draw, positions
        self._sample = compiled(self._loop, net)

    def __call__(self, conditioning: Tensor, uniforms: Tensor) -> Tensor:
        """Values `(b, h, w)` for conditioning `(b, h, w, s)` and uniforms `(b, h, w, m)`."""
        return self._sample(conditioning, uniforms)

    def _loop(self, conditioning, uniforms):
        batch, height, width, _ = ops.shape(conditioning)
        values = ops.zeros((batch, height, width), "int32")
        end = height * width if self.positions is None else self.positions

        def step(position, values):
            embedded = self.net.embed(values, conditioning)
            outputs = self.net.head(self.net.stack(embedded, conditioning), conditioning)
            row, column = position // width, position % width
            value = self.draw(
                outputs[:, row, column], uniforms[:, row, column], conditioning[:, row, column]
            )
            here = ops.reshape(ops.arange(height * width) == position, (1, height, width))
            return position + 1, ops.where(here, value[:, None, None], values)

        _, values = ops.while_loop(lambda position, _: position < end, step, (0, values))
        return values
