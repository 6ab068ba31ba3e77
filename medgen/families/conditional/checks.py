"""How `doctor` looks at a conditional VQ-VAE and at its prior."""

from __future__ import annotations

from functools import partial

import numpy as np

from medgen.doctor.causality import in_double
from medgen.doctor.findings import Inputs, Likelihood, Subject
from medgen.families.pixelminer.checks import READ_SIDE, SEED, example, likelihoods
from medgen.likelihoods import categorical
from medgen.nets.conditional_prior import ConditionalPrior
from medgen.nets.conditional_vqvae import ConditionalVQVAE
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import categorical_draw


def first_stage(stage: str, net: ConditionalVQVAE) -> Subject:
    """The first stage in float64, which has no causal part."""
    net = in_double(net)
    return Subject(
        stage,
        net,
        partial(example, net.levels, net.context),
        read=net.condition,
        side=READ_SIDE,
        acquired=("context",),
        drawn="target",
        known=False,
        likelihoods=lambda inputs: likelihoods(net.levels, net(inputs)),
        causal=False,
        field=(0, 0),
        outputs=3 * net.config["mixtures"],
        draw=None,
        numbers=0,
        fast=CachedSampler,
    )


def prior(stage: str, net: ConditionalPrior) -> Subject:
    """The prior in float64; codes have no order, so that its examples are all random."""
    net = in_double(net)
    codes = net.config["num_embeddings"]

    def random(height: int, width: int) -> Inputs:
        rng = np.random.default_rng(SEED)
        return {
            "codes": rng.integers(0, codes, (1, height, width)),
            "surroundings": rng.normal(size=(1, height, width, net.config["channels"])),
            "position": np.array([0.4]),
            "gap_mm": np.array([4.0]),
        }

    return Subject(
        stage,
        net,
        random,
        read=net.condition,
        side=READ_SIDE,
        acquired=("surroundings",),
        drawn="codes",
        known=False,
        likelihoods=lambda inputs: [Likelihood(net(inputs), categorical.log_prob, codes, "codes")],
        causal=True,
        field=net.stack.receptive_field,
        outputs=codes,
        draw=categorical_draw(),
        numbers=1,
        fast=CachedSampler,
    )
