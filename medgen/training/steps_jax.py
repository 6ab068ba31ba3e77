"""Many steps in one call of a device, under JAX: examples, gradients, averages, no host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from medgen.backends import Tensor
from medgen.training.step import AT_ONCE, Step, kept_share, mixed

if TYPE_CHECKING:
    from medgen.training.session import DeviceExamples

State = tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]


class StepsOnDevice(Step):
    """Takes several steps a call, with batches that the device makes; compiled when it is made.

    How many are taken is told with each call, up to `AT_ONCE`: one program does for any number.

    Args:
        net: built, with `compute_loss`.
        examples: of the batches.
        average: whether a moving average of the weights is kept.
        optimizer: see `Step`.
    """

    def __init__(
        self,
        net: keras.Model,
        examples: DeviceExamples,
        *,
        average: bool,
        optimizer: str = "adam",
    ):
        super().__init__(net, average=average, optimizer=optimizer)
        self.examples = examples
        self._metrics = [metric.name for metric in net.metrics]
        self._unmeasured = [variable.value for variable in net.metrics_variables]
        (self._rate,) = (
            i for i, v in enumerate(net.optimizer.variables) if v.name == "learning_rate"
        )
        program = jax.jit(self._steps, donate_argnums=0)
        self._take_steps = program.lower(self._state(), *self._given(0, [])).compile()

    def take(self, step: int, rates: Sequence[float]) -> list[dict[str, float]]:
        """Take steps.

        Args:
            step: how many were taken before.
            rates: learning rates of these, at most `AT_ONCE`.

        Returns:
            `loss` and the net's metrics of each.
        """
        state, logs = self._take_steps(self._state(), *self._given(step, rates))
        for variables, values in zip(self._variables(), state, strict=False):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        self._averages = state[-1]
        return [
            dict(zip(self._metrics, row, strict=True))
            for row in np.asarray(logs)[: len(rates)].tolist()
        ]

    def _steps(
        self, state: State, tensors: Any, step: Tensor, rates: Tensor, count: Tensor
    ) -> tuple[State, Tensor]:
        """The state after `count` steps, and logs `(AT_ONCE, metrics)`, 0 of steps not taken."""

        def one(i: Tensor, carry: tuple[State, Tensor]) -> tuple[State, Tensor]:
            (weights, others, optimizer, averages), logs = carry
            optimizer = [rates[i] if k == self._rate else v for k, v in enumerate(optimizer)]
            batch = self.examples(tensors, step + i)
            found, (weights, others, optimizer, _) = self.net.train_step(
                (weights, others, optimizer, self._unmeasured), (batch,)
            )
            if averages:
                averages = mixed(averages, weights, kept_share(step + i))
            logs = logs.at[i].set(jnp.stack([found[name] for name in self._metrics]))
            return (list(weights), list(others), list(optimizer), averages), logs

        logs = jnp.zeros((AT_ONCE, len(self._metrics)))
        return jax.lax.fori_loop(0, count, one, (state, logs))

    def _given(self, step: int, rates: Sequence[float]) -> tuple[Any, ...]:
        padded = np.zeros(AT_ONCE, np.float32)
        padded[: len(rates)] = rates
        return self.examples.tensors, np.int32(step), padded, np.int32(len(rates))

    def _variables(self) -> tuple[list[keras.Variable], ...]:
        net = self.net
        return net.trainable_variables, net.non_trainable_variables, net.optimizer.variables

    def _state(self) -> State:
        weights, others, optimizer = (
            [variable.value for variable in variables] for variables in self._variables()
        )
        return weights, others, optimizer, self._averages
