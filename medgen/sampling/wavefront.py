"""Pixels of many rows at once, each row as far behind the one above it as the net looks ahead."""

from __future__ import annotations

import tensorflow as tf

from medgen.sampling.draw import Draw

# Numbers in the longest vector register of today's processors.
REGISTER = 16


class WavefrontSampler:
    """Draws the maps that `CachedSampler` draws, a slanting front of pixels at a time.

    A pixel depends on the rows above up to a few columns to its right, its *reach*. A row may
    therefore begin when the one above it is so far ahead, and both go on side by side. A map of
    `h x w` takes `h · reach + w` steps instead of `h · w`, each with `w / reach` pixels: long
    vectors, which no compiler has to make fast. A small map's time is mostly that of starting each
    operation of a step, so several maps take little longer than one.

    Rows in work lie in slots, row `r` in slot `r mod n`; slot `k` sees those above in the slots
    before it. Between two rows of a slot passes an idle stretch, in which everything is masked:
    these zeros are the padding on both sides of the map. The vertical stack runs ahead of the
    pixels, each block a column behind the one below it, and what it adds to the horizontal stack
    waits in a queue.

    A map is the same whatever else is in the batch: beyond the size of each everything is masked,
    and rows of the products fill whole vector registers, so that no remainder is rounded otherwise.

    Args:
        net: with `embed(values, conditioning)`, `stack` (a `layers.stack.CausalStack`) and
            `head(features, conditioning)`.
        draw: from outputs `(b, p)`, uniforms `(b, m)` and conditioning `(b, s)` to values `(b,)`.
        dtype: of the values.
    """

    def __init__(self, net, draw: Draw, dtype: tf.DType = tf.int32):
        self.net, self.draw, self.dtype = net, draw, dtype
        blocks = net.stack.blocks
        # Columns that the first layer and each block's vertical stack are ahead of the pixel.
        self.leads = [len(blocks) - i for i in range(len(blocks) + 1)]
        self.reach = net.stack.first.halo + self.leads[0] + 1
        self._sample = tf.function(self._waves, autograph=False, reduce_retracing=True)

    def __call__(
        self, conditioning: tf.Tensor, uniforms: tf.Tensor, sizes: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Draw maps.

        Args:
            conditioning: `(b, h, w, s)`.
            uniforms: `(b, h, w, m)`.
            sizes: `(b, 2)` int32, rows and columns of each map, at the top left; all by default.

        Returns:
            Values `(b, h, w)`; what lies beyond a map's size means nothing.
        """
        (values,) = self._sample(conditioning, uniforms, _or_all(sizes, conditioning), False)
        return values

    def with_outputs(
        self, conditioning: tf.Tensor, uniforms: tf.Tensor, sizes: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The same values, and the net's outputs `(b, h, w, p)` that they were drawn from."""
        return self._sample(conditioning, uniforms, _or_all(sizes, conditioning), True)

    def _waves(self, conditioning, uniforms, sizes, keep_outputs):
        net, reach, leads = self.net, self.reach, self.leads
        first, blocks = net.stack.first, net.stack.blocks
        filters, dtype = net.stack.config["filters"], conditioning.dtype
        shape = tf.shape(conditioning)
        batch, height, width = shape[0], shape[1], shape[2]
        slots, cycle = self._slots(batch, height, width)
        slot = tf.range(slots)
        # Pixels first, so that a wave is one gather: (h * w, b, ...).
        known, numbers = (
            tf.transpose(tf.reshape(x, (batch, height * width, x.shape[-1])), (1, 0, 2))
            for x in (conditioning, uniforms)
        )
        channels = self._channels(conditioning)

        # Of each slot's pixel at each time, from the first lead on: its flat position, and whether
        # it is one of the map's.
        steps = leads[0] + reach * (height - 1) + width
        since = tf.range(-leads[0], steps)[:, None] - reach * slot  # (times, n)
        turn = since // (reach * cycle)
        row, column = slot + cycle * turn, since - turn * reach * cycle
        real = (row >= 0) & (row < height) & (column < width)
        places = tf.where(real, row * width + column, 0)
        inside = (row[..., None] < sizes[:, 0]) & (column[..., None] < sizes[:, 1])
        real = tf.cast(real[..., None] & inside, dtype)[..., None]  # (times, n, b, 1)

        # Shapes outside the loop, where they cost nothing.
        of_features = tf.stack([slots, batch, filters])
        of_added = tf.stack([slots, batch, 1, 2 * filters])
        of_embedded = tf.stack([slots, batch, channels])

        def wave(step, known_ahead, embedded, verticals, queues, left, drawn):
            masks = tf.unstack(real[step : step + leads[0] + 1], leads[0] + 1)[::-1]
            known_ahead = _shifted(known_ahead, tf.gather(known, places[step + leads[0]]))

            above = tf.stack(
                [_at(tf.roll(embedded, d, 0), -(d - 1) * reach, first.kernel_size)
                 for d in range(first.halo, 0, -1)], axis=2,
            )  # fmt: skip
            vertical = first.pixel(_flat(above))
            added, kept_verticals, kept_queues = [], [], []
            for i, block in enumerate(blocks):
                vertical = tf.reshape(vertical, of_features) * masks[i]
                around = _shifted(verticals[i], vertical)
                kept_verticals.append(around)
                size = block.kernel_size
                patch = tf.stack(
                    [_at(tf.roll(around, 1, 0), -reach, size), _at(around, 0, size)], axis=2
                )
                here = known_ahead[:, :, leads[i + 1]]
                vertical, new = block.pixel(_flat(patch), _flat(here))
                queue = tf.concat([queues[i], tf.reshape(new, of_added)], axis=2)
                added.append(_flat(queue[:, :, 0]))
                kept_queues.append(queue[:, :, 1:])

            here, mask = _flat(known_ahead[:, :, 0]), masks[-1]
            features = first.step(_flat(_at(embedded, 0, first.halo)))
            kept_left = []
            for i, block in enumerate(blocks):
                features = tf.reshape(features, of_features) * mask
                columns = tf.stack([left[i], features], axis=2)
                kept_left.append(features)
                features = block.step(_flat(columns), added[i])
            drawn_from = net.head(features, here)
            value = self.draw(drawn_from, _flat(tf.gather(numbers, places[step])), here)
            x = tf.reshape(net.embed(value, here), of_embedded) * mask
            return (
                step + 1,
                known_ahead,
                _shifted(embedded, x),
                kept_verticals,
                kept_queues,
                kept_left,
                [
                    array.write(step, tf.reshape(new, (slots, batch, *new.shape[1:])))
                    for array, new in zip(drawn, (value, drawn_from), strict=False)
                ],
            )

        def zeros(length, depth):
            return tf.zeros((slots, batch, length, depth), dtype)

        start = (
            0,
            zeros(leads[0] + 1, conditioning.shape[-1]),
            zeros(first.kernel_size + (first.halo - 1) * reach, channels),
            [zeros(block.kernel_size + reach, filters) for block in blocks],
            [zeros(lead, 2 * filters) for lead in leads[1:]],
            [tf.zeros((slots, batch, filters), dtype) for _ in blocks],
            [
                tf.TensorArray(kind, size=steps)
                for kind in ((self.dtype, dtype) if keep_outputs else (self.dtype,))
            ],
        )
        *_, drawn = tf.while_loop(
            lambda step, *_: step < steps, wave, start, shape_invariants=_free(start)
        )
        rows, columns = tf.meshgrid(tf.range(height), tf.range(width), indexing="ij")
        where = tf.stack([leads[0] + reach * rows + columns, rows % cycle], axis=-1)
        maps = [tf.gather_nd(array.stack(), where) for array in drawn]  # (h, w, b, ...)
        return [tf.transpose(x, to) for x, to in zip(maps, ((2, 0, 1), (2, 0, 1, 3)), strict=False)]

    def _slots(self, batch, height, width):
        """How many slots there are, and after how many rows it is a slot's turn again."""
        cycle = (width + 2 * (self.reach - 1)) // self.reach  # idle for at least reach - 1 columns
        # A low map leaves slots unused; those that lie above its first row have to stay empty.
        slots = tf.minimum(cycle, height + self.net.stack.first.halo)
        together = tf.minimum(tf.bitwise.bitwise_and(batch, -batch), REGISTER)
        multiple = REGISTER // together
        slots = -(-slots // multiple) * multiple
        return slots, tf.maximum(cycle, slots)

    def _channels(self, conditioning) -> int:
        """Length of an embedded value."""
        value = tf.zeros((1,), self.dtype)
        return self.net.embed(value, tf.zeros_like(conditioning[:1, 0, 0])).shape[-1]


def _or_all(sizes, conditioning):
    """`sizes`, or those of whole maps."""
    if sizes is not None:
        return sizes
    shape = tf.shape(conditioning)
    return tf.tile(shape[None, 1:3], [shape[0], 1])


def _shifted(window, newest):
    """`window` `(n, b, l, c)` without its oldest entry and with `newest` `(n, b, c)` at the end."""
    return tf.concat([window[:, :, 1:], newest[:, :, None]], axis=2)


def _flat(x):
    """`(n, b, ...)` as `(n * b, ...)`."""
    return tf.reshape(x, (-1, *x.shape[2:]))


def _at(window, behind: int, count: int):
    """The `count` entries of `window` that end `behind` (0 or negative) its end."""
    length = window.shape[2]
    return window[:, :, length + behind - count : length + behind]


def _free(start):
    """Shapes of loop variables with slots and batch left open."""

    def shape(x):
        if isinstance(x, tf.TensorArray):
            return tf.TensorShape(None)
        return tf.TensorShape([None, None, *x.shape[2:]]) if tf.is_tensor(x) else tf.TensorShape([])

    return tf.nest.map_structure(shape, start)
