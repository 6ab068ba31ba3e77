"""Pieces cover a grid once, each with what is around it."""

import numpy as np
import pytest

from medgen.images.pieces import finer, pieces


@pytest.mark.parametrize(
    ("shape", "side", "margin"), [((7, 12), 4, 2), ((3, 5), 8, 1), ((9, 9), 3, 0)]
)
def test_pieces_cover_all_once_with_their_margins(shape, side, margin):
    covered = np.zeros(shape, int)
    grid = np.arange(np.prod(shape)).reshape(shape)
    for piece in pieces(shape, side, margin):
        covered[piece.place] += 1
        np.testing.assert_array_equal(grid[piece.around][piece.within], grid[piece.place])
        for place, around, n in zip(piece.place, piece.around, shape, strict=True):
            assert around.start == max(0, place.start - margin)
            assert around.stop == min(n, place.stop + margin)
    assert (covered == 1).all()


def test_a_window_on_a_finer_grid():
    assert finer((slice(2, 3), slice(0, 5)), 4) == (slice(8, 12), slice(0, 20))
