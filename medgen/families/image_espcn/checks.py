"""What `medgen doctor` looks for in a super-resolution net of colour images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from keras import ops

from medgen.doctor.findings import Finding
from medgen.families.autoencoder.checks import ROUNDING, noise_image
from medgen.nets.image_espcn import ImageESPCN

# Difference in mean brightness of what is refined and made coarse again.
DRIFT = 0.02


def findings(stage: str, net: ImageESPCN) -> Iterator[Finding]:
    """Shifts are kept, and what is made coarse again is what it was."""
    far, r = net.reach, net.factor
    side = 2 * far + 9
    coarse = noise_image(side, side)[None]
    fine = ops.convert_to_numpy(net.refine(coarse))
    moved = ops.convert_to_numpy(net.refine(np.roll(coarse, (1, 1), (1, 2))))
    inside = (slice(None), *(slice((far + 1) * r, (side - far) * r),) * 2)
    off = np.abs(moved[inside] - np.roll(fine, (r, r), (1, 2))[inside]).max()
    yield Finding(
        f"{stage} place",
        bool(off < ROUNDING),
        f"an image moved by a pixel has its finer one moved by {r}, at most {off:.1e} off",
    )
    back = ops.convert_to_numpy(net.degrade(fine))
    drift = float(abs(back.mean() - coarse.mean()))
    yield Finding(
        f"{stage} brightness",
        drift < DRIFT,
        f"made coarse again, an image is {drift:.1e} brighter or darker",
    )
