"""From a recipe to its net."""

from __future__ import annotations

from medgen.families.pixelminer_published.recipe import PixelMinerPaperRecipe
from medgen.nets.pixelminer_published.net import PixelMinerPaper


def pixelminer_paper_from(
    recipe: PixelMinerPaperRecipe, levels: int, seed: int = 0
) -> PixelMinerPaper:
    """A built, untrained net as `recipe` describes it, over `levels` grey levels."""
    model = PixelMinerPaper(
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
