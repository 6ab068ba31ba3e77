"""The families of models that medgen knows: one line each, and what a family has to tell."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from medgen.errors import BundleError
from medgen.recipes import Recipe

if TYPE_CHECKING:
    import keras

    from medgen.bundles.bundle import Bundle
    from medgen.doctor.findings import Finding
    from medgen.families.vqvae.reconstruct import Codec
    from medgen.interpolation import Interpolator
    from medgen.serving.signatures import ServedModel
    from medgen.superresolution import SuperResolver

# Where each kind of model has its `Family`. Strings, as what they name lies above this folder and
# is loaded when such a model is.
FAMILIES = {
    "vqvae": "medgen.families.vqvae:FAMILY",
    "two-stage": "medgen.families.two_stage:FAMILY",
    "vqvae-conditional": "medgen.families.conditional:FIRST_STAGE",
    "two-stage-conditional": "medgen.families.conditional:FAMILY",
    "pixelminer": "medgen.families.pixelminer:FAMILY",
    "pixelminer-paper": "medgen.families.pixelminer_published:FAMILY",
    "autoencoder": "medgen.families.autoencoder:FAMILY",
    "espcn": "medgen.families.espcn:FAMILY",
    "image-espcn": "medgen.families.image_espcn:FAMILY",
}


class Family:
    """All that is known of one kind of model: the base of one class in each folder of `families`.

    Importing a family loads neither Keras nor TensorFlow; its methods do, inside.

    Attributes:
        kind: name in `recipe.json` and in `FAMILIES`.
        title: heading of its cards.
        caution: what its cards say before all else.
        measured: sentence of its cards on what the metrics mean.
        stages: class of the recipe of each net, by the net's name, in the order they are trained.
        options: of sampling that it takes, see `interpolation.interpolator_named`.
        references: keys of `jobs/references.bib` that a paper cites for such a model.
    """

    kind: str
    title: str
    caution: str = (
        "Synthetic slices are drawn from a model of the training scans below. They are no "
        "measurements: do not diagnose from them."
    )
    measured: str
    stages: ClassVar[Mapping[str, type[Recipe]]]
    options: Collection[str] = ()
    references: Collection[str] = ()

    def build(
        self, recipes: Mapping[str, Any], levels: int, seed: int = 0
    ) -> dict[str, keras.Model]:
        """Untrained nets, built, by stage.

        Args:
            recipes: one for each of `stages`, of the class that stands there.
            levels: grey levels of the model's intensities.
            seed: of everything random in them.
        """
        raise NotImplementedError

    def checks(self, stage: str, net: keras.Model) -> Iterator[Finding]:
        """What `doctor` finds in a net whose weights are finite."""
        raise NotImplementedError

    def interpolator(self, bundle: Bundle, **options: Any) -> Interpolator:
        """What fills in slices by `bundle`.

        Args:
            bundle: a model of this kind.
            options: `seed`, and those of `Family.options` that the user has given.

        Raises:
            BundleError: such models fill in none, or options do not go together.
        """
        raise BundleError(
            f"{bundle.name} is a {self.title} and cannot fill in slices; name another model."
        )

    def codec(self, bundle: Bundle) -> Codec:
        """The way of `bundle` from acquired slices to codes and back.

        Raises:
            BundleError: such models have no codes.
        """
        raise BundleError(
            f"{bundle.name} is a {self.title} and has no codes of slices; name a model with a "
            "VQ-VAE."
        )

    def superresolver(self, bundle: Bundle) -> SuperResolver:
        """What makes voxels finer by `bundle`.

        Args:
            bundle: a model of this kind.

        Raises:
            BundleError: such models make none.
        """
        raise BundleError(
            f"{bundle.name} is a {self.title} and cannot make voxels finer; name another model."
        )

    def served(self, bundle: Bundle) -> ServedModel:
        """Signatures of `bundle` as a SavedModel.

        Raises:
            BundleError: such models cannot be exported.
        """
        raise BundleError(f"{bundle.name} is a {self.title} and cannot be exported.")


def family_of(kind: object) -> Family:
    """The family of models of one kind.

    Raises:
        BundleError: there is none.

    Example:
        >>> family_of("pixelminer").title
        'PixelMiner'
    """
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise BundleError(
            f"got {kind!r}, and this medgen knows {', '.join(FAMILIES)}; use the one that wrote it."
        )
    module, name = FAMILIES[kind].split(":")
    family: Family = getattr(import_module(module), name)
    return family


def register(kind: str, place: str) -> None:
    """Make a family known that lies outside this package.

    Args:
        kind: as `Family.kind`.
        place: `module:name` of its `Family`.

    Example:
        >>> register("my-kind", "my_package.my_family:MyFamily")
        >>> FAMILIES.pop("my-kind")
        'my_package.my_family:MyFamily'
    """
    FAMILIES[kind] = place
