"""Training that goes on from a trained model instead of from nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medgen.errors import TrainingError

if TYPE_CHECKING:
    import keras

    from medgen.bundles.bundle import Bundle


def begin_with(net: keras.Model, start: Bundle, stage: str) -> None:
    """Give `net` all weights that a stage of `start` has, in their order.

    Args:
        net: of the same recipe.
        start: a trained model.
        stage: of it, one that `train-STAGE` trains.

    Raises:
        TrainingError: `start` has no such stage, or one of another kind or size.
    """
    given = _trained(start, stage)
    if type(given) is not type(net) or _shapes(given) != _shapes(net):
        raise TrainingError(
            f"{start.name} has no net of this kind and size to begin with; give a model that was "
            "trained with the same recipe, or its recipe."
        )
    for variable, value in zip(net.weights, given.weights, strict=True):
        variable.assign(value)


def take_over(net: keras.Model, start: Bundle, stage: str) -> None:
    """Give `net` the weights that a stage of `start` has, by their names.

    Args:
        net: may have parts that `start` lacks, which stay as they are.
        start: a trained model.
        stage: of it, one that `train-STAGE` trains.

    Raises:
        TrainingError: `start` has no such stage, or a weight in it that `net` lacks or has in
            another shape.
    """
    own = {variable.path: variable for variable in net.weights}
    for variable in _trained(start, stage).weights:
        path = variable.path
        if path not in own or own[path].shape != variable.shape:
            raise TrainingError(
                f"{start.name} has weights {path} {tuple(variable.shape)} that the recipe does not "
                "have; train with its recipe, or one that only adds to it."
            )
        own[path].assign(variable)


def _trained(start: Bundle, stage: str) -> keras.Model:
    if stage not in start.nets:
        raise TrainingError(
            f"{start.name} is a {start.kind} model; start from one that train-{stage} wrote."
        )
    net: keras.Model = start.nets[stage]
    return net


def _shapes(net: keras.Model) -> list[tuple[int, ...]]:
    return [tuple(variable.shape) for variable in net.weights]
