"""Slices one pixel thick: every row of what is drawn is an image of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from medgen.sampling.slices import Drawn, SliceSampler
from medgen.sampling.uncertainty import Uncertainty

MAPS = ("context", "known")


class RowSampler:
    """Draws `(h, w)` as `h` images of one row, for a net that was trained on such.

    Args:
        sampler: of the net.
    """

    def __init__(self, sampler: SliceSampler):
        self.sampler = sampler

    def __call__(self, inputs: Mapping[str, np.ndarray], uniforms: np.ndarray) -> np.ndarray:
        """Levels `(b, h, w)` for uniforms `(b, h, w, 2)`; see `fill`."""
        return self.fill(inputs, [uniforms]).levels[0]

    def fill(
        self,
        inputs: Mapping[str, np.ndarray],
        uniforms: Iterable[np.ndarray],
        uncertainty: bool = False,
    ) -> Drawn:
        """As `slices.SliceSampler.fill`, with no row depending on another."""
        count, rows, columns = inputs["context"].shape[:3]
        apart = {
            key: _apart(x) if key in MAPS else np.repeat(x, rows, axis=0)
            for key, x in inputs.items()
            if key != "target"
        }
        drawn = self.sampler.fill(apart, (_apart(numbers) for numbers in uniforms), uncertainty)
        shape, measured = (count, rows, columns), drawn.uncertainty
        if measured is not None:
            measured = Uncertainty(*(np.reshape(x, shape) for x in vars(measured).values()))
        prediction = drawn.prediction
        if prediction is not None:
            prediction = prediction.reshape(shape)
        return Drawn(drawn.levels.reshape(-1, *shape), prediction, measured)


def _apart(maps):
    """`(b, h, w, ...)` as `(b * h, 1, w, ...)`."""
    return np.reshape(maps, (-1, 1, *maps.shape[2:]))
