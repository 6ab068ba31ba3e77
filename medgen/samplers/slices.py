"""Whole slices from a PixelMiner."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from medgen.nets.pixelminer import PixelMiner
from medgen.samplers.cached import CachedSampler
from medgen.samplers.draw import logistic_mixture_draw

# Pixels a pass of the net that reads the acquired slices: a gigabyte or so at its widest.
PIXELS_A_PASS = 2**20


class SliceSampler:
    """Draws slices, position by position or, from a net without autoregression, all at once.

    Args:
        net: what to draw from.
        temperature: see `logistic_mixture_draw`.
    """

    def __init__(self, net: PixelMiner, temperature: float = 1.0):
        self.net = net
        center = net.center if net.autoregressive else lambda linear: linear[..., 0]
        self._draw = logistic_mixture_draw(net.levels, center, temperature)
        self._causal = CachedSampler(net, self._draw) if net.autoregressive else None

    def __call__(self, inputs: Mapping[str, np.ndarray], uniforms: tf.Tensor) -> np.ndarray:
        """Levels `(b, h, w)` int32.

        Args:
            inputs: of the net, see `nets.pixelminer.PixelMiner`; `target` is not looked at.
            uniforms: `(b, h, w, 2)`.
        """
        passes = list(_passes(inputs))
        if self._causal is not None:
            known = tf.concat([self.net.condition(part) for part in passes], axis=0)
            return self._causal(known, uniforms).numpy()
        slices, start = [], 0
        for part in passes:
            _, params, linear = self.net.read(part)
            numbers = uniforms[start : start + len(part["position"])]
            slices.append(self._draw(params, numbers, linear[..., None]).numpy())
            start += len(part["position"])
        return np.concatenate(slices)


def prediction(net: PixelMiner, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean level `(b, h, w)` float32 of the prediction: every pixel on its own, in one pass."""
    parts = [net.center(net.condition(part)).numpy() for part in _passes(inputs)]
    return np.concatenate(parts).astype(np.float32)


def _passes(inputs: Mapping[str, np.ndarray]):
    """`inputs` in pieces of some slices each."""
    count, height, width = inputs["context"].shape[:3]
    size = max(1, PIXELS_A_PASS // (height * width))
    for start in range(0, count, size):
        yield {key: values[start : start + size] for key, values in inputs.items()}
