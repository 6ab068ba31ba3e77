"""How wide the 90 % intervals of a model must be that learnt from a scan's rows and columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from keras import ops

from medgen.bundles.bundle import Bundle
from medgen.examples.contexts import inputs_between
from medgen.sampling.slices import singly
from medgen.sampling.uncertainty import interval_of
from medgen.volumes.volume import Volume

# Gaps of the scan in whose middle intervals are compared, in so many pixels a side.
GAPS, SIDE = 8, 128
# An interval is not made wider than what holds all but so much.
MOST_HELD = 0.9999
HALVINGS = 12


def as_wide(adapted: Bundle, released: Bundle, stack: Volume) -> Bundle:
    """An adapted model whose intervals are as wide, on average, as those of the released one.

    Rows and columns, of which much the same was measured at once, are easier to find than slices,
    and make a model as much too sure of these. They cannot tell by how much, and acquired slices,
    left out at twice the gap, are too hard; so what the released model knows of gaps is kept: the
    mean width of its intervals across those of the scan, for which no truth is needed. See
    docs/adapt.md for what was measured.

    Args:
        adapted: its `held` is raised, or stays as it is where its intervals are wide enough.
        released: what it started from.
        stack: the acquired slices along axis 0.
    """
    inputs = _inputs(stack, released)
    counted = np.any(inputs["context"] > 0, axis=-1)
    recipe = released.recipes["pixelminer"]
    wanted = _Prediction(released, inputs).width(recipe.held, counted)
    prediction = _Prediction(adapted, inputs)
    enough, least, most = recipe.held, np.log(1 - recipe.held), np.log(1 - MOST_HELD)
    if prediction.width(enough, counted) >= wanted:
        return adapted
    for _ in range(HALVINGS):
        middle = (least + most) / 2
        if prediction.width(1 - np.exp(middle), counted) < wanted:
            least = middle
        else:
            most = middle
    held = round(float(1 - np.exp(most)), 5)
    return replace(adapted, recipes={"pixelminer": replace(recipe, held=held)})


class _Prediction:
    """What a model thinks likely of every pixel, given the acquired slices alone."""

    def __init__(self, bundle: Bundle, inputs: dict[str, np.ndarray]):
        self.levels = bundle.rule.levels
        read = [bundle.nets["pixelminer"].read(one)[1:] for one in singly(inputs)]
        self.params, self.center = (ops.concatenate(part) for part in zip(*read, strict=True))

    def width(self, held: float, counted: np.ndarray) -> float:
        """Mean width in levels of the intervals that hold `held`, where it counts."""
        low, high = interval_of(self.params, self.center, self.levels, held)
        return float(np.mean(ops.convert_to_numpy(high - low), where=counted))


def _inputs(stack: Volume, bundle: Bundle) -> dict[str, np.ndarray]:
    """Of the middle of gaps all over the stack, see `inputs_between`."""
    count, *sides = stack.array.shape
    gaps = np.unique(np.linspace(0, count - 2, GAPS).round().astype(int))
    starts = [max(0, (n - SIDE) // 2) for n in sides]
    middle = stack.array[:, starts[0] : starts[0] + SIDE, starts[1] : starts[1] + SIDE]
    levels = bundle.rule.scale_for(stack.array).quantise(middle)
    context = bundle.nets["pixelminer"].context
    windows = [(slice(None), slice(None))] * len(gaps)
    return inputs_between(levels, gaps + 0.5, stack.spacing[0], windows, context)
