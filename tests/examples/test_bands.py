"""Bands: rows or columns, of all widths, the rest as it is."""

import numpy as np

from medgen.examples.bands import UNKNOWN, around_bands

TARGET = np.random.default_rng(0).integers(0, 9, (200, 16, 20))


def test_a_band_of_whole_rows_or_columns_is_unknown_and_the_rest_is_true():
    known = around_bands(TARGET, seed=1, step=3, all_unknown=0.0)
    unknown = known == UNKNOWN
    np.testing.assert_array_equal(known[~unknown], TARGET[~unknown])
    widths = {0: [], 1: []}
    for mask in unknown:
        along = 0 if mask.all(axis=1).any() else 1  # bands of rows, or of columns
        band = np.flatnonzero(mask.all(axis=1 - along))
        np.testing.assert_array_equal(band, np.arange(band[0], band[-1] + 1))
        assert mask.sum() == len(band) * mask.shape[1 - along]
        widths[along].append(len(band))
    assert 70 < len(widths[0]) < 130
    assert (min(widths[0]), max(widths[0])) == (1, 8)
    assert (min(widths[1]), max(widths[1])) == (1, 10)


def test_of_half_the_slices_nothing_is_known_and_a_step_repeats_itself():
    known = around_bands(TARGET, seed=1, step=3)
    assert 70 < (known == UNKNOWN).all(axis=(1, 2)).sum() < 130
    np.testing.assert_array_equal(known, around_bands(TARGET, seed=1, step=3))
    assert (known != around_bands(TARGET, seed=1, step=4)).any()
    assert (around_bands(TARGET[:, :1, :1], seed=0, step=0) == UNKNOWN).all()
