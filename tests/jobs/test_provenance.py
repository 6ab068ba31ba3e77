import hashlib
import json
import subprocess
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

import medgen
from medgen.bundles.bundle import save_bundle
from medgen.errors import WriteError
from medgen.interpolation.options import SamplingOptions
from medgen.jobs.job import Job
from medgen.jobs.provenance import checksum, provenance_path
from medgen.jobs.run import run_job
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume


@pytest.fixture
def job(tmp_path):
    """A CT of 16 x 12 x 3 voxels, 20 x 18 x 30 mm, to be made three times as fine."""
    write_volume(phantom_volume("ct", (16, 12, 3), (20.0, 18.0, 30.0), 1), tmp_path / "ct.nii.gz")
    return Job(tmp_path / "ct.nii.gz", tmp_path / "ct_3x.nii.gz", "linear", factor=3, seed=5)


def told(job):
    return json.loads(provenance_path(job.output).read_text())


def test_everything_is_told(job, tmp_path):
    run_job(job)
    facts = told(job)
    assert provenance_path(job.output) == tmp_path / "ct_3x.json"
    assert (facts["medgen"], facts["output"]) == (medgen.__version__, "ct_3x.nii.gz")
    sha = hashlib.sha256(job.scan.read_bytes()).hexdigest()
    assert facts["input"] == {"path": str(job.scan), "files": 1, "sha256": sha}
    assert facts["model"] == {"name": "linear", "kind": None, "sha256": None}
    assert facts["synthetic_slices"] == [1, 2, 4, 5]
    np.testing.assert_allclose(facts["positions"], np.arange(7) / 3)
    after = read_volume(job.output)
    assert (facts["slice_axis"], tuple(facts["shape"])) == (2, after.shape)
    np.testing.assert_allclose(facts["affine"], after.geometry.affine, atol=1e-4)
    options = facts["options"]
    assert (options["factor"], options["seed"], options["spacing_mm"]) == (3, 5, None)
    assert not {"scan", "output", "model", "overwrite"} & set(options)


def test_a_model_is_told_by_its_bytes(job, two_stage, tmp_path):
    save_bundle(two_stage, tmp_path / "model", "")
    job = replace(job, model=str(tmp_path / "model"), sampling=SamplingOptions(0.5))
    run_job(job)
    first = told(job)
    assert first["model"]["name"] == "model"
    assert first["options"]["temperature"] == 0.5
    with open(tmp_path / "model" / "README.md", "a") as card:
        card.write("changed")
    run_job(replace(job, overwrite=True))
    assert first["model"]["sha256"] != told(job)["model"]["sha256"]


def test_checksum_of_several_files_is_that_of_sha256sum(tmp_path):
    for name in ("b.hdr", "a.img", "c"):
        (tmp_path / name).write_text(name * 3)
    files = [tmp_path / name for name in ("c", "b.hdr", "a.img")]
    listing = subprocess.run(
        ["sha256sum", "a.img", "b.hdr", "c"], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    assert checksum(files) == hashlib.sha256(listing).hexdigest()
    assert checksum(files[:1]) == hashlib.sha256(b"ccc").hexdigest()


def test_every_file_of_the_scan_counts(job, tmp_path):
    image = nib.load(job.scan)
    nib.save(nib.Nifti1Pair(np.asarray(image.dataobj), image.affine), tmp_path / "pair.img")
    job = replace(job, scan=tmp_path / "pair.hdr")
    run_job(job)
    files = [tmp_path / "pair.hdr", tmp_path / "pair.img"]
    assert told(job)["input"]["files"] == 2
    assert told(job)["input"]["sha256"] == checksum(files)


@pytest.mark.parametrize(
    ("output", "expected"),
    [("a.nii.gz", "a.json"), ("a.b.nrrd", "a.b.json"), ("series", "series.json"),
     ("1.2.840.10", "1.2.840.10.json")],
)  # fmt: skip
def test_names(tmp_path, output, expected):
    assert provenance_path(tmp_path / output).name == expected


@pytest.mark.parametrize("content", ["[1, 2]", "not JSON", '{"RepetitionTime": 2}', ""])
def test_foreign_files_are_never_replaced(job, tmp_path, content):
    (tmp_path / "ct_3x.json").write_text(content)
    for overwrite in (False, True):
        with pytest.raises(WriteError, match=r"ct_3x.json.*holds something else"):
            run_job(replace(job, overwrite=overwrite))
    assert (tmp_path / "ct_3x.json").read_text() == content
    assert not job.output.exists()


def test_two_outputs_cannot_share_a_provenance(job, tmp_path):
    run_job(job)
    with pytest.raises(WriteError, match="holds something else"):
        run_job(replace(job, output=tmp_path / "ct_3x.nrrd"))
    assert told(job)["output"] == "ct_3x.nii.gz"


def test_mask(job, tmp_path):
    job = replace(job, mask=tmp_path / "mask.nii.gz", slice_axis=1)
    run_job(job)
    mask, after = nib.load(job.mask), nib.load(job.output)
    assert mask.get_data_dtype() == np.uint8
    assert mask.shape == after.shape == (16, 34, 3)
    np.testing.assert_array_equal(mask.affine, after.affine)
    synthetic = np.asarray(mask.dataobj).all(axis=(0, 2))
    np.testing.assert_array_equal(synthetic, np.arange(34) % 3 != 0)
    assert not np.asarray(mask.dataobj)[:, ::3].any()
    assert np.flatnonzero(synthetic).tolist() == told(job)["synthetic_slices"]


def test_masks_that_cannot_be_written(job, tmp_path):
    (tmp_path / "taken.nii").write_text("mine")
    for mask, message in (
        ("taken.nii", "taken.nii exists"),
        ("mask.nrrd", "must end in .nii"),
        ("ct_3x.nii.gz", "cannot hold two things"),
        ("no/mask.nii", "there is no folder"),
    ):
        with pytest.raises(WriteError, match=message):
            run_job(replace(job, mask=tmp_path / mask))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct.nii.gz", "taken.nii"]
