"""VQ-VAE: slices to codes and back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from medgen.bundles.families import Family
from medgen.errors import BundleError
from medgen.families.vqvae.recipe import VQVAERecipe

if TYPE_CHECKING:
    import keras

    from medgen.bundles.bundle import Bundle
    from medgen.doctor.findings import Finding
    from medgen.families.vqvae.reconstruct import Codec
    from medgen.interpolation import Interpolator
    from medgen.serving.signatures import ServedModel


class VQVAEFamily(Family):
    """See `Family`."""

    kind = "vqvae"
    title = "VQ-VAE"
    measured = (
        "`loss` is in nats per pixel; `ssim` and `psnr_db` compare whole slices with their "
        "reconstruction over the model's intensity range."
    )
    stages: ClassVar = {"vqvae": VQVAERecipe}
    references: Collection[str] = ("oord2017",)

    def build(
        self, recipes: Mapping[str, Any], levels: int, seed: int = 0
    ) -> dict[str, keras.Model]:
        """See `Family.build`."""
        from medgen.families.vqvae.build import vqvae_from

        return {"vqvae": vqvae_from(recipes["vqvae"], seed)}

    def checks(self, stage: str, net: keras.Model) -> Iterator[Finding]:
        """See `Family.checks`."""
        from medgen.doctor.checks import check_codebook

        yield check_codebook(stage, net.quantizer)

    def interpolator(self, bundle: Bundle, **options: Any) -> Interpolator:
        """See `Family.interpolator`."""
        raise BundleError(
            f"{bundle.name} is a VQ-VAE without a prior and cannot fill in slices; train one with "
            "medgen train-prior."
        )

    def codec(self, bundle: Bundle) -> Codec:
        """See `Family.codec`."""
        from medgen.families.vqvae.codes import codes_of

        return codes_of(bundle)

    def served(self, bundle: Bundle) -> ServedModel:
        """See `Family.served`."""
        from medgen.families.vqvae.serve import ServedCodes

        if bundle.recipes["vqvae"].channels > 1:
            raise BundleError(
                f"{bundle.name} has several channels and cannot be exported; export a model of one."
            )
        return ServedCodes(bundle)


FAMILY = VQVAEFamily()
