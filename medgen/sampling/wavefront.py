"""Pixels of many rows at once, each row as far behind the one above it as the net looks ahead."""

from __future__ import annotations

from functools import partial

from keras import ops

from medgen.backends import Tensor, compiled, scan
from medgen.sampling.protocols import AutoregressiveNet, Draw, embedded_channels

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
        net: what to draw from.
        draw: to int32 values.
    """

    def __init__(self, net: AutoregressiveNet, draw: Draw):
        self.net, self.draw = net, draw
        blocks = net.stack.blocks
        # Columns that the first layer and each block's vertical stack are ahead of the pixel.
        self.leads = [len(blocks) - i for i in range(len(blocks) + 1)]
        self.reach = net.stack.first.halo + self.leads[0] + 1
        self._values, self._values_and_outputs = (
            compiled(partial(self._waves, keep_outputs=keep), net) for keep in (False, True)
        )

    def __call__(
        self, conditioning: Tensor, uniforms: Tensor, sizes: Tensor | None = None
    ) -> Tensor:
        """Draw maps.

        Args:
            conditioning: `(b, h, w, s)`.
            uniforms: `(b, h, w, m)`.
            sizes: `(b, 2)` int32, rows and columns of each map, at the top left; all by default.

        Returns:
            Values `(b, h, w)`; what lies beyond a map's size means nothing.
        """
        (values,) = self._values(conditioning, uniforms, _or_all(sizes, conditioning))
        return values

    def with_outputs(
        self, conditioning: Tensor, uniforms: Tensor, sizes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same values, and the net's outputs `(b, h, w, p)` that they were drawn from."""
        sizes = _or_all(sizes, conditioning)
        values, outputs = self._values_and_outputs(conditioning, uniforms, sizes)
        return values, outputs

    def _waves(self, conditioning, uniforms, sizes, keep_outputs):
        leads, dtype = self.leads, conditioning.dtype
        batch, height, width, _ = ops.shape(conditioning)
        slots, cycle = self._slots(batch, height, width)
        steps = leads[0] + self.reach * (height - 1) + width
        places, real = self._schedule(slots, cycle, steps, sizes, (height, width))
        real = ops.cast(ops.reshape(real, (-1, slots * batch, 1)), dtype)

        def at(maps, places):
            """Of maps `(b, h, w, c)` those numbers `(steps, n * b, c)` that are in work."""
            channels = maps.shape[-1]
            maps = ops.reshape(maps, (batch, height * width, channels))
            maps = ops.take(ops.transpose(maps, (1, 0, 2)), places, axis=0)
            return ops.reshape(maps, (-1, slots * batch, channels))

        entries = (
            at(conditioning, places[leads[0] :]),
            at(uniforms, places[:steps]),
            [real[lead : lead + steps] for lead in leads],
        )
        # Slots and batch are one axis; a slot sees those above it by turning that axis.
        turns = [n * batch for n in range(1, self.net.stack.first.halo + 1)]
        _, drawn = scan(
            lambda kept, entry: self._wave(turns, kept, entry, keep_outputs),
            self._nothing_kept(slots * batch, conditioning),
            entries,
            ["int32", dtype] if keep_outputs else ["int32"],
        )
        rows, columns = ops.arange(height)[:, None], ops.arange(width)
        where = (leads[0] + self.reach * rows + columns) * slots + rows % cycle  # (h, w)
        drawn = [ops.reshape(x, (-1, batch, *x.shape[2:])) for x in drawn]  # (steps * n, b, ...)
        maps = [ops.take(x, where, axis=0) for x in drawn]  # (h, w, b, ...)
        orders = (2, 0, 1), (2, 0, 1, 3)
        return [ops.transpose(x, order) for x, order in zip(maps, orders, strict=False)]

    def _wave(self, turns, kept, entry, keep_outputs):
        """One pixel of each slot.

        Args:
            turns: by how much to turn slots, so that each sees the one above it, the second, ...
            kept: from the last wave, see `_nothing_kept`.
            entry: conditioning `(n, s)` of the pixels that the first layer is at, numbers `(n, m)`
                of those drawn, and by lead whether there is a pixel `(n, 1)`.
            keep_outputs: whether they are wanted beside the values.

        Returns:
            What the next wave is to be given, values `(n,)` and outputs `(n, p)`.
        """
        net, reach, leads = self.net, self.reach, self.leads
        first, blocks = net.stack.first, net.stack.blocks
        newest, numbers, masks = entry
        known, embedded, verticals, queues, left = kept
        known = _shifted(known, newest)

        above = [
            _at(ops.roll(embedded, turn, axis=0), -i * reach, first.kernel_size)
            for i, turn in enumerate(turns)
        ]
        vertical = first.pixel(ops.stack(above[::-1], axis=1))
        added, kept_verticals, kept_queues = [], [], []
        for i, block in enumerate(blocks):
            around = _shifted(verticals[i], vertical * masks[i])
            kept_verticals.append(around)
            upper = _at(ops.roll(around, turns[0], axis=0), -reach, block.kernel_size)
            patch = ops.stack([upper, _at(around, 0, block.kernel_size)], axis=1)
            vertical, new = block.pixel(patch, known[:, leads[i + 1]])
            queue = ops.concatenate([queues[i], new[:, None]], axis=1)
            added.append(queue[:, 0])
            kept_queues.append(queue[:, 1:])

        here, mask = known[:, 0], masks[-1]
        features = first.step(_at(embedded, 0, first.halo))
        kept_left = []
        for i, block in enumerate(blocks):
            kept_left.append(features * mask)
            features = block.step(ops.stack([left[i], kept_left[i]], axis=1), added[i])
        outputs = net.head(features, here)
        value = self.draw(outputs, numbers, here)
        embedded = _shifted(embedded, net.embed(value, here) * mask)
        kept = (known, embedded, kept_verticals, kept_queues, kept_left)
        return kept, [value, outputs] if keep_outputs else [value]

    def _schedule(self, slots, cycle, steps, sizes, shape):
        """Of each slot's pixel at each time, from the first lead on.

        Returns:
            Its place in the flat map, `(times, n)`, and whether it is one of each map's,
            `(times, n, b)`.
        """
        (height, width), turn = shape, self.reach * cycle
        slot = ops.arange(slots)
        since = ops.arange(-self.leads[0], steps)[:, None] - self.reach * slot  # (times, n)
        row, column = slot + cycle * (since // turn), since % turn
        real = (row >= 0) & (row < height) & (column < width)
        inside = (row[..., None] < sizes[:, 0]) & (column[..., None] < sizes[:, 1])
        return ops.where(real, row * width + column, 0), real[..., None] & inside

    def _nothing_kept(self, count, conditioning):
        """What the first wave is given: all that is kept of `count` slots, in zeros.

        Conditioning of the pixels that the stacks are at, embedded values, inputs of the blocks'
        vertical stacks, what these add to the horizontal ones later, inputs of those.
        """
        first, blocks = self.net.stack.first, self.net.stack.blocks
        filters, reach, leads = self.net.stack.config["filters"], self.reach, self.leads

        def zeros(*shape):
            return ops.zeros((count, *shape), conditioning.dtype)

        channels = embedded_channels(self.net, conditioning)
        return (
            zeros(leads[0] + 1, conditioning.shape[-1]),
            zeros(first.kernel_size + (first.halo - 1) * reach, channels),
            [zeros(block.kernel_size + reach, filters) for block in blocks],
            [zeros(lead, 2 * filters) for lead in leads[1:]],
            [zeros(filters) for _ in blocks],
        )

    def _slots(self, batch, height, width):
        """How many slots there are, and after how many rows it is a slot's turn again."""
        cycle = (width + 2 * (self.reach - 1)) // self.reach  # idle for at least reach - 1 columns
        # A low map leaves slots unused; those that lie above its first row have to stay empty.
        slots = _smaller(cycle, height + self.net.stack.first.halo)
        together = (batch | REGISTER) & -(batch | REGISTER)  # the largest power of 2 in both
        multiple = REGISTER // together
        slots = -(-slots // multiple) * multiple
        return slots, cycle + slots - _smaller(cycle, slots)


def _or_all(sizes, conditioning):
    """`sizes`, or those of whole maps."""
    if sizes is not None:
        return sizes
    batch, height, width, _ = ops.shape(conditioning)
    return ops.tile(ops.stack([height, width])[None], (batch, 1))


def _smaller(a, b):
    """The smaller of two sizes: numbers, or tensors where a graph takes maps of any."""
    return (a + b - abs(a - b)) // 2


def _shifted(window, newest):
    """`window` `(n, l, c)` without its oldest entry and with `newest` `(n, c)` at the end."""
    return ops.concatenate([window[:, 1:], newest[:, None]], axis=1)


def _at(window, behind: int, count: int):
    """The `count` entries of `window` that end `behind` (0 or negative) its end."""
    length = window.shape[1]
    return window[:, length + behind - count : length + behind]
