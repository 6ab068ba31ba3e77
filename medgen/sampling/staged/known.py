"""What the loops over rows and pixels use and do not change, and how it is put together."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

from keras import ops

from medgen.backends import Tensor
from medgen.nets.pixelminer_published.convolutions import PixelMinerConv
from medgen.nets.pixelminer_published.net import PixelMinerPublished
from medgen.nets.pixelminer_published.stages import concat_elu

# Two tensors by convolution.
Pairs = dict[PixelMinerConv, tuple[Tensor, Tensor]]


class Known:
    """All that the loops use and do not change, as tensors.

    Attributes:
        injected: by convolution, what the outer slices add to the mixed maps `(b, h, w, 2f)`.
        constant: by convolution, what is added to its output everywhere, `(b, f)`: its bias and,
            at the end of a gated layer, the position.
        mixing: by convolution, see `PixelMinerConv.middle`.
        merging: likewise.
        links: by 1 x 1 link, its kernel and bias.
        grow: by transposed convolution, its kernel.
        levels: resolutions: 0 full, 1 half, ...
        vertical: convolutions of the vertical stack, by level of their input.
        horizontal: likewise of the horizontal stack, with the one that looks left of the pixel.
        gated: gated layers of the horizontal stack, by level.
    """

    def __init__(self, net: PixelMinerPublished, conditioning: Tensor):
        self.injected, conditions = net.read(conditioning)
        self.dtype = conditioning.dtype
        self.batch, _, self.width, _ = ops.shape(self.injected[net.first.left])
        every = ops.zeros((self.batch, 1), self.dtype)
        self.constant, self.mixing, self.merging = {}, {}, {}
        for conv in self.injected:
            self.constant[conv] = every + conv.merge.bias
            self.mixing[conv], self.merging[conv] = conv.middle()
        self.links = {}
        for gated, condition in conditions.items():
            self.constant[gated.second] += condition
            for link in (gated.across, gated.beside):
                if link is not None:
                    self.links[link] = link.kernel, ops.convert_to_tensor(link.bias)
        self.grow = {
            layer: layer.conv.kernel for s in (net.vertical, net.horizontal) for layer in s.grow
        }
        self.levels = range(net.config["halvings"] + 1)
        self.vertical = [net.vertical.convolutions(level) for level in self.levels]
        self.horizontal = [net.horizontal.convolutions(level) for level in self.levels]
        self.horizontal[0].append(net.first.left)
        self.gated = [net.horizontal.gated(level) for level in self.levels]

    def row(self, channels: int, level: int = 0):
        """Zeros `(b, w, channels)` at a level."""
        return ops.zeros((self.batch, self.width // 2**level, channels), self.dtype)

    def pixel(self, channels: int):
        """Zeros `(b, channels)`."""
        return ops.zeros((self.batch, channels), self.dtype)

    def columns(self, channels: int, level: int):
        """Zeros `(w, b, channels)` at a level."""
        return ops.zeros((self.width // 2**level, self.batch, channels), self.dtype)

    def link(self, layer, x):
        """Output of a weight-normalised 1 x 1 link."""
        kernel, bias = self.links[layer]
        return ops.matmul(x, kernel) + bias

    def row_added(self, convolutions, row):
        """By convolution, what is added to the mixed maps and to the output, in a row of it."""
        return {
            conv: (self.injected[conv][:, row], self.constant[conv][:, None])
            for conv in convolutions
        }

    def added(self, row, level: int, kept: Tensor, beside: Tensor):
        """What is added to the horizontal stack's convolutions in a row of a level, by column.

        Args:
            row: at full resolution.
            level: a level at which `row` is due.
            kept: of the row above, inputs and mixed maps of all convolutions `(w, b, ...)`.
            beside: outputs of the vertical stack's gated layers `(b, w, n * filters)`.

        Returns:
            `(w, b, ...)`, for each convolution to its mixed maps, then to its output.
        """
        beside = ops.split(beside, len(self.gated[level]), axis=-1)
        linked = {
            layer.first: self.link(layer.beside, concat_elu(x))
            for layer, x in zip(self.gated[level], beside, strict=True)
        }
        above = split(ops.transpose(kept, (1, 0, 2)), self.horizontal[level], kept_sizes)
        pieces = []
        for conv in self.horizontal[level]:
            x, mixed = above[conv]
            pieces.append(self.injected[conv][:, row // 2**level] + self.mixing[conv].above(x))
            output = self.constant[conv][:, None] + self.merging[conv].above(mixed)
            pieces.append(output + linked[conv] if conv in linked else output)
        return ops.transpose(ops.concatenate(pieces, axis=-1), (1, 0, 2))

    def nothing_added(self, level: int):
        """Zeros of the shape of `added`, for a row at which the level is not due."""
        return self.columns(sum(added_sizes(self.horizontal[level])), level)


def kept_sizes(convolutions) -> list[int]:
    """Channels of input and mixed maps of each convolution."""
    return [size for conv in convolutions for size in (conv.channels, 2 * conv.filters)]


def added_sizes(convolutions) -> list[int]:
    """Channels of mixed maps and output of each convolution."""
    return [size for conv in convolutions for size in (2 * conv.filters, conv.filters)]


def split(x, convolutions, sizes: Callable) -> Pairs:
    """Two tensors a convolution, of `sizes(convolutions)` channels, out of one."""
    ends = list(accumulate(sizes(convolutions)))
    parts = iter(ops.split(x, ends[:-1], axis=-1))
    return {conv: (next(parts), next(parts)) for conv in convolutions}


def joined(pairs: Pairs, convolutions) -> Tensor:
    """The reverse of `split`."""
    return ops.concatenate([part for conv in convolutions for part in pairs[conv]], axis=-1)
