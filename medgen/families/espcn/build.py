"""From a recipe to its net."""

from __future__ import annotations

from medgen.families.espcn.recipe import ESPCNRecipe
from medgen.nets.espcn import ESPCN, ResidualESPCN


def espcn_from(recipe: ESPCNRecipe, seed: int = 0) -> ESPCN | ResidualESPCN:
    """A built, untrained net as `recipe` describes it."""
    net: ESPCN | ResidualESPCN
    if recipe.published:
        net = ESPCN(recipe.factor, seed=seed, name="espcn")
    else:
        net = ResidualESPCN(recipe.factor, recipe.filters, recipe.blocks, seed=seed, name="espcn")
    net.build()
    return net
