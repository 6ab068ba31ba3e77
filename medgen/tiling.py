"""A large array in tiles that overlap by what a net sees, so that they leave no seam."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Box = tuple[slice, ...]


@dataclass(frozen=True)
class Tile:
    """A part of an array and what a net has to see to make it.

    Args:
        box: the part.
        seen: the part and its surroundings, as far as there are any.
    """

    box: Box
    seen: Box

    def inner(self, factor: int = 1) -> Box:
        """Where the part lies in what a net makes of `seen`, `factor` times as fine."""
        return tuple(
            slice((part.start - seen.start) * factor, (part.stop - seen.start) * factor)
            for part, seen in zip(self.box, self.seen, strict=True)
        )


def tiles(shape: Sequence[int], side: int, reach: int) -> Iterator[Tile]:
    """Tiles that cover an array, each place once.

    Args:
        shape: of the array, of any number of axes.
        side: of a tile, as even as the array allows, never more.
        reach: how far beyond a place the net sees.

    Example:
        >>> [(t.box[0], t.seen[0]) for t in tiles((10, 3), 5, 2)]
        [(slice(0, 5, None), slice(0, 7, None)), (slice(5, 10, None), slice(3, 10, None))]
    """
    for box in itertools.product(*(_spans(n, side) for n in shape)):
        seen = (
            slice(max(0, span.start - reach), min(n, span.stop + reach))
            for span, n in zip(box, shape, strict=True)
        )
        yield Tile(box, tuple(seen))


def finer(box: Box, parts: int | Sequence[int]) -> Box:
    """The same part on a grid that is so many times as fine, along all axes or along each."""
    parts = [parts] * len(box) if isinstance(parts, int) else parts
    return tuple(slice(s.start * n, s.stop * n) for s, n in zip(box, parts, strict=True))


def _spans(length: int, side: int) -> list[slice]:
    count = -(-length // side)
    ends = [round(length * n / count) for n in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]
