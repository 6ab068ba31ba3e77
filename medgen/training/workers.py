"""Training past one machine: workers take other batches each and average their gradients."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medgen.errors import TrainingError

if TYPE_CHECKING:
    import tensorflow as tf


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

    def wait(self) -> None:
        """Return when all workers are here."""
        if self.strategy is not None:
            from medgen.training.step_tensorflow import wait_for_all

            wait_for_all(self.strategy)


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
    import keras

    if keras.backend.backend() != "tensorflow":
        raise TrainingError(
            "Several workers train together under TensorFlow only; unset TF_CONFIG, or "
            f"KERAS_BACKEND, which is {keras.backend.backend()}."
        )
    import tensorflow as tf

    return Workers(rank, len(addresses), tf.distribute.MultiWorkerMirroredStrategy())
