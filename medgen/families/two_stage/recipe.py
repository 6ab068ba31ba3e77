"""What a prior over codes is told."""

from __future__ import annotations

from dataclasses import dataclass

from medgen.recipes import Recipe


@dataclass(frozen=True)
class PriorRecipe(Recipe):
    """A conditional PixelCNN over the codes of a VQ-VAE; `crop` is in codes.

    Training triplets have neighbours at random distances, at most `max_gap_mm` apart (the nearest
    pair of the scan where even that is wider). A share `unconditional` of them is shown without
    neighbours, so that the prior can also be sampled freely.
    """

    filters: int = 64
    blocks: int = 8
    conditioner_filters: int = 64
    conditioner_blocks: int = 6
    dropout: float = 0.1
    max_gap_mm: float = 10.0
    unconditional: float = 0.1
    crop: int = 24
    batch_size: int = 16
    steps: int = 3000
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    validate_every: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_below_1("dropout", "unconditional")

    @property
    def fewest_numbers(self) -> int:
        """See `Recipe`."""
        return max(
            self.filters**2 * self.blocks,
            self.conditioner_filters**2 * self.conditioner_blocks,
        )


PRIOR_RECIPES = {
    "default": PriorRecipe(),
    "oasis-80": PriorRecipe(crop=20, unconditional=0.5),
    "small": PriorRecipe(
        filters=24,
        blocks=3,
        conditioner_filters=24,
        conditioner_blocks=3,
        dropout=0.0,
        crop=16,
        batch_size=8,
        steps=600,
        learning_rate=3e-3,
        validate_every=100,
    ),
}
