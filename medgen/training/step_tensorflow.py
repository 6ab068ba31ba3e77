"""A step that several processes take together, under TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def shared_step(
    net: keras.Model, strategy: tf.distribute.Strategy
) -> Callable[[Any], dict[str, float]]:
    """A function that takes a step on the mean gradient of all workers, each with its batch."""

    @tf.function
    def step(batch: Any) -> dict[str, tf.Tensor]:
        def gradients() -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                loss = net.compute_loss(x=batch, y_pred=net(batch, training=True))
            return _mean([*tape.gradient(loss, net.trainable_variables), loss])

        *found, loss = strategy.run(gradients)
        net.optimizer.apply(found, net.trainable_variables)
        return {metric.name: metric.result() for metric in net.metrics} | {"loss": loss}

    return step


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Return when all workers are here."""
    strategy.run(tf.function(lambda: _mean([tf.zeros(())])))


def _mean(values: list[tf.Tensor]) -> list[tf.Tensor]:
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
