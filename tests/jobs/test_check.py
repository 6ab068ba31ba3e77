"""Slices left out of a scan tell whether a model knows it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from medgen.interpolation import CLASSICAL, Deterministic, interpolator_named
from medgen.jobs.check import check_scan
from medgen.jobs.job import Job
from medgen.jobs.run import run_job
from medgen.volumes import Geometry, Volume, write_volume

SQUARES = np.arange(20.0) ** 2


def scan_of(values, axis=2):
    """Slices of one value each, along any axis, every second row of them 1 lower."""
    array = np.asarray(values, np.int16) + np.zeros((6, 5, 1), np.int16)
    array[::2] -= 1
    array = np.moveaxis(array, 2, axis)
    return Volume(array, Geometry.from_spacing(array.shape, (1.0, 1.0, 1.0)), modality="ct")


class Constant(Deterministic):
    """A model whose every slice has one value, of whatever it is shown."""

    name = "constant"

    def __init__(self, value, prediction=None):
        self.value, self._prediction, self.shown = value, prediction, []

    def prediction(self):
        return self._prediction

    def slices(self, stack, positions, progress):
        self.shown.append((stack.array[:, 0, 0].tolist(), positions.tolist()))
        for _ in positions:
            yield np.full(stack.shape[1:], self.value, np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_errors_are_those_of_slices_left_out(axis):
    """Linear interpolation of squares over a gap of two is 1 too high everywhere."""
    model = Constant(100)
    check = check_scan(scan_of(SQUARES, axis), model, axis)
    assert check.slices == (5, 9, 14)
    assert check.linear_error == 1
    assert check.error == pytest.approx(np.mean([100 - 24.5, 100 - 80.5, 195.5 - 100]))
    # Of slice 5: every second one from 0 on, four at most behind the gap.
    assert model.shown[0] == ([-1, 3, 15, 35, 63, 99, 143], [2.5])
    assert check.facts == {"left_out": [5, 9, 14], "mae": check.error, "linear_mae": 1}
    assert check.note == (
        "This scan is unlike what constant knows: where 3 acquired slices were left out, its mean "
        "error is 63.5 HU, that of linear interpolation 1 HU; medgen audit tells more, and --model "
        "names another."
    )


def test_a_model_that_is_ahead_is_not_told_of():
    assert check_scan(scan_of(SQUARES), CLASSICAL["bspline"], 2).note is None


def test_the_prediction_is_judged_where_there_is_one():
    model = Constant(0, CLASSICAL["linear"])
    check = check_scan(scan_of(SQUARES), model, 2)
    assert (check.model, check.error, model.shown) == ("constant", 1, [])


@pytest.mark.parametrize(("count", "slices"), [(2, None), (3, (1,)), (4, (1, 2))])
def test_short_scans(count, slices):
    check = check_scan(scan_of(SQUARES[:count] + 1), CLASSICAL["linear"], 2)
    assert (check and check.slices) == slices


def test_blank_slices_tell_nothing():
    scan = scan_of(SQUARES)
    array = scan.array.copy()
    array[..., 14] = 0
    check = check_scan(replace(scan, array=array), CLASSICAL["linear"], 2)
    assert check.slices == (5, 9)


@pytest.fixture
def job(tmp_path):
    array = np.random.default_rng(0).integers(-900, 900, (8, 6, 18)).astype(np.int16)
    array[..., ::2] = array[..., :1]
    scan = Volume(array, Geometry.from_spacing(array.shape, (1.0, 1.0, 3.0)))
    write_volume(scan, tmp_path / "scan.nii")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "recipe.json").write_text("{}")
    return Job(tmp_path / "scan.nii", tmp_path / "out.nii", str(tmp_path / "model"), modality="ct")


@pytest.mark.parametrize(
    ("asked", "prediction", "factor", "done"),
    [
        (None, True, 2, True),  # 17 slices to make
        (None, False, 2, False),
        (False, True, 2, False),
        (True, False, 2, True),
    ],
)
def test_a_run_checks_where_it_is_asked_to_or_where_that_is_cheap(
    job, asked, prediction, factor, done
):
    said, linear = [], interpolator_named("linear")
    model = Constant(3000, Constant(3000) if prediction else None)
    outcome = run_job(replace(job, check=asked, factor=factor), model, note=said.append)
    told = json.loads(job.output.with_name("out.json").read_text())
    assert ("check" in told) == done
    assert any("unlike what constant knows" in sentence for sentence in said) == done
    assert any("unlike" in sentence for sentence in outcome.notes) == done
    assert linear.prediction() is None


def test_what_was_checked_does_not_make_another_run_of_it(job):
    from medgen.jobs.done import is_done

    run_job(replace(job, check=True), Constant(0))
    assert is_done(replace(job, check=False))
