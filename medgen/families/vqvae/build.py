"""From a recipe to its net."""

from __future__ import annotations

from medgen.families.vqvae.recipe import VQVAERecipe
from medgen.nets.vqvae import VQVAE


def vqvae_from(recipe: VQVAERecipe, seed: int = 0) -> VQVAE:
    """A built, untrained net as `recipe` describes it."""
    model = VQVAE(
        recipe.filters,
        recipe.residual_blocks,
        recipe.compression,
        recipe.num_embeddings,
        recipe.embedding_dim,
        recipe.commitment_cost,
        recipe.decay,
        seed=seed,
        channels=recipe.channels,
        name="vqvae",
    )
    model.build()
    return model
