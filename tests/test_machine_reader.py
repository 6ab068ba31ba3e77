"""A reader finds a tell that was planted, and none where there is none."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medgen.errors import EvaluationError
from medgen.evaluation.budgets import BUDGETS
from medgen.evaluation.plan import Plan
from medgen.evaluation.reading import Shown, shown_slices, tell
from medgen.machine_reader import Scale, read

TINY = replace(
    BUDGETS["default"], fine=True, side=24, steps=40, batch=8, squares=8, filters=(8, 12)
)


def noisy(seed: int, count: int = 6, channels: int = 1) -> np.ndarray:
    """Slices `(n, rows, cols, c)` of a smooth object and fine noise, in HU."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(count, 40, 32, channels)), (0, 6, 6, 0))
    return (4000 * smooth + rng.normal(0, 30, smooth.shape)).astype(np.float32)


def blurred(slices: np.ndarray) -> np.ndarray:
    return gaussian_filter(slices, (0, 0.6, 0.6, 0))


@pytest.fixture(scope="module")
def shown() -> list[Shown]:
    """Three scans by a method that blurs, one that gives the truth, and one that fails once."""
    scans = []
    for number in range(3):
        true = noisy(number)
        tests = {"blurs": blurred(true), "is exact": true.copy()}
        if number:
            tests["fails once"] = true[::-1].copy()
        scans.append(Shown(f"scan {number}", tuple(range(6)), true, tests))
    return scans


@pytest.fixture(scope="module")
def readings(shown):
    return read(shown, TINY, seed=3)


def test_a_blur_is_told_and_what_is_identical_is_not(readings):
    told = tell(readings, TINY, fewest_scans=6)["methods"]
    assert told["blurs"]["told"] > 0.9
    assert told["is exact"]["told"] == 0.5
    assert 0.5 < told["blurs"]["low"] <= told["blurs"]["told"] <= told["blurs"]["high"] <= 1


def test_every_scan_is_left_out_once_by_each_method_that_has_it(readings):
    told = tell(readings, TINY, fewest_scans=6)["methods"]
    assert list(told["blurs"]["scans"]) == ["scan 0", "scan 1", "scan 2"]
    assert list(told["fails once"]["scans"]) == ["scan 1", "scan 2"]
    assert (told["blurs"]["pairs"], told["blurs"]["slices"]) == (3 * 6 * 8, 18)


def test_the_same_seed_reads_alike(shown):
    few = replace(TINY, steps=6)
    two = [replace(scan, tests={"moves": np.roll(scan.true, 1, 0)}) for scan in shown[:2]]
    first, second, other = (read(two, few, seed=seed)["moves"].hits for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_what_lies_between_slices_tells_a_reader_that_sees_them():
    """Slices that are real ones of another place: only their neighbours give them away."""
    scans = []
    for number in range(2):
        stack = gaussian_filter(noisy(number, 26, 1)[..., 0], (2, 0, 0))
        wrong = stack.copy()
        wrong[1::2] = stack[1::2][::-1]
        plan = Plan(2, 0, 1, 2, 13, 1.0)
        strong = replace(TINY, neighbours=True, steps=60, name="strong")
        tests = {"elsewhere": wrong}
        scans.append(shown_slices(f"{number}", stack, tests, plan, plan.removed, strong))
    assert scans[0].true.shape == (10, 40, 32, 3)  # but for the outermost gaps
    assert tell(read(scans, strong), strong, 6)["methods"]["elsewhere"]["told"] > 0.9


def test_one_scan_is_refused(shown):
    with pytest.raises(EvaluationError, match="two or more, got 1"):
        read(shown[:1], TINY)


def test_slices_smaller_than_the_squares_and_of_different_sizes(shown):
    small = [
        replace(
            scan, true=scan.true[:, : 20 + n], tests={"blurs": scan.tests["blurs"][:, : 20 + n]}
        )
        for n, scan in enumerate(shown[:2])
    ]
    assert len(read(small, replace(TINY, steps=2))["blurs"].hits) == 96


def test_the_scale_is_that_of_the_scan_whatever_its_unit():
    true = noisy(0)
    images = Scale.of(true).images(true, fine_too=True)
    for factor, offset in ((0.01, 0), (7, 3000)):
        other = (true * factor + offset).astype(np.float32)
        np.testing.assert_allclose(Scale.of(other).images(other, fine_too=True), images, atol=0.02)
    assert np.isfinite(Scale.of(np.zeros_like(true)).images(np.zeros_like(true), True)).all()


def test_fine_structure_is_given_apart_or_not_at_all():
    true = noisy(0, channels=3)
    scale = Scale.of(true)
    whole = scale.images(true, fine_too=True)
    assert whole.shape == (*true.shape[:3], 6)
    np.testing.assert_array_equal(scale.images(true, fine_too=False), whole[..., :3])
