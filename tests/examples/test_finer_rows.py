"""Finer rows and the coarse ones around them: each part at its place, seen along both axes."""

import numpy as np
import pytest

from medgen.degradation import coarsened
from medgen.errors import TrainingError
from medgen.examples.augmentation import Augmentation
from medgen.examples.rows import coarse_rows_around, finer_rows_batch
from medgen.examples.stacks import Slab, Stack

LEVELS = 2048
OPTIONS = {"levels": LEVELS, "crop": 8, "size": 64, "context": 2, "seed": 3}


def ramp() -> Slab:
    """Levels that tell slice (400 each), row (12 each) and column (4 each)."""
    z, row, column = np.ogrid[:3, :40, :60]
    levels = 400 * z + 12 * row + 4 * column + np.zeros((3, 40, 60))
    unit = (levels / (LEVELS - 1) - 0.5).astype(np.float32)
    return Slab(Stack("ramp", unit, (5.0, 0.7, 0.9)), 0, 3)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_parts_lie_at_their_places_between_the_coarse_rows(factor):
    fine = np.arange(12 * factor, dtype=np.float64)[None, :, None].repeat(2, axis=2)
    coarse = coarsened(fine, factor, axes=(1,))
    for part in range(factor):
        around, place = coarse_rows_around(coarse, part, factor, 3)
        assert around.shape == (1, 12, 2, 6)
        assert 0 <= place < 1
        between = (1 - place) * around[..., 2] + place * around[..., 3]
        inner = slice(3, -3)
        np.testing.assert_allclose(between[:, inner], fine[:, part::factor][:, inner])
        np.testing.assert_allclose(np.diff(around[:, inner], axis=-1), factor)
        assert around.min() == coarse.min()  # beyond the ends the last row goes on


@pytest.mark.parametrize("factor", [2, 3])
def test_the_target_is_what_lies_there(factor):
    """A ramp is linear wherever it was made coarse; rounded to levels on both sides."""
    batch = finer_rows_batch([ramp()], factor=factor, step=0, **OPTIONS)
    place = batch["position"][:, None, None]
    between = (1 - place) * batch["context"][..., 1] + place * batch["context"][..., 2]
    inner = slice(2, -2)
    assert np.abs(between - batch["target"])[:, inner].max() <= 1
    assert set(np.round(batch["gap_mm"], 4)) == {np.float32(s * factor) for s in (0.7, 0.9)}
    # Turned both ways, and coarse along the rows in one half of the cases.
    step = np.diff(batch["target"], axis=2)[:, 0, 0]
    assert set(np.abs(step)) == {4, 12, 4 * factor, 12 * factor}
    assert set(np.sign(step)) == {-1, 1}
    assert batch["present"].all()


def test_same_seed_and_step_same_batch():
    changes = {"augmentation": Augmentation(noise=0.02, kernel=0.8)}
    first, again, other, plain = (
        finer_rows_batch([ramp()], factor=2, step=step, **OPTIONS, **more)
        for step, more in ((5, changes), (5, changes), (6, changes), (5, {}))
    )
    for key, values in first.items():
        np.testing.assert_array_equal(values, again[key])
    assert (first["target"] != other["target"]).any()
    assert (first["target"] != plain["target"]).any()


def test_small_slices_are_extended_and_smaller_ones_refused():
    small = Slab(
        Stack("small", np.random.default_rng(0).normal(size=(2, 5, 6)) / 9, (1, 1, 1)), 0, 2
    )
    batch = finer_rows_batch([small], factor=2, step=0, **OPTIONS)
    assert batch["target"].shape == (64, 8, 8)
    assert batch["context"].shape == (64, 8, 8, 4)
    with pytest.raises(TrainingError, match="slices of 8 x 8 pixels or more"):
        finer_rows_batch([small], factor=4, step=0, **OPTIONS)
