"""A scan in, a finer scan out: `interpolate_volume` with any `Interpolator`."""

from __future__ import annotations

from medgen.errors import BundleError
from medgen.interpolation.classical import CLASSICAL
from medgen.interpolation.engine import Interpolator, Progress, interpolate_volume

__all__ = ["CLASSICAL", "Interpolator", "Progress", "interpolate_volume", "interpolator_named"]


def interpolator_named(
    name: str, *, seed: int = 0, temperature: float | None = None
) -> Interpolator:
    """The interpolator a user means by `name`.

    Args:
        name: `nearest`, `linear`, `bspline` or `sinc`, or a trained model.
        seed: of a model's random choices; the classical methods make none.
        temperature: of a model's sampling, None for the model's own; classical methods have none.

    Raises:
        BundleError: nothing goes by that name, or a classical method is given a temperature.
    """
    if name not in CLASSICAL:
        raise BundleError(
            f"There is no model and no classical method ({', '.join(CLASSICAL)}) named {name!r}; "
            "check the name or path."
        )
    if temperature is not None:
        raise BundleError(
            f"The classical method {name!r} samples nothing and has no temperature, got "
            f"{temperature:g}; leave it out or name a trained model."
        )
    return CLASSICAL[name]
