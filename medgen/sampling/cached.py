"""The fast way: the vertical stack once a row, the horizontal stack once a pixel, nothing twice."""

from __future__ import annotations

from functools import partial

from keras import ops

from medgen.backends import Tensor, compiled, scan
from medgen.sampling.protocols import AutoregressiveNet, Draw, embedded_channels


class CachedSampler:
    """Draws maps position by position from the same weights and numbers as `RasterSampler`.

    A row begins with one pass of the vertical stack over it, from the kept rows above; what it adds
    to the horizontal stack at every block is then at hand for each column, and a column costs one
    small matrix product a convolution. Kept are `halo` rows of each vertical feature and `halo`
    columns of each horizontal one. All of it is one compiled graph loop (Ramachandran et al. 2017
    cache the same way, feature by feature).

    Args:
        net: what to draw from.
        draw: to int32 values.
        jit_compile: whether XLA compiles the loop under TensorFlow.

    References:
        Ramachandran et al., Fast Generation for Convolutional Autoregressive Models, ICLR 2017
        workshop.
    """

    def __init__(self, net: AutoregressiveNet, draw: Draw, jit_compile: bool = False):
        self.net, self.draw = net, draw
        self._values, self._values_and_outputs = (
            compiled(partial(self._rows, keep_outputs=keep), net, jit_compile=jit_compile)
            for keep in (False, True)
        )

    def __call__(self, conditioning: Tensor, uniforms: Tensor) -> Tensor:
        """Values `(b, h, w)` for conditioning `(b, h, w, s)` and uniforms `(b, h, w, m)`."""
        (values,) = self._values(conditioning, uniforms)
        return values

    def with_outputs(self, conditioning: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """The same values, and the net's outputs `(b, h, w, p)` that they were drawn from."""
        values, outputs = self._values_and_outputs(conditioning, uniforms)
        return values, outputs

    def _rows(self, conditioning, uniforms, keep_outputs):
        stack, dtype = self.net.stack, conditioning.dtype
        batch, _, width, _ = ops.shape(conditioning)
        # Rows first, so that a row is one contiguous piece.
        conditioning = ops.transpose(conditioning, (1, 0, 2, 3))  # (h, b, w, s)
        uniforms = ops.transpose(uniforms, (1, 2, 0, 3))  # (h, w, b, m)

        halos = [stack.first.halo, *[block.halo for block in stack.blocks]]
        channels = [embedded_channels(self.net, conditioning)]
        channels += [stack.config["filters"]] * len(stack.blocks)
        # What lies above the map: zeros, as the padding of the full pass has it.
        above = [
            ops.zeros((batch, halo, width, c), dtype)
            for halo, c in zip(halos, channels, strict=True)
        ]

        def one_row(above, here):
            known, numbers = here  # (b, w, s), (w, b, m)
            verticals, injected = self._vertical(above, known)
            *drawn, embedded = self._columns(injected, known, numbers, channels[0], keep_outputs)
            embedded = ops.transpose(embedded, (1, 0, 2))[:, None]  # (b, 1, w, c)
            above = [
                ops.concatenate([old[:, 1:], new], axis=1)
                for old, new in zip(above, [embedded, *verticals], strict=True)
            ]
            return above, drawn

        kept = ["int32", dtype] if keep_outputs else ["int32"]
        _, drawn = scan(one_row, above, (conditioning, uniforms), kept)
        # (h, w, b, ...) -> (b, h, w, ...)
        orders = (2, 0, 1), (2, 0, 1, 3)
        return [ops.transpose(x, order) for x, order in zip(drawn, orders, strict=False)]

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
            rows = ops.concatenate([rows, vertical], axis=1)
            vertical, added = block.rows(rows, known[:, None])
            injected.append(added[:, 0])
        return inputs, ops.transpose(ops.stack(injected), (2, 0, 1, 3))

    def _columns(self, injected, known, uniforms, channels, keep_outputs):
        """One row through the horizontal stack, drawing as it goes.

        Returns:
            Values `(w, b)`, the outputs `(w, b, p)` if wanted, and the values' embedding
            `(w, b, channels)`.
        """
        stack, dtype = self.net.stack, known.dtype
        known = ops.transpose(known, (1, 0, 2))  # (w, b, s)
        batch = ops.shape(known)[1]
        left = [ops.zeros((batch, stack.first.halo, channels), dtype)] + [
            ops.zeros((batch, block.halo, stack.config["filters"]), dtype) for block in stack.blocks
        ]

        def one_column(left, there):
            added, here, numbers = there
            features = stack.first.step(left[0])
            kept = []
            for i, block in enumerate(stack.blocks):
                columns = ops.concatenate([left[i + 1], features[:, None]], axis=1)
                kept.append(columns[:, 1:])
                features = block.step(columns, added[i])
            outputs = self.net.head(features, here)
            value = self.draw(outputs, numbers, here)
            x = self.net.embed(value, here)
            left = [ops.concatenate([left[0][:, 1:], x[:, None]], axis=1), *kept]
            return left, [value, outputs, x] if keep_outputs else [value, x]

        kinds = ["int32", dtype, dtype] if keep_outputs else ["int32", dtype]
        _, collected = scan(one_column, left, (injected, known, uniforms), kinds)
        return collected
