"""From a recipe to its net."""

from __future__ import annotations

from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.nets.pixelminer_lean import PixelMinerLean


def pixelminer_from(recipe: PixelMinerRecipe, levels: int, seed: int = 0) -> PixelMinerLean:
    """A built, untrained net as `recipe` describes it, over `levels` grey levels."""
    model = PixelMinerLean(
        levels,
        recipe.context,
        recipe.filters,
        recipe.blocks,
        recipe.mixtures,
        recipe.conditioner_filters,
        recipe.conditioner_blocks,
        recipe.prediction_mixtures,
        recipe.input_noise,
        recipe.dropout,
        recipe.autoregressive,
        recipe.partially_causal,
        seed=seed,
        name="pixelminer",
    )
    model.build()
    return model
