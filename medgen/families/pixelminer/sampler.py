"""What draws from a net over grey levels."""

from __future__ import annotations

from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.pixelminer_published.recipe import PixelMinerPaperRecipe
from medgen.nets.pixelminer_lean import PixelMiner
from medgen.nets.pixelminer_published.net import PixelMinerPaper
from medgen.sampling.rows import RowSampler
from medgen.sampling.slices import SliceSampler
from medgen.sampling.windows import WindowSampler


def sampler_of(
    recipe: PixelMinerRecipe | PixelMinerPaperRecipe,
    net: PixelMiner | PixelMinerPaper,
    **options: object,
) -> SliceSampler | RowSampler | WindowSampler:
    """A sampler of slices, of rows if `in_plane`, or of windows from the published net."""
    if isinstance(net, PixelMinerPaper):
        return WindowSampler(net, side=recipe.crop, **options)
    sampler = SliceSampler(net, **options)
    return RowSampler(sampler) if recipe.in_plane else sampler
