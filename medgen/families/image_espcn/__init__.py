"""Super-resolution of colour images from microscopes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from medgen.bundles.families import Family
from medgen.families.image_espcn.recipe import ImageESPCNRecipe

if TYPE_CHECKING:
    import keras

    from medgen.doctor.findings import Finding


class ImageESPCNFamily(Family):
    """See `Family`."""

    kind = "image-espcn"
    title = "Super-resolution net"
    caution = (
        "Detail that a finer image has and the coarse one lacks is what the training images make "
        "likely: it is no measurement, do not diagnose from it."
    )
    measured = (
        "`loss` is that of training on the middle of each validation image; `psnr_db` (all "
        "channels), `ssim` and `spectrum_db` (distance of the power spectra; mean of the channels) "
        "compare it, in 8 bits, with what the net makes of means of `factor` x `factor` pixels."
    )
    stages: ClassVar = {"image_espcn": ImageESPCNRecipe}

    def build(
        self, recipes: Mapping[str, Any], levels: int, seed: int = 0
    ) -> dict[str, keras.Model]:
        """See `Family.build`."""
        from medgen.families.image_espcn.build import image_espcn_from

        return {"image_espcn": image_espcn_from(recipes["image_espcn"], seed)}

    def checks(self, stage: str, net: keras.Model) -> Iterator[Finding]:
        """See `Family.checks`."""
        from medgen.families.image_espcn.checks import findings

        yield from findings(stage, net)


FAMILY = ImageESPCNFamily()
