"""Methods that learn from the scan, by the names of the models that they start from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from medgen.interpolation import SELF, interpolator_named
from medgen.interpolation.needs import ALWAYS
from medgen.interpolation.options import SamplingOptions, parsed
from medgen.interpolation.recreate import recreator, shortest
from medgen.memory import require_memory
from medgen.volumes.volume import Volume


def learning_interpolator(
    name: str, sampling: SamplingOptions, lessons: Lessons
) -> AdaptingInterpolator | SelfTaught:
    """The interpolator that a user means by the name of a model which is to learn from the scan.

    Args:
        name: see `interpolator_named`; or `self` for a model that learns from nothing else.
        sampling: of a released model.
        lessons: for this model alone; their seed is that of draws, too.

    Raises:
        BundleError: see `interpolator_named`; a model that cannot learn; options of sampling that
            it does not take.
    """
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


def learning_recreators(
    methods: Sequence[str], learning: Learning
) -> dict[str, Callable[..., Any]]:
    """As `interpolation.recreate.recreators`, of those methods that can learn from the scan.

    They learn from the acquired slices that an evaluation shows them, once a scan for all options
    of one model; their names end in `+adapt`.

    Args:
        methods: names with options, see `parsed`.
        learning: how; its seed is that of draws, too.
    """
    lessons: dict[str, Lessons] = {}
    functions, names = [], []
    for method in dict.fromkeys(methods):
        model, sampling = parsed(method)
        released = None if model == SELF else interpolator_named(model, seed=learning.seed)
        if released is not None and not is_teachable(released):
            continue
        own = lessons.setdefault(model, Lessons(learning))
        interpolator = learning_interpolator(model, sampling, own)
        functions.append(recreator(interpolator, intervals=True))
        mark = "+adapt" if released is not None else ""
        options = method.removeprefix(model)
        names.append((model + mark + options, interpolator.name + mark + options))
    return dict(zip(shortest(names), functions, strict=True))


def learn(name: str, stack: Volume, learning: Learning) -> Verdict:
    """Have a model learn from acquired slices, to be kept.

    Args:
        name: see `learning_interpolator`.
        stack: the slices, see `Interpolator.fill`.
        learning: how.

    Raises:
        MedgenError: see there; too few slices, or too little memory.
    """
    interpolator = learning_interpolator(name, SamplingOptions(), Lessons(learning))
    per_voxel = interpolator.bytes_per_voxel * stack.array.itemsize // 4
    require_memory(stack.array.size * per_voxel + ALWAYS, "Learning from the scan")
    return interpolator.taught(stack)
