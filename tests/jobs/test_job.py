from dataclasses import replace

import numpy as np
import pytest

from medgen.bundles.bundle import save_bundle
from medgen.errors import WriteError
from medgen.families.two_stage.fill import TwoStage
from medgen.interpolation.options import SamplingOptions
from medgen.jobs.done import is_done
from medgen.jobs.job import Job
from medgen.jobs.provenance import read_provenance
from medgen.jobs.run import run_job
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume


@pytest.fixture
def job(tmp_path):
    """A CT of 16 x 12 x 3 voxels to be made finer by linear interpolation."""
    write_volume(phantom_volume("ct", (16, 12, 3), (20.0, 18.0, 30.0), 1), tmp_path / "ct.nii")
    return Job(tmp_path / "ct.nii", tmp_path / "out.nii", "linear")


def test_doubles_unless_told_otherwise(job, tmp_path):
    seen = []
    outcome = run_job(job, progress=lambda done, total: seen.append((done, total)))
    assert outcome.line == (
        f"{job.output}: 16 x 12 x 5 voxels of 20 x 18 x 15 mm by linear, "
        "from 16 x 12 x 3 voxels of 20 x 18 x 30 mm"
    )
    assert outcome.after == read_volume(job.output).geometry == outcome.before.refine(2, 2)
    assert seen == [(1, 2), (2, 2)]
    other = replace(job, output=tmp_path / "other.nii", spacing_mm=12.0)
    assert run_job(other).after.shape == (16, 12, 6)
    with pytest.raises(WriteError, match=r"out.nii exists"):
        run_job(job)


def test_one_interpolator_serves_many_jobs(job, two_stage, tmp_path):
    save_bundle(two_stage, tmp_path / "model", "")
    job = replace(job, model=str(tmp_path / "model"), seed=3, sampling=SamplingOptions(0.5))
    loaded = job.load_method()
    assert isinstance(loaded, TwoStage)
    assert (loaded.seed, loaded.temperature) == (3, 0.5)
    again = replace(job, output=tmp_path / "again.nii")
    run_job(job, loaded)
    run_job(again, loaded)
    run_job(replace(job, output=tmp_path / "own.nii"))
    first = read_volume(job.output).array
    np.testing.assert_array_equal(first, read_volume(again.output).array)
    np.testing.assert_array_equal(first, read_volume(tmp_path / "own.nii").array)


def test_notes_come_before_the_work(job):
    path = job.scan.parent / "metres.nii"
    data = bytearray(job.scan.read_bytes())
    data[123] = 1  # xyzt_units
    path.write_bytes(bytes(data))
    notes = []
    outcome = run_job(replace(job, scan=path), note=notes.append)
    assert len(notes) == 1
    assert "positions were converted to mm" in notes[0]
    assert outcome.notes == tuple(notes)


def test_a_modality_that_the_user_says_is_read_and_told(job):
    said = replace(job, modality="mr", output=job.output.with_name("mr.nii.gz"))
    assert said.source().volume.modality == "mr"
    run_job(said)
    assert is_done(said)
    assert read_provenance(said.output)["options"]["modality"] == "mr"
    assert not is_done(replace(said, modality="ct"))
