"""A target and the slices around it: the right ones, in the right order, at the right distance."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medgen.errors import TrainingError
from medgen.preprocessing.contexts import (
    acquired_around,
    add_noise,
    change_kernel,
    context_batch,
    to_levels,
)
from medgen.preprocessing.slices import Slab, Stack

LEVELS = 2048
OPTIONS = {"levels": LEVELS, "crop": 8, "size": 64, "context": 3, "max_gap_mm": 9.0, "seed": 3}


def ramp() -> Stack:
    """Slices whose levels tell slice (100 each), row (4 each) and column (1 each)."""
    z, row, column = np.ogrid[:20, :12, :15]
    levels = 100 * z + 4 * row + column + np.zeros((20, 12, 15))
    return Stack("ramp", (levels / (LEVELS - 1) - 0.5).astype(np.float32), (1.5, 1.0, 1.0))


@pytest.fixture
def batch(monkeypatch) -> dict[str, np.ndarray]:
    monkeypatch.setattr("medgen.preprocessing.contexts.FLAT", 0.0)
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
    options = OPTIONS | {"noise": 0.01, "kernel": 0.5, "edge": 0.3}
    first, again, other = (context_batch(slabs, step=step, **options) for step in (5, 5, 6))
    for key, values in first.items():
        np.testing.assert_array_equal(values, again[key])
    assert (first["target"] != other["target"]).any()


def test_edge_hides_outer_slices_of_one_side():
    long = Stack("long", np.random.default_rng(0).normal(size=(60, 9, 9)) / 9, (1.5, 1.0, 1.0))
    options = OPTIONS | {"max_gap_mm": 3.0, "size": 200}
    middle = [Slab(long, 20, 40)]
    hidden = context_batch(middle, step=0, edge=0.99, **options)["present"]
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


def test_noise_has_one_strength_and_correlation_but_is_new_in_each_slice():
    images = np.zeros((7, 64, 64), np.float32)
    touched = []
    for seed in range(20):
        noise = add_noise(images, 0.02, np.random.default_rng(seed))
        if noise.any():
            touched.append(noise)
            deviations = noise.std(axis=(1, 2))
            assert deviations.max() < 1.2 * deviations.min()
            assert 0 < noise.std() <= 0.02
            correlation = np.corrcoef(noise.reshape(7, -1))
            assert np.abs(correlation - np.eye(7)).max() < 0.25
    assert 4 <= len(touched) <= 16
    neighbouring = [np.corrcoef(n[:, 1:].ravel(), n[:, :-1].ravel())[0, 1] for n in touched]
    assert min(neighbouring) < 0.3
    assert max(neighbouring) > 0.6


def test_kernel_sharpens_and_smooths_all_slices_alike():
    images = np.random.default_rng(0).normal(size=(3, 40, 40)).astype(np.float32)
    power = [
        np.square(change_kernel(images, 0.8, np.random.default_rng(seed))).mean()
        for seed in range(20)
    ]
    original = np.square(images).mean()
    assert min(power) < 0.8 * original
    assert max(power) > 1.3 * original
    # A pattern that the filter multiplies by one factor gets the same factor in every slice.
    pattern = np.broadcast_to(np.cos(np.pi * np.arange(40)), (3, 40, 40))
    changed = change_kernel(pattern, 0.8, np.random.default_rng(1))[:, 8:-8, 8:-8]
    factor = changed / pattern[:, 8:-8, 8:-8]
    np.testing.assert_allclose(factor, factor[0, 0, 0], rtol=1e-3)
    flat = gaussian_filter(np.ones((2, 30, 30)), (0, 1, 1))
    np.testing.assert_allclose(change_kernel(flat, 0.8, np.random.default_rng(1)), flat)
