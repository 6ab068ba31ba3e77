"""All positions at once, again and again, until nothing changes."""

from __future__ import annotations

from keras import ops

from medgen.backends import Tensor, compiled
from medgen.sampling.protocols import AutoregressiveNet, Draw


class FixedPointSampler:
    """Draws the maps that `RasterSampler` draws, in passes of the whole net over whole maps.

    With the uniform numbers given, drawing is a function from a map to a map, of which a position
    depends on earlier ones only. The map that it leaves unchanged is the one that raster order
    gives. Jacobi's iteration reaches it: after n passes at least the first n positions are right,
    and usually far more, since a wrong pixel does not always change what follows. Each pass is a
    full one, so this pays where a pass over a map takes little longer than one over a pixel, on
    GPUs (Song et al. 2021, algorithm 1).

    Args:
        net: what to draw from.
        draw: to int32 values.

    References:
        Song et al., Accelerating Feedforward Computation via Parallel Nonlinear Equation Solving,
        ICML 2021.
    """

    def __init__(self, net: AutoregressiveNet, draw: Draw):
        self.net, self.draw = net, draw
        self._sample = compiled(self._iterate, net)

    def __call__(
        self, conditioning: Tensor, uniforms: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draw maps from a first guess.

        Args:
            conditioning: `(b, h, w, s)`.
            uniforms: `(b, h, w, m)`.
            start: values `(b, h, w)` to begin with; they decide the number of passes alone.

        Returns:
            Values `(b, h, w)`, and the number of passes, int32, of which the last changed nothing.
        """
        values, _, passes = self._sample(conditioning, uniforms, ops.cast(start, "int32"))
        return values, passes

    def with_outputs(
        self, conditioning: Tensor, uniforms: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same values, and the net's outputs `(b, h, w, p)` that they were drawn from."""
        values, outputs, _ = self._sample(conditioning, uniforms, ops.cast(start, "int32"))
        return values, outputs

    def _iterate(self, conditioning, uniforms, start):
        shape = ops.shape(start)

        def one_pass(passes, values, outputs=None, changing=None):
            embedded = self.net.embed(values, conditioning)
            outputs = self.net.head(self.net.stack(embedded, conditioning), conditioning)
            drawn = self.draw(*(_flat(x) for x in (outputs, uniforms, conditioning)))
            drawn = ops.reshape(drawn, shape)
            return passes + 1, drawn, outputs, ops.any(drawn != values)

        passes, values, outputs, _ = ops.while_loop(
            lambda passes, values, outputs, changing: changing,
            one_pass,
            one_pass(0, start),
            # Enough by the argument above; rounding that differed between passes could go on.
            maximum_iterations=shape[1] * shape[2],
        )
        return values, outputs, passes


def _flat(maps: Tensor) -> Tensor:
    """Maps `(b, h, w, c)` as `(b * h * w, c)`."""
    return ops.reshape(maps, (-1, maps.shape[-1]))
