"""From recipes to their nets."""

from __future__ import annotations

from medgen.families.conditional.recipe import ConditionalPriorRecipe, ConditionalRecipe
from medgen.nets.conditional_prior import ConditionalPrior
from medgen.nets.conditional_vqvae import ConditionalVQVAE


def conditional_vqvae_from(
    recipe: ConditionalRecipe, levels: int, seed: int = 0
) -> ConditionalVQVAE:
    """A built, untrained net as `recipe` describes it, over `levels` grey levels."""
    model = ConditionalVQVAE(
        levels,
        recipe.context,
        recipe.conditioner_filters,
        recipe.conditioner_blocks,
        recipe.prediction_mixtures,
        recipe.filters,
        recipe.residual_blocks,
        recipe.mixtures,
        recipe.num_embeddings,
        recipe.embedding_dim,
        recipe.encoder_sees,
        recipe.decoder_sees,
        recipe.commitment_cost,
        recipe.decay,
        seed=seed,
        name="vqvae",
    )
    model.build()
    return model


def conditional_prior_from(
    recipe: ConditionalPriorRecipe, vqvae: ConditionalRecipe, seed: int = 0
) -> ConditionalPrior:
    """A built, untrained prior as `recipe` describes it, over the codes of a `vqvae`."""
    model = ConditionalPrior(
        channels=vqvae.filters,
        num_embeddings=vqvae.num_embeddings,
        embedding_dim=vqvae.embedding_dim,
        filters=recipe.filters,
        blocks=recipe.blocks,
        conditioner_filters=recipe.conditioner_filters,
        conditioner_blocks=recipe.conditioner_blocks,
        dropout=recipe.dropout,
        seed=seed,
        name="prior",
    )
    model.build()
    return model
