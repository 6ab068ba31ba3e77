"""What draws from a net over grey levels."""

from __future__ import annotations

from typing import Any

from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.pixelminer_published.recipe import PixelMinerPublishedRecipe
from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.nets.pixelminer_published.net import PixelMinerPublished
from medgen.recipes import Recipe
from medgen.sampling.rows import RowSampler
from medgen.sampling.slices import SliceSampler
from medgen.sampling.windows import WindowSampler


def sampler_of(
    recipe: Recipe,
    net: PixelMinerLean | PixelMinerPublished,
    **options: Any,
) -> SliceSampler | RowSampler | WindowSampler:
    """A sampler of slices, of single rows that lie between others, or of the published windows."""
    if isinstance(recipe, PixelMinerPublishedRecipe):
        return WindowSampler(net, side=recipe.crop, **options)
    assert isinstance(recipe, PixelMinerRecipe)
    sampler = SliceSampler(net, held=recipe.held, **options)
    return RowSampler(sampler) if recipe.in_plane and recipe.subdivides is None else sampler
