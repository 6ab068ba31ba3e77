"""Whole slices from the published PixelMiner: windows that grow from the top left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from keras import ops

from medgen.errors import MedgenError
from medgen.examples.bands import UNKNOWN
from medgen.nets.pixelminer_published.net import PixelMinerPublished
from medgen.sampling.draw import keep_known, logistic_mixture_draw
from medgen.sampling.slices import Drawn
from medgen.sampling.staged.sampler import StagedSampler

# Pixels drawn at once: what the outer slices say to the published net takes 20 KB for each.
PIXELS_AT_ONCE = 2**16

Window = tuple[slice, slice]


class WindowSampler:
    """Draws slices of any size from a net that was trained on windows, as published.

    Windows advance by half their side [1]. Of each, what earlier windows have drawn is known, is
    shown to the net and stays as it is: three quarters of an inner window. Where half a side is
    left over at the end, the last window knows more. Windows of one anti-diagonal do not depend on
    each other; they are drawn together, for all slices. Windows in which both neighbours are at the
    lowest level throughout are at that level.

    The net has no prediction beside what it draws from, so that there is no mean to decode and no
    interval to give.

    Args:
        net: what to draw from.
        temperature: see `logistic_mixture_draw`.
        decode: `sample`.
        method: `cached`.
        side: of a window, in pixels, even.

    Raises:
        MedgenError: a negative temperature, or what only a `PixelMinerLean` has.

    References:
        [1] The PixelMiner code, github.com/wrrogers/PixelMiner, generate_whole_image.py.
    """

    def __init__(
        self,
        net: PixelMinerPublished,
        temperature: float = 1.0,
        decode: str = "sample",
        method: str = "cached",
        side: int = 64,
    ):
        for what, value, only in (("decode", decode, "sample"), ("sampler", method, "cached")):
            if value != only:
                raise MedgenError(
                    f"The published PixelMiner has only {what} {only}, got {value!r}; leave it out "
                    "or use a model of another recipe."
                )
        self.net, self.side = net, side
        draw = logistic_mixture_draw(net.levels, net.center, temperature)
        self._staged = StagedSampler(net, keep_known(draw))

    def __call__(self, inputs: Mapping[str, np.ndarray], uniforms: np.ndarray) -> np.ndarray:
        """Levels `(b, h, w)` for uniforms `(b, h, w, 2)`; see `fill`."""
        return self.fill(inputs, [uniforms]).levels[0]

    def fill(
        self,
        inputs: Mapping[str, np.ndarray],
        uniforms: Iterable[np.ndarray],
        uncertainty: bool = False,
    ) -> Drawn:
        """Draw slices, several times if wanted; as `slices.SliceSampler.fill`.

        Args:
            inputs: of the net, without `target`; in `known` `(b, h, w)`, if there is one, levels
                that stay as they are, below 0 where one is to be drawn.
            uniforms: `(b, h, w, 2)` for each time.
            uncertainty: False.

        Raises:
            MedgenError: uncertainty is asked for.
        """
        if uncertainty:
            raise MedgenError(
                "The published PixelMiner has no prediction to take an uncertainty from; leave it "
                "out or use a model of another recipe."
            )
        return Drawn(
            np.stack([self._slices(inputs, np.asarray(numbers)) for numbers in uniforms]), None
        )

    def _slices(self, inputs: Mapping[str, np.ndarray], uniforms: np.ndarray) -> np.ndarray:
        count, *shape = inputs["context"].shape[:3]
        levels = np.full((count, *shape), UNKNOWN, np.int32)
        if "known" in inputs:
            levels[:] = inputs["known"]
        for wave in waves(tuple(shape), self.side):
            pieces = []
            for piece in [(i, *window) for i in range(count) for window in wave]:
                if inputs["context"][piece].any():
                    pieces.append(piece)
                else:
                    levels[piece] = np.maximum(levels[piece], 0)
            if not pieces:
                continue
            at_once = max(1, PIXELS_AT_ONCE // levels[pieces[0]].size)
            for start in range(0, len(pieces), at_once):
                part = pieces[start : start + at_once]
                drawn = self._draw(inputs, levels, uniforms, part)
                for piece, values in zip(part, drawn, strict=True):
                    levels[piece] = values
        return levels

    def _draw(self, inputs, levels, uniforms, pieces) -> np.ndarray:
        """Levels of some windows, each `(slice, rows, columns)` of `levels`."""
        known, numbers = (np.stack([maps[p] for p in pieces]) for maps in (levels, uniforms))
        of = [i for i, *_ in pieces]
        given = {key: inputs[key][of] for key in ("position", "gap_mm")}
        given["context"] = np.stack([inputs["context"][p] for p in pieces])
        numbers = np.concatenate([numbers, known[..., None].astype(np.float32)], axis=-1)
        return ops.convert_to_numpy(self._staged(self.net.condition(given), numbers))


def waves(shape: tuple[int, int], side: int) -> list[list[Window]]:
    """Windows over a slice of `shape`, in groups to be drawn one after the other.

    All are of `side` pixels, or of the slice's where that is shorter.
    """
    rows, columns = (_starts(n, side) for n in shape)
    groups: list[list[Window]] = [[] for _ in range(len(rows) + len(columns) - 1)]
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            groups[i + j].append((slice(row, row + side), slice(column, column + side)))
    return groups


def _starts(length: int, side: int) -> list[int]:
    last = max(0, length - side)
    return [*range(0, last, side // 2), last]
