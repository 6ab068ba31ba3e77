"""Label maps through the command: as scans, and beside one."""

import json
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from commands import assert_refused

from medgen.bundles.bundle import save_bundle
from medgen.cli import main
from medgen.interpolation import interpolate_volume, interpolator_named
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "volumes" / "dicom"))
from dicom_slices import COUNT, make_slice, save

LABEL_INTENT = 1002


def run(*arguments):
    return CliRunner().invoke(main, ["interpolate", *map(str, arguments)])


def organs(shape):
    """Two nested cones, of which the outer one ends within, and a bar beside them."""
    x, y, z = np.indices(shape)
    radius = np.hypot(x - 8, y - 6) + 0.8 * z
    return np.select([radius < 3, radius < 6, x > 13], [2035, 41, 7]).astype(np.int16)


@pytest.fixture
def labels(tmp_path):
    image = nib.Nifti1Image(organs((16, 14, 5)), np.diag([2.0, 1.5, 6.0, 1]))
    image.header.set_intent(LABEL_INTENT, name="organs")
    nib.save(image, tmp_path / "sub-1_dseg.nii.gz")
    return tmp_path / "sub-1_dseg.nii.gz"


def test_by_shape_unless_told_otherwise(labels, tmp_path):
    out, mask = tmp_path / "out.nii.gz", tmp_path / "mask.nii.gz"
    result = run(labels, "-o", out, "--modality", "labels", "--factor", 3, "--mask", mask)
    assert result.stdout == (
        f"{out}: 16 x 14 x 13 voxels of 2 x 1.5 x 2 mm by shape, "
        "from 16 x 14 x 5 voxels of 2 x 1.5 x 6 mm\n"
    )
    assert (result.exit_code, result.stderr) == (0, "")
    before, after = (read_volume(path, modality="labels") for path in (labels, out))
    expected = interpolate_volume(before, interpolator_named("shape"), factor=3)
    np.testing.assert_array_equal(after.array, expected.array)
    np.testing.assert_array_equal(after.array[..., ::3], before.array)
    assert set(np.unique(after.array)) == {0, 7, 41, 2035}
    assert after.array.dtype == np.int16
    assert after.metadata["nifti"]["intent_code"] == LABEL_INTENT
    np.testing.assert_array_equal(read_volume(mask).array[0, 0], np.arange(13) % 3 > 0)
    facts = json.loads((tmp_path / "out.json").read_text())
    assert facts["model"] == {"name": "shape", "kind": None, "sha256": None}
    assert facts["options"]["modality"] == "labels"


def test_nearest_is_allowed(labels, tmp_path):
    out = tmp_path / "out.nrrd"
    result = run(labels, "-o", out, "--modality", "labels", "--model", "nearest")
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(read_volume(out).array[..., 1], organs((16, 14, 5))[..., 1])


def test_what_makes_values_is_refused(labels, two_stage, tmp_path):
    save_bundle(two_stage, tmp_path / "model", "")
    there = set(tmp_path.iterdir())
    for model, *options in (
        ("linear",), ("bspline",), ("sinc",), (tmp_path / "model",),
        (tmp_path / "model", "--samples", 2),
    ):  # fmt: skip
        result = run(
            labels, "-o", tmp_path / "out.nii", "--modality", "labels", "--model", model, *options
        )
        assert_refused(
            result, "makes new values, but the scan is a label map: you say so; use --model"
        )
    result = run(
        labels, "-o", tmp_path / "out.nii", "--modality", "labels", "--seed", 1, "--top-k", 2
    )
    assert_refused(result, "'shape' samples nothing")
    assert set(tmp_path.iterdir()) == there


def test_shape_is_for_label_maps_alone(tmp_path):
    write_volume(phantom_volume("ct", (16, 14, 5), (20.0, 18.0, 30.0), 1), tmp_path / "ct.nii")
    result = run(tmp_path / "ct.nii", "-o", tmp_path / "out.nii", "--model", "shape")
    assert_refused(result, "shape is for label maps and the scan is CT; name another model, or say")


def test_a_folder_of_label_maps(labels, tmp_path):
    scans, out = tmp_path / "scans", tmp_path / "out"
    for name in ("a/sub-1_dseg.nii.gz", "b_seg.nii.gz"):
        (scans / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(labels, scans / name)
    arguments = (scans, "-o", out, "--modality", "labels")
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count(" by shape, from 16 x 14 x 5 voxels") == 2
    first = (out / "b_seg.nii.gz").read_bytes()
    result = run(*arguments)
    assert result.stdout.count("is there already.") == 2
    assert (out / "b_seg.nii.gz").read_bytes() == first
    result = run(*arguments, "--labels", labels, "--labels-out", tmp_path / "l.nii")
    assert result.exit_code == 2
    assert "--labels-out name files of one scan" in result.stderr


def test_a_series_and_its_label_map(tmp_path):
    """The scan becomes a DICOM series, its label map a NIfTI file on the series' grid."""
    scan = save(tmp_path / "scan", [make_slice(k) for k in range(COUNT)])
    before = read_volume(scan)
    nib.save(nib.Nifti1Image(organs(before.shape), before.geometry.affine), tmp_path / "seg.nii.gz")
    arguments = ("--labels", tmp_path / "seg.nii.gz", "--labels-out", tmp_path / "finer_seg.nii.gz")
    result = run(scan, "-o", tmp_path / "finer", "--model", "linear", *arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(f"; labels by shape in {tmp_path / 'finer_seg.nii.gz'}\n")
    after = read_volume(tmp_path / "finer_seg.nii.gz")
    assert after.geometry == read_volume(tmp_path / "finer").geometry
    np.testing.assert_array_equal(after.array[..., ::2], organs(before.shape))
    there = set(tmp_path.iterdir())
    (scan / sorted(path.name for path in scan.iterdir())[2]).unlink()
    result = run(
        scan, "-o", tmp_path / "other", "--model", "linear", "--fill-gaps",
        "--labels", tmp_path / "seg.nii.gz", "--labels-out", tmp_path / "other_seg.nii.gz",
    )  # fmt: skip
    assert_refused(result, "Filling gaps puts no slices into a label map; leave out --labels")
    assert set(tmp_path.iterdir()) == there
