"""What a PixelMiner knows of each pixel, beside the level that it draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from keras import ops

from medgen.backends import Tensor, compiled, scan
from medgen.likelihoods import logistic_mixture
from medgen.recipes import HELD


@dataclass(frozen=True)
class Uncertainty:
    """Spread of a pixel's predictive distribution; each `(b, h, w)` float32.

    Standard deviation and entropy are of the mixture that the pixel was drawn from, which is given
    the pixels drawn before it: entropies summed over a slice estimate that of the whole slice, by
    the chain rule, and tell how much of it is a matter of chance. The interval is of the
    *prediction*, the mixture given the acquired slices alone. That one is meant to hold the true
    value in 90 % of the pixels of a scan unlike those learnt from; of scans like them it holds
    more, see `recipes.HELD`. The mixture along the path could not: given its neighbours as they
    happened to be drawn it is narrower, and lies where they are and not where the truth is.

    The model's own distributions are measured, at temperature 1, whatever temperature is drawn at.

    Args:
        deviation: standard deviation, in levels.
        entropy: in bits, over the levels.
        low: lower end of the interval, a level.
        high: upper end.
    """

    deviation: np.ndarray
    entropy: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @staticmethod
    def stack(parts: Sequence[Uncertainty]) -> Uncertainty:
        """Several batches behind each other."""
        return Uncertainty(
            *(
                np.concatenate([getattr(part, f.name) for part in parts])
                for f in fields(Uncertainty)
            )
        )


class UncertaintyMeasure:
    """Computes measures of `logistic_mixture`s over `(b, h, w)` pixels, row by row.

    Args:
        levels: number of grey levels.
        jit_compile: whether XLA compiles it, which keeps the quadrature within a row in the cache.
        held: share of the prediction's probability within the interval.
    """

    def __init__(self, levels: int, jit_compile: bool = True, held: float = HELD):
        def deviation_and_entropy(params, center):
            over = {"levels": levels, "center": center}
            variance = logistic_mixture.variance(params, **over)
            return ops.sqrt(variance), logistic_mixture.entropy(params, **over) / math.log(2)

        def interval(params, center):
            return interval_of(params, center, levels, held)

        self._deviation_and_entropy = _by_rows(deviation_and_entropy, "float32", jit_compile)
        self._interval = _by_rows(interval, "int32", jit_compile)

    def __call__(self, drawn_from, prediction) -> Uncertainty:
        """Measure pixels.

        Args:
            drawn_from: parameters `(b, h, w, 3k)` and centers `(b, h, w)` of the mixtures that the
                pixels are drawn from.
            prediction: likewise, of those given the acquired slices alone.
        """
        maps = (*self._deviation_and_entropy(*drawn_from), *self._interval(*prediction))
        return Uncertainty(*(ops.convert_to_numpy(x).astype(np.float32) for x in maps))


def interval_of(params: Tensor, center: Tensor, levels: int, held: float) -> tuple[Tensor, Tensor]:
    """Both ends, int32 `(...)`, of the central `held` of `logistic_mixture`s."""
    ends = ((1 - held) / 2, (1 + held) / 2)
    low, high = (logistic_mixture.quantile(params, p, levels=levels, center=center) for p in ends)
    return low, high


def _by_rows(measures, dtype: str, jit_compile: bool):
    """`measures` of parameters `(b, h, w, 3k)` and centers `(b, h, w)`, two maps each."""

    def over_rows(params, center):
        params, center = ops.cast(params, "float32"), ops.cast(center, "float32")
        batch, rows, columns = ops.shape(center)
        params = ops.reshape(params, (batch * rows, columns, params.shape[-1]))
        center = ops.reshape(center, (batch * rows, columns))
        _, maps = scan(lambda _, row: ((), measures(*row)), (), (params, center), (dtype, dtype))
        return [ops.reshape(x, (batch, rows, columns)) for x in maps]

    return compiled(over_rows, jit_compile=jit_compile)
