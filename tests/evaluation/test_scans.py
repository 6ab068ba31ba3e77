import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medgen.errors import EvaluationError
from medgen.evaluation.scans import Settings, evaluate_scans, read_mask, scan_names
from medgen.evaluation.scoring import Binning
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import Geometry, Volume, write_volume


def repeat(volume: Volume, *, factor: int, slice_axis: int) -> Volume:
    geometry = volume.geometry.refine(slice_axis, factor)
    indices = np.arange(geometry.shape[slice_axis]) // factor
    return volume.with_array(np.take(volume.array, indices, slice_axis), geometry)


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> dict[str, Path]:
    """Phantoms on disk: two CT, one MR, one too short, one mask, one broken file."""
    folder = tmp_path_factory.mktemp("scans")
    volumes = {
        "ct": phantom_volume("ct", (44, 36, 9), (9.0, 8.0, 20.0), seed=1),
        "ct2": phantom_volume("ct", (44, 36, 9), (9.0, 8.0, 20.0), seed=2),
        "mr": phantom_volume("mr", (30, 34, 9), (7.0, 7.0, 10.0), seed=1),
        "short": phantom_volume("ct", (44, 36, 2), (9.0, 8.0, 20.0), seed=1),
    }
    box = np.zeros((44, 36, 9), np.uint8)
    box[10:30, 8:28] = 1
    volumes["mask"] = volumes["ct"].with_array(box, volumes["ct"].geometry)
    volumes["empty"] = volumes["ct"].with_array(np.zeros_like(box), volumes["ct"].geometry)
    paths = {name: folder / f"{name}.nii.gz" for name in volumes}
    for name, volume in volumes.items():
        write_volume(volume, paths[name])
    paths["broken"] = folder / "broken.nii"
    paths["broken"].write_bytes(b"not a scan")
    return paths


def study(paths, **options):
    settings = options.pop("settings", Settings())
    return evaluate_scans(paths, {"repeat": repeat}, settings, **options)


def test_defaults_follow_the_modality(scans):
    ct, mr = (study([scans[name]]).scans[0] for name in ("ct", "mr"))
    assert (ct.name, ct.modality, ct.region) == ("ct.nii.gz", "ct", "lungs")
    assert ct.binning == Binning(width=25.0)
    assert (mr.modality, mr.region, mr.binning) == ("mr", "body", Binning(count=64))


def test_settings_reach_the_scan(scans):
    settings = Settings(
        factor=3, slice_axis=2, binning=Binning(count=8), mapped=True, thickness_mm=70.0
    )
    result = study([scans["ct"]], settings=settings).scans[0]
    assert (result.plan.factor, result.plan.axis, result.binning.count) == (3, 2, 8)
    assert any(score.map_errors for score in result.scores)
    assert len(result.warnings) == 1
    assert study([scans["ct"]], settings=Settings(gap_mm=80)).scans[0].plan.gap_mm == 80


def test_a_scan_that_tells_how_thick_its_slices_are(scans, monkeypatch):
    """Told thicknesses count where neither file nor user say any, and are said to be estimates."""
    from medgen.profiles.estimate import Estimate

    def told(high_mm):
        estimate = Estimate(40.0, {"box": 90.0, "gaussian": 60.0}, 80.0, high_mm, 0.01)
        monkeypatch.setattr("medgen.evaluation.scans.estimate_profile", lambda scan, axis: estimate)
        return study([scans["ct"]]).scans[0]

    result = told(100.0)
    assert result.thickness_mm == 90
    overlap, note = result.warnings
    assert "are 90 mm thick" in overlap
    assert note == (
        "By the scan itself, slices are about 90 mm thick (80 to 100 mm) as a box, 60 mm as a "
        "Gaussian; --thickness overrules that."
    )
    untold = told(1000.0)
    assert (untold.thickness_mm, untold.warnings) == (None, [])
    monkeypatch.setattr("medgen.evaluation.scans.estimate_profile", None)
    assert study([scans["ct"]], settings=Settings(thickness_mm=5.0)).scans[0].thickness_mm == 5


def test_a_scan_that_fails_is_reported_and_the_rest_goes_on(scans):
    result = study([scans["broken"], scans["ct"], scans["short"], scans["ct2"]])
    assert [scan.name for scan in result.scans] == ["ct.nii.gz", "ct2.nii.gz"]
    assert set(result.failures) == {"broken.nii", "short.nii.gz"}
    assert "leaves only 1 of the scan's 2 slices" in result.failures["short.nii.gz"]


def test_a_defect_in_one_scan_is_reported_too(scans):
    def fails_on_second(volume, *, factor, slice_axis):
        if volume.array.sum() != first.array[..., ::2].sum():
            raise ZeroDivisionError("boom")
        return repeat(volume, factor=factor, slice_axis=slice_axis)

    first = phantom_volume("ct", (44, 36, 9), (9.0, 8.0, 20.0), seed=1)
    result = evaluate_scans([scans["ct"], scans["ct2"]], {"m": fails_on_second}, Settings())
    assert [scan.name for scan in result.scans] == ["ct.nii.gz"]
    assert result.failures == {"ct2.nii.gz": "Unexpected ZeroDivisionError: boom"}


def test_nothing_left_is_an_error(scans):
    with pytest.raises(EvaluationError, match=r"No scan could be evaluated\. short\.nii\.gz: "):
        study([scans["short"]])


def test_modalities_must_not_be_mixed(scans):
    with pytest.raises(EvaluationError, match=r"one modality, got ct in ct\.nii\.gz, mr in mr\.n"):
        study([scans["ct"], scans["mr"]])


def test_mask_is_the_region(scans):
    result = study([scans["ct"]], masks=[scans["mask"]]).scans[0]
    assert result.region == "mask.nii.gz"
    alone = study([scans["ct"]]).scans[0]
    assert result.scores[0].features != alone.scores[0].features
    assert result.scores[1].metrics["mae"] == alone.scores[1].metrics["mae"]


def test_masks_that_do_not_fit_are_refused(scans):
    with pytest.raises(EvaluationError, match=r"one --mask for each scan, .* got 1 for 2"):
        study([scans["ct"], scans["ct2"]], masks=[scans["mask"]])
    with pytest.raises(EvaluationError, match=r"region of interest in .*empty\.nii\.gz is empty"):
        study([scans["ct"]], masks=[scans["empty"]])
    with pytest.raises(EvaluationError, match=r"shape \(30, 34, 9\) does not lie on the grid"):
        study([scans["ct"]], masks=[scans["mr"]])


def test_a_shifted_mask_is_refused(scans, tmp_path):
    scan = phantom_volume("ct", (44, 36, 9), (9.0, 8.0, 20.0), seed=1)
    affine = scan.geometry.affine.copy()
    affine[2, 3] += 10
    ones = Volume(np.ones(scan.shape, np.uint8), Geometry(scan.shape, affine))
    write_volume(ones, tmp_path / "shifted.nii")
    with pytest.raises(EvaluationError, match="does not lie on the grid"):
        read_mask(tmp_path / "shifted.nii", scan)
    affine[2, 3] -= 9.99
    write_volume(replace(ones, geometry=Geometry(scan.shape, affine)), tmp_path / "near.nii")
    assert read_mask(tmp_path / "near.nii", scan).mask.all()


def test_names_are_short_where_they_can_be():
    paths = [Path("a/ct.nii"), Path("b/ct.nii"), Path("b/mr.nii")]
    assert scan_names(paths) == ["a/ct.nii", "b/ct.nii", "mr.nii"]
    # As pictures and pages can show them, whatever the bytes.
    assert scan_names([Path(os.fsdecode(b"\xff.nii"))]) == ["\\udcff.nii"]
    with pytest.raises(EvaluationError, match=r"mr\.nii is given twice"):
        scan_names([paths[2], paths[0], paths[2]])


@pytest.mark.slow
def test_jobs_do_not_change_the_scores(scans):
    alone, together = (study([scans["ct"]], jobs=jobs).scans[0].scores for jobs in (1, 2))
    assert repr(alone) == repr(together)
