"""All positions at once, again and again, until nothing changes."""

from __future__ import annotations

import tensorflow as tf

from medgen.sampling.draw import Draw


class FixedPointSampler:
    """Draws the maps that `RasterSampler` draws, in passes of the whole net over whole maps.

    With the uniform numbers given, drawing is a function from a map to a map, of which a position
    depends on earlier ones only. The map that it leaves unchanged is the one that raster order
    gives. Jacobi's iteration reaches it: after n passes at least the first n positions are right,
    and usually far more, since a wrong pixel does not always change what follows. Each pass is a
    full one, so this pays where a pass over a map takes little longer than one over a pixel, on
    GPUs (Song et al. 2021, algorithm 1).

    Args:
        net: with `embed(values, conditioning)`, `stack` and `head(features, conditioning)`.
        draw: from outputs `(b, p)`, uniforms `(b, m)` and conditioning `(b, s)` to values `(b,)`.
        dtype: of the values.

    References:
        Song et al., Accelerating Feedforward Computation via Parallel Nonlinear Equation Solving,
        ICML 2021.
    """

    def __init__(self, net, draw: Draw, dtype: tf.DType = tf.int32):
        self.net, self.draw, self.dtype = net, draw, dtype
        self._sample = tf.function(self._iterate, reduce_retracing=True)

    def __call__(
        self, conditioning: tf.Tensor, uniforms: tf.Tensor, start: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw maps from a first guess.

        Args:
            conditioning: `(b, h, w, s)`.
            uniforms: `(b, h, w, m)`.
            start: values `(b, h, w)` to begin with; they decide the number of passes alone.

        Returns:
            Values `(b, h, w)`, and the number of passes, int32, of which the last changed nothing.
        """
        values, _, passes = self._sample(conditioning, uniforms, tf.cast(start, self.dtype))
        return values, passes

    def with_outputs(
        self, conditioning: tf.Tensor, uniforms: tf.Tensor, start: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The same values, and the net's outputs `(b, h, w, p)` that they were drawn from."""
        values, outputs, _ = self._sample(conditioning, uniforms, tf.cast(start, self.dtype))
        return values, outputs

    def _iterate(self, conditioning, uniforms, start):
        shape = tf.shape(start)

        def one_pass(passes, values, outputs=None, changing=None):
            embedded = self.net.embed(values, conditioning)
            outputs = self.net.head(self.net.stack(embedded, conditioning), conditioning)
            drawn = self.draw(*(_flat(x) for x in (outputs, uniforms, conditioning)))
            drawn = tf.reshape(drawn, shape)
            return passes + 1, drawn, outputs, tf.reduce_any(drawn != values)

        passes, values, outputs, _ = tf.while_loop(
            lambda passes, values, outputs, changing: changing,
            one_pass,
            one_pass(0, start),
            # Enough by the argument above; rounding that differed between passes could go on.
            maximum_iterations=shape[1] * shape[2],
        )
        return values, outputs, passes


def _flat(maps: tf.Tensor) -> tf.Tensor:
    """Maps `(b, h, w, c)` as `(b * h * w, c)`."""
    return tf.reshape(maps, (-1, maps.shape[-1]))
