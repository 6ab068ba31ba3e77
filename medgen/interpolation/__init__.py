"""A scan in, a finer scan out: `interpolate_volume` with any `Interpolator`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medgen.bundles.released import folder_named
from medgen.interpolation.classical import CLASSICAL
from medgen.interpolation.contract import Deterministic, Filling, Interpolator, Progress
from medgen.interpolation.insert import interpolate_volume
from medgen.interpolation.labels import ShapeBased
from medgen.interpolation.options import SamplingOptions

__all__ = [
    "CLASSICAL",
    "SELF",
    "Deterministic",
    "Filling",
    "Interpolator",
    "Progress",
    "SamplingOptions",
    "interpolate_volume",
    "interpolator_named",
    "model_folder",
]

# Names a model that learns from nothing but the scan, see `medgen.adaptation`.
SELF = "self"
# Methods that need no trained model, by name.
METHODS: dict[str, Interpolator] = {**CLASSICAL, ShapeBased.name: ShapeBased()}


def interpolator_named(name: str, *, seed: int = 0, **options: Any) -> Interpolator:
    """The interpolator a user means by `name`.

    Args:
        name: `nearest`, `linear`, `bspline` or `sinc`, `shape` for label maps, the folder of a
            two-stage model or a PixelMiner, or the name of one that comes with medgen.
        seed: of a model's random choices; the classical methods make none.
        options: see `SamplingOptions`. By default slices are drawn and given the scan's own texture
            (temperature `auto`), rows are drawn at 1, and a mean is left as it is.

    Raises:
        BundleError: nothing goes by that name, the model cannot fill in slices, or an option is
            given that it does not have.

    Example:
        >>> interpolator_named("linear").name
        'linear'
    """
    sampling = SamplingOptions(**options)
    if name in METHODS:
        sampling.taken_by(f"The classical method {name!r} samples nothing and", ())
        return METHODS[name]
    folder = folder_named(name, *METHODS)
    # TensorFlow is loaded for trained models only.
    from medgen.bundles.bundle import load_bundle

    bundle = load_bundle(folder)
    family = bundle.family
    given = sampling.taken_by(f"The {bundle.kind} model {name!r}", family.options)
    return family.interpolator(bundle, seed=seed, **given)


def model_folder(name: str) -> Path | None:
    """Folder of the trained model a user means by `name`, None for a method that has none.

    Raises:
        BundleError: nothing goes by that name.

    Example:
        >>> model_folder("linear") is None
        True
        >>> model_folder("ct-pixelminer").name
        'ct-pixelminer'
    """
    return None if name in (SELF, *METHODS) else folder_named(name, *METHODS)
