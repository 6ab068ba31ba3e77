"""How `doctor` looks at an ESPCN."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from keras import ops

from medgen.doctor.causality import in_double
from medgen.doctor.findings import Finding
from medgen.nets.espcn import ESPCN, ResidualESPCN
from medgen.tiling import finer, tiles

SEED = 0
# In float64, where nothing but rounding is left.
ALIKE = 1e-9
# What a shuffle that began alike in all phases may leave of a checkerboard in a constant image,
# over the unit range.
CHECKERBOARD = 0.01


def examine(stage: str, net: ESPCN | ResidualESPCN) -> Iterator[Finding]:
    """What an ESPCN rests on: its reach, tiles without seams, no checkerboard, sound scales."""
    net = in_double(net)
    yield check_reach(stage, net)
    yield check_tiles(stage, net)
    yield check_constant(stage, net)


def check_reach(stage: str, net: ESPCN | ResidualESPCN) -> Finding:
    """A voxel counts as far as tiles overlap, on all sides, and no farther."""
    side = 2 * net.reach + 5
    values = np.random.default_rng(SEED).uniform(-0.5, 0.5, (1, side, side, side))
    other, middle = values.copy(), side // 2
    other[0, middle, middle, middle] += 0.25
    changed = np.abs(_made(net, other) - _made(net, values)) > 0
    parts = np.argwhere(changed)[:, :3] // net.factor - middle
    first, last = -parts.min(axis=0), parts.max(axis=0)
    farthest = int(max(first.max(), last.max()))
    passed = farthest <= net.reach and min(first.min(), last.min()) > 0
    words = ", ".join(f"{a} to {b}" for a, b in zip(-first, last, strict=True))
    return Finding(
        f"{stage} reach",
        bool(passed),
        f"a voxel counts {words} along the axes; tiles overlap by {net.reach}",
    )


def check_tiles(stage: str, net: ESPCN | ResidualESPCN) -> Finding:
    """Tiles make what the whole makes."""
    shape = (2 * net.reach + 9, 7, 6)
    values = np.random.default_rng(SEED).uniform(-0.5, 0.5, (1, *shape))
    whole, worst = _made(net, values), 0.0
    for tile in tiles(shape, net.reach + 5, net.reach):
        made = _made(net, values[(slice(None), *tile.seen)])[tile.inner(net.factor)]
        worst = max(worst, float(np.abs(made - whole[finer(tile.box, net.factor)]).max()))
    return Finding(f"{stage} tiles", worst <= ALIKE, f"tiles are {worst:.1e} off the whole at most")


def check_constant(stage: str, net: ESPCN | ResidualESPCN) -> Finding:
    """A constant image stays nearly constant within every voxel, far from the borders."""
    side = 2 * net.reach + 3
    middle = slice(net.reach * net.factor, -net.reach * net.factor)
    worst = 0.0
    for value in (-0.25, 0.0, 0.25):
        made = _made(net, np.full((1, side, side, side), value))[middle, middle, middle, 0]
        worst = max(worst, float(np.ptp(made)))
    return Finding(
        f"{stage} checkerboard",
        worst <= CHECKERBOARD,
        f"parts of a constant image differ by {worst:.4f} of the range at most",
    )


def _made(net: ESPCN | ResidualESPCN, coarse: np.ndarray) -> np.ndarray:
    """All outputs of one image, `(d, h, w, maps)`."""
    outputs = net({"coarse": coarse})
    return np.stack([ops.convert_to_numpy(value)[0] for value in outputs.values()], axis=-1)
