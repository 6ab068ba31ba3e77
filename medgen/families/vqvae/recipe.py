"""What a VQ-VAE is told."""

from __future__ import annotations

from dataclasses import dataclass

from medgen.errors import RecipeError
from medgen.recipes import Recipe


@dataclass(frozen=True)
class VQVAERecipe(Recipe):
    """A VQ-VAE on single slices.

    `image_size` not None: slices are the axial ones, each brought to `image_size` x `image_size`
    pixels over its whole field of view; None: slices along the coarsest axis at full resolution, in
    crops of `crop` pixels. `channels` is how many values a pixel has; training takes it from the
    scans.
    """

    filters: int = 96
    residual_blocks: int = 2
    compression: int = 4
    num_embeddings: int = 512
    embedding_dim: int = 16
    commitment_cost: float = 0.25
    decay: float = 0.99
    image_size: int | None = None
    channels: int = 1
    crop: int = 64
    batch_size: int = 16
    steps: int = 6000
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    validate_every: int = 250

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.compression not in (2, 4, 8):
            raise RecipeError(f"Field compression must be 2, 4 or 8, got {self.compression}.")
        self.require_below_1("decay")

    @property
    def fewest_numbers(self) -> int:
        """See `Recipe`."""
        return max(
            self.filters**2 * self.residual_blocks,
            self.num_embeddings * self.embedding_dim,
            self.filters * self.embedding_dim,
        )


VQVAE_RECIPES = {
    "default": VQVAERecipe(),
    "oasis-80": VQVAERecipe(image_size=80, crop=80, batch_size=16, steps=6000, optimizer="muon"),
    "small": VQVAERecipe(
        filters=32,
        residual_blocks=1,
        compression=2,
        num_embeddings=128,
        embedding_dim=8,
        crop=32,
        batch_size=8,
        steps=600,
        learning_rate=2e-3,
        validate_every=100,
    ),
}
