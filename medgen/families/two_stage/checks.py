"""How `doctor` looks at a prior over codes."""

from __future__ import annotations

import numpy as np

from medgen.doctor.causality import in_double
from medgen.doctor.findings import Inputs, Likelihood, Subject
from medgen.likelihoods import categorical
from medgen.nets.pixelcnn import PixelCNN
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import categorical_draw

READ_SIDE = 97
SEED = 0


def subject_of(stage: str, net: PixelCNN) -> Subject:
    """The prior in float64; codes have no order, so that its examples are all random."""
    net = in_double(net)
    codes = net.config["num_embeddings"]

    def example(height: int, width: int) -> Inputs:
        maps = np.random.default_rng(SEED).integers(0, codes, (3, 1, height, width))
        place = {"position": np.array([0.4]), "gap_mm": np.array([4.0])}
        return dict(zip(("codes", "previous", "next"), maps, strict=True)) | place

    return Subject(
        stage,
        net,
        example,
        read=net.condition,
        side=READ_SIDE,
        acquired=("previous", "next"),
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
