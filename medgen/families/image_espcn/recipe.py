"""What a super-resolution net of colour images is told."""

from __future__ import annotations

from dataclasses import dataclass

from medgen.errors import RecipeError
from medgen.recipes import Recipe


@dataclass(frozen=True)
class ImageESPCNRecipe(Recipe):
    """An `nets.image_espcn.ImageESPCN` on crops of colour images.

    Low resolution is the mean of `factor` x `factor` pixels. `feature_weight`: of the feature loss,
    0 for pixels alone; `scale_um`: µm per pixel that images are brought to before they are made
    coarse, 0 for images as they are; `stain_jitter`: see `examples.tiles`.
    """

    factor: int = 4
    filters: int = 48
    blocks: int = 6
    feature_weight: float = 0.0
    scale_um: float = 0.0
    stain_jitter: float = 0.15
    crop: int = 96
    batch_size: int = 8
    steps: int = 8000
    learning_rate: float = 1e-3
    validate_every: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factor not in (2, 3, 4):
            raise RecipeError(f"Field factor must be 2, 3 or 4, got {self.factor}.")
        if self.crop % self.factor:
            raise RecipeError(f"Field crop must be a multiple of {self.factor}, got {self.crop}.")

    @property
    def fewest_numbers(self) -> int:
        """See `Recipe`."""
        return self.blocks * 9 * self.filters**2


IMAGE_ESPCN_RECIPES = {"default": ImageESPCNRecipe()}
