"""Training that goes on from a trained model instead of from nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medgen.errors import TrainingError

if TYPE_CHECKING:
    import keras

    from medgen.bundles.bundle import Bundle


def take_over(net: keras.Model, start: Bundle, stage: str) -> None:
    """Give `net` the weights that a stage of `start` has.

    Args:
        net: may have parts that `start` lacks, which stay as they are.
        start: a trained model.
        stage: of it, one that `train-STAGE` trains.

    Raises:
        TrainingError: `start` has no such stage, or a weight in it that `net` lacks or has in
            another shape.
    """
    if stage not in start.nets:
        raise TrainingError(
            f"{start.name} is a {start.kind} model; start from one that train-{stage} wrote."
        )
    own = {variable.path: variable for variable in net.weights}
    for variable in start.nets[stage].weights:
        path = variable.path
        if path not in own or own[path].shape != variable.shape:
            raise TrainingError(
                f"{start.name} has weights {path} {tuple(variable.shape)} that the recipe does not "
                "have; train with its recipe, or one that only adds to it."
            )
        own[path].assign(variable)
