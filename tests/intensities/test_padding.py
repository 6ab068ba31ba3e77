"""Padding and backgrounds of one exact value, by the values and where they lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgen.intensities.modality import MODALITIES
from medgen.intensities.padding import (
    BACKGROUND,
    PADDING,
    Outside,
    find_outside,
    guess_padding,
)

ROWS, COLS = np.mgrid[:40, :48]
ELLIPSE = ((ROWS - 19.3) / 14) ** 2 + ((COLS - 24.1) / 17) ** 2 < 1
CIRCLE = (ROWS - 19.5) ** 2 + (COLS - 23.5) ** 2 < 19**2


def a_scan(background, slices=3, seed=0) -> np.ndarray:
    """Tissue with every whole number around 40 in an ellipse, `background` beside it."""
    rng = np.random.default_rng(seed)
    tissue = np.rint(rng.normal(40, 15, (slices, 40, 48)))
    return np.where(ELLIPSE, tissue, background).astype(np.float32)


def noise(mean, deviation, shape=(3, 40, 48)):
    return np.rint(np.random.default_rng(5).normal(mean, deviation, shape))


@pytest.mark.parametrize(
    ("modality", "value"), [("ct", -1000), ("ct", -1024), ("ct", 0), ("mr", 0), ("mr", -7.25)]
)
def test_one_value_all_around_is_background(modality, value):
    outside = find_outside(a_scan(value), MODALITIES[modality])
    # Tissue that happens to have the value and touches the background is part of it.
    assert outside.background[:, ~ELLIPSE].all()
    assert outside.background[:, ELLIPSE].mean() < 0.02
    assert not outside.padding.any()


@pytest.mark.parametrize(
    ("modality", "value", "declared"), [("ct", -2000, None), ("ct", 0, 0.0), ("mr", 0, 0.0)]
)
def test_padding_is_no_background(modality, value, declared):
    outside = find_outside(a_scan(value), MODALITIES[modality], declared=declared)
    assert outside.padding[:, ~ELLIPSE].all()
    assert outside.padding[:, ELLIPSE].mean() < 0.02
    assert not outside.background.any()


def test_the_same_value_within_the_body_is_not_background():
    scan = a_scan(0)
    scan[1, 17:22, 20:27] = 0
    outside = find_outside(scan, MODALITIES["mr"])
    assert not outside.background[:, 14:25, 17:30].any()
    scan[:, 17:22, :27] = 0  # an inlet: connected to the surroundings
    assert find_outside(scan, MODALITIES["mr"]).background[:, 17:22, :27].all()


def test_an_inlet_may_lead_through_other_slices():
    scan = a_scan(0)
    scan[1:, 17:22, 20:27] = 0
    scan[2, 17:22, :27] = 0
    assert find_outside(scan, MODALITIES["mr"]).background[1, 17:22, 20:27].all()


@pytest.mark.parametrize("deviation", [0.4, 1.0, 20.0])
@pytest.mark.parametrize(("modality", "mean"), [("ct", -1000), ("mr", 0)])
def test_air_of_noise_is_no_background(modality, mean, deviation):
    """At a deviation of 0.4 four in five voxels are the mean itself."""
    scan = np.where(ELLIPSE, a_scan(0), noise(mean, deviation))
    outside = find_outside(scan.astype(np.float32), MODALITIES[modality])
    assert not outside.background.any()
    assert not outside.padding.any()


def test_noise_cut_off_at_the_lowest_value_is_no_background():
    """Two in three voxels of air at -1024, as some scanners have it."""
    scan = np.where(ELLIPSE, a_scan(0), np.maximum(noise(-1034, 25), -1024))
    assert 0.6 < np.mean(scan[:, ~ELLIPSE] == -1024) < 0.7
    outside = find_outside(scan.astype(np.float32), MODALITIES["ct"])
    assert not (outside.background | outside.padding).any()


def test_far_below_air_is_padding_and_a_little_below_is_not():
    scan = np.where(ELLIPSE, a_scan(0), noise(-1020, 60)).astype(np.float32)
    assert scan.min() < -1150
    scan[:, ~CIRCLE] = -3024
    scan[1, 19, 24] = -2000  # wherever it is
    expected = np.broadcast_to(~CIRCLE, scan.shape).copy()
    expected[1, 19, 24] = True
    outside = find_outside(scan, MODALITIES["ct"])
    np.testing.assert_array_equal(outside.padding, expected)
    assert not outside.background.any()
    assert not find_outside(scan - 0, MODALITIES["unknown"]).padding.any()


def test_exact_air_within_a_circle_of_padding():
    """It does not reach the borders but through the padding."""
    scan = a_scan(-1000)
    scan[:, ~CIRCLE] = -2048
    scan[:, 19:21, 24] = -1000
    outside = find_outside(scan, MODALITIES["ct"])
    np.testing.assert_array_equal(outside.padding, np.broadcast_to(~CIRCLE, scan.shape))
    expected = np.broadcast_to(CIRCLE & ~ELLIPSE, scan.shape)
    np.testing.assert_array_equal(outside.background, expected)


def test_declared_padding_counts_where_it_fills_the_surroundings():
    scan = np.where(ELLIPSE, a_scan(0), noise(-1000, 20)).astype(np.float32)
    scan[:, ~CIRCLE] = 0  # declared, and no rare value of tissue
    assert (scan[:, ELLIPSE] == 0).any()
    outside = find_outside(scan, MODALITIES["ct"], declared=0)
    np.testing.assert_array_equal(outside.padding, np.broadcast_to(~CIRCLE, scan.shape))


@pytest.mark.parametrize("modality", ["ct", "mr"])
def test_declared_padding_that_is_nowhere_but_in_the_body_is_none(modality):
    """Tissue up to the borders, a few voxels of which hold the value there."""
    scan = noise(40, 15).astype(np.float32)
    scan[:, 10:20, 10:20] = 0
    scan[:, 0, 3:9] = 0
    assert not find_outside(scan, MODALITIES[modality], declared=0).padding.any()


def test_labels_have_no_background():
    outside = find_outside(a_scan(0), MODALITIES["labels"])
    assert not (outside.background | outside.padding).any()


def test_two_values_may_be_padding_and_background():
    """Declared -5 in a frame, no signal at 0 around the body."""
    scan = a_scan(0)
    scan[:, :3], scan[:, -3:] = -5, -5
    outside = find_outside(scan, MODALITIES["mr"], declared=-5)
    frame = (ROWS < 3) | (ROWS > 36)
    np.testing.assert_array_equal(outside.padding, np.broadcast_to(frame, scan.shape))
    assert outside.background[:, ~ELLIPSE & ~frame].all()


def outside_of(padding=(), background=()) -> Outside:
    """Of slices of one row."""
    kinds = np.zeros(np.shape(padding or background), np.uint8)
    for marked, kind in ((padding, PADDING), (background, BACKGROUND)):
        if marked:
            kinds[np.array(marked, bool)] = kind
    return Outside(kinds[:, None])


@pytest.mark.parametrize(
    ("position", "padded", "nearest"),
    [
        (0.25, [True, True, False, False], 0),
        (0.5, [True, False, False, False], 0),
        (0.75, [True, False, True, False], 1),
    ],
)
def test_the_nearer_slice_decides_over_padding_and_half_way_tissue(position, padded, nearest):
    held, of = outside_of([[1, 1, 0, 0], [1, 0, 1, 0]]).held(position)
    assert (held[0].tolist(), of) == (padded, nearest)


@pytest.mark.parametrize("position", [0.1, 0.5, 0.9])
def test_background_stays_where_both_neighbours_are(position):
    held, _ = outside_of(background=[[1, 1, 0, 0], [1, 0, 1, 0]]).held(position)
    assert held[0].tolist() == [True, False, False, False]


def test_beside_padding_the_nearest_measured_slice_goes_on():
    values = np.array([[1, 9], [2, 9], [3, 9], [4, 9], [5, 9]], np.float32)[:, None]
    outside_of([[1, 1], [0, 1], [1, 1], [1, 1], [0, 1]]).without_padding(values, -1024)
    np.testing.assert_array_equal(values[:, 0, 0], [2, 2, 2, 5, 5])
    np.testing.assert_array_equal(values[:, 0, 1], -1024)


@settings(max_examples=50)
@given(st.integers(0, 2**16), st.integers(1, 5), st.sampled_from([(3, 4), (1, 6), (7, 2)]))
def test_what_is_shown_was_measured_in_the_nearest_slice(seed, slices, sides):
    rng = np.random.default_rng(seed)
    padding = rng.random((slices, *sides)) < 0.6
    values = rng.normal(size=padding.shape)
    shown = values.copy()
    Outside(np.where(padding, PADDING, 0)).without_padding(shown, -1024)
    for k, row, col in np.ndindex(padding.shape):
        measured = np.flatnonzero(~padding[:, row, col])
        if not measured.size:
            assert shown[k, row, col] == -1024
            continue
        nearest = measured[np.abs(measured - k) == np.abs(measured - k).min()]
        assert shown[k, row, col] == values[nearest[0], row, col]


TISSUE = np.random.default_rng(11).normal(40, 20, 10_000).round()
AIR = np.random.default_rng(12).normal(-1000, 15, 1000).round()
PADDED = np.full(2000, -3024.0)


@pytest.mark.parametrize(
    ("values", "padding"),
    [
        (np.concatenate([TISSUE, AIR, PADDED]), -3024),
        (np.concatenate([TISSUE, AIR, PADDED[:3]]), None),  # a few dark voxels
        (np.concatenate([TISSUE, AIR, np.full(2000, -1024)]), None),  # air, as far as HU tell
        (np.concatenate([TISSUE, AIR, [np.nan]]), None),
        (np.full(10, np.nan), None),
    ],
)
def test_padding_is_guessed_by_what_repeats(values, padding):
    assert guess_padding(values.astype(np.float32)) == padding
