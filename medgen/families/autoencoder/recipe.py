"""What an autoencoder of images is told."""

from __future__ import annotations

from dataclasses import dataclass

from medgen.recipes import Recipe


@dataclass(frozen=True)
class AutoencoderRecipe(Recipe):
    """An `nets.autoencoder.Autoencoder` on crops of colour images.

    `scale_um`: µm per pixel that images are brought to, 0 for images as they are. `stain_jitter`:
    by how much the strength of each stain varies from crop to crop, see `examples.tiles`.
    """

    fine: int = 16
    coarse: int = 48
    narrow: int = 16
    blocks: int = 2
    linear_paths: bool = True
    scale_um: float = 0.0
    stain_jitter: float = 0.15
    crop: int = 96
    batch_size: int = 8
    steps: int = 8000
    learning_rate: float = 2e-3
    validate_every: int = 200

    @property
    def fewest_numbers(self) -> int:
        """See `Recipe`."""
        return self.blocks * 18 * max(self.fine, self.coarse, self.narrow) ** 2


AUTOENCODER_RECIPES = {
    "default": AutoencoderRecipe(),
    # Channels, blocks and size of the published autoencoder of H&E images.
    "mscopy": AutoencoderRecipe(
        fine=64,
        coarse=32,
        narrow=8,
        blocks=10,
        linear_paths=False,
        stain_jitter=0.0,
        crop=181,
        batch_size=8,
        steps=50_000,
        learning_rate=1e-4,
        validate_every=500,
    ),
}
