import numpy as np
import pytest

from medgen.superresolution.tiles import tiles


@pytest.mark.parametrize(("shape", "side", "reach"), [((10, 3, 7), 4, 2), ((5, 5, 5), 9, 1)])
def test_tiles_cover_every_voxel_once_and_see_what_is_around(shape, side, reach):
    covered = np.zeros(shape, int)
    for tile in tiles(shape, side, reach):
        covered[tile.box] += 1
        for part, seen, inner, n in zip(tile.box, tile.seen, tile.inner(3), shape, strict=True):
            assert part.stop - part.start <= side
            assert seen.start == max(0, part.start - reach)
            assert seen.stop == min(n, part.stop + reach)
            assert inner.start == 3 * (part.start - seen.start)
            assert inner.stop - inner.start == 3 * (part.stop - part.start)
    assert (covered == 1).all()
