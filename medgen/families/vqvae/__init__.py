"""VQ-VAE: slices to codes and back."""

from __future__ import annotations

from typing import ClassVar

from medgen.bundles.families import Family
from medgen.errors import BundleError
from medgen.families.vqvae.recipe import VQVAERecipe


class VQVAEFamily(Family):
    """See `Family`."""

    kind = "vqvae"
    title = "VQ-VAE"
    measured = (
        "`loss` is in nats per pixel; `ssim` and `psnr_db` compare whole slices with their "
        "reconstruction over the model's intensity range."
    )
    stages: ClassVar = {"vqvae": VQVAERecipe}

    def build(self, recipes, levels, seed=0):
        """See `Family.build`."""
        from medgen.families.vqvae.build import vqvae_from

        return {"vqvae": vqvae_from(recipes["vqvae"], seed)}

    def checks(self, stage, net):
        """See `Family.checks`."""
        from medgen.doctor.checks import check_codebook

        yield check_codebook(stage, net.quantizer)

    def interpolator(self, bundle, **options):
        """See `Family.interpolator`."""
        raise BundleError(
            f"{bundle.name} is a VQ-VAE without a prior and cannot fill in slices; train one with "
            "medgen train-prior."
        )

    def served(self, bundle):
        """See `Family.served`."""
        from medgen.families.vqvae.serve import ServedCodes

        if bundle.recipes["vqvae"].channels > 1:
            raise BundleError(
                f"{bundle.name} has several channels and cannot be exported; export a model of one."
            )
        return ServedCodes(bundle)


FAMILY = VQVAEFamily()
