"""Autoencoder of colour images from microscopes: three channels to one, and back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from medgen.bundles.families import Family
from medgen.families.autoencoder.recipe import AutoencoderRecipe

if TYPE_CHECKING:
    import keras

    from medgen.doctor.findings import Finding


class AutoencoderFamily(Family):
    """See `Family`."""

    kind = "autoencoder"
    title = "Microscopy autoencoder"
    caution = (
        "Reconstructions lack what one number for 4 x 4 pixels cannot hold: do not diagnose from "
        "them."
    )
    measured = (
        "`loss` is the mean squared error of the unit range; `psnr_db` and `ssim` (of Wang et al. "
        "2004, mean of the three channels) compare the middle of each validation image with its "
        "reconstruction in 8 bits."
    )
    stages: ClassVar = {"autoencoder": AutoencoderRecipe}
    references: Collection[str] = ()

    def build(
        self, recipes: Mapping[str, Any], levels: int, seed: int = 0
    ) -> dict[str, keras.Model]:
        """See `Family.build`."""
        from medgen.families.autoencoder.build import autoencoder_from

        return {"autoencoder": autoencoder_from(recipes["autoencoder"], seed)}

    def checks(self, stage: str, net: keras.Model) -> Iterator[Finding]:
        """See `Family.checks`."""
        from medgen.families.autoencoder.checks import findings

        yield from findings(stage, net)


FAMILY = AutoencoderFamily()
