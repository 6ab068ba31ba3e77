"""A volume in tiles that overlap by what a net sees, so that they leave no seam."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medgen.superresolution.contract import Box


@dataclass(frozen=True)
class Tile:
    """A part of a volume and what a net has to see to make it.

    Args:
        box: the part.
        seen: the part and its surroundings, as far as there are any.
    """

    box: Box
    seen: Box

    def inner(self, factor: int) -> Box:
        """Where the part lies in what a net makes of `seen`, `factor` times as fine."""
        i, j, k = (
            slice((part.start - seen.start) * factor, (part.stop - seen.start) * factor)
            for part, seen in zip(self.box, self.seen, strict=True)
        )
        return i, j, k


def tiles(shape: Sequence[int], side: int, reach: int) -> Iterator[Tile]:
    """Tiles that cover a volume, each voxel once.

    Args:
        shape: of the volume.
        side: of a tile, as even as the volume allows, never more.
        reach: how far beyond a voxel the net sees.

    Example:
        >>> [(t.box[0], t.seen[0]) for t in tiles((10, 3, 3), 5, 2)]
        [(slice(0, 5, None), slice(0, 7, None)), (slice(5, 10, None), slice(3, 10, None))]
    """
    for i, j, k in itertools.product(*(_spans(n, side) for n in shape)):
        box = (i, j, k)
        a, b, c = (
            slice(max(0, span.start - reach), min(n, span.stop + reach))
            for span, n in zip(box, shape, strict=True)
        )
        yield Tile(box, (a, b, c))


def _spans(length: int, side: int) -> list[slice]:
    count = -(-length // side)
    ends = [round(length * n / count) for n in range(count + 1)]
    return [slice(a, b) for a, b in itertools.pairwise(ends)]
