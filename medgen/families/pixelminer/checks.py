"""How `doctor` looks at nets over grey levels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from medgen.doctor.causality import in_double
from medgen.doctor.findings import Inputs, Likelihood, Subject
from medgen.likelihoods import logistic_mixture
from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import logistic_mixture_draw

# Rows and columns of the map on which the reach of an acquired voxel is measured.
READ_SIDE = 97
SEED = 0


def subject_of(stage: str, net: PixelMinerLean) -> Subject:
    """The lean net in float64."""
    net = in_double(net)
    causal = net.autoregressive
    return Subject(
        stage,
        net,
        partial(example, net.levels, net.context),
        read=net.condition,
        side=READ_SIDE,
        acquired=("context",),
        drawn="target",
        known=net.partially_causal,
        likelihoods=lambda inputs: likelihoods(net.levels, net(inputs)),
        causal=causal,
        field=net.stack.receptive_field if causal else (0, 0),
        outputs=3 * net.config["mixtures"],
        draw=logistic_mixture_draw(net.levels, net.center),
        numbers=2,
        fast=CachedSampler,
    )


def example(levels: int, context: int, height: int, width: int) -> Inputs:
    """Inputs of one image of smooth random slices."""
    noise = np.random.default_rng(SEED).normal(size=(2 * context + 1, height, width))
    smooth = gaussian_filter(noise, (1.0, 2.0, 2.0), mode="wrap")
    units = 0.5 + 0.1 * smooth / smooth.std() + 0.01 * noise
    maps = np.rint(np.clip(units, 0, 1) * (levels - 1)).astype(np.int32)
    return {
        "position": np.array([0.4]),
        "gap_mm": np.array([4.0]),
        "target": maps[:1],
        "context": np.moveaxis(maps[1:], 0, -1)[None],
        "present": np.ones((1, 2 * context)),
    }


def likelihoods(levels: int, outputs: dict[str, object]) -> Sequence[Likelihood]:
    """Mixtures among a net's outputs, with what each is relative to."""

    def log_prob(center: Any, params: Any, values: Any) -> Any:
        return logistic_mixture.log_prob(params, values, levels=levels, center=center[..., None])

    pairs = {"mixture": "center", "prediction": "linear"}
    return [
        Likelihood(outputs[name], partial(log_prob, outputs[center]), levels, "levels")
        for name, center in pairs.items()
        if name in outputs
    ]
