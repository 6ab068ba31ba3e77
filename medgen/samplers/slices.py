"""Whole slices from a PixelMiner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from medgen.nets.pixelminer import PixelMiner
from medgen.samplers.cached import CachedSampler
from medgen.samplers.draw import logistic_mixture_draw


class SliceSampler:
    """Draws slices, position by position or, from a net without autoregression, all at once.

    Args:
        net: what to draw from.
        temperature: see `logistic_mixture_draw`.
        jit_compile: whether XLA compiles the loop over positions: seconds once for each shape, then
            several times as fast.
    """

    def __init__(self, net: PixelMiner, temperature: float = 1.0, jit_compile: bool = True):
        self.net = net
        center = net.center if net.autoregressive else lambda linear: linear[..., 0]
        self._draw = logistic_mixture_draw(net.levels, center, temperature)
        if net.autoregressive:
            self._causal = CachedSampler(net, self._draw, jit_compile=jit_compile)

    def __call__(self, inputs: Mapping[str, np.ndarray], uniforms: tf.Tensor) -> np.ndarray:
        """Levels `(b, h, w)` int32.

        Args:
            inputs: of the net, see `nets.pixelminer.PixelMiner`; `target` is not looked at.
            uniforms: `(b, h, w, 2)`.
        """
        if self.net.autoregressive:
            known = tf.concat([self.net.condition(one) for one in _singly(inputs)], axis=0)
            return self._causal(known, uniforms).numpy()
        slices = []
        for one, numbers in zip(_singly(inputs), uniforms, strict=True):
            _, params, linear = self.net.read(one)
            slices.append(self._draw(params, numbers[None], linear[..., None])[0].numpy())
        return np.stack(slices)


def prediction(net: PixelMiner, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean level `(b, h, w)` float32 of the prediction: every pixel on its own, in one pass."""
    slices = [net.center(net.condition(one))[0].numpy() for one in _singly(inputs)]
    return np.stack(slices).astype(np.float32)


def _singly(inputs: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """`inputs` slice by slice: rounding in convolutions then depends on no other slice."""
    for i in range(len(inputs["position"])):
        yield {key: values[i : i + 1] for key, values in inputs.items()}
