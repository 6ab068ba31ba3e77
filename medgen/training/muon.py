"""Muon: steps of the same size in every direction that a kernel's gradient has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

# Channels that a kernel reads and writes at least where Muon moves it: what reads images or writes
# parameters of a likelihood is narrower, and its scales matter.
NARROWEST = 16
MOMENTUM = 0.95
# Coefficients of the quintic polynomial of [1], and how often it is applied; it takes singular
# values in (0, 1] to 0.7 to 1.2.
QUINTIC = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
# Root mean square of a step over the learning rate, about Adam's, see [2].
STEP = 0.2


class Muon(keras.optimizers.Adam):
    """Adam, but for kernels between hidden layers, which move by Muon [1].

    A kernel `(..., channels in, channels out)`, as a matrix of as many columns as it writes
    channels, moves against its gradient's moving average with all singular values made about equal,
    so that what few examples tell counts as much as what most do. Steps are as large as Adam's, so
    that learning rates carry over [2]. Rows that never have a gradient, as those behind a causal
    mask, stay as they are.

    References:
        [1] Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.
        [2] Liu et al., Muon is scalable for LLM training, 2025.
    """

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the moving averages; Keras calls it."""
        super().build(variables)
        self._by_muon = frozenset(i for i, v in enumerate(variables) if moves_by_muon(v))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one variable; Keras calls it."""
        index = self._get_variable_index(variable)
        if index not in self._by_muon:
            super().update_step(gradient, variable, learning_rate)
            return
        average = self._momentums[index]
        gradient = ops.cast(gradient, variable.dtype)
        self.assign_add(average, gradient - (1 - MOMENTUM) * average)
        ahead = ops.reshape(gradient + MOMENTUM * average, (-1, variable.shape[-1]))
        scale = STEP * ops.cast(learning_rate, variable.dtype) * max(ahead.shape) ** 0.5
        self.assign_sub(variable, ops.reshape(scale * orthogonal(ahead), variable.shape))


def moves_by_muon(variable: keras.Variable) -> bool:
    """Whether a variable is a kernel between hidden layers.

    A net whose last layer is as wide as hidden ones says so: its kernel has `is_hidden` False.
    """
    shape = variable.shape
    is_kernel = variable.path.endswith("kernel") and len(shape) >= 2
    return is_kernel and min(shape[-2:]) >= NARROWEST and getattr(variable, "is_hidden", True)


def orthogonal(matrix: Any) -> Any:
    """`matrix` with all singular values about 1, and its singular vectors, see [1] of `Muon`."""
    a, b, c = QUINTIC
    wide = matrix.shape[0] < matrix.shape[1]
    x = matrix if wide else ops.transpose(matrix)
    x = x / (ops.norm(x) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ ops.transpose(x)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else ops.transpose(x)
