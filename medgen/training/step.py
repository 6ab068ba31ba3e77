"""One gradient step of a net, and the moving average of its weights, on any backend of Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from medgen.backends import Tensor, compiled
from medgen.training.muon import Muon
from medgen.training.workers import ALONE, Workers

# The average covers about the last 1 in so many steps.
AVERAGED_SHARES = 20
# Most steps that a device takes in one call.
AT_ONCE = 50


class Step:
    """What changes a net while it is trained.

    Args:
        net: built, with `compute_loss`.
        average: whether a moving average of the weights is kept.
        optimizer: one of `recipes.OPTIMIZERS`.
        workers: who takes the step together.
    """

    def __init__(
        self,
        net: keras.Model,
        *,
        average: bool,
        optimizer: str = "adam",
        workers: Workers = ALONE,
    ):
        self.net = net
        made = Muon if optimizer == "muon" else keras.optimizers.Adam
        # Convolutions on CPUs are slower when XLA compiles them; JAX knows no other way.
        net.compile(
            optimizer=made(1e-3, clipnorm=1.0),
            jit_compile=keras.backend.backend() == "jax",
        )
        net.optimizer.build(net.trainable_variables)
        self._take = _alone(net)
        if workers.strategy is not None:
            from medgen.training.step_tensorflow import shared_step

            self._take = shared_step(net, workers.strategy)
        self._mix = compiled(mixed)
        self._averages = _values(net.trainable_variables) if average else []

    def __call__(self, batch: Any, number: int, rate: float) -> dict[str, float]:
        """Take a step on a batch.

        Args:
            batch: inputs of the net.
            number: of the step, from 1.
            rate: learning rate.

        Returns:
            `loss` and the net's metrics on this batch.
        """
        self.net.optimizer.learning_rate = rate
        logs = self._take(batch)
        self.net.reset_metrics()
        if self._averages:
            keep = np.float32(kept_share(number - 1))
            self._averages = self._mix(
                self._averages, _values(self.net.trainable_variables), ops.convert_to_tensor(keep)
            )
        return {name: float(value) for name, value in logs.items()}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """While entered, the net has its averaged weights, if they are kept."""
        own = _values(self.net.trainable_variables)
        for variable, value in zip(
            self.net.trainable_variables, self._averages or own, strict=True
        ):
            variable.assign(value)
        yield
        for variable, value in zip(self.net.trainable_variables, own, strict=True):
            variable.assign(value)

    def arrays(self) -> list[np.ndarray]:
        """Everything that training changes: of the net, of the optimiser, averages."""
        changing = [*self.net.variables, *self.net.optimizer.variables, *self._averages]
        return [np.array(ops.convert_to_numpy(value)) for value in changing]

    def restore(self, arrays: Sequence[np.ndarray]) -> None:
        """Go on from what `arrays` gave."""
        variables = [*self.net.variables, *self.net.optimizer.variables]
        assign(variables, arrays[: len(variables)])
        self._averages = [ops.convert_to_tensor(array) for array in arrays[len(variables) :]]


def assign(variables: Sequence[keras.Variable], arrays: Sequence[np.ndarray]) -> None:
    """Give variables their values, in order."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _alone(net: keras.Model) -> Callable[[Any], Mapping[str, Any]]:
    return lambda batch: net.train_on_batch(batch, return_dict=True)


def kept_share(step: Any) -> Any:
    """How much of the average the step after `step` steps leaves."""
    return step / (step + AVERAGED_SHARES)


def mixed(averages: Sequence[Tensor], values: Sequence[Tensor], keep: Tensor) -> list[Tensor]:
    """Averages that keep a share of what they were."""
    return [keep * a + (1 - keep) * v for a, v in zip(averages, values, strict=True)]


def _values(variables: Sequence[keras.Variable]) -> list[Any]:
    """Copies that later steps do not change."""
    return [ops.copy(variable.value) for variable in variables]
