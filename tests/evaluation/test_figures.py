import numpy as np
import pytest

from medgen.evaluation.hanging import hung, hung_spacing
from medgen.evaluation.regions import enlarged_region

# An axial slice as it hangs: the patient's front (A) up, right side (R) on the left.
AXIAL = np.array([["RA", "LA"], ["RP", "LP"]])


@pytest.mark.parametrize(
    ("codes", "image"),
    [
        (("P", "L"), AXIAL),
        (("A", "L"), AXIAL[::-1]),
        (("P", "R"), AXIAL[:, ::-1]),
        (("L", "P"), AXIAL.T),
        (("R", "A"), AXIAL[::-1, ::-1].T),
    ],
)
def test_axial_slices_hang_front_up_and_right_on_the_left(codes, image):
    np.testing.assert_array_equal(hung(image, codes), AXIAL)


def test_coronal_and_sagittal_slices_hang_head_up():
    coronal = np.array([["RS", "LS"], ["RI", "LI"]])
    np.testing.assert_array_equal(hung(coronal[::-1].T, ("L", "S")), coronal)
    sagittal = np.array([["AS", "PS"], ["AI", "PI"]])
    np.testing.assert_array_equal(hung(sagittal[:, ::-1], ("I", "A")), sagittal)


def test_spacing_turns_with_the_slice():
    assert hung_spacing((0.5, 2.0), ("P", "L")) == (0.5, 2.0)
    assert hung_spacing((0.5, 2.0), ("L", "P")) == (2.0, 0.5)


def test_enlarged_region_holds_the_detail():
    image = np.zeros((60, 100))
    image[:, :30] = 500  # one strong edge
    image[31:41, 70:88] += 300 * (np.indices((10, 18)).sum(axis=0) % 2)
    top, left, height, width = enlarged_region(image, np.ones(image.shape, bool))
    assert (height, width) == (12, 20)
    assert top <= 31
    assert top + height >= 41
    assert left <= 70
    assert left + width >= 88


def test_enlarged_region_stays_within_the_region_of_interest():
    image = np.random.default_rng(0).normal(0, 100, (60, 100))
    region = np.zeros(image.shape, bool)
    region[40:60, 5:30] = True
    top, left, height, width = enlarged_region(image, region)
    assert region[top : top + height, left : left + width].all()
