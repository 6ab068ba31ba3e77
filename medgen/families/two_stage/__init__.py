"""Codes of a slice, drawn by a conditional gated PixelCNN, and decoded by a VQ-VAE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from medgen.families.two_stage.recipe import PriorRecipe
from medgen.families.vqvae import VQVAEFamily
from medgen.families.vqvae.recipe import VQVAERecipe

if TYPE_CHECKING:
    import keras

    from medgen.bundles.bundle import Bundle
    from medgen.doctor.findings import Finding
    from medgen.interpolation import Interpolator
    from medgen.serving.signatures import ServedModel


class TwoStageFamily(VQVAEFamily):
    """See `Family`; the first stage is that of a VQ-VAE alone."""

    kind = "two-stage"
    title = "VQ-VAE with conditional PixelCNN prior"
    stages: ClassVar = {"vqvae": VQVAERecipe, "prior": PriorRecipe}
    options = ("temperature", "top_k", "top_p")
    references = ("oord2017", "oord2016")

    def build(
        self, recipes: Mapping[str, Any], levels: int, seed: int = 0
    ) -> dict[str, keras.Model]:
        """See `Family.build`."""
        from medgen.families.two_stage.build import pixelcnn_from

        prior = pixelcnn_from(recipes["prior"], recipes["vqvae"], seed)
        return {**super().build(recipes, levels, seed), "prior": prior}

    def checks(self, stage: str, net: keras.Model) -> Iterator[Finding]:
        """See `Family.checks`."""
        if stage == "vqvae":
            yield from super().checks(stage, net)
            return
        from medgen.doctor.checks import examine_net
        from medgen.families.two_stage.checks import subject_of

        yield from examine_net(subject_of(stage, net))

    def interpolator(self, bundle: Bundle, **options: Any) -> Interpolator:
        """See `Family.interpolator`."""
        from medgen.families.two_stage.fill import TwoStage
        from medgen.interpolation.contract import AUTO

        return TwoStage(bundle, **{"temperature": AUTO} | options)

    def served(self, bundle: Bundle) -> ServedModel:
        """See `Family.served`."""
        from medgen.families.two_stage.serve import ServedTwoStage

        return ServedTwoStage(bundle)


FAMILY = TwoStageFamily()
