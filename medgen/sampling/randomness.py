"""Stateless uniform numbers keyed by (seed, slice), then row, column and purpose by position.

In numpy, so that every backend of Keras draws from the same numbers.

References:
    Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011 (Philox4x32-10).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

# Random numbers belong to a place along the slice axis, in these fractions of a slice.
PLACES = 2**20

ROUNDS = 10
# Multipliers of the first and third word, and what is added to the two words of the key a round.
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = 0x9E3779B9, 0xBB67AE85
WORD = 2**32
LOW, HIGH = np.uint64(WORD - 1), np.uint64(32)


def uniforms(
    seed: int, slices: Sequence[int] | np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """One map of uniform numbers in (0, 1) for each slice.

    Philox with `seed` as key and the slice in the upper half of the counter: the number at a place
    depends on nothing but seed, slice and place, whatever the batch. They are the bits that
    TensorFlow's `StatelessRandomUniformFullIntV2` gives, which an exported model has inside.

    Args:
        seed: non-negative, below 2⁶⁴.
        slices: `(b,)` integers, non-negative, which slice each map is for.
        shape: rows, columns, and numbers a position.

    Returns:
        `(b, rows, columns, numbers)` float32.
    """
    count = math.prod(shape)
    maps = np.empty((len(slices), -(-count // 4), 4), np.float32)
    for one, index in zip(maps, slices, strict=True):
        for j, words in enumerate(_philox(int(seed), int(index), len(one))):
            # 23 bits at the middle of their interval: exact in float32, never 0 or 1.
            one[:, j] = ((words >> np.uint64(9)).astype(np.float32) + 0.5) * np.float32(2.0**-23)
    return maps.reshape(len(maps), -1)[:, :count].reshape(-1, *shape)


def _philox(key: int, index: int, blocks: int) -> list[np.ndarray]:
    """The four words (in 64 bits) of each block, counted in the lower half of the counter."""
    first, second = key % WORD, key // WORD
    words = [np.arange(blocks, dtype=np.uint64), np.zeros(blocks, np.uint64)]
    words += [np.full(blocks, part, np.uint64) for part in (index % WORD, index // WORD % WORD)]
    for i in range(ROUNDS):
        a, b = (m * x for m, x in zip(MULTIPLIERS, words[::2], strict=True))
        words = [
            (b >> HIGH) ^ words[1] ^ np.uint64((first + i * WEYL[0]) % WORD),
            b & LOW,
            (a >> HIGH) ^ words[3] ^ np.uint64((second + i * WEYL[1]) % WORD),
            a & LOW,
        ]
    return words
