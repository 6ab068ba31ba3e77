"""Slices by way of codes: drawn from the prior, and decoded beside the acquired slices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from keras import ops

from medgen.backends import compiled
from medgen.nets.conditional_prior import ConditionalPrior
from medgen.nets.conditional_vqvae import COMPRESSION, ConditionalVQVAE
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import categorical_draw
from medgen.sampling.slices import Drawn, filled_up, singly
from medgen.sampling.uncertainty import UncertaintyMeasure


class CodeSampler:
    """Draws slices as codes and decodes these; as `sampling.slices.SliceSampler`.

    A code is drawn by the number that belongs to the first of its pixels.

    Args:
        vqvae: first stage.
        prior: second.
        temperature: see `categorical_draw`.
        top_k: likewise.
        top_p: likewise.
        decode: `sample`, or `mean` for the prediction, for which nothing is drawn.
        jit_compile: whether XLA compiles the loop over codes.

    Raises:
        MedgenError: temperature, top_k or top_p out of range.
    """

    def __init__(
        self,
        vqvae: ConditionalVQVAE,
        prior: ConditionalPrior,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        decode: str = "sample",
        jit_compile: bool = True,
    ):
        self.vqvae, self.prior, self.decode = vqvae, prior, decode
        draw = categorical_draw(temperature, top_k, top_p)
        self._codes = CachedSampler(prior, draw, jit_compile=jit_compile)
        self._read = compiled(self._seen, vqvae)
        self._look_around = compiled(self._around, vqvae, prior)
        self._decode = compiled(self._decoded, vqvae)
        self._measure = UncertaintyMeasure(vqvae.levels, jit_compile)

    def fill(
        self,
        inputs: Mapping[str, np.ndarray],
        uniforms: Iterable[np.ndarray],
        uncertainty: bool = False,
    ) -> Drawn:
        """Draw slices, several times if wanted, reading the acquired ones once.

        Args:
            inputs: of the first stage; `target` is not looked at.
            uniforms: `(b, h, w, 2)` for each time.
            uncertainty: whether to measure it: that of the prediction, which alone is meant to
                hold the truth as often as it says, see `Uncertainty`.
        """
        read = [self._read(one) for one in singly(inputs)]
        known, center, params, linear = map(list, zip(*read, strict=True))
        prediction = np.concatenate([_array(one) for one in center])
        if self.decode == "mean":
            levels = [prediction for _ in uniforms]
        else:
            levels = self._drawn(known, inputs, uniforms)
        measured = None
        if uncertainty:
            whole = ops.concatenate(params), ops.concatenate(linear)
            measured = self._measure(whole, whole)
        return Drawn(np.stack(levels).astype(np.float32), prediction.astype(np.float32), measured)

    def _drawn(
        self,
        known: list[object],
        inputs: Mapping[str, np.ndarray],
        uniforms: Iterable[np.ndarray],
    ) -> list[np.ndarray]:
        """Levels `(b, h, w)` of the slices, each time they are drawn."""
        around = [
            self._look_around(one, place["position"], place["gap_mm"])
            for one, place in zip(known, singly(inputs), strict=True)
        ]
        surroundings, conditioning = zip(*around, strict=True)
        conditioning = filled_up(ops.concatenate(conditioning))
        rows, columns = inputs["context"].shape[1:3]
        drawn = []
        for numbers in uniforms:
            first = ops.convert_to_tensor(numbers[:, ::COMPRESSION, ::COMPRESSION, :1])
            codes = self._codes(conditioning, filled_up(first))[: len(known)]
            slices = [self._decode(codes[i : i + 1], one) for i, one in enumerate(surroundings)]
            drawn.append(np.concatenate([_array(one)[:, :rows, :columns] for one in slices]))
        return drawn

    def _seen(self, inputs):
        """What is known of a slice, the prediction's mean, and its parameters and center."""
        features, params, linear = self.vqvae.predictor.read(inputs)
        known = self.vqvae.predictor.conditioning(features, params, linear)
        return known, self.vqvae.predictor.center(known), params, linear

    def _around(self, known, position, gap_mm):
        """What decoder and prior are shown of one slice's surroundings: maps, and conditioning."""
        surroundings = self.vqvae.surroundings(known)
        place = {"position": position, "gap_mm": gap_mm}
        return surroundings, self.prior.condition({"surroundings": surroundings[-1], **place})

    def _decoded(self, codes, surroundings):
        """Levels of one slice, whole codes: the means of its pixels."""
        return self.vqvae.mean(self.vqvae.decode(codes, surroundings), surroundings[0])


def _array(values: object) -> np.ndarray:
    return ops.convert_to_numpy(values)
