"""A scan in, a finer scan out: `interpolate_volume` with any `Interpolator`."""

from __future__ import annotations

from pathlib import Path

from medgen.bundles.released import folder_named
from medgen.errors import BundleError
from medgen.interpolation.classical import CLASSICAL
from medgen.interpolation.engine import Interpolator, Progress, interpolate_volume
from medgen.interpolation.labels import ShapeBased

__all__ = [
    "CLASSICAL",
    "Interpolator",
    "Progress",
    "interpolate_volume",
    "interpolator_named",
    "model_folder",
]

# Methods that need no trained model, by name.
METHODS: dict[str, Interpolator] = {**CLASSICAL, ShapeBased.name: ShapeBased()}


def interpolator_named(
    name: str,
    *,
    seed: int = 0,
    temperature: float | str | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    decode: str | None = None,
    sampler: str | None = None,
) -> Interpolator:
    """The interpolator a user means by `name`.

    Args:
        name: `nearest`, `linear`, `bspline` or `sinc`, `shape` for label maps, the folder of a
            two-stage model or a PixelMiner, or the name of one that comes with medgen.
        seed: of a model's random choices; the classical methods make none.
        temperature: of a model's sampling; classical methods and the mean have none. `auto` gives a
            slice the texture of the scan's own, see `match_texture`, also to a mean. None for
            `auto` where slices are drawn, for the plain mean, and for 1 where rows are.
        top_k: see `sampling.draw.categorical_draw`; of a two-stage model only.
        top_p: likewise.
        decode: `sample` or `mean`, None for `sample`; of a PixelMiner only.
        sampler: `cached`, `fixed-point` or `wavefront`, None for `cached`; of a PixelMiner only.

    Raises:
        BundleError: nothing goes by that name, the model cannot fill in slices, or an option is
            given that it does not have.
    """
    given = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "decode": decode,
        "sampler": sampler,
    }
    given = {option: value for option, value in given.items() if value is not None}
    if name in METHODS:
        _refuse(given, f"The classical method {name!r} samples nothing and")
        return METHODS[name]
    folder = model_folder(name)
    # TensorFlow is loaded for trained models only.
    from medgen.bundles.bundle import load_bundle

    bundle = load_bundle(folder)
    lacks = {
        option: value for option, value in given.items() if option not in bundle.family.options
    }
    _refuse(lacks, f"The {bundle.kind} model {name!r}")
    return bundle.family.interpolator(bundle, seed=seed, **given)


def model_folder(name: str) -> Path | None:
    """Folder of the trained model a user means by `name`, None for a classical method.

    Raises:
        BundleError: nothing goes by that name.
    """
    return None if name in METHODS else folder_named(name, *METHODS)


def _refuse(given: dict[str, object], who: str) -> None:
    for option, value in given.items():
        raise BundleError(
            f"{who} takes no {option}, got {value}; leave it out or name another model."
        )
