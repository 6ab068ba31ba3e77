"""Examples of one scan: none is of what is held out."""

import numpy as np
import pytest

from medgen.errors import TrainingError
from medgen.examples.alone import ScanExamples, gap_in_rows, held_rows, held_slices
from medgen.examples.stacks import Stack

OPTIONS = {"levels": 2001, "crop": 8, "size": 6, "context": 2, "seed": 1}


def sharp(spacing_mm):
    return np.ones(1)


def stack_of(count, rows=20, cols=24, spacing=(4.0, 1.0, 1.0), along=0):
    """Image k along an axis has values around k / 1000 - 0.5: levels around 2 k."""
    rng = np.random.default_rng(0)
    shape = (count, rows, cols)
    unit = np.indices(shape)[along] / 1000 - 0.5 + rng.uniform(0, 1e-4, shape)
    return Stack("scan", unit.astype(np.float32), spacing)


@pytest.mark.parametrize(("count", "held"), [(7, [3]), (11, [5]), (12, [5, 6]), (30, [13, 14, 15])])
def test_the_middle_is_held_out(count, held):
    assert list(held_slices(count)) == held


def test_few_slices_teach_nothing():
    with pytest.raises(TrainingError, match="from 7 slices on, got 6"):
        held_slices(6)


def test_slices_held_out_are_in_no_example():
    examples = ScanExamples.twice_the_gap(stack_of(13))
    seen = set()
    for step in range(20):
        batch = examples.batch(step=step, **OPTIONS)
        assert set(batch["gap_mm"]) == {8.0}
        assert set(batch["position"]) == {0.5}
        slices = np.rint(batch["target"].mean((1, 2)) / 2)
        seen |= set(slices)
        around = np.rint(batch["context"].mean((1, 2)) / 2)
        assert not (set(slices) | set(around.ravel())) & set(examples.indices)
        np.testing.assert_array_equal(around[:, 1:3].mean(axis=1), slices)
    assert seen == {1, 2, 3, 8, 9, 10, 11}
    held = examples.held_batch(**OPTIONS)
    assert set(np.rint(held["target"].mean((1, 2)) / 2)) == set(examples.indices) == {5, 6}
    assert held["context"].shape == (6, 8, 8, 4)


def test_the_same_step_gives_the_same_batch():
    examples = ScanExamples.twice_the_gap(stack_of(9))
    one, same, other = (examples.batch(step=step, **OPTIONS) for step in (3, 3, 4))
    for key, values in one.items():
        np.testing.assert_array_equal(values, same[key])
    assert (one["target"] != other["target"]).any()


@pytest.mark.parametrize(
    ("spacing", "count", "steps"),
    [
        ((4.0, 1.0, 1.0), 16, 4),
        ((4.1, 1.0, 1.0), 16, None),  # pixels along other axes are too far from square
        ((1.6, 0.65, 0.65), 16, 2),
        ((1.0, 1.0, 1.0), 16, None),  # nothing lies between
        ((4.0, 1.0, 1.0), 15, None),
        ((4.0, 1.0, 2.0), 16, None),
    ],
)
def test_which_scans_show_their_own_gap(spacing, count, steps):
    stack = stack_of(count, 60, 50, spacing)
    assert gap_in_rows(stack) == steps
    if steps is None:
        with pytest.raises(TrainingError, match=f"got {count} slices {spacing[0]:g} mm apart"):
            ScanExamples.own_gap(stack, sharp)


def test_rows_held_out_are_in_no_example_of_the_own_gap():
    examples = ScanExamples.own_gap(stack_of(16, 60, 50, along=1), sharp)
    assert examples.indices == held_rows(60, 4) == range(24, 36)
    seen = set()
    for step in range(60):
        batch = examples.batch(step=step, **OPTIONS)
        assert set(batch["gap_mm"]) == {4.0}
        assert set(batch["position"]) <= {0.25, 0.5, 0.75}
        for name in ("target", "context"):
            assert not set(np.rint(batch[name] / 2).ravel()) & set(examples.indices)
        seen |= set(np.rint(batch["target"] / 2).ravel())
    assert {1, 22, 37, 58} <= seen
    held = examples.held_batch(**OPTIONS)
    assert set(np.rint(held["target"] / 2).ravel()) <= set(examples.indices)


def test_small_images_make_more_examples():
    examples = ScanExamples.own_gap(stack_of(16, 60, 50), sharp)
    batch = examples.batch(step=0, **OPTIONS | {"crop": 32})
    assert batch["target"].shape == (24, 16, 16)


def test_rows_are_as_thick_as_slices():
    """Rows of two values in turn, blurred over two distances: all alike."""
    unit = np.zeros((16, 70, 72), np.float32)
    unit[:, ::2] = 0.2
    unit += np.random.default_rng(0).uniform(0, 0.1, unit.shape).astype(np.float32)
    blur = np.array([0.25, 0.5, 0.25])
    examples = ScanExamples.own_gap(Stack("scan", unit, (2.0, 1.0, 1.0)), lambda mm: blur)
    for slab in (examples.training[0], examples.held):  # the rows are their slices
        assert slab.stack.unit.std(axis=0).mean() < 0.03 < unit.std(axis=1).mean()
        assert slab.stack.spacing_mm == (1.0, 2.0, 1.0)


def test_a_checksum_tells_what_examples_are_cut_from():
    stack = stack_of(16, 60, 50)
    one, same, thick = (
        ScanExamples.own_gap(stack, weights).checksum
        for weights in (sharp, sharp, lambda mm: np.ones(3) / 3)
    )
    assert one == same != thick
