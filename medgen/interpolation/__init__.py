"""A scan in, a finer scan out: `interpolate_volume` with any `Interpolator`."""

from __future__ import annotations

from pathlib import Path

from medgen.errors import BundleError
from medgen.interpolation.classical import CLASSICAL
from medgen.interpolation.engine import Interpolator, Progress, interpolate_volume

__all__ = ["CLASSICAL", "Interpolator", "Progress", "interpolate_volume", "interpolator_named"]


def interpolator_named(
    name: str,
    *,
    seed: int = 0,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Interpolator:
    """The interpolator a user means by `name`.

    Args:
        name: `nearest`, `linear`, `bspline` or `sinc`, or the folder of a two-stage model.
        seed: of a model's random choices; the classical methods make none.
        temperature: of a model's sampling, None for 1; classical methods have none.
        top_k: see `samplers.draw.categorical_draw`; likewise.
        top_p: likewise.

    Raises:
        BundleError: nothing goes by that name, the model cannot fill in slices, or a classical
            method is given an option of sampling.
    """
    if name in CLASSICAL:
        given = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        for option, value in given.items():
            if value is not None:
                raise BundleError(
                    f"The classical method {name!r} samples nothing and takes no {option}, got "
                    f"{value:g}; leave it out or name a trained model."
                )
        return CLASSICAL[name]
    if not Path(name).is_dir():
        raise BundleError(
            f"There is no model folder and no classical method ({', '.join(CLASSICAL)}) named "
            f"{name!r}; check the name or path."
        )
    # TensorFlow is loaded for trained models only.
    from medgen.interpolation.two_stage import TwoStage
    from medgen.serving.bundle import load_bundle

    return TwoStage(
        load_bundle(Path(name)),
        seed=seed,
        temperature=1.0 if temperature is None else temperature,
        top_k=top_k,
        top_p=top_p,
    )
