"""New slices from the prior alone, without a scan."""

from __future__ import annotations

import numpy as np
from keras import ops

from medgen.bundles.bundle import Bundle
from medgen.errors import BundleError, MedgenError
from medgen.families.vqvae.codes import codes_of
from medgen.interpolation.contract import Progress
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import categorical_draw
from medgen.sampling.randomness import uniforms

# Slices that are drawn in one call.
AT_ONCE = 16


def sample_slices(
    bundle: Bundle,
    count: int,
    size: tuple[int, int],
    *,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    progress: Progress = lambda done, total: None,
) -> np.ndarray:
    """Draw code maps from the prior with both neighbours unknown, and decode them.

    The prior sees some ten codes up and to the left, so samples are coherent over that distance and
    not beyond: texture and small structures, no whole anatomy in large slices.

    Args:
        bundle: a two-stage model.
        count: slices.
        size: rows and columns in pixels.
        seed: slice `i` depends on the seed and `i` alone.
        temperature: see `categorical_draw`.
        top_k: see `categorical_draw`.
        top_p: see `categorical_draw`.
        progress: called with slices done and slices in all.

    Returns:
        `(count, rows, cols)` float32 in the unit range, −0.5…0.5.

    Raises:
        BundleError: the bundle has no prior.
        MedgenError: an option out of range.
    """
    model = codes_of(bundle)
    if "prior" not in bundle.nets:
        raise BundleError(f"{bundle.name} has no prior to sample; train one with train-prior.")
    if count < 1 or min(size) < 1:
        raise MedgenError(f"Count and size must be at least 1, got {count} and {size}.")
    f = model.recipe.compression
    shape = (-(-size[0] // f), -(-size[1] // f))
    unknown = np.full((1, *shape), model.recipe.num_embeddings, np.int32)
    conditioning = bundle.nets["prior"].condition(
        {
            "previous": unknown,
            "next": unknown,
            "position": np.array([0.5], np.float32),
            "gap_mm": np.array([4.0], np.float32),
        }
    )
    sampler = CachedSampler(bundle.nets["prior"], categorical_draw(temperature, top_k, top_p))
    together = min(count, AT_ONCE)  # of one compiled call; what it draws beyond `count` is dropped
    conditioning = ops.repeat(conditioning, together, axis=0)
    slices: list[np.ndarray] = []
    for first in range(0, count, together):
        numbers = uniforms(seed, range(first, first + together), (*shape, 1))
        codes = ops.convert_to_numpy(sampler(conditioning, numbers))[: count - first]
        slices += [np.clip(model.decode_slice(code, size), -0.5, 0.5) for code in codes]
        progress(len(slices), count)
    return np.stack(slices)
