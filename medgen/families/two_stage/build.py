"""From a recipe to its net."""

from __future__ import annotations

from medgen.families.two_stage.recipe import PriorRecipe
from medgen.families.vqvae.recipe import VQVAERecipe
from medgen.nets.pixelcnn import PixelCNN


def pixelcnn_from(recipe: PriorRecipe, vqvae: VQVAERecipe, seed: int = 0) -> PixelCNN:
    """A built, untrained prior as `recipe` describes it, over the codes of a `vqvae`."""
    model = PixelCNN(
        vqvae.num_embeddings,
        vqvae.embedding_dim,
        recipe.filters,
        recipe.blocks,
        recipe.conditioner_filters,
        recipe.conditioner_blocks,
        recipe.dropout,
        seed=seed,
        name="prior",
    )
    model.build()
    return model
