"""Who is ahead on slices left out."""

import numpy as np
import pytest

from medgen.adaptation.judging import Judge, Standing
from medgen.evaluation.recreate import every_second_around
from medgen.interpolation import CLASSICAL
from medgen.volumes import Geometry, Volume


def test_errors_by_hand():
    """Linear interpolation of squares over a gap of two is 1 too high everywhere."""
    values = np.arange(12.0, dtype=np.float32)[:, None, None] ** 2 + np.zeros((1, 20, 16))
    stack = Volume(
        values.astype(np.float32), Geometry.from_spacing(values.shape, (3, 1, 1)), modality="ct"
    )
    standing = Judge(stack, range(5, 7)).guess(CLASSICAL["linear"])
    assert standing.psnr_db == pytest.approx(20 * np.log10(4095), abs=1e-4)
    perfect = stack.with_array(np.ones_like(values, np.float32), stack.geometry)
    assert Judge(perfect, range(5, 6)).guess(CLASSICAL["nearest"]).psnr_db > 300


def test_draws_are_compared_with_the_truth_and_the_neighbours():
    noise = np.random.default_rng(0).normal(100, 10, (9, 60, 50)).astype(np.float32)
    noise[:, 15:45, 10:40] += 1000
    stack = Volume(noise, Geometry.from_spacing(noise.shape, (3, 1, 1)), modality="ct")
    judge = Judge(stack, range(4, 5))
    assert judge.draws(CLASSICAL["nearest"])[1] == pytest.approx(1, abs=0.1)
    assert judge.draws(CLASSICAL["linear"])[1] == pytest.approx(np.sqrt(0.5), abs=0.1)
    alike = stack.with_array(np.repeat(noise[:1], 9, axis=0), stack.geometry)
    assert Judge(alike, range(4, 5)).draws(CLASSICAL["linear"]) == pytest.approx((1, 1))


@pytest.mark.parametrize(
    ("own", "ahead"),
    [
        ((30.31, 0.5, 0.9), True),
        ((30.29, 0.5, 0.9), False),
        ((29.0, 0.9, 1.0), False),
        ((31.0, 0.47, 0.9), False),
        ((31.0, 0.49, 0.85), True),
        ((31.0, 0.5, 0.7), False),
        ((31.0, 0.5, 1.5), False),
        ((31.0, float("nan"), float("nan")), True),
    ],
)
def test_ahead_is_more_db_and_hardly_worse_draws(own, ahead):
    assert (Standing(*own).loses_to(Standing(30.0, 0.5, 0.9)) is None) == ahead


@pytest.mark.parametrize(
    ("index", "count", "shown"),
    [
        (4, 9, [1, 3, 5, 7]),
        (1, 9, [0, 2, 4, 6, 8]),
        (7, 9, [0, 2, 4, 6, 8]),
        (20, 40, [13, 15, 17, 19, 21, 23, 25, 27]),
    ],
)
def test_slices_around_one_that_is_left_out(index, count, shown):
    assert list(every_second_around(index, count)) == shown
