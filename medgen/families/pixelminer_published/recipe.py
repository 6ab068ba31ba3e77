"""What PixelMiner as published is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from medgen.errors import RecipeError
from medgen.recipes import Recipe


@dataclass(frozen=True)
class PixelMinerPublishedRecipe(Recipe):
    """PixelMiner as published; see `nets.pixelminer_published.net.PixelMinerPublished`.

    Published are architecture, levels, windows, batch size and learning rate; training targets are
    those of `PixelMinerRecipe`, without augmentation. `levels` are those of the intensities, in
    steps of 8 HU in CT. Windows of `crop` pixels are also what is drawn at once.
    """

    context: ClassVar[int] = 1
    autoregressive: ClassVar[bool] = True
    partially_causal: ClassVar[bool] = False
    in_plane: ClassVar[bool] = False
    subdivides: ClassVar[None] = None

    levels: int = 256
    filters: int = 128
    layers: int = 1
    mixtures: int = 10
    dropout: float = 0.5
    max_gap_mm: float = 8.0
    crop: int = 64
    batch_size: int = 18
    steps: int = 100_000
    learning_rate: float = 8e-6
    validate_every: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_below_1("dropout")
        if self.levels < 2:
            raise RecipeError(f"Field levels must be at least 2, got {self.levels}.")
        if self.crop % 2:
            raise RecipeError(f"Field crop must be even, got {self.crop}.")

    @property
    def fewest_numbers(self) -> int:
        """See `Recipe`."""
        return max(self.filters**2 * self.layers, self.filters * self.mixtures)
