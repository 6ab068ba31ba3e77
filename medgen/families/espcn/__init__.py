"""3D-ESPCN: voxels made finer along all three axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from medgen.bundles.families import Family
from medgen.families.espcn.recipe import ESPCNRecipe

if TYPE_CHECKING:
    import keras

    from medgen.bundles.bundle import Bundle
    from medgen.doctor.findings import Finding
    from medgen.serving.signatures import ServedModel
    from medgen.superresolution import SuperResolver


class ESPCNFamily(Family):
    """See `Family`."""

    kind = "espcn"
    title = "3D-ESPCN"
    caution = (
        "The voxels of a finer scan are estimates by a model of the training scans below. They are "
        "no measurements: do not diagnose from them."
    )
    measured = (
        "Of patches in the unit range: `loss` in nats a voxel (a squared error for the published "
        "net), `psnr_db`, and `cubic_psnr_db` of cubic interpolation; `interval_width` standard "
        "deviations on either side of the mean hold 94 % of the true values, as a net is too sure "
        "of scans that it has not learnt from. The scans were made coarse by the recipe's "
        "`degradation`: `mean` over the voxels that a coarse one consists of, a `gaussian` point "
        "spread as wide as a coarse voxel, sampled at its centre, or the middle of `kspace`; of "
        "several, each made as many patches."
    )
    references = ("shi2016", "tanno2017")
    stages: ClassVar = {"espcn": ESPCNRecipe}

    def build(
        self, recipes: Mapping[str, Any], levels: int, seed: int = 0
    ) -> dict[str, keras.Model]:
        """See `Family.build`."""
        from medgen.families.espcn.build import espcn_from

        return {"espcn": espcn_from(recipes["espcn"], seed)}

    def checks(self, stage: str, net: keras.Model) -> Iterator[Finding]:
        """See `Family.checks`."""
        from medgen.families.espcn.checks import examine

        yield from examine(stage, net)

    def superresolver(self, bundle: Bundle) -> SuperResolver:
        """See `Family.superresolver`."""
        from medgen.families.espcn.refine import ESPCNResolver

        return ESPCNResolver(bundle)

    def served(self, bundle: Bundle) -> ServedModel:
        """See `Family.served`."""
        from medgen.families.espcn.serve import ServedESPCN

        return ServedESPCN(bundle)


FAMILY = ESPCNFamily()
