"""A DICOM series through the command: what is written, and what is said."""

import json
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from click.testing import CliRunner

from medgen.cli import main
from medgen.volumes import read_volume

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "volumes" / "dicom"))
from dicom_slices import COUNT, PATIENT, VOXELS, make_slice, save

SECRETS = (PATIENT, "Doe", "4711", "19700101")


def run(*arguments):
    return CliRunner().invoke(main, ["interpolate", *map(str, arguments), "--model", "linear"])


@pytest.fixture
def scan(tmp_path):
    """Folder of a CT series of 4 x 5 x 6 voxels."""
    return save(tmp_path / "scan", [make_slice(k) for k in range(COUNT)])


def test_series_to_series(scan, tmp_path):
    out = tmp_path / "finer"
    result = run(scan, "-o", out, "--mask", tmp_path / "mask.nii.gz", "--factor", 2)
    assert result.stdout == (
        f"{out}: 4 x 5 x 11 voxels of 0.7 x 0.9 x 1.5 mm by linear, "
        "from 4 x 5 x 6 voxels of 0.7 x 0.9 x 3 mm\n"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    names = [path.name for path in sorted(out.iterdir())]
    assert names == [f"slice-{k:04}.dcm" for k in range(1, 12)]
    np.testing.assert_array_equal(read_volume(out).array[..., ::2], VOXELS)
    mask = read_volume(tmp_path / "mask.nii.gz").array
    np.testing.assert_array_equal(mask[2, 3], np.arange(11) % 2)
    facts = json.loads((tmp_path / "finer.json").read_text())
    assert facts["synthetic_slices"] == [1, 3, 5, 7, 9]
    assert facts["input"]["files"] == COUNT


def test_the_patient_is_in_the_slices_and_nowhere_else(scan, tmp_path):
    result = run(scan, "-o", tmp_path / "finer")
    told = [result.output, (tmp_path / "finer.json").read_text()]
    told.append(run(scan, "-o", tmp_path / "finer").output)  # refused: it exists
    told.append(run(scan, "-o", tmp_path / "x", "--slice-axis", 0).output)
    for file in list(scan.iterdir())[:1]:
        file.write_bytes(file.read_bytes()[:-20])
    told.append(run(scan, "-o", tmp_path / "y").output)  # refused: truncated
    assert all(text for text in told)
    for text in told:
        assert not any(secret in text for secret in SECRETS)
    for file in (tmp_path / "finer").iterdir():
        header = pydicom.dcmread(file)
        assert (header.PatientName, header.PatientID) == (PATIENT, "4711")
        assert header.PatientBirthDate == "19700101"
        assert "4711" not in header.DerivationDescription + header.SeriesDescription


def test_gaps(tmp_path):
    scan = save(tmp_path / "scan", [make_slice(k) for k in range(COUNT) if k != 3])
    refused = run(scan, "-o", tmp_path / "out.nii")
    assert refused.exit_code == 1
    assert "lacks slices" in refused.stderr
    assert "--fill-gaps" in refused.stderr
    result = run(scan, "-o", tmp_path / "out.nii", "--fill-gaps")
    assert result.stdout == (
        f"{tmp_path / 'out.nii'}: 4 x 5 x 6 voxels of 0.7 x 0.9 x 3 mm by linear, "
        "from 4 x 5 x 5 voxels of 0.7 x 0.9 x 3 mm\n"
    )
    kept = [0, 1, 2, 4, 5]
    np.testing.assert_array_equal(
        read_volume(tmp_path / "out.nii").array[..., kept], VOXELS[..., kept]
    )
    facts = json.loads((tmp_path / "out.json").read_text())
    assert facts["synthetic_slices"] == [3]
    assert facts["options"]["fill_gaps"] is True
    assert (
        "leave out --factor"
        in run(scan, "-o", tmp_path / "b.nii", "--fill-gaps", "--factor", 2).stderr
    )


def test_a_series_that_lacks_nothing_has_no_gaps(scan, tmp_path):
    result = run(scan, "-o", tmp_path / "out.nii", "--fill-gaps")
    assert result.exit_code == 1
    assert "so lacks 0; --fill-gaps is for one at least" in result.stderr
    assert not (tmp_path / "out.nii").exists()


def test_folders_whose_names_hold_dots(scan, tmp_path):
    for name in ("finer.v2", "1.5mm", "Doe.Jane", "1.2.840.113619"):
        result = run(scan, "-o", tmp_path / name)
        assert (result.exit_code, result.stderr) == (0, "")
        np.testing.assert_array_equal(read_volume(tmp_path / name).array[..., ::2], VOXELS)
        assert json.loads((tmp_path / f"{name}.json").read_text())["output"] == name
    for name in ("finer.tif", "finer.dcm", "finer.json"):
        result = run(scan, "-o", tmp_path / name)
        assert result.exit_code == 1
        assert "its name must end in .nii" in result.stderr
        assert not (tmp_path / name).exists()


def test_a_folder_of_series_in_several_folders(tmp_path):
    """One scan each: of two folders, of three, and one whose files are loose."""
    for place, uid, folders in (
        ("p1/ct", "1.8.1", "aaabbb"),
        ("p2", "1.8.2", "aabbcc"),
        ("p3", "1.8.3", "......"),
    ):
        for k, folder in enumerate(folders):
            (tmp_path / "scans" / place / folder).mkdir(parents=True, exist_ok=True)
            header = make_slice(k, SeriesInstanceUID=uid)
            name = tmp_path / "scans" / place / folder / f"IM{k}"
            header.save_as(name, enforce_file_format=True)
    result = run(tmp_path / "scans", "-o", tmp_path / "out")
    assert (result.exit_code, result.stderr) == (0, "")
    outputs = {path.parent for path in (tmp_path / "out").rglob("*.dcm")}
    assert outputs == {tmp_path / "out" / name for name in ("p1/ct", "p2", "p3")}
    for output in outputs:
        np.testing.assert_array_equal(read_volume(output).array[..., ::2], VOXELS)
    again = run(tmp_path / "scans", "-o", tmp_path / "out")
    assert again.exit_code == 0
    assert again.stdout.count("is there already") == 3


def test_what_is_left_out_is_said_without_harm(scan, tmp_path):
    (scan / "note\x1b[2J.txt").touch()
    result = run(scan, "-o", tmp_path / "finer")
    told = "Note: Left out, being no DICOM image: note\\x1b[2J.txt.\n"
    assert (result.exit_code, result.stderr) == (0, told)
    shown = CliRunner().invoke(main, ["info", str(scan)])
    assert shown.stdout.splitlines()[-1].endswith("no DICOM image: note\\x1b[2J.txt.")
