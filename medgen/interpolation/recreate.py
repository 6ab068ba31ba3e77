"""Methods as an evaluation calls them: functions that put slices back between others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from medgen.interpolation import CLASSICAL, interpolate_volume, interpolator_named
from medgen.interpolation.contract import Interpolator
from medgen.interpolation.insert import insert
from medgen.interpolation.options import parsed
from medgen.interpolation.plan import plan_slices
from medgen.volumes.volume import Volume


def recreators(
    methods: Sequence[str], seed: int, *, intervals: bool = False
) -> dict[str, Callable[..., Volume | tuple[Volume, Volume, Volume]]]:
    """A function that inserts slices, for each method once, by the method's name.

    Args:
        methods: names or folders with options behind a colon, see `parsed`; none for all classical
            ones.
        seed: of models that draw.
        intervals: whether models that tell their uncertainty give the ends of a 90 % interval, too.

    Raises:
        BundleError: see `interpolator_named`, or an option is unknown.
    """
    functions, names = [], []
    for method in dict.fromkeys(methods or CLASSICAL):
        model, sampling = parsed(method)
        interpolator = interpolator_named(model, seed=seed, **sampling.given)
        functions.append(recreator(interpolator, intervals=intervals))
        names.append((method, interpolator.name + method.removeprefix(model)))
    return dict(zip(shortest(names), functions, strict=True))


def recreator(
    interpolator: Interpolator, *, intervals: bool
) -> Callable[..., Volume | tuple[Volume, Volume, Volume]]:
    """A function that inserts slices by an interpolator; see `recreators`."""
    tells = intervals and interpolator.tells_uncertainty
    return partial(with_interval if tells else interpolate_volume, interpolator=interpolator)


def shortest(names: Sequence[tuple[str, str]]) -> list[str]:
    """Of each pair of a full name and a short one the short one, unless others have it, too."""
    short = [name for _, name in names]
    return [full if short.count(name) > 1 else name for full, name in names]


def with_interval(
    volume: Volume, interpolator: Interpolator, *, factor: int, slice_axis: int
) -> tuple[Volume, Volume, Volume]:
    """As `interpolate_volume`, with both ends of the model's 90 % interval."""
    plan = plan_slices(volume.geometry, factor=factor, slice_axis=slice_axis)
    samples = insert(volume, interpolator, plan, uncertainty=True)
    return samples.volumes[0], samples.uncertainty["low"], samples.uncertainty["high"]
