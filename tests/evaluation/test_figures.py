import numpy as np
import pytest

from medgen.evaluation.hanging import hung, hung_spacing
from medgen.evaluation.regions import enlarged_region
from medgen.volumes import Geometry

# An axial slice as it hangs: the patient's front (A) up, right side (R) on the left.
AXIAL = np.array([["RA", "LA"], ["RP", "LP"]])


def run_to(rows: str, columns: str, *, axis: int = 2) -> Geometry:
    """Of slices across `axis` whose rows, 0.5 mm apart, and columns, 2 mm, run to these sides."""
    sides = {rows: 0.5, columns: 2.0}
    last = next(n for n, pair in enumerate(("LR", "PA", "IS")) if not sides.keys() & set(pair))
    affine = np.eye(4)
    affine[:3, :3] = 0
    for place, side in zip((n for n in range(3) if n != axis), sides, strict=True):
        world = next(n for n, pair in enumerate(("LR", "PA", "IS")) if side in pair)
        affine[world, place] = sides[side] * (1 if side in "RAS" else -1)
    affine[last, axis] = 7.0
    return Geometry((2, 2, 2), affine)


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
    for axis in range(3):
        np.testing.assert_array_equal(hung(image, run_to(*codes, axis=axis), axis), AXIAL)


def test_coronal_and_sagittal_slices_hang_head_up():
    coronal = np.array([["RS", "LS"], ["RI", "LI"]])
    np.testing.assert_array_equal(hung(coronal[::-1].T, run_to("L", "S"), 2), coronal)
    sagittal = np.array([["AS", "PS"], ["AI", "PI"]])
    np.testing.assert_array_equal(hung(sagittal[:, ::-1], run_to("I", "A"), 2), sagittal)


def test_spacing_turns_with_the_slice():
    assert hung_spacing(run_to("P", "L"), 2) == (0.5, 2.0)
    assert hung_spacing(run_to("L", "P", axis=1), 1) == (2.0, 0.5)


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
