"""How `doctor` looks at the published net."""

from __future__ import annotations

from functools import partial

from medgen.doctor.causality import in_double
from medgen.doctor.findings import Subject
from medgen.families.pixelminer.checks import example, likelihoods
from medgen.nets.pixelminer_published.net import PixelMinerPublished
from medgen.sampling.draw import logistic_mixture_draw
from medgen.sampling.staged.sampler import StagedSampler


def subject_of(stage: str, net: PixelMinerPublished) -> Subject:
    """The published net in float64; it has no conditioner apart from its outer slices."""
    net = in_double(net)
    return Subject(
        stage,
        net,
        partial(example, net.levels, 1),
        read=lambda inputs: net(inputs)["mixture"],
        side=2 * net.receptive_field[0] + 1,
        acquired=("context",),
        drawn="target",
        known=False,
        likelihoods=lambda inputs: likelihoods(net.levels, net(inputs)),
        causal=True,
        field=net.receptive_field,
        outputs=3 * net.config["mixtures"],
        draw=logistic_mixture_draw(net.levels, net.center),
        numbers=2,
        fast=StagedSampler,
    )
