"""The reference: one full pass of the net for each position, as the definition has it."""

from __future__ import annotations

import tensorflow as tf

from medgen.sampling.draw import Draw


class RasterSampler:
    """Draws maps position by position, evaluating the whole net each time.

    Slow (`h · w` full passes), and kept as the oracle for `CachedSampler`.

    Args:
        net: with `embed(values, conditioning)`, `stack` and `head(features, conditioning)`.
        draw: from outputs `(b, p)`, uniforms `(b, m)` and conditioning `(b, s)` to values `(b,)`.
        dtype: of the values.
        positions: stop after so many, leaving the rest 0; None draws whole maps. All positions cost
            the same, so a few tell the time of all.
    """

    def __init__(self, net, draw: Draw, dtype: tf.DType = tf.int32, positions: int | None = None):
        self.net, self.draw, self.dtype, self.positions = net, draw, dtype, positions
        self._sample = tf.function(self._loop, reduce_retracing=True)

    def __call__(self, conditioning: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Values `(b, h, w)` for conditioning `(b, h, w, s)` and uniforms `(b, h, w, m)`."""
        return self._sample(conditioning, uniforms)

    def _loop(self, conditioning, uniforms):
        shape = tf.shape(conditioning)
        height, width = shape[1], shape[2]
        values = tf.zeros(shape[:3], self.dtype)
        end = height * width if self.positions is None else self.positions

        def step(position, values):
            embedded = self.net.embed(values, conditioning)
            outputs = self.net.head(self.net.stack(embedded, conditioning), conditioning)
            row, column = position // width, position % width
            value = self.draw(
                outputs[:, row, column], uniforms[:, row, column], conditioning[:, row, column]
            )
            here = tf.reshape(tf.range(height * width) == position, (1, height, width))
            return position + 1, tf.where(here, value[:, None, None], values)

        _, values = tf.while_loop(
            lambda position, _: position < end,
            step,
            (0, values),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None, None])),
        )
        return values
