"""A scan's label map, made finer with the scan: one grid, both files or none."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from medgen.errors import GeometryError, IntensityError, MedgenError, ReadError, WriteError
from medgen.interpolation import Deterministic, interpolate_volume, interpolator_named
from medgen.jobs.done import is_done
from medgen.jobs.job import Job
from medgen.jobs.run import run_job
from medgen.phantoms.phantom import phantom_volume
from medgen.storage import checksum
from medgen.volumes import read_volume, write_volume

LABEL_INTENT = 1002


@pytest.fixture
def job(tmp_path):
    """A CT of 16 x 14 x 5 voxels and two nested labels in it, both to be made finer."""
    ct = phantom_volume("ct", (16, 14, 5), (20.0, 18.0, 30.0), 1)
    write_volume(ct, tmp_path / "ct.nii.gz")
    save_labels(tmp_path / "seg.nii.gz", ct.geometry.affine)
    return Job(
        tmp_path / "ct.nii.gz",
        tmp_path / "out.nii.gz",
        "linear",
        labels=tmp_path / "seg.nii.gz",
        labels_out=tmp_path / "out_seg.nii.gz",
    )


def save_labels(path, affine, shape=(16, 14, 5), dtype=np.int32):
    x, y, z = np.indices(shape)
    radius = np.hypot(x - 7.5, y - 6.5) - 0.7 * z
    image = nib.Nifti1Image(np.select([radius < 2, radius < 4], [2035, 41]).astype(dtype), affine)
    image.header.set_intent(LABEL_INTENT, name="organs")
    nib.save(image, path)


def left(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    "options", [{"factor": 2}, {"factor": 3, "slice_axis": 0}, {"spacing_mm": 12.0}]
)
def test_both_get_the_same_slices(job, options):
    job = replace(job, **options)
    outcome = run_job(job)
    assert outcome.line.endswith(f"; labels by shape in {job.labels_out}")
    before, after = read_volume(job.labels, modality="labels"), read_volume(job.labels_out)
    assert after.geometry == read_volume(job.output).geometry == outcome.after
    expected = interpolate_volume(before, interpolator_named("shape"), **options)
    np.testing.assert_array_equal(after.array, expected.array)
    assert after.array.dtype == np.int32
    assert after.metadata["nifti"]["intent_code"] == LABEL_INTENT
    assert after.metadata["nifti"]["intent_name"] == b"organs"
    plain = replace(job, labels=None, labels_out=None, output=job.output.with_name("alone.nii.gz"))
    run_job(plain)
    assert plain.output.read_bytes() == job.output.read_bytes()


def test_each_has_its_provenance(job):
    run_job(job)
    scan, labels = (
        json.loads(job.output.with_name(name).read_text()) for name in ("out.json", "out_seg.json")
    )
    assert labels["output"] == "out_seg.nii.gz"
    assert labels["model"] == {"name": "shape", "kind": None, "sha256": None}
    assert labels["input"] == {
        "path": str(job.labels), "files": 1, "sha256": checksum([job.labels])
    }  # fmt: skip
    assert labels["options"] == {"factor": None, "spacing_mm": None, "slice_axis": None}
    for same in ("medgen", "slice_axis", "shape", "affine", "synthetic_slices", "positions"):
        assert labels[same] == scan[same]
    assert scan["model"]["name"] == "linear"
    assert not {"labels", "labels_out"} & set(scan["options"])


@pytest.mark.parametrize("name", ["seg.nrrd", "seg.mha", "seg.nii"])
def test_other_formats(job, name):
    job = replace(job, labels_out=job.output.with_name(name))
    run_job(job)
    np.testing.assert_array_equal(
        read_volume(job.labels_out).array[..., ::2], read_volume(job.labels).array
    )


def test_a_job_is_done_with_its_labels(job):
    alone = replace(job, labels=None, labels_out=None)
    run_job(alone)
    assert is_done(alone)
    assert not is_done(job)
    run_job(replace(job, overwrite=True))
    assert is_done(job)
    save_labels(job.labels, read_volume(job.scan).geometry.affine, dtype=np.int16)
    assert not is_done(job)
    assert is_done(alone)


# === What is refused, before anything is written ===


def affine_with(change):
    affine = phantom_volume("ct", (16, 14, 5), (20.0, 18.0, 30.0), 1).geometry.affine.copy()
    change(affine)
    return affine


def flip(affine):
    affine[:3, 3] += 15 * affine[:3, 0]
    affine[:3, 0] *= -1


def widen(affine):
    affine[:3, 1] *= 1.01


def move(affine):
    affine[2, 3] += 1.5


@pytest.mark.parametrize(
    ("change", "shape", "message"),
    [
        (lambda affine: None, (16, 14, 6), "got 16 x 14 x 6 voxels instead of 16 x 14 x 5 voxels"),
        (flip, (16, 14, 5), "got axes that run LAS instead of axes that run RAS"),
        (widen, (16, 14, 5), "got voxels of 20 x 18.18 x 30 mm instead of voxels of 20 x 18 x 30"),
        (move, (16, 14, 5), "got voxels up to 1.5 mm away instead of the same places"),
    ],
)
def test_another_grid(job, change, shape, message):
    save_labels(job.labels, affine_with(change), shape)
    there = left(job.output.parent)
    with pytest.raises(GeometryError, match=f"seg.nii.gz must have the grid of .*{message}"):
        run_job(job)
    assert left(job.output.parent) == there


def test_rounding_in_a_header_is_no_other_grid(job):
    def nudge(affine):
        affine[:3, 3] += 0.5

    save_labels(job.labels, affine_with(nudge))
    run_job(job)
    assert read_volume(job.labels_out).geometry == read_volume(job.output).geometry


def test_labels_that_cannot_be(job):
    there = left(job.output.parent)
    fractions = nib.Nifti1Image(
        np.full((16, 14, 5), 0.5, np.float32), read_volume(job.scan).geometry.affine
    )
    nib.save(fractions, job.output.with_name("half.nii"))
    missing, half = (job.output.with_name(name) for name in ("missing.nii", "half.nii"))
    with pytest.raises(ReadError, match=r"missing.nii does not exist"):
        run_job(replace(job, labels=missing))
    with pytest.raises(IntensityError, match=r"whole numbers, got 0.5"):
        run_job(replace(job, labels=half))
    with pytest.raises(WriteError, match="give both or neither"):
        run_job(replace(job, labels_out=None))
    with pytest.raises(WriteError, match="give both or neither"):
        run_job(replace(job, labels=None))
    assert left(job.output.parent) == there | {"half.nii"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("taken.nii", "taken.nii exists; choose another name or pass --overwrite."),
        ("out_seg.tif", "its name must end in"),
        ("nowhere/out_seg.nii", "there is no folder"),
        ("out.nii.gz", "out.nii.gz cannot hold two things"),
        ("out.nrrd", "out.json cannot hold two things"),
        ("mask.nii.gz", "mask.nii.gz cannot hold two things"),
        ("other.nii", "other.json, the place of the provenance of other.nii, holds something"),
    ],
)
def test_where_labels_cannot_go(job, name, message):
    """Told before the scan is read: there is none."""
    folder = job.output.parent
    (folder / "taken.nii").write_bytes(b"mine")
    (folder / "other.json").write_text("{}")
    there = left(folder)
    job = replace(
        job, scan=folder / "no.nii", mask=folder / "mask.nii.gz", labels_out=folder / name
    )
    with pytest.raises(WriteError, match=message):
        run_job(job)
    assert left(folder) == there
    assert (folder / "taken.nii").read_bytes() == b"mine"


def test_overwrite(job):
    run_job(job)
    with pytest.raises(WriteError, match="exists"):
        run_job(job)
    first = job.labels_out.read_bytes()
    run_job(replace(job, overwrite=True, factor=3))
    assert read_volume(job.labels_out).shape == read_volume(job.output).shape == (16, 14, 13)
    assert job.labels_out.read_bytes() != first


def test_a_scan_that_fails_takes_its_labels_along(job):
    """Broken voxels of the scan are found after the labels are made."""
    array = np.full((16, 14, 5), np.nan, np.float32)
    nib.save(nib.Nifti1Image(array, read_volume(job.scan).geometry.affine), job.scan)
    there = left(job.output.parent)
    with pytest.raises(MedgenError, match="NaN"):
        run_job(job)
    assert left(job.output.parent) == there


def test_labels_that_change_meanwhile(job):
    class Meddler(Deterministic):
        name = "meddler"

        def slices(self, stack, positions, progress):
            job.labels.write_bytes(job.labels.read_bytes() + b"more")
            yield from interpolator_named("nearest").slices(stack, positions, progress)

    there = left(job.output.parent)
    with pytest.raises(ReadError, match=r"seg.nii.gz changed while it was worked on"):
        run_job(job, Meddler())
    assert left(job.output.parent) == there
