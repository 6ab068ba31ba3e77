"""Training batches drawn at random from colour images: the same seed and step, the same batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from skimage.color import hed_from_rgb, rgb_from_hed

from medgen.examples.batches import ATTEMPTS, random_window

# Crops flatter than this (standard deviation of 8-bit values) are mostly glass and passed over.
FLAT = 8.0
WHITE = 255.0


def tile_batch(
    images: Sequence[np.ndarray],
    *,
    crop: int,
    size: int,
    jitter: float,
    seed: int,
    step: int,
) -> np.ndarray:
    """Random crops of random images, turned by one of the eight symmetries of the square.

    An image is drawn in proportion to the square root of its pixels.

    Args:
        images: `(rows, cols, 3)` uint8, no side shorter than the crop.
        crop: side in pixels.
        size: images a batch.
        jitter: see `jittered`.
        seed: of the run.
        step: of the run.

    Returns:
        `(size, crop, crop, 3)` float32 in −0.5…0.5.
    """
    rng = np.random.default_rng([seed, 0x71E5, step])
    weights = np.sqrt([image.shape[0] * image.shape[1] for image in images])
    weights /= weights.sum()
    batch = np.empty((size, crop, crop, 3), np.float32)
    for tile in batch:
        for _ in range(ATTEMPTS):
            image = images[rng.choice(len(images), p=weights)]
            found = image[random_window(rng, image.shape[:2], crop)]
            if found.std(axis=(0, 1)).max() > FLAT:
                break
        found = np.rot90(found, int(rng.integers(4)))
        found = found.swapaxes(0, 1) if rng.integers(2) else found
        tile[...] = jittered(found, jitter, rng) / WHITE - 0.5
    return batch


def jittered(image: np.ndarray, jitter: float, rng: np.random.Generator) -> np.ndarray:
    """An image as another laboratory might have stained it.

    Optical density is split into haematoxylin, eosin and a rest (Ruifrok & Johnston 2001); each is
    multiplied by a number from 1 − `jitter` … 1 + `jitter`, and a fifth of such a number, around 0,
    is added (Tellez et al. 2018).

    Args:
        image: `(rows, cols, 3)`, 0…255.
        jitter: 0 leaves the image as it is.
        rng: of the numbers.

    Returns:
        Float32 of the same shape, 0…255.

    References:
        Tellez et al., Whole-slide mitosis detection in H&E breast histology using PHH3 as a
        reference to train distilled stain-invariant convolutional networks, IEEE Trans. Med.
        Imaging 37(9), 2018.
    """
    image = image.astype(np.float32)
    if jitter == 0:
        return image
    times = rng.uniform(1 - jitter, 1 + jitter, 3)
    plus = rng.uniform(-jitter / 5, jitter / 5, 3)
    density = -np.log((image + 1) / (WHITE + 1))
    # In one step what goes to the stains, changes them and comes back; row vectors.
    there_and_back = (hed_from_rgb * times) @ rgb_from_hed
    changed = density @ there_and_back.astype(np.float32) + (plus @ rgb_from_hed).astype(np.float32)
    return np.clip((WHITE + 1) * np.exp(-changed) - 1, 0, WHITE)
