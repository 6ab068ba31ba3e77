"""How much a request may ask for, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medgen.errors import TooLargeError

Shape = tuple[int, ...]  # slices, rows, columns


@dataclass(frozen=True)
class Bounds:
    """Of one request: of each of its inputs, and of its answer.

    Args:
        voxels: slices times rows times columns.
        slices: each takes time of its own, however small.
        side: rows and columns; a row takes time of its own, however short.
    """

    voxels: int = 16 * 512 * 512
    slices: int = 256
    side: int = 1024

    def check_body(self, body: bytes) -> None:
        """Refuse a text of more numbers than three inputs may hold, before it is parsed.

        Raises:
            TooLargeError: it has.
        """
        most = 3 * self.voxels + 6 * self.slices
        if (got := body.count(b",") + 1) > most:
            raise TooLargeError(
                f"A request may hold {most} numbers, got {got}; send fewer or smaller slices."
            )

    def check(self, shapes: Mapping[str, Shape], answer: Shape) -> None:
        """Refuse work that would take too long or too much memory.

        Args:
            shapes: `(slices, rows, columns)` of inputs, by name.
            answer: `(slices, rows, columns)`.

        Raises:
            TooLargeError: an input or the answer is beyond a bound.
        """
        for name, shape in {**shapes, "the answer": answer}.items():
            slices, rows, columns = shape
            voxels = slices * rows * columns
            if slices > self.slices or max(rows, columns) > self.side or voxels > self.voxels:
                raise TooLargeError(
                    f"A request may have {self.slices} slices, of up to {self.side} x {self.side} "
                    f"pixels and {self.voxels} voxels together; {name} would have "
                    f"{' x '.join(map(str, shape))}; ask for fewer or smaller slices."
                )
