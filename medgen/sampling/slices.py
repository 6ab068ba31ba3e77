"""Whole slices from a PixelMiner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from keras import ops

from medgen.backends import Tensor, accelerators, compiled_by_jax
from medgen.errors import MedgenError
from medgen.examples.bands import UNKNOWN
from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.recipes import HELD
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import keep_known, logistic_mixture_draw
from medgen.sampling.fixed_point import FixedPointSampler
from medgen.sampling.uncertainty import Uncertainty, UncertaintyMeasure
from medgen.sampling.wavefront import WavefrontSampler

# Slices drawn at once come in multiples of this: XLA's matrix products then round every row alike
# on the processors tried, wherever it stands and however many there are. Not above so many pixels a
# slice, for memory.
ALIKE = 8
LARGEST_ALIKE = 512 * 512
DECODE = ("sample", "mean")
METHODS = ("cached", "fixed-point", "wavefront")


@dataclass(frozen=True, eq=False)
class Drawn:
    """Slices from a PixelMiner.

    Args:
        levels: `(times, b, h, w)`, int32, or float32 from `decode` mean.
        prediction: `(b, h, w)` float32, mean level of every pixel given the acquired slices alone;
            None from a net that makes none.
        uncertainty: None if not asked for.
    """

    levels: np.ndarray
    prediction: np.ndarray | None
    uncertainty: Uncertainty | None = None


class SliceSampler:
    """Draws slices, position by position or, from a net without autoregression, all at once.

    Args:
        net: what to draw from.
        temperature: see `logistic_mixture_draw`.
        decode: `sample`; or `mean` for the mean of the prediction, which is smooth and takes one
            pass.
        method: `cached` for `CachedSampler`, or on an accelerator, where a step of many pixels
            takes no longer than one of few, for `WavefrontSampler` with all slices at once;
            `fixed-point` for `FixedPointSampler`, started from the linear interpolation; or
            `wavefront` for `WavefrontSampler` slice by slice, which an exported model has inside.
            The same levels (but for float32 rounding).
        jit_compile: whether XLA compiles the loop over positions: seconds once for each shape, then
            several times as fast.
        held: see `UncertaintyMeasure`.

    Raises:
        MedgenError: a negative temperature; `decode` or `method` unknown.
    """

    def __init__(
        self,
        net: PixelMinerLean,
        temperature: float = 1.0,
        decode: str = "sample",
        method: str = "cached",
        jit_compile: bool = True,
        held: float = HELD,
    ):
        for what, value, known in (("decode", decode, DECODE), ("sampler", method, METHODS)):
            if value not in known:
                raise MedgenError(f"{what} must be one of {', '.join(known)}, got {value!r}.")
        self.net, self.decode, self.method = net, decode, method
        center = net.center if net.autoregressive else lambda linear: linear[..., 0]
        self._draw = keep_known(logistic_mixture_draw(net.levels, center, temperature))
        self._measure = UncertaintyMeasure(net.levels, jit_compile, held)
        self._read_one = compiled_by_jax(self._parts, net)
        if net.autoregressive:
            self._fixed_point = FixedPointSampler(net, self._draw)
            self._wavefront = WavefrontSampler(net, self._draw)
            self._cached: CachedSampler | WavefrontSampler = self._wavefront
            if not accelerators():
                self._cached = CachedSampler(net, self._draw, jit_compile=jit_compile)

    def __call__(self, inputs: Mapping[str, np.ndarray], uniforms: np.ndarray) -> np.ndarray:
        """Levels `(b, h, w)` for uniforms `(b, h, w, 2)`; see `fill`."""
        return self.fill(inputs, [uniforms]).levels[0]

    def fill(
        self,
        inputs: Mapping[str, np.ndarray],
        uniforms: Iterable[np.ndarray],
        uncertainty: bool = False,
    ) -> Drawn:
        """Draw slices, several times if wanted, reading the acquired ones once.

        Args:
            inputs: of the net, see `nets.pixelminer_lean.PixelMinerLean`; `target` is not looked
                at. What is `known` stays as it is, and all that is drawn after it follows it; it
                counts on all sides of it if the net is partially causal.
            uniforms: `(b, h, w, 2)` for each time.
            uncertainty: whether to measure it, of the first time.

        """
        known, *prediction = self._read(inputs)
        given = inputs.get("known", np.full(known.shape[:3], UNKNOWN))[..., None]
        drawn = [
            self._slices(
                known,
                prediction,
                np.concatenate([numbers, given.astype(np.float32)], axis=-1),
                keep_outputs=uncertainty and i == 0,
            )
            for i, numbers in enumerate(uniforms)
        ]
        return Drawn(
            np.stack([ops.convert_to_numpy(levels) for levels, _ in drawn]),
            ops.convert_to_numpy(self.net.center(known)),
            self._measure(drawn[0][1], prediction) if uncertainty else None,
        )

    def _read(self, inputs):
        """Conditioning, and parameters of the prediction with what they are relative to."""
        parts = [self._read_one(one) for one in singly(inputs)]
        return [ops.concatenate(part, axis=0) for part in zip(*parts, strict=True)]

    def _parts(self, inputs):
        features, params, linear = self.net.read(inputs)
        return self.net.conditioning(features, params, linear), params, linear

    def _slices(self, known, prediction, uniforms, keep_outputs):
        """Levels `(b, h, w)`, and parameters and centers that they were drawn from, if wanted."""
        params, linear = prediction
        if self.decode == "mean":
            mean, given = ops.cast(self.net.center(known), "float32"), uniforms[..., -1]
            return ops.where(given < 0, mean, given), prediction
        if not self.net.autoregressive:
            return self._draw(params, uniforms, linear[..., None]), prediction
        if self.method == "cached":
            count = len(known)
            whole = [filled_up(x) for x in (known, uniforms)]
            if not keep_outputs:
                return self._cached(*whole)[:count], None
            levels, outputs = self._cached.with_outputs(*whole)
            return levels[:count], (outputs[:count], self.net.center(known))
        slices = [  # one at a time, as a full pass takes far more memory than its conditioning
            self._alone(*(x[i : i + 1] for x in (known, uniforms, linear)))
            for i in range(len(known))
        ]
        levels, params = (ops.concatenate(part, axis=0) for part in zip(*slices, strict=True))
        return levels, (params, self.net.center(known))

    def _alone(self, known, uniforms, linear):
        """Levels of one slice, and the parameters that they were drawn from."""
        if self.method == "wavefront":
            return self._wavefront.with_outputs(known, uniforms)
        return self._fixed_point.with_outputs(known, uniforms, ops.round(linear))


def prediction(net: PixelMinerLean, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean level `(b, h, w)` float32 of the prediction: every pixel on its own, in one pass."""
    slices = [net.center(net.condition(one))[0] for one in singly(inputs)]
    return np.stack([ops.convert_to_numpy(x) for x in slices]).astype(np.float32)


def filled_up(maps: Tensor) -> Tensor:
    """`(b, h, w, c)` with empty maps behind, up to a multiple of `ALIKE`."""
    _, rows, columns, _ = maps.shape
    missing = -len(maps) % ALIKE if rows * columns <= LARGEST_ALIKE else 0
    return ops.pad(maps, [[0, missing], [0, 0], [0, 0], [0, 0]]) if missing else maps


def singly(inputs: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """`inputs` slice by slice: rounding in convolutions then depends on no other slice."""
    for i in range(len(inputs["position"])):
        yield {key: values[i : i + 1] for key, values in inputs.items()}
