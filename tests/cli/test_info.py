"""What `medgen info` prints."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from medgen.cli import main
from medgen.volumes import Geometry, Volume, write_volume


def info(*arguments):
    return CliRunner().invoke(main, ["info", *map(str, arguments)])


@pytest.fixture
def ct(tmp_path):
    """A CT with air, some padding, an offset, and one voxel at either end."""
    array = np.full((4, 5, 6), 1064, np.int16)
    array[0] = 24
    array[1, 0] = -2000
    array[3, 4, 5] = 3000
    affine = np.diag([-0.7, -0.9, 4.25, 1])
    affine[:3, 3] = 1, 2, 3
    path = tmp_path / "ct.nii.gz"
    write_volume(Volume(array, Geometry(array.shape, affine), 1.0, -1024.0), path)
    return path


def test_prints_what_the_scan_is(ct):
    result = info(ct)
    assert result.exit_code == 0
    assert result.output == (
        "format        NIfTI-1\n"
        "shape         4 x 5 x 6\n"
        "spacing       0.7 x 0.9 x 4.25 mm\n"
        "orientation   LPS, 0 degrees oblique\n"
        "slices        6 along axis 2, 4.25 mm apart\n"
        "modality      ct (sure: its name says ct, and 25.0% of its values lie near -1000 and "
        "69.2% between -150 and 150, as air and soft tissue do in HU)\n"
        "stored        int16, times 1 plus -1024\n"
        "values        -3024 to 1976 HU\n"
        "padding       -3024 HU in 5.0% of the voxels\n"
    )


def test_prints_json(ct):
    result = info(ct, "--json")
    assert result.exit_code == 0
    assert json.loads(result.output) == {
        "format": "NIfTI-1",
        "shape": [4, 5, 6],
        "spacing_mm": [0.7, 0.9, 4.25],
        "orientation": "LPS",
        "obliquity_deg": 0.0,
        "slice_axis": 2,
        "slices": 6,
        "slice_spacing_mm": 4.25,
        "slice_thickness_mm": None,
        "uncovered_mm": None,
        "position_deviation_mm": None,
        "modality": "ct",
        "modality_sure": True,
        "modality_guess": "ct",
        "modality_reasons": [
            "its name says ct",
            "25.0% of its values lie near -1000 and 69.2% between -150 and 150, as air and soft "
            "tissue do in HU",
        ],
        "modality_tag": None,
        "unit": "HU",
        "dtype": "int16",
        "slope": 1.0,
        "intercept": -1024.0,
        "minimum": -3024.0,
        "maximum": 1976.0,
        "non_finite": 0,
        "padding_value": -3024.0,
        "padding_fraction": 0.05,
        "notes": [],
    }


def test_the_user_overrules_the_guess(ct):
    lines = info(ct, "--modality", "mr").output.splitlines()
    assert lines[5:8] == [
        "modality      mr (sure: you say so)",
        "stored        int16, times 1 plus -1024",
        "values        -3024 to 1976",
    ]
    assert len(lines) == 8  # padding below all air is a thing of CT
    assert info(ct, "--modality", "xray").exit_code == 2


def test_non_finite_voxels_and_notes(tmp_path):
    array = np.linspace(0, 100, 120, dtype=np.float32).reshape(4, 5, 6)
    array[0, 0, :3] = np.nan, np.inf, -np.inf
    image = nib.Nifti1Image(array, np.diag([1, 2, 3, 1.0]))
    image.header.set_qform(np.diag([1, 2, 3.5, 1]), 1)
    nib.save(image, tmp_path / "a.nii")
    lines = info(tmp_path / "a.nii").output.splitlines()
    assert lines[5:] == [
        "modality      mr (sure: its 117 values from 2.52101 to 100 have no unit, as those of MR)",
        "stored        float32",
        "values        2.52101 to 100",
        "non-finite    3 voxels are NaN or infinite",
        "note          sform and qform disagree by up to 2.5 mm, voxel sizes of 1 x 2 x 3 mm "
        "against 1 x 2 x 3.5 mm; the sform is used.",
    ]
    assert json.loads(info(tmp_path / "a.nii", "--json").output)["non_finite"] == 3


def test_nothing_finite(tmp_path):
    array = np.full((4, 5, 6), np.nan, np.float32)
    write_volume(Volume(array, Geometry.from_spacing((4, 5, 6), (1, 1, 1))), tmp_path / "a.nii")
    result = info(tmp_path / "a.nii", "--json")
    facts = json.loads(result.output)
    assert (facts["minimum"], facts["maximum"], facts["non_finite"]) == (None, None, 120)
    assert "\nvalues " not in info(tmp_path / "a.nii").output


def test_a_series(shared_data):
    result = info(shared_data / "dicom" / "mr_labelled_ct_2mm_17slices")
    assert result.output == (
        "format        DICOM\n"
        "shape         88 x 128 x 17\n"
        "spacing       2 x 2 x 2 mm\n"
        "orientation   RAS, 0 degrees oblique\n"
        "slices        17 along axis 2, 2 mm apart\n"
        "thickness     2 mm, slices touch\n"
        "positions     at most 0.000 mm off a regular grid\n"
        "modality      unknown (perhaps mr: its DICOM header says CT, and yet its 616 values from "
        "0 to 696 have no unit, as those of MR)\n"
        "stored        int16\n"
        "values        0 to 696\n"
    )
    overlapping = info(shared_data / "dicom" / "ct_siemens_2mm_overlap_j2k").output
    assert "thickness     3 mm, 1 mm overlap\n" in overlapping
    apart = info(shared_data / "dicom" / "mr_ge_pd_7mm_jitter").output
    assert "thickness     5 mm, 2 mm uncovered between\npositions     at most 0.084 mm off" in apart


def test_one_of_several_volumes(tmp_path):
    array = np.arange(240, dtype=np.int16).reshape(4, 5, 6, 2)
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")
    result = info(tmp_path / "a.nii")
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {tmp_path}/a.nii holds 2 volumes; choose one with --volume N, N from 0 to 1.\n"
    )
    assert "values        1 to 239\n" in info(tmp_path / "a.nii", "--volume", 1).output


@pytest.mark.parametrize("arguments", [["--volume", "-1"], ["--no-such-option"], []])
def test_usage(arguments, ct):
    result = info(*([ct, *arguments] if arguments else []))
    assert result.exit_code == 2
    assert "Usage: " in result.output


def test_help():
    result = info("--help")
    assert result.exit_code == 0
    for word in ("--volume N", "--series UID", "--json", "PATH is a file"):
        assert word in result.output


def test_neither_tensorflow_nor_keras_is_imported(ct):
    code = (
        "import sys; from medgen.cli import main; "
        f"main(['info', {str(ct)!r}], standalone_mode=False); "
        "print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_profile_of_a_scan_that_tells_nothing(ct):
    shown = info(ct, "--profile").output.splitlines()[-1]
    assert shown == (
        "profile       the scan is too small, or its slices too near, to tell how thick they are"
    )
    assert json.loads(info(ct, "--profile", "--json").output)["slice_profile"] is None
    assert "slice_profile" not in json.loads(info(ct, "--json").output)


def test_profile_of_a_scan_that_tells(ct, monkeypatch):
    from medgen.profiles.estimate import Estimate

    estimate = Estimate(5.0, {"box": 4.0, "gaussian": 2.8}, 3.5, 4.75, 0.01)
    monkeypatch.setattr(
        "medgen.profiles.estimate.estimate_profile", lambda scan, progress: estimate
    )
    shown = info(ct, "--profile").output.splitlines()[-1]
    assert shown == "profile       about 4 mm thick (3.5 to 4.75 mm) as a box, 2.8 mm as a Gaussian"
    told = json.loads(info(ct, "--profile", "--json").output)["slice_profile"]
    assert told == {
        "told": True,
        "distance_mm": 5.0,
        "box_mm": 4.0,
        "gaussian_mm": 2.8,
        "low_mm": 3.5,
        "high_mm": 4.75,
        "error": 0.01,
    }
