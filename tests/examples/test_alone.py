"""Examples of one scan: none shows a slice that is held out."""

import numpy as np
import pytest

from medgen.errors import TrainingError
from medgen.examples.alone import ScanExamples, held_out
from medgen.examples.stacks import Stack

OPTIONS = {"levels": 2001, "crop": 8, "size": 6, "context": 2, "seed": 1}


def of(count, rows=20, cols=24, spacing=(4.0, 1.0, 1.0), weights=lambda mm: np.ones(1)):
    """Slice k has values around k / 1000 - 0.5: levels around 2 k."""
    rng = np.random.default_rng(0)
    unit = np.arange(count)[:, None, None] / 1000 - 0.5 + rng.uniform(0, 1e-4, (count, rows, cols))
    return ScanExamples.of(Stack("scan", unit.astype(np.float32), spacing), weights)


@pytest.mark.parametrize(("count", "held"), [(7, [3]), (11, [5]), (12, [5, 6]), (30, [13, 14, 15])])
def test_the_middle_is_held_out(count, held):
    assert list(held_out(count)) == held


def test_few_slices_teach_nothing():
    with pytest.raises(TrainingError, match="from 7 slices on, got 6"):
        held_out(6)


def test_slices_held_out_are_in_no_example():
    examples = of(13)
    seen = set()
    for step in range(20):
        batch = examples.batch(step=step, **OPTIONS)
        assert set(batch["gap_mm"]) == {8.0}
        assert set(batch["position"]) == {0.5}
        slices = np.rint(batch["target"].mean((1, 2)) / 2)
        seen |= set(slices)
        around = np.rint(batch["context"].mean((1, 2)) / 2)
        assert not (set(slices) | set(around.ravel())) & set(examples.held)
        np.testing.assert_array_equal(around[:, 1:3].mean(axis=1), slices)
    assert seen == {1, 2, 3, 8, 9, 10, 11}


def test_the_same_step_gives_the_same_batch():
    one, same, other = (of(9).batch(step=step, **OPTIONS) for step in (3, 3, 4))
    for key, values in one.items():
        np.testing.assert_array_equal(values, same[key])
    assert (one["target"] != other["target"]).any()


def test_held_out_slices_are_what_a_validation_sees():
    batch = of(13).held_batch(**OPTIONS)
    assert list(np.rint(batch["target"].mean((1, 2)) / 2)) == [5, 6] * 3
    np.testing.assert_array_equal(np.rint(batch["context"].mean((1, 2)) / 2)[0], [2, 4, 6, 8])
    assert batch["target"].shape == (6, 8, 8)
    assert batch["context"].shape == (6, 8, 8, 4)
    assert (batch["present"] == 1).all()


def test_other_axes_are_blurred_and_at_the_gap_of_the_scan():
    """Rows of two values in turn, blurred over two distances: all alike."""
    unit = np.zeros((140, 70, 72), np.float32)
    unit[:, ::2] = 0.2
    unit += np.random.default_rng(0).uniform(0, 0.1, unit.shape).astype(np.float32)
    blur = np.array([0.25, 0.5, 0.25])
    examples = ScanExamples.of(Stack("scan", unit, (2.0, 1.0, 1.0)), lambda mm: blur)
    assert [slab.stack.spacing_mm[0] for slab in examples.across] == [1.0] * 4
    along_rows = examples.across[0].stack.unit  # the rows are its slices
    assert along_rows.std(axis=0).mean() < 0.03 < unit[:69].std(axis=1).mean()
    batch = examples.batch(step=0, **OPTIONS | {"crop": 32})
    assert list(batch["gap_mm"]) == [4.0] * 3 + [2.0] * 3
