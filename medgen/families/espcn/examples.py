"""Patches of scans and what a coarser scanner would have made of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medgen.degradation import REACH, coarsened
from medgen.examples.stacks import Slab
from medgen.families.espcn.recipe import ESPCNRecipe

# Longest simulated voxels across slices, in those of the scan.
THICKEST = 4
# Voxels are cubes where their sides differ by no more than this share.
CUBIC = 0.1

Inputs = dict[str, np.ndarray]


def patch_batch(
    slabs: Sequence[Slab], recipe: ESPCNRecipe, *, gain: float, seed: int, step: int
) -> Inputs:
    """Augmented training pairs.

    Slabs are drawn by their number of voxels, patches at random places, the one of more contrast of
    two. A slab thinner than a patch is mirrored up to it.

    Args:
        slabs: of the training scans.
        recipe: see `ESPCNRecipe`.
        gain: likewise, 0 for scans whose values have units.
        seed: of the run.
        step: number of the batch.

    Returns:
        `coarse` `(b, p, p, p)` and `fine` `(b, f p, f p, f p)`, float32 in -0.5 ... 0.5, but for
        what k-space rings beyond.
    """
    rng = np.random.default_rng([seed, step])
    sizes = np.array([slab.stack.unit[slab.start : slab.stop].size for slab in slabs], np.float64)
    pairs, kinds = [], recipe.degradations
    for k, drawn in enumerate(rng.choice(len(slabs), recipe.batch_size, p=sizes / sizes.sum())):
        slab, by = slabs[drawn], kinds[(step + k) % len(kinds)]
        thickness = int(rng.integers(2, THICKEST + 1)) if rng.random() < recipe.thick else 1
        values = _turned(slab, rng)
        if values.shape[0] < thickness * recipe.patch * recipe.factor:
            thickness = 1
        pairs.append(_pair(values, recipe, by, rng, thickness=thickness, gain=gain))
    coarse, fine = zip(*pairs, strict=True)
    return {"coarse": np.stack(coarse), "fine": np.stack(fine)}


def held_out_patches(slabs: Sequence[Slab], recipe: ESPCNRecipe, count: int) -> Inputs:
    """Pairs of validation scans as they are, the same ones for every run; see `patch_batch`."""
    pairs, kinds = [], recipe.degradations
    for k in range(count):
        slab, by = slabs[k % len(slabs)], kinds[k // len(slabs) % len(kinds)]
        values = slab.stack.unit[slab.start : slab.stop]
        pairs.append(_pair(values, recipe, by, np.random.default_rng([0x5B12, k])))
    coarse, fine = zip(*pairs, strict=True)
    return {"coarse": np.stack(coarse), "fine": np.stack(fine)}


def _turned(slab: Slab, rng: np.random.Generator) -> np.ndarray:
    """The slab with its axes reversed or not and those that are alike exchanged at random."""
    values = slab.stack.unit[slab.start : slab.stop]
    across, down, along = slab.stack.spacing_mm
    order = [0, 1, 2]
    if max(across, down, along) <= (1 + CUBIC) * min(across, down, along):
        order = list(rng.permutation(3))
    elif max(down, along) <= (1 + CUBIC) * min(down, along):
        order = [0, *rng.permutation([1, 2])]
    values = values.transpose(order)
    return values[tuple(slice(None, None, -1 if rng.random() < 0.5 else 1) for _ in range(3))]


def _pair(
    values: np.ndarray,
    recipe: ESPCNRecipe,
    by: str,
    rng: np.random.Generator,
    *,
    thickness: int = 1,
    gain: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """A coarse patch and its fine one, of a stack `(n, rows, cols)`."""
    margin = REACH[by]
    side = (recipe.patch + 2 * margin) * recipe.factor
    sides = (side * thickness, side, side)
    lacking = [max(0, wanted - there) for wanted, there in zip(sides, values.shape, strict=True)]
    if any(lacking):
        values = np.pad(values, [(0, n) for n in lacking], mode="symmetric")
    found: list[np.ndarray] = []
    for _ in range(2):
        starts = [rng.integers(0, n - s + 1) for n, s in zip(values.shape, sides, strict=True)]
        found.append(values[tuple(slice(a, a + s) for a, s in zip(starts, sides, strict=True))])
    fine = max(found, key=lambda patch: float(patch.std()))
    if thickness > 1:
        fine = coarsened(fine, thickness, "mean", axes=(0,))
    fine = (fine + np.float32(0.5)) * np.float32(1 - rng.uniform(0, gain)) - np.float32(0.5)
    coarse = coarsened(fine, recipe.factor, by)
    inner, outer = slice(margin, margin + recipe.patch), margin * recipe.factor
    within = slice(outer, outer + recipe.patch * recipe.factor)
    return coarse[inner, inner, inner], np.ascontiguousarray(fine[within, within, within])
