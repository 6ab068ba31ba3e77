"""From a recipe to its net."""

from __future__ import annotations

import keras

from medgen.families.image_espcn.recipe import ImageESPCNRecipe
from medgen.nets.image_espcn import ImageESPCN


def image_espcn_from(recipe: ImageESPCNRecipe, seed: int = 0) -> ImageESPCN:
    """A built, untrained net as `recipe` describes it."""
    keras.utils.set_random_seed(seed)
    net = ImageESPCN(recipe.factor, recipe.filters, recipe.blocks, name="image_espcn")
    net.build()
    return net
