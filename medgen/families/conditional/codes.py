"""Codes of acquired slices: those of leaving each out between its neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import keras
import numpy as np

from medgen.backends import Tensor, compiled
from medgen.errors import BundleError
from medgen.examples.contexts import inputs_left_out
from medgen.intensities.scale import Scale
from medgen.nets.conditional_vqvae import ConditionalVQVAE


class CodesAmongNeighbours:
    """A `families.vqvae.reconstruct.Codec`.

    A slice is seen as missing from a scan of twice the distance: beside it every second slice is
    acquired. The first and the last, which lie between no two, have no codes.

    Args:
        vqvae: trained.
    """

    image_size = None

    def __init__(self, vqvae: ConditionalVQVAE):
        self.vqvae = vqvae
        self._through = compiled(self._seen, vqvae)

    @property
    def num_embeddings(self) -> int:
        """See `Codec`."""
        return self.vqvae.config["num_embeddings"]

    def seen(
        self, slices: np.ndarray, scale: Scale, distance_mm: float
    ) -> Iterator[tuple[np.ndarray | None, np.ndarray]]:
        """See `Codec`."""
        if len(slices) < 3:
            raise BundleError(
                f"A model conditioned on the acquired slices has codes of slices between two "
                f"others, got {len(slices)} slices; give a scan of 3 or more."
            )
        levels = scale.quantise(slices)
        for i, image in enumerate(slices):
            if i in (0, len(slices) - 1):
                yield None, scale.to_unit(image)
                continue
            gap_mm = 2 * distance_mm
            inputs = inputs_left_out(levels, i, i - 1, 2, gap_mm, self.vqvae.context)
            codes, mean = self._through(inputs)
            unit = keras.ops.convert_to_numpy(mean)[0] / (scale.levels - 1) - 0.5
            yield keras.ops.convert_to_numpy(codes)[0], unit.astype(np.float32)

    def _seen(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Codes `(1, h, w)` and means of pixels `(1, rows, cols)` in levels."""
        known = self.vqvae.condition(inputs)
        surroundings = self.vqvae.surroundings(known)
        codes = self.vqvae.encode(inputs["target"], surroundings)
        rows, columns = keras.ops.shape(inputs["target"])[1:]
        mixture = self.vqvae.decode(codes, surroundings)[:, :rows, :columns]
        return codes, self.vqvae.mean(mixture, known)
