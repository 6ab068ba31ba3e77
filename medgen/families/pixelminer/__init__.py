"""PixelMiner, lean: grey levels of a slice, pixel by pixel, around a prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from medgen.bundles.families import Family
from medgen.errors import BundleError
from medgen.families.pixelminer.recipe import PixelMinerRecipe

if TYPE_CHECKING:
    import keras

    from medgen.bundles.bundle import Bundle
    from medgen.doctor.findings import Finding
    from medgen.interpolation import Interpolator
    from medgen.serving.signatures import ServedModel
    from medgen.superresolution import SuperResolver


class PixelMinerFamily(Family):
    """See `Family`."""

    kind = "pixelminer"
    title = "PixelMiner"
    measured = (
        "Bits are per pixel, given the true earlier pixels; errors are in HU for CT and in per "
        "cent of the intensity range for MR; `sampled_...` is of freely drawn windows."
    )
    stages: ClassVar = {"pixelminer": PixelMinerRecipe}
    options = ("temperature", "decode", "sampler")
    references = ("rogers2023", "salimans2017")

    def build(
        self, recipes: Mapping[str, Any], levels: int, seed: int = 0
    ) -> dict[str, keras.Model]:
        """See `Family.build`."""
        from medgen.families.pixelminer.build import pixelminer_from

        return {"pixelminer": pixelminer_from(recipes["pixelminer"], levels, seed)}

    def checks(self, stage: str, net: keras.Model) -> Iterator[Finding]:
        """See `Family.checks`."""
        from medgen.doctor.checks import examine_net
        from medgen.families.pixelminer.checks import subject_of

        yield from examine_net(subject_of(stage, net))

    def interpolator(self, bundle: Bundle, **options: Any) -> Interpolator:
        """See `Family.interpolator`."""
        from medgen.families.pixelminer.fill import PixelMinerInterpolator
        from medgen.families.pixelminer.in_plane import InPlaneInterpolator
        from medgen.interpolation.contract import AUTO
        from medgen.interpolation.options import with_temperature

        if bundle.recipes["pixelminer"].subdivides is not None:
            raise BundleError(
                f"{bundle.name} splits pixels and cannot fill in slices; use medgen superresolve "
                "--in-plane, or name another model."
            )
        if bundle.recipes["pixelminer"].in_plane:
            options = with_temperature(bundle.name, options, 1.0)
            return InPlaneInterpolator(PixelMinerInterpolator(bundle, **options))
        return PixelMinerInterpolator(bundle, **with_temperature(bundle.name, options, AUTO))

    def superresolver(self, bundle: Bundle) -> SuperResolver:
        """See `Family.superresolver`."""
        if bundle.recipes["pixelminer"].subdivides is None:
            return super().superresolver(bundle)

        from medgen.families.pixelminer.subdivide import InPlaneResolver

        return InPlaneResolver(bundle)

    def served(self, bundle: Bundle) -> ServedModel:
        """See `Family.served`."""
        from medgen.families.pixelminer.serve import ServedPixelMiner

        if bundle.recipes["pixelminer"].in_plane:
            raise BundleError(
                f"{bundle.name} makes rows instead of whole slices and cannot be exported; use "
                "medgen itself, or a model of another recipe."
            )
        return ServedPixelMiner(bundle)


FAMILY = PixelMinerFamily()
