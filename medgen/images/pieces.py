"""Large images piece by piece, with all that a piece depends on around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Piece:
    """A part of a grid.

    Args:
        place: the piece in the grid.
        around: the piece with its margin, as far as there is one, in the grid.
        within: the piece in `around`.
    """

    place: Window
    around: Window
    within: Window


def pieces(shape: tuple[int, int], side: int, margin: int) -> Iterator[Piece]:
    """Squares of `side`, the last of each row and column perhaps smaller, with margins."""
    for row in range(0, shape[0], side):
        for col in range(0, shape[1], side):
            axes = [
                _along(start, n, side, margin) for start, n in zip((row, col), shape, strict=True)
            ]
            (p0, a0, w0), (p1, a1, w1) = axes
            yield Piece((p0, p1), (a0, a1), (w0, w1))


def finer(window: Window, factor: int) -> Window:
    """The same window on a grid `factor` times as fine."""
    rows, cols = (slice(s.start * factor, s.stop * factor) for s in window)
    return rows, cols


def _along(start: int, n: int, side: int, margin: int) -> tuple[slice, slice, slice]:
    stop, before = min(start + side, n), max(0, start - margin)
    around = slice(before, min(stop + margin, n))
    return slice(start, stop), around, slice(start - before, stop - before)
