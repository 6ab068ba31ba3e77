"""Batches belong to seed and step, and hold what lies in the scans."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.errors import TrainingError
from medgen.examples.batches import CodeSlab, image_batch, triplet_batch
from medgen.examples.stacks import Slab, Stack

UNKNOWN = 999


def an_image_slab(slices=6, rows=9, cols=13, start=1, stop=5, flat=False) -> Slab:
    """Pixels that tell their slice, row and column."""
    z, y, x = np.indices((slices, rows, cols))
    unit = np.zeros(z.shape) if flat else (z * rows * cols + y * cols + x) / z.size - 0.5
    return Slab(Stack("scan", unit.astype(np.float32), (2.0, 1.0, 1.0)), start, stop)


def same(a, b) -> bool:
    """Whether two batches, arrays or mappings of arrays, are the same bytes."""
    if isinstance(a, dict):
        return all(same(a[key], b[key]) for key in a)
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


# === Images ===


def symmetries(image):
    for turned in (np.rot90(image, quarter) for quarter in range(4)):
        yield turned
        yield turned.T


@pytest.mark.parametrize("crop", [4, 9])
def test_every_crop_is_a_crop_of_a_slice_of_the_slab(crop):
    slab = an_image_slab()
    batch = image_batch([slab], crop=crop, size=200, seed=0, step=3)
    assert batch.shape == (200, crop, crop, 1)
    assert batch.dtype == np.float32
    seen = set()
    for image in batch[..., 0]:
        # Its lowest value is that of the window's first pixel, which tells where it was.
        z, y, x = np.argwhere(slab.stack.unit == image.min())[0]
        window = slab.stack.unit[z, y : y + crop, x : x + crop]
        turn = next(i for i, t in enumerate(symmetries(image)) if np.array_equal(t, window))
        seen.add((z, y, x, turn))
    slices, rows, cols, turns = (set(values) for values in zip(*seen, strict=True))
    assert slices == {1, 2, 3, 4}
    assert rows == set(range(9 - crop + 1))
    assert cols == set(range(13 - crop + 1))
    assert turns == set(range(8))


def test_slices_smaller_than_the_crop_are_extended_by_their_edges():
    slab = an_image_slab(rows=4, cols=5)
    batch = image_batch([slab], crop=7, size=8, seed=0, step=0)[..., 0]
    whole = [np.pad(image, ((0, 3), (0, 2)), "edge") for image in slab.stack.unit[1:5]]
    for image in batch:
        assert any(np.array_equal(t, w) for t in symmetries(image) for w in whole)


def test_flat_crops_are_passed_over_while_there_are_others():
    mostly_flat = an_image_slab()
    mostly_flat.stack.unit[2:] = 0.25
    batch = image_batch([mostly_flat], crop=4, size=200, seed=0, step=0)
    # 3 of 4 slices are flat; 4 attempts leave a share of (3/4)^4 = 0.32.
    assert 0.2 < np.mean(batch.std((1, 2, 3)) < 0.01) < 0.45
    flat = image_batch([an_image_slab(flat=True)], crop=4, size=3, seed=0, step=0)
    np.testing.assert_array_equal(flat, 0)


def test_longer_slabs_give_more_but_do_not_drown_the_others():
    long, short = an_image_slab(40, start=0, stop=36), an_image_slab(5, start=0, stop=4)
    long.stack.unit[...] = np.indices((9, 13)).sum(0) % 2 + 2
    batch = image_batch([long, short], crop=4, size=2000, seed=0, step=0)
    # In proportion to the square roots, 6 and 2.
    assert np.mean(batch > 1) == pytest.approx(0.75, abs=0.04)


@pytest.mark.parametrize("kind", ["images", "triplets"])
def test_a_batch_belongs_to_seed_and_step(kind):
    def batch(seed, step):
        if kind == "images":
            return image_batch([an_image_slab()], crop=4, size=5, seed=seed, step=step)
        return triplets([a_code_slab()], seed=seed, step=step)

    first = batch(1, 7)
    batch(3, 4)
    assert same(first, batch(1, 7))
    assert not same(first, batch(1, 8))
    assert not same(first, batch(2, 7))


# === Triplets ===


def a_code_slab(slices=9, rows=6, cols=8, spacing_mm=1.5, value=None) -> CodeSlab:
    """Codes that tell their flip and slice, the same all over the map."""
    flips, z = np.indices((4, slices))
    codes = 100 * flips + z if value is None else np.full((4, slices), value)
    return CodeSlab("scan", np.tile(codes[..., None, None], (1, 1, rows, cols)), spacing_mm)


def triplets(slabs, **options):
    defaults = {"crop": 4, "size": 300, "max_gap_mm": 7.0, "unconditional": 0.0, "seed": 0}
    return triplet_batch(slabs, unknown=UNKNOWN, **(defaults | {"step": 0} | options))


def test_place_and_gap_are_those_of_the_slices():
    batch = triplets([a_code_slab()])
    for key in ("previous", "codes", "next"):
        assert batch[key].shape == (300, 4, 4)
        assert batch[key].dtype == np.int32
        assert (batch[key] == batch[key][:, :1, :1]).all()
    previous, wanted, following = (batch[key][:, 0, 0] for key in ("previous", "codes", "next"))
    # All three under the same flip, and every flip at times.
    np.testing.assert_array_equal(previous // 100, wanted // 100)
    np.testing.assert_array_equal(following // 100, wanted // 100)
    assert set(wanted // 100) == {0, 1, 2, 3}
    distance = following - previous
    np.testing.assert_allclose(batch["position"], (wanted - previous) / distance, rtol=1e-6)
    np.testing.assert_allclose(batch["gap_mm"], 1.5 * np.abs(distance), rtol=1e-6)
    assert ((batch["position"] > 0) & (batch["position"] < 1)).all()
    # At most 7 mm: 4 slices of 1.5 mm. Both directions, every slice, every place between.
    assert set(distance) == {-4, -3, -2, 2, 3, 4}
    assert set(wanted % 100) == set(range(1, 8))
    assert set(previous % 100) == set(range(9))
    places = {1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4}
    assert set(batch["position"].tolist()) == set(np.float32(sorted(places)).tolist())


@pytest.mark.parametrize(
    ("slices", "spacing_mm", "max_gap_mm", "reach"),
    [(9, 1.5, 7.0, 4), (9, 5.0, 7.0, 2), (9, 9.0, 7.0, 2), (3, 0.5, 7.0, 2), (5, 0.5, 7.0, 4)],
)
def test_neighbours_are_two_slices_apart_at_least_and_within_the_scan(
    slices, spacing_mm, max_gap_mm, reach
):
    slab = a_code_slab(slices, spacing_mm=spacing_mm)
    assert slab.reach(max_gap_mm) == reach
    batch = triplets([slab], max_gap_mm=max_gap_mm)
    assert set(batch["gap_mm"]) == {np.float32(n * spacing_mm) for n in range(2, reach + 1)}


def test_all_three_maps_are_cropped_at_the_same_place():
    slab = a_code_slab()
    slab.codes[...] = np.arange(6 * 8).reshape(6, 8) + 100 * np.arange(9)[:, None, None]
    batch = triplets([slab])
    place = batch["codes"] % 100
    np.testing.assert_array_equal(batch["previous"] % 100, place)
    np.testing.assert_array_equal(batch["next"] % 100, place)
    starts = place[:, 0, 0]
    window = np.arange(4)[:, None] * 8 + np.arange(4)
    np.testing.assert_array_equal(place, starts[:, None, None] + window)
    assert set(starts) == {8 * row + col for row in range(3) for col in range(5)}


def test_small_maps_are_extended_by_their_edges():
    slab = a_code_slab(rows=2, cols=3)
    slab.codes[...] = np.arange(6).reshape(2, 3)
    batch = triplets([slab], crop=4, size=2)
    extended = [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]
    for key in ("previous", "codes", "next"):
        np.testing.assert_array_equal(batch[key], [extended, extended])


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_of_the_triplets_has_unknown_neighbours(share):
    batch = triplets([a_code_slab()], unconditional=share, size=600)
    unknown = (batch["previous"] == UNKNOWN).all((1, 2))
    np.testing.assert_array_equal(unknown, (batch["next"] == UNKNOWN).all((1, 2)))
    np.testing.assert_array_equal(unknown, (batch["previous"] == UNKNOWN).any((1, 2)))
    assert np.mean(unknown) == pytest.approx(share, abs=0.06)
    assert not (batch["codes"] == UNKNOWN).any()


def test_slabs_of_fewer_than_three_slices_are_passed_over():
    batch = triplets([a_code_slab(2, value=50), a_code_slab(3, value=60), a_code_slab(1, value=70)])
    np.testing.assert_array_equal(batch["codes"], 60)
    with pytest.raises(TrainingError, match="three slices in a row"):
        triplets([a_code_slab(2), a_code_slab(1)])
    with pytest.raises(TrainingError, match="three slices in a row"):
        triplets([])


@given(st.integers(3, 12), st.floats(0.3, 12.0), st.floats(0.0, 20.0), st.integers(0, 2**32))
def test_no_triplet_leaves_the_scan(slices, spacing_mm, max_gap_mm, seed):
    slab = a_code_slab(slices, spacing_mm=spacing_mm)
    batch = triplets([slab], size=20, max_gap_mm=max_gap_mm, seed=seed)
    z = {key: batch[key][:, 0, 0] % 100 for key in ("previous", "codes", "next")}
    assert max(z["previous"].max(), z["next"].max()) < slices
    assert (np.sign(z["codes"] - z["previous"]) == np.sign(z["next"] - z["codes"])).all()
    assert (batch["gap_mm"] <= max(max_gap_mm, 2 * spacing_mm) * (1 + 1e-6)).all()
