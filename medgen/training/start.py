"""Beginning with a trained net instead of from nothing."""

from __future__ import annotations

import keras

from medgen.errors import TrainingError


def begin_with(net: keras.Model, given: keras.Model | None, name: str) -> None:
    """Give a net the weights of a trained one.

    Args:
        net: what is to be trained.
        given: what is trained already; None where a model has no such net.
        name: of that model, for the message.

    Raises:
        TrainingError: `given` is no net of the same kind and size.
    """
    if given is None or type(given) is not type(net) or _shapes(given) != _shapes(net):
        raise TrainingError(
            f"{name} has no net of this kind and size to begin with; give a model that was trained "
            "with the same recipe, or its recipe."
        )
    for variable, value in zip(net.weights, given.weights, strict=True):
        variable.assign(value)


def _shapes(net: keras.Model) -> list[tuple[int, ...]]:
    return [tuple(variable.shape) for variable in net.weights]
