"""A target and the slices around it: the right ones, in the right order, at the right distance."""

import numpy as np
import pytest

from medgen.errors import TrainingError
from medgen.examples.augmentation import Augmentation
from medgen.examples.contexts import acquired_around, context_batch, to_levels
from medgen.examples.stacks import Slab, Stack

LEVELS = 2048
OPTIONS = {"levels": LEVELS, "crop": 8, "size": 64, "context": 3, "max_gap_mm": 9.0, "seed": 3}


def ramp() -> Stack:
    """Slices whose levels tell slice (100 each), row (4 each) and column (1 each)."""
    z, row, column = np.ogrid[:20, :12, :15]
    levels = 100 * z + 4 * row + column + np.zeros((20, 12, 15))
    return Stack("ramp", (levels / (LEVELS - 1) - 0.5).astype(np.float32), (1.5, 1.0, 1.0))


@pytest.fixture
def batch(monkeypatch) -> dict[str, np.ndarray]:
    monkeypatch.setattr("medgen.examples.contexts.FLAT", 0.0)
    return context_batch([Slab(ramp(), 2, 19)], step=1, **OPTIONS)


def test_target_lies_at_its_position_between_the_nearest_two(batch):
    slices = (batch["context"][:, 0, 0] - batch["target"][:, 0, 0, None]) / 100
    before, after = slices[:, 2], slices[:, 3]
    assert (before * after < 0).all()
    np.testing.assert_allclose(before / (before - after), batch["position"], rtol=1e-6)
    np.testing.assert_allclose(np.abs(after - before) * 1.5, batch["gap_mm"], rtol=1e-6)
    gaps = np.unique(batch["gap_mm"])
    np.testing.assert_allclose(gaps, 1.5 * np.arange(2, 7))
    assert (after > 0).any()
    assert (after < 0).any()  # upside down
    for low, high in ((0.0, 0.3), (0.7, 1.0)):
        assert ((batch["position"] > low) & (batch["position"] < high)).any()


def test_present_slices_are_equally_spaced_and_inside_the_slab(batch):
    number = batch["context"] // 100
    steps = (batch["context"][..., 3] - batch["context"][..., 2])[:, :1, :1, None] // 100
    offsets = np.arange(6) - 2
    expected = number[..., 2:3] + steps * offsets
    inside = (expected >= 2) & (expected < 19)
    np.testing.assert_array_equal(batch["present"].astype(bool), inside[:, 0, 0])
    present = np.broadcast_to(batch["present"][:, None, None].astype(bool), number.shape)
    np.testing.assert_array_equal(number[present], expected[present])
    assert batch["present"][:, 2:4].all()
    assert 0 < batch["present"].mean() < 1


def test_crops_are_flipped_alike_in_all_slices(batch):
    in_plane = batch["target"] % 100
    np.testing.assert_array_equal(
        batch["context"] % 100, np.repeat(in_plane[..., None], 6, axis=-1)
    )
    rows, columns = in_plane[:, 1, 0] - in_plane[:, 0, 0], in_plane[:, 0, 1] - in_plane[:, 0, 0]
    assert set(rows) == {-4, 4}
    assert set(columns) == {-1, 1}


def test_same_seed_and_step_same_batch():
    slabs = [Slab(ramp(), 0, 20)]
    changes = Augmentation(
        edge=0.3, other_axes=0.5, thickness=1.0, zoom=0.3, noise=0.01, kernel=0.5
    )
    options = OPTIONS | {"augmentation": changes}
    first, again, other = (context_batch(slabs, step=step, **options) for step in (5, 5, 6))
    for key, values in first.items():
        np.testing.assert_array_equal(values, again[key])
    assert (first["target"] != other["target"]).any()


def test_edge_hides_outer_slices_of_one_side():
    long = Stack("long", np.random.default_rng(0).normal(size=(60, 9, 9)) / 9, (1.5, 1.0, 1.0))
    options = OPTIONS | {"max_gap_mm": 3.0, "size": 200}
    middle = [Slab(long, 20, 40)]
    hidden = context_batch(middle, step=0, augmentation=Augmentation(edge=0.99), **options)[
        "present"
    ]
    assert hidden[:, 2:4].all()
    assert (hidden[:, :2].sum(1) == 1).any()
    assert (hidden[:, 4:].sum(1) == 0).any()


def test_min_gap_where_the_scan_allows():
    slabs = [Slab(ramp(), 0, 20)]
    gaps = context_batch(slabs, step=0, min_gap_mm=5.0, **OPTIONS)["gap_mm"]
    assert gaps.min() == 6.0
    short = [Slab(ramp(), 0, 4)]
    gaps = context_batch(short, step=0, min_gap_mm=5.0, **OPTIONS)["gap_mm"]
    assert gaps.max() == 4.5


def test_a_scan_of_two_slices_is_refused():
    with pytest.raises(TrainingError, match="three slices"):
        context_batch([Slab(ramp(), 4, 6)], step=0, **OPTIONS)


def test_acquired_around_by_hand():
    indices, present = acquired_around(4, 3, 2, start=2, stop=9)
    np.testing.assert_array_equal(indices, [2, 4, 7, 8])
    np.testing.assert_array_equal(present, [False, True, True, False])


def test_every_level_comes_back_through_the_unit_range():
    levels = np.arange(4096)
    np.testing.assert_array_equal(to_levels((levels / 4095 - 0.5).astype(np.float32), 4096), levels)
    np.testing.assert_array_equal(to_levels([-0.7, 0.7], 4096), [0, 4095])


def test_thick_slices_average_thin_ones(monkeypatch):
    monkeypatch.setattr("medgen.examples.contexts.FLAT", 0.0)
    profile = np.array([0.25, 0.5, 0.25])
    monkeypatch.setattr("medgen.examples.contexts.slice_profile", lambda half: profile)
    spikes = np.zeros((30, 9, 10), np.float32)
    spikes[15] = 0.4
    slab = Slab(Stack("spike", spikes, (1.0, 1.0, 1.0)), 0, 30)
    batch = context_batch([slab], step=0, **OPTIONS)
    seen = np.unique(np.concatenate([batch["target"].ravel(), batch["context"].ravel()]))
    np.testing.assert_array_equal(seen, to_levels([0.0, 0.1, 0.2], LEVELS))


def test_other_axes_lie_a_pixel_apart():
    volume = np.random.default_rng(0).normal(size=(70, 80, 90)).astype(np.float32) / 9
    slab = Slab(Stack("noise", volume, (2.0, 1.0, 0.9)), 0, 70)
    options = OPTIONS | {"augmentation": Augmentation(other_axes=0.5), "size": 100}
    gaps = context_batch([slab], step=0, **options)["gap_mm"]
    steps = np.stack([gaps / spacing for spacing in (2.0, 1.0, 0.9)])
    of_axis = np.isclose(steps, np.rint(steps), atol=1e-4).any(axis=1)
    assert of_axis.all()
    assert (gaps < 4.0).any()  # two slices of the scan are 4 mm apart at least
