"""Codes for what the acquired slices cannot tell, decoded beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from medgen.bundles.families import Family
from medgen.errors import BundleError
from medgen.families.conditional.recipe import ConditionalPriorRecipe, ConditionalRecipe

if TYPE_CHECKING:
    import keras

    from medgen.bundles.bundle import Bundle
    from medgen.doctor.findings import Finding
    from medgen.families.vqvae.reconstruct import Codec
    from medgen.interpolation import Interpolator
    from medgen.serving.signatures import ServedModel


class ConditionalVQVAEFamily(Family):
    """See `Family`; the first stage alone."""

    kind = "vqvae-conditional"
    title = "VQ-VAE conditioned on the acquired slices"
    measured = (
        "Bits are per pixel: `residual_...` given true codes, `prediction_...` given the acquired "
        "slices alone; errors are in HU for CT and in per cent of the intensity range for MR."
    )
    stages: ClassVar = {"vqvae": ConditionalRecipe}
    references: Collection[str] = ("oord2017", "rogers2023")

    def build(
        self, recipes: Mapping[str, Any], levels: int, seed: int = 0
    ) -> dict[str, keras.Model]:
        """See `Family.build`."""
        from medgen.families.conditional.build import conditional_vqvae_from

        return {"vqvae": conditional_vqvae_from(recipes["vqvae"], levels, seed)}

    def checks(self, stage: str, net: keras.Model) -> Iterator[Finding]:
        """See `Family.checks`."""
        from medgen.doctor.checks import check_codebook, examine_net
        from medgen.families.conditional.checks import first_stage

        yield check_codebook(stage, net.quantizer)
        yield from examine_net(first_stage(stage, net))

    def codec(self, bundle: Bundle) -> Codec:
        """See `Family.codec`."""
        from medgen.families.conditional.codes import CodesAmongNeighbours

        return CodesAmongNeighbours(bundle.nets["vqvae"])

    def interpolator(self, bundle: Bundle, **options: Any) -> Interpolator:
        """See `Family.interpolator`."""
        raise BundleError(
            f"{bundle.name} is a VQ-VAE without a prior and cannot fill in slices; "
            "train one with medgen train-prior."
        )


class ConditionalFamily(ConditionalVQVAEFamily):
    """See `Family`."""

    kind = "two-stage-conditional"
    title = "VQ-VAE conditioned on the acquired slices, with PixelCNN prior"
    measured = (
        ConditionalVQVAEFamily.measured + " `elbo_...` bounds from above what a pixel takes with "
        "its share of the codes."
    )
    stages: ClassVar = {"vqvae": ConditionalRecipe, "prior": ConditionalPriorRecipe}
    options = ("temperature", "top_k", "top_p", "decode")
    references: Collection[str] = ("oord2017", "oord2016", "rogers2023")

    def build(
        self, recipes: Mapping[str, Any], levels: int, seed: int = 0
    ) -> dict[str, keras.Model]:
        """See `Family.build`."""
        from medgen.families.conditional.build import conditional_prior_from

        prior = conditional_prior_from(recipes["prior"], recipes["vqvae"], seed)
        return {**super().build(recipes, levels, seed), "prior": prior}

    def checks(self, stage: str, net: keras.Model) -> Iterator[Finding]:
        """See `Family.checks`."""
        if stage == "vqvae":
            yield from super().checks(stage, net)
            return
        from medgen.doctor.checks import examine_net
        from medgen.families.conditional.checks import prior

        yield from examine_net(prior(stage, net))

    def interpolator(self, bundle: Bundle, **options: Any) -> Interpolator:
        """See `Family.interpolator`."""
        from medgen.families.conditional.fill import ConditionalInterpolator
        from medgen.interpolation.contract import AUTO
        from medgen.interpolation.options import with_temperature

        return ConditionalInterpolator(bundle, **with_temperature(bundle.name, options, AUTO))

    def served(self, bundle: Bundle) -> ServedModel:
        """See `Family.served`."""
        from medgen.families.conditional.serve import ServedConditional

        return ServedConditional(bundle)


FIRST_STAGE = ConditionalVQVAEFamily()
FAMILY = ConditionalFamily()
