"""PixelMiner as published: one net that sees the neighbours and draws, window by window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from medgen.errors import BundleError
from medgen.families.pixelminer import PixelMinerFamily
from medgen.families.pixelminer_published.recipe import PixelMinerPublishedRecipe

if TYPE_CHECKING:
    import keras

    from medgen.bundles.bundle import Bundle
    from medgen.doctor.findings import Finding
    from medgen.serving.signatures import ServedModel


class PixelMinerPublishedFamily(PixelMinerFamily):
    """See `Family`; it is trained and fills in slices as the lean net does."""

    kind = "pixelminer-paper"
    title = "PixelMiner as published"
    stages: ClassVar = {"pixelminer": PixelMinerPublishedRecipe}

    def build(
        self, recipes: Mapping[str, Any], levels: int, seed: int = 0
    ) -> dict[str, keras.Model]:
        """See `Family.build`."""
        from medgen.families.pixelminer_published.build import pixelminer_published_from

        return {"pixelminer": pixelminer_published_from(recipes["pixelminer"], levels, seed)}

    def checks(self, stage: str, net: keras.Model) -> Iterator[Finding]:
        """See `Family.checks`."""
        from medgen.doctor.checks import examine_net
        from medgen.families.pixelminer_published.checks import subject_of

        yield from examine_net(subject_of(stage, net))

    def served(self, bundle: Bundle) -> ServedModel:
        """See `Family.served`."""
        raise BundleError(
            f"{bundle.name} draws windows instead of whole slices and cannot be exported; use "
            "medgen interpolate, or a model of another recipe."
        )


FAMILY = PixelMinerPublishedFamily()
