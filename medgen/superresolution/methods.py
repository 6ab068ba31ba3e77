"""The method that a user names, or that a scan's modality chooses."""

from __future__ import annotations

from pathlib import Path

from medgen.bundles.released import folder_named, released_models
from medgen.errors import BundleError, IntensityError
from medgen.intensities.guess import UNTOLD, Guess
from medgen.intensities.modality import MODALITIES, UNKNOWN
from medgen.superresolution.classical import CLASSICAL, NEAREST
from medgen.superresolution.contract import SuperResolver

# That of the released models of pixels.
IN_PLANE_FACTOR = 2


def superresolver_named(name: str) -> SuperResolver:
    """What makes voxels finer under `name`.

    Args:
        name: `nearest`, `linear`, `bspline` or `lanczos`, the folder of a trained model, or the
            name of one that comes with medgen.

    Raises:
        BundleError: nothing goes by that name, or the model makes no voxels finer.

    Example:
        >>> superresolver_named("lanczos").name
        'lanczos'
    """
    if name in CLASSICAL:
        return CLASSICAL[name]
    folder = folder_named(name, *CLASSICAL)
    # Keras is loaded for trained models only.
    from medgen.bundles.bundle import load_bundle

    bundle = load_bundle(folder)
    return bundle.family.superresolver(bundle)


def model_folder(name: str) -> Path | None:
    """Folder of the trained model a user means by `name`, None for a classical method.

    Raises:
        BundleError: nothing goes by that name.
    """
    return None if name in CLASSICAL else folder_named(name, *CLASSICAL)


def default_method(
    modality: str, factor: int, guess: Guess = UNTOLD, *, in_plane: bool = False
) -> str:
    """The method for a scan of which the user named none: that of medgen's models for it.

    Args:
        modality: as `Volume.modality` has it.
        factor: wanted.
        guess: why it is thought to be of that modality.
        in_plane: whether slices stay as they are.

    Raises:
        IntensityError: nobody knows what the scan is.
        BundleError: no model is for that modality and factor.
    """
    kind = MODALITIES[modality]
    if kind is UNKNOWN:
        raise IntensityError(guess.question)
    if kind.is_categorical:
        return NEAREST
    models = released_models()
    name = f"{modality}-espcn-x{factor}"
    if in_plane and factor == IN_PLANE_FACTOR and f"{modality}-in-plane" in models:
        name = f"{modality}-in-plane"
    if name not in models:
        found = [model.name for model in models.values() if model.kind == "espcn"]
        raise BundleError(
            f"No model comes with medgen that makes voxels of {kind.title} {factor} times as fine; "
            f"name a method with --model: {', '.join([*found, *CLASSICAL])}, or the folder of a "
            "model of your own."
        )
    return name
