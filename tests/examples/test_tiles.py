"""Batches of crops of colour images, and stains that vary."""

import numpy as np
import pytest
from skimage.color import hed2rgb, rgb2hed

from medgen.examples.tiles import jittered, tile_batch

RNG = np.random.default_rng(3)
IMAGE = RNG.integers(20, 236, (40, 50, 3), np.uint8)


def batch(images=(IMAGE,), **options):
    return tile_batch(
        images, **({"crop": 8, "size": 6, "jitter": 0.0, "seed": 1, "step": 2} | options)
    )


def test_the_same_step_gives_the_same_batch_and_another_one_another():
    np.testing.assert_array_equal(batch(jitter=0.2), batch(jitter=0.2))
    for other in ({"step": 3}, {"seed": 2}, {"jitter": 0.1}):
        assert (batch(jitter=0.2) != batch(**({"jitter": 0.2} | other))).any()


def test_crops_are_of_the_image_in_the_unit_range():
    crops = batch(size=60)
    assert (crops.shape, crops.dtype) == ((60, 8, 8, 3), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(IMAGE, (8, 8), axis=(0, 1))
    windows = {w.tobytes() for w in np.moveaxis(windows, 2, -1).reshape(-1, 8, 8, 3)}
    turns = set()
    for crop in np.rint((crops + 0.5) * 255).astype(np.uint8):
        found = [
            (k, mirrored)
            for mirrored in (False, True)
            for k in range(4)
            if np.ascontiguousarray(
                np.rot90(crop.swapaxes(0, 1) if mirrored else crop, -k)
            ).tobytes()
            in windows
        ]
        assert len(found) == 1
        turns.add(found[0])
    assert len(turns) == 8


def test_glass_is_passed_over():
    glass = np.full((40, 40, 3), 240, np.uint8)
    crops = batch((IMAGE, glass), size=40)
    assert (crops.std(axis=(1, 2)).max(-1) == 0).sum() < 8
    assert batch((glass,)).shape == (6, 8, 8, 3)


def test_jitter_changes_each_stain_by_a_factor_and_a_shift():
    """As splitting by scikit-image, changing, and joining does."""
    found = jittered(IMAGE, 0.1, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    times, plus = rng.uniform(0.9, 1.1, 3), rng.uniform(-0.02, 0.02, 3)
    # Its logarithm is to the base of a million, and it limits stains to 0.
    stains = rgb2hed(IMAGE)
    all_three = (stains > 0.001).all(-1)
    changed = hed2rgb(stains * times + plus / np.log(1e6)) * 255
    assert all_three.sum() > 50
    np.testing.assert_allclose(found[all_three], changed[all_three], atol=4)


def test_no_jitter_leaves_the_image():
    np.testing.assert_array_equal(jittered(IMAGE, 0.0, RNG), IMAGE)
    again = jittered(IMAGE, 1e-7, RNG)
    np.testing.assert_allclose(again, IMAGE, atol=0.01)


@pytest.mark.parametrize("value", [0, 255])
def test_the_ends_stay_within_8_bits(value):
    flat = np.full((4, 4, 3), value, np.uint8)
    found = jittered(flat, 0.5, np.random.default_rng(0))
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 255
