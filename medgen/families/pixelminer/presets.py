"""What `train-pixelminer` trains, by name."""

from __future__ import annotations

from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.pixelminer_published.recipe import PixelMinerPublishedRecipe

PIXELMINER_RECIPES: dict[str, PixelMinerRecipe | PixelMinerPublishedRecipe] = {
    "default": PixelMinerRecipe(optimizer="muon"),
    "no-autoregression": PixelMinerRecipe(
        autoregressive=False, steps=4200, validate_every=300, optimizer="muon"
    ),
    "small": PixelMinerRecipe(
        context=2,
        filters=12,
        blocks=2,
        mixtures=3,
        conditioner_filters=12,
        conditioner_blocks=1,
        prediction_mixtures=2,
        crop=32,
        steps=300,
        learning_rate=3e-3,
        validate_every=50,
    ),
    "in-plane": PixelMinerRecipe(in_plane=True, max_gap_mm=4.0, other_axes=0.0, batch_size=128),
    "in-plane-x2": PixelMinerRecipe(
        in_plane=True,
        subdivides=2,
        autoregressive=False,
        context=2,
        conditioner_filters=32,
        edge=0.0,
        other_axes=0.0,
        thickness=0.0,
        zoom=0.0,
        steps=4000,
    ),
    "pixelminer-paper": PixelMinerPublishedRecipe(),
}
