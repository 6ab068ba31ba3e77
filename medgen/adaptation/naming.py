"""Methods that learn from the scan, by the names of the models that they start from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from medgen.adaptation.adapting import (
    AdaptingInterpolator,
    Learning,
    Lessons,
    SelfTaught,
    Verdict,
    is_teachable,
)
from medgen.errors import BundleError
from medgen.interpolation import SELF, interpolate_volume, interpolator_named
from medgen.interpolation.options import SamplingOptions, parsed
from medgen.interpolation.recreate import with_interval
from medgen.volumes.volume import Volume

# What a model has that learns from nothing, if the user says nothing.
MINUTES = 5.0


def learning_interpolator(
    name: str,
    sampling: SamplingOptions,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    thickness_mm: float | None = None,
) -> AdaptingInterpolator | SelfTaught:
    """The interpolator that a user means by the name of a model which is to learn from the scan.

    Args:
        name: see `interpolator_named`; or `self` for a model that learns from nothing else.
        sampling: of a released model.
        steps: see `adapting.Learning`, as for the others; 5 minutes if neither is given.
        minutes: likewise.
        seed: of draws, and of learning.
        thickness_mm: of the scan's slices.

    Raises:
        BundleError: see `interpolator_named`; a model that cannot learn; options of sampling that
            it does not take.
    """
    lessons = Lessons(_learning(steps, minutes, seed, thickness_mm))
    return _taught(name, sampling, lessons)


def learning_recreators(
    methods: Sequence[str],
    seed: int,
    *,
    steps: int | None,
    minutes: float | None,
    thickness_mm: float | None = None,
    tell: Callable[[str], None],
) -> dict[str, Callable[..., Any]]:
    """As `interpolation.recreate.recreators`, of those methods that can learn from the scan.

    They learn from the acquired slices that an evaluation shows them, once a scan for all options
    of one model; their names end in `+adapt`.

    Args:
        methods: names with options, see `parsed`.
        seed: of draws, and of learning.
        steps: see `learning_interpolator`, as for the others.
        minutes: likewise.
        thickness_mm: likewise.
        tell: receives a sentence on what came of it.
    """
    lessons = Lessons(_learning(steps, minutes, seed, thickness_mm, tell))
    functions: dict[str, Callable[..., Any]] = {}
    for method in dict.fromkeys(methods):
        name, sampling = parsed(method)
        if name != SELF and not is_teachable(interpolator_named(name, seed=seed, **sampling.given)):
            continue
        interpolator = _taught(name, sampling, lessons)
        label = interpolator.name + ("" if name == SELF else "+adapt") + method.removeprefix(name)
        function = with_interval if interpolator.tells_uncertainty else interpolate_volume
        functions[label] = partial(function, interpolator=interpolator)
    return functions


def _learning(
    steps: int | None,
    minutes: float | None,
    seed: int,
    thickness_mm: float | None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Learning:
    if steps is None and minutes is None:
        minutes = MINUTES
    return Learning(steps, minutes, seed, thickness_mm, tell)


def _taught(
    name: str, sampling: SamplingOptions, lessons: Lessons
) -> AdaptingInterpolator | SelfTaught:
    if name == SELF:
        if sampling.given:
            raise BundleError(
                f"What is learnt from the scan alone samples nothing and takes no "
                f"{', '.join(sampling.given)}; leave it out or name another model."
            )
        return SelfTaught(lessons)
    interpolator = interpolator_named(name, seed=lessons.learning.seed, **sampling.given)
    if not is_teachable(interpolator):
        raise BundleError(
            f"{name} cannot learn from a scan; leave out --adapt, or name a lean PixelMiner, such "
            "as those that come with medgen."
        )
    return AdaptingInterpolator(interpolator, lessons)


def learn(
    name: str,
    stack: Volume,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    thickness_mm: float | None = None,
) -> Verdict:
    """Have a model learn from acquired slices, to be kept.

    Args:
        name: see `learning_interpolator`, as for the others.
        stack: the slices, see `Interpolator.fill`.
        steps: likewise.
        minutes: likewise.
        seed: likewise.
        thickness_mm: likewise.

    Raises:
        MedgenError: see there; too few slices.
    """
    method = learning_interpolator(
        name, SamplingOptions(), steps=steps, minutes=minutes, seed=seed, thickness_mm=thickness_mm
    )
    return method.taught(stack)
