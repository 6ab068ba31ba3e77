"""Finer pixels from a PixelMiner that splits rows: every slice by itself, rows, then columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medgen.bundles.bundle import Bundle
from medgen.examples.rows import coarse_rows_around
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.interpolation.contract import Progress
from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.sampling.slices import prediction
from medgen.superresolution.contract import Part, SuperResolver
from medgen.superresolution.excess import finer_excess
from medgen.volumes.volume import Volume

# Maps of as many channels as the net has that are held at a time, at most.
MAPS = 20


@dataclass(frozen=True, eq=False)
class InPlaneResolver(SuperResolver):
    """Makes pixels finer by the mean of a PixelMiner: the parts of all rows, then of all columns.

    Every part of all rows is to the net what a slice is, and the coarse rows before and behind it
    are its acquired slices, see `examples.rows`. Values beyond the model's range are not cut off,
    see `finer_excess`.

    Args:
        bundle: a PixelMiner whose recipe has `subdivides`.
    """

    bundle: Bundle
    copies: ClassVar = 1
    only_in_plane: ClassVar = True

    @property
    def recipe(self) -> PixelMinerRecipe:
        """The bundle's."""
        recipe: PixelMinerRecipe = self.bundle.recipes["pixelminer"]
        return recipe

    @property
    def name(self) -> str:
        """See `SuperResolver`."""
        return self.bundle.name

    @property
    def only_factor(self) -> int | None:
        """See `SuperResolver`."""
        return self.recipe.subdivides

    def bytes_needed(self, rows: int, cols: int) -> int:
        """See `SuperResolver`."""
        pixels = rows * cols * (self.recipe.subdivides or 1)
        return 4 * MAPS * self.recipe.conditioner_filters * pixels

    def refine(
        self,
        stack: Volume,
        factor: int,
        progress: Progress,
        *,
        in_plane: bool = False,
        uncertainty: bool = False,
    ) -> Iterator[Part]:
        """See `SuperResolver.refine`.

        Raises:
            IntensityError: the scan is of another modality than the model's.
        """
        self.require(factor, in_plane=in_plane, uncertainty=uncertainty)
        self.bundle.rule.require(stack.modality, stack.guess)
        scale = self.bundle.rule.scale_for(stack.array)
        count, rows, cols = stack.shape
        _, down, across = stack.spacing
        for k in range(count):
            values = stack.array[k : k + 1]
            levels = self._split_rows(scale.quantise(values), factor, down)
            turned = levels.swapaxes(1, 2)
            levels = self._split_rows(turned, factor, across).swapaxes(1, 2)
            made = scale.dequantise(levels) + finer_excess(values, scale, factor, in_plane=True)
            progress(k + 1, count)
            box = (slice(k, k + 1), slice(0, rows), slice(0, cols))
            yield Part(box, made.astype(stack.array.dtype))

    def _split_rows(self, levels: np.ndarray, factor: int, gap_mm: float) -> np.ndarray:
        """Mean levels `(n, factor * rows, cols)` from levels `(n, rows, cols)`."""
        net: PixelMinerLean = self.bundle.nets["pixelminer"]
        count, rows, cols = levels.shape
        made = np.empty((count, rows * factor, cols), np.float32)
        for part in range(factor):
            around, position = coarse_rows_around(levels, part, factor, net.context)
            made[:, part::factor] = prediction(
                net,
                {
                    "context": around,
                    "present": np.ones((count, 2 * net.context), np.float32),
                    "position": np.full(count, position, np.float32),
                    "gap_mm": np.full(count, gap_mm, np.float32),
                },
            )
        return made
