"""Tiles cover an array once, each with what is around it."""

import numpy as np
import pytest

from medgen.tiling import finer, tiles


@pytest.mark.parametrize(
    ("shape", "side", "reach"),
    [((10, 3, 7), 4, 2), ((5, 5, 5), 9, 1), ((7, 12), 4, 2), ((3, 5), 8, 1), ((9, 9), 3, 0)],
)
def test_tiles_cover_every_place_once_and_see_what_is_around(shape, side, reach):
    covered = np.zeros(shape, int)
    grid = np.arange(np.prod(shape)).reshape(shape)
    for tile in tiles(shape, side, reach):
        covered[tile.box] += 1
        np.testing.assert_array_equal(grid[tile.seen][tile.inner()], grid[tile.box])
        for part, seen, inner, n in zip(tile.box, tile.seen, tile.inner(3), shape, strict=True):
            assert part.stop - part.start <= side
            assert seen.start == max(0, part.start - reach)
            assert seen.stop == min(n, part.stop + reach)
            assert inner.start == 3 * (part.start - seen.start)
            assert inner.stop - inner.start == 3 * (part.stop - part.start)
    assert (covered == 1).all()


def test_a_part_of_a_finer_grid():
    assert finer((slice(2, 3), slice(0, 5)), 4) == (slice(8, 12), slice(0, 20))
