"""From a recipe to its net."""

from __future__ import annotations

from medgen.families.pixelminer_published.recipe import PixelMinerPublishedRecipe
from medgen.nets.pixelminer_published.net import PixelMinerPublished


def pixelminer_published_from(
    recipe: PixelMinerPublishedRecipe, levels: int, seed: int = 0
) -> PixelMinerPublished:
    """A built, untrained net as `recipe` describes it, over `levels` grey levels."""
    model = PixelMinerPublished(
        levels,
        recipe.filters,
        recipe.layers,
        recipe.mixtures,
        recipe.dropout,
        seed=seed,
        name="pixelminer",
    )
    model.build()
    return model
