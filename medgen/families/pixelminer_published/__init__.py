"""PixelMiner as published: one net that sees the neighbours and draws, window by window."""

from __future__ import annotations

from typing import ClassVar

from medgen.errors import BundleError
from medgen.families.pixelminer import PixelMinerFamily
from medgen.families.pixelminer_published.recipe import PixelMinerPaperRecipe


class PixelMinerPublishedFamily(PixelMinerFamily):
    """See `Family`; it is trained and fills in slices as the lean net does."""

    kind = "pixelminer-paper"
    title = "PixelMiner as published"
    stages: ClassVar = {"pixelminer": PixelMinerPaperRecipe}

    def build(self, recipes, levels, seed=0):
        """See `Family.build`."""
        from medgen.families.pixelminer_published.build import pixelminer_paper_from

        return {"pixelminer": pixelminer_paper_from(recipes["pixelminer"], levels, seed)}

    def checks(self, stage, net):
        """See `Family.checks`."""
        from medgen.doctor.checks import examine_net
        from medgen.families.pixelminer_published.checks import subject_of

        yield from examine_net(subject_of(stage, net))

    def served(self, bundle):
        """See `Family.served`."""
        raise BundleError(
            f"{bundle.name} draws windows instead of whole slices and cannot be exported; use "
            "medgen interpolate, or a model of another recipe."
        )


FAMILY = PixelMinerPublishedFamily()
