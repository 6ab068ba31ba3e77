"""The fast way: the vertical stack once a row, the horizontal stack once a pixel, nothing twice."""

from __future__ import annotations

import tensorflow as tf

from medgen.sampling.draw import Draw


class CachedSampler:
    """Draws maps position by position from the same weights and numbers as `RasterSampler`.

    A row begins with one pass of the vertical stack over it, from the kept rows above; what it adds
    to the horizontal stack at every block is then at hand for each column, and a column costs one
    small matrix product a convolution. Kept are `halo` rows of each vertical feature and `halo`
    columns of each horizontal one. All of it is one compiled graph loop (Ramachandran et al. 2017
    cache the same way, feature by feature).

    Args:
        net: with `embed(values, conditioning)`, `stack` (a `layers.stack.CausalStack`) and
            `head(features, conditioning)`.
        draw: from outputs `(b, p)`, uniforms `(b, m)` and conditioning `(b, s)` to values `(b,)`.
        dtype: of the values.
        jit_compile: whether XLA compiles the loop.

    References:
        Ramachandran et al., Fast Generation for Convolutional Autoregressive Models, ICLR 2017
        workshop.
    """

    def __init__(self, net, draw: Draw, dtype: tf.DType = tf.int32, jit_compile: bool = False):
        self.net, self.draw, self.dtype = net, draw, dtype
        self._sample = tf.function(self._rows, jit_compile=jit_compile, reduce_retracing=True)

    def __call__(self, conditioning: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Values `(b, h, w)` for conditioning `(b, h, w, s)` and uniforms `(b, h, w, m)`."""
        values, _ = self._sample(conditioning, uniforms, keep_outputs=False)
        return values

    def with_outputs(
        self, conditioning: tf.Tensor, uniforms: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The same values, and the net's outputs `(b, h, w, p)` that they were drawn from."""
        return self._sample(conditioning, uniforms, keep_outputs=True)

    def _rows(self, conditioning, uniforms, keep_outputs):
        stack, dtype = self.net.stack, conditioning.dtype
        shape = tf.shape(conditioning)
        batch, height, width = shape[0], shape[1], shape[2]
        # Rows first, so that a row is one contiguous piece.
        conditioning = tf.transpose(conditioning, (1, 0, 2, 3))  # (h, b, w, s)
        uniforms = tf.transpose(uniforms, (1, 2, 0, 3))  # (h, w, b, m)

        halos = [stack.first.halo, *[block.halo for block in stack.blocks]]
        channels = [self._channels(conditioning), *[stack.config["filters"]] * len(stack.blocks)]
        # What lies above the map: zeros, as the padding of the full pass has it.
        above = [
            tf.zeros((batch, halo, width, c), dtype)
            for halo, c in zip(halos, channels, strict=True)
        ]

        def one_row(row, above, drawn):
            known = conditioning[row]  # (b, w, s)
            verticals, injected = self._vertical(above, known)
            columns, embedded = self._columns(
                injected, known, uniforms[row], channels[0], keep_outputs
            )
            above = [
                tf.concat([old[:, 1:], new], axis=1)
                for old, new in zip(above, [embedded, *verticals], strict=True)
            ]
            return row + 1, above, _written(drawn, row, columns)

        _, _, drawn = tf.while_loop(
            lambda row, *_: row < height,
            one_row,
            (0, above, self._arrays(height, dtype, keep_outputs)),
            shape_invariants=(
                tf.TensorShape([]),
                [
                    tf.TensorShape([None, halo, None, c])
                    for halo, c in zip(halos, channels, strict=True)
                ],
                [tf.TensorShape(None) for _ in range(1 + keep_outputs)],
            ),
        )
        values = tf.transpose(drawn[0].stack(), (2, 0, 1))  # (h, w, b) -> (b, h, w)
        outputs = tf.transpose(drawn[1].stack(), (2, 0, 1, 3)) if keep_outputs else None
        return values, outputs

    def _arrays(self, size, dtype, keep_outputs) -> list[tf.TensorArray]:
        """Where values and, if wanted, outputs are collected along rows or columns."""
        values = tf.TensorArray(self.dtype, size=size)
        return [values, tf.TensorArray(dtype, size=size)] if keep_outputs else [values]

    def _channels(self, conditioning) -> int:
        """Length of an embedded value."""
        value = tf.zeros((1,), self.dtype)
        return self.net.embed(value, tf.zeros_like(conditioning[:1, 0, 0])).shape[-1]

    def _vertical(self, above, known):
        """One row through the vertical stack.

        Args:
            above: rows kept of the embedded values and of each block's vertical input.
            known: conditioning of the row, `(b, w, s)`.

        Returns:
            Each block's vertical input in this row, `(b, 1, w, filters)`, and what the blocks add
            to the horizontal stack, `(w, blocks, b, 2 * filters)`.
        """
        stack = self.net.stack
        vertical = stack.first.rows(above[0])
        inputs, injected = [], []
        for block, rows in zip(stack.blocks, above[1:], strict=True):
            inputs.append(vertical)
            vertical, added = block.rows(tf.concat([rows, vertical], axis=1), known[:, None])
            injected.append(added[:, 0])
        return inputs, tf.transpose(tf.stack(injected), (2, 0, 1, 3))

    def _columns(self, injected, known, uniforms, channels, keep_outputs):
        """One row through the horizontal stack, drawing as it goes.

        Returns:
            Values `(w, b)`, in a list with the outputs `(w, b, p)` if wanted, and the values'
            embedding `(b, 1, w, channels)`.
        """
        stack = self.net.stack
        known = tf.transpose(known, (1, 0, 2))  # (w, b, s)
        width, batch = tf.shape(known)[0], tf.shape(known)[1]
        left = [tf.zeros((batch, stack.first.halo, channels), known.dtype)] + [
            tf.zeros((batch, block.halo, stack.config["filters"]), known.dtype)
            for block in stack.blocks
        ]

        def one_column(column, left, drawn, embedded):
            added, here = injected[column], known[column]
            features = stack.first.step(left[0])
            kept = []
            for i, block in enumerate(stack.blocks):
                columns = tf.concat([left[i + 1], features[:, None]], axis=1)
                kept.append(columns[:, 1:])
                features = block.step(columns, added[i])
            outputs = self.net.head(features, here)
            value = self.draw(outputs, uniforms[column], here)
            x = self.net.embed(value, here)
            left = [tf.concat([left[0][:, 1:], x[:, None]], axis=1), *kept]
            drawn = _written(drawn, column, [value, outputs])
            return column + 1, left, drawn, embedded.write(column, x)

        _, _, drawn, embedded = tf.while_loop(
            lambda column, *_: column < width,
            one_column,
            (
                0,
                left,
                self._arrays(width, known.dtype, keep_outputs),
                tf.TensorArray(known.dtype, size=width),
            ),
        )
        embedded = tf.transpose(embedded.stack(), (1, 0, 2))[:, None]
        return [array.stack() for array in drawn], embedded


def _written(arrays: list[tf.TensorArray], index, tensors) -> list[tf.TensorArray]:
    """Each of `arrays` with its tensor at `index`; there may be more tensors than arrays."""
    return [array.write(index, x) for array, x in zip(arrays, tensors, strict=False)]
