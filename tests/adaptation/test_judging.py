"""Who is ahead on slices left out."""

import numpy as np
import pytest

from medgen.adaptation.judging import Judge, Standing, lines_left_out, slices_left_out
from medgen.evaluation.recreate import every_second_around
from medgen.interpolation import CLASSICAL
from medgen.volumes import Geometry, Volume


def test_errors_by_hand():
    """Linear interpolation of squares over a gap of two is 1 too high everywhere."""
    values = np.arange(12.0, dtype=np.float32)[:, None, None] ** 2 + np.zeros((1, 20, 16))
    stack = Volume(
        values.astype(np.float32), Geometry.from_spacing(values.shape, (3, 1, 1)), modality="ct"
    )
    standing = Judge(slices_left_out(stack, range(5, 7)), stack.kind).guess(CLASSICAL["linear"])
    assert standing.psnr_db == pytest.approx(20 * np.log10(4095), abs=1e-4)
    perfect = stack.with_array(np.ones_like(values, np.float32), stack.geometry)
    assert (
        Judge(slices_left_out(perfect, range(5, 6)), stack.kind).guess(CLASSICAL["nearest"]).psnr_db
        > 300
    )


def test_draws_are_compared_with_the_truth_and_the_neighbours():
    noise = np.random.default_rng(0).normal(100, 10, (9, 60, 50)).astype(np.float32)
    noise[:, 15:45, 10:40] += 1000
    stack = Volume(noise, Geometry.from_spacing(noise.shape, (3, 1, 1)), modality="ct")
    judge = Judge(slices_left_out(stack, range(4, 5)), stack.kind)
    assert judge.draws(CLASSICAL["nearest"])[1] == pytest.approx(1, abs=0.1)
    assert judge.draws(CLASSICAL["linear"])[1] == pytest.approx(np.sqrt(0.5), abs=0.1)
    alike = stack.with_array(np.repeat(noise[:1], 9, axis=0), stack.geometry)
    judge = Judge(slices_left_out(alike, range(4, 5)), stack.kind)
    assert judge.draws(CLASSICAL["linear"]) == pytest.approx((1, 1))


def test_rows_and_columns_are_left_out_at_the_gap_of_the_scan():
    """Pixels that rise evenly: what is linear between those shown is the truth."""
    slices, rows, columns = np.indices((20, 40, 24)).astype(np.float32)
    rows = 3 * rows + 10 * slices + 100 * columns
    stack = Volume(rows, Geometry.from_spacing(rows.shape, (3.0, 1.0, 1.0)), modality="ct")
    cases = lines_left_out(stack, range(12, 24), 3, lambda mm: np.array([0.25, 0.5, 0.25]))
    assert [case.truth[0, 1] for case in cases[:4]] == [3 * row + 100 for row in (15, 16, 17, 18)]
    assert [case.truth[0, 0] for case in cases[4:]] == [3 * 12 + 100 * k for k in (6, 9, 12, 15)]
    assert {round(case.position % 1, 3) for case in cases} == {0.333, 0.667}
    for i, case in enumerate(cases):
        assert case.around.spacing == (3.0, 3.0, 1.0)
        assert case.truth.shape == ((20, 24) if i < 4 else (20, 12))
        np.testing.assert_allclose(case.filled(CLASSICAL["linear"]), case.truth, atol=1e-3)
    assert Judge(cases, stack.kind).guess(CLASSICAL["linear"]).psnr_db > 100


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
    assert (Standing(*own).loses_to(Standing(30.0, 0.5, 0.9), 0.3) is None) == ahead


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
