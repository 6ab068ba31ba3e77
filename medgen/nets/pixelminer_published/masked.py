"""A masked convolution of one of the two causal stacks, over a map or a piece at a time.

Both stacks look at the current and the row above. The *vertical* stack looks to both sides of the
current column, and its maps are then moved down a row once; the *horizontal* stack looks at the
current column and those left of it, and is moved right a column once (Salimans et al. 2017, section
2.4: down-shifted and down-right-shifted convolutions).
"""

from __future__ import annotations

from keras import ops


def sides(columns: int, horizontal: bool) -> tuple[int, int]:
    """Columns of zeros left and right of a map, for a kernel of so many `columns`."""
    return (columns - 1, 0) if horizontal else ((columns - 1) // 2, (columns - 1) // 2)


def pad(x, rows: int, columns: int, horizontal: bool):
    """Zeros around `(b, h, w, c)`, as a masked kernel of `rows` x `columns` wants them."""
    return ops.pad(x, [[0, 0], [rows - 1, 0], [*sides(columns, horizontal)], [0, 0]])


class MaskedKernel:
    """The kernel of a masked convolution without its bias, as plain tensors.

    Samplers make one before they loop, so that nothing about the weights is computed twice.

    Args:
        kernel: `(rows, columns, c, f)`; `rows` and `columns` at most 2 in the horizontal stack, and
            `rows` at most 2 in the vertical one.
        horizontal: which stack.
        strides: of rows and columns.
    """

    def __init__(self, kernel, horizontal: bool, strides: int = 1):
        self.kernel = kernel
        self.rows, self.columns, channels, filters = kernel.shape
        self.horizontal = horizontal
        self.strides = strides
        self._current = ops.reshape(kernel[-1], (self.columns * channels, filters))

    def __call__(self, x):
        """Whole maps: `(b, h, w, c)` to `(b, h / strides, w / strides, f)`."""
        x = pad(x, self.rows, self.columns, self.horizontal)
        return ops.conv(x, self.kernel, strides=self.strides, padding="valid")

    def row(self, above, here):
        """One row: from the rows `above` and `here` `(b, w, c)` to `(b, w / strides, f)`."""
        x = ops.stack([above, here][-self.rows :], axis=1)
        x = pad(x, 1, self.columns, self.horizontal)
        return ops.conv(x, self.kernel, strides=(1, self.strides), padding="valid")[:, 0]

    def above(self, row):
        """What the row above `(b, w, c)` adds at every column, strides or not: `(b, w, f)`."""
        if self.rows == 1:
            return ops.zeros((*ops.shape(row)[:2], self.kernel.shape[-1]), row.dtype)
        x = pad(row[:, None], 1, self.columns, self.horizontal)
        return ops.conv(x, self.kernel[:1], padding="valid")[:, 0]

    def step(self, left, here):
        """What pixels `left` and `here` `(b, c)` of the current row add: `(b, f)`."""
        return ops.matmul(ops.concatenate([left, here][-self.columns :], axis=-1), self._current)
