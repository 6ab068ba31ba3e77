"""From a recipe to its net."""

from __future__ import annotations

import keras

from medgen.families.autoencoder.recipe import AutoencoderRecipe
from medgen.nets.autoencoder import Autoencoder


def autoencoder_from(recipe: AutoencoderRecipe, seed: int = 0) -> Autoencoder:
    """A built, untrained net as `recipe` describes it."""
    keras.utils.set_random_seed(seed)
    net = Autoencoder(
        recipe.fine,
        recipe.coarse,
        recipe.narrow,
        recipe.blocks,
        recipe.linear_paths,
        name="autoencoder",
    )
    net.build()
    return net
