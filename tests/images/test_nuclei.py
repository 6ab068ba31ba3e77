"""Nuclei of a drawn tissue, of which it is known how many there are and where."""

import numpy as np
import pytest
from skimage.color import hed2rgb
from skimage.draw import disk

from medgen.images.nuclei import Nuclei, compare_nuclei

PLACES = [(20, 20), (20, 60), (60, 30), (70, 75), (110, 50), (100, 100)]


def tissue(places, radius=7, stained=0.12) -> np.ndarray:
    """Nuclei on eosin, with the noise of a camera."""
    hed = np.zeros((130, 120, 3))
    hed[..., 1] = 0.04
    for place in places:
        hed[(*disk(place, radius, shape=hed.shape[:2]), 0)] = stained
    noise = np.random.default_rng(0).normal(0, 2, hed.shape)
    return np.clip(255 * hed2rgb(hed) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (PLACES, Nuclei(6, 6, 6)),
        (PLACES[1:], Nuclei(6, 5, 5)),  # one is lost
        ([*PLACES, (20, 100)], Nuclei(6, 7, 6)),  # one is invented
        ([*PLACES[1:], (20, 100)], Nuclei(6, 6, 5)),  # both, which a count does not tell
        ([(r + 3, c - 3) for r, c in PLACES], Nuclei(6, 6, 6)),
        ([(r + 12, c - 12) for r, c in PLACES], Nuclei(6, 6, 0)),
        ([], Nuclei(6, 0, 0)),
    ],
)
def test_nuclei_are_counted_and_found_again(made, expected):
    assert compare_nuclei(tissue(PLACES), tissue(made)) == expected


def test_two_that_touch_are_two_and_dust_is_none():
    touching = [(40, 40), (40, 53)]
    assert compare_nuclei(tissue(touching), tissue(touching)) == Nuclei(2, 2, 2)
    assert compare_nuclei(tissue(PLACES), tissue(PLACES, radius=2)).test == 0


def test_one_between_two_is_one_of_them():
    two = tissue([(40, 40), (40, 50)], radius=5)
    assert compare_nuclei(two, tissue([(40, 45)], radius=5)) == Nuclei(2, 1, 1)


def test_what_is_too_pale_for_the_image_is_none_in_what_was_restored():
    assert compare_nuclei(tissue(PLACES), tissue(PLACES, stained=0.04)) == Nuclei(6, 0, 0)


def test_glass_and_one_colour_have_none():
    glass = tissue([])
    assert compare_nuclei(glass, glass) == Nuclei(0, 0, 0)
    white = np.full((40, 40, 3), 255, np.uint8)
    assert compare_nuclei(white, white) == Nuclei(0, 0, 0)
