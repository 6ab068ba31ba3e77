"""Training past one machine: workers take other batches each and average their gradients."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from medgen.errors import TrainingError


@dataclass(frozen=True, eq=False)
class Workers:
    """The processes that train one net together, and which of them this is.

    Every worker has a copy of the net that starts alike and takes the same steps, with gradients
    averaged over all; it stays the same to the bit without being sent.

    Args:
        rank: of this one; 0, the chief, validates and writes.
        count: of all.
        strategy: what carries the gradients, None for a single worker.
    """

    rank: int = 0
    count: int = 1
    strategy: tf.distribute.Strategy | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this one validates and writes."""
        return self.rank == 0

    def step_of(self, model: keras.Model) -> Callable[[Any], dict[str, float]]:
        """A function that takes a gradient step of the compiled `model` on a batch: its values."""
        if self.strategy is None:
            return lambda batch: model.train_on_batch(batch, return_dict=True)

        @tf.function
        def step(batch):
            def gradients():
                with tf.GradientTape() as tape:
                    loss = model.compute_loss(x=batch, y_pred=model(batch, training=True))
                found = tape.gradient(loss, model.trainable_variables)
                return _mean([*found, loss])

            *found, loss = self.strategy.run(gradients)
            model.optimizer.apply(found, model.trainable_variables)
            return {metric.name: metric.result() for metric in model.metrics} | {"loss": loss}

        return lambda batch: {key: float(value) for key, value in step(batch).items()}

    def wait(self) -> None:
        """Return when all workers are here."""
        if self.strategy is not None:
            self.strategy.run(tf.function(lambda: _mean([tf.zeros(())])))


ALONE = Workers()


def join_workers() -> Workers:
    """The workers that the environment variable `TF_CONFIG` names; this process alone without it.

    `TF_CONFIG` is TensorFlow's: `{"cluster": {"worker": ["host:port", ...]}, "task": {"type":
    "worker", "index": 0}}`, with another index for each. To be called before anything else is
    computed; returns when all have been reached.

    Raises:
        TrainingError: `TF_CONFIG` is not that.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return ALONE
    try:
        config = json.loads(text)
        addresses, rank = config["cluster"]["worker"], config["task"]["index"]
        sound = isinstance(addresses, list) and type(rank) is int and 0 <= rank < len(addresses)
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise TrainingError(
            'TF_CONFIG must be like {"cluster": {"worker": ["host:port", "host:port"]}, "task": '
            f'{{"type": "worker", "index": 0}}}}, got {text}.'
        )
    if len(addresses) == 1:
        return ALONE
    return Workers(rank, len(addresses), tf.distribute.MultiWorkerMirroredStrategy())


def _mean(values: list[tf.Tensor]) -> list[tf.Tensor]:
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
