"""What `medgen doctor` finds, and what it has to be told of a net that slices are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

Inputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Args:
        check: what was checked, with the net's name.
        passed: whether it is as it should be.
        detail: what was measured, in a few words.
    """

    check: str
    passed: bool
    detail: str


@dataclass(frozen=True, eq=False)
class Likelihood:
    """One likelihood of a net, of codes or of grey levels.

    Args:
        params: `(b, h, w, p)`, in float64.
        log_prob: from `params` and values, both with an axis of values before the last of
            `params`, to the logarithm of their probability.
        values: how many there are.
        what: their name.
    """

    params: Any
    log_prob: Callable[[Any, Any], Any]
    values: int
    what: str


@dataclass(frozen=True, eq=False)
class Subject:
    """A net that slices are drawn from, in float64, and how it is to be looked at.

    Args:
        stage: name of the net.
        net: with `condition`, `embed`, `stack` and `head`.
        example: rows and columns to the inputs of one image of smooth noise.
        read: inputs to maps that know the acquired slices.
        side: of the map on which their reach is measured.
        acquired: names of the maps of acquired slices among the inputs.
        drawn: name of the map that is drawn.
        known: whether the net is shown known pixels of what is drawn.
        likelihoods: of the inputs.
        causal: whether it has a causal part, which the rest is about.
        field: rows up and columns to either side that it reaches.
        outputs: numbers at each position.
        draw: see `sampling.draw`; None of a net that is not `causal`.
        numbers: uniform ones that `draw` takes.
        fast: class of the sampler that must equal the raster sampler.
    """

    stage: str
    net: keras.Model
    example: Callable[[int, int], Inputs]
    read: Callable[[Inputs], Any]
    side: int
    acquired: Sequence[str]
    drawn: str
    known: bool
    likelihoods: Callable[[Inputs], Sequence[Likelihood]]
    causal: bool
    field: tuple[int, int]
    outputs: int
    draw: Callable[..., Any] | None
    numbers: int
    fast: Callable[..., Any]
