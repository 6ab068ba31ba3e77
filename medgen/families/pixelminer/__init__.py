"""PixelMiner, lean: grey levels of a slice, pixel by pixel, around a prediction."""

from __future__ import annotations

from typing import ClassVar

from medgen.bundles.families import Family
from medgen.errors import BundleError
from medgen.families.pixelminer.recipe import PixelMinerRecipe


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

    def build(self, recipes, levels, seed=0):
        """See `Family.build`."""
        from medgen.families.pixelminer.build import pixelminer_from

        return {"pixelminer": pixelminer_from(recipes["pixelminer"], levels, seed)}

    def checks(self, stage, net):
        """See `Family.checks`."""
        from medgen.doctor.checks import examine_net
        from medgen.families.pixelminer.checks import subject_of

        yield from examine_net(subject_of(stage, net))

    def interpolator(self, bundle, **options):
        """See `Family.interpolator`."""
        from medgen.families.pixelminer.fill import PixelMinerInterpolator
        from medgen.families.pixelminer.in_plane import InPlaneInterpolator
        from medgen.interpolation.contract import AUTO
        from medgen.interpolation.options import with_temperature

        default = 1.0 if bundle.recipes["pixelminer"].in_plane else AUTO
        options = with_temperature(bundle.name, options, default)
        interpolator = PixelMinerInterpolator(bundle, **options)
        if bundle.recipes["pixelminer"].in_plane:
            return InPlaneInterpolator(interpolator)
        return interpolator

    def served(self, bundle):
        """See `Family.served`."""
        from medgen.families.pixelminer.serve import ServedPixelMiner

        if bundle.recipes["pixelminer"].in_plane:
            raise BundleError(
                f"{bundle.name} draws rows instead of whole slices and cannot be exported; use "
                "medgen interpolate, or a model of another recipe."
            )
        return ServedPixelMiner(bundle)


FAMILY = PixelMinerFamily()
