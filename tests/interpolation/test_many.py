"""Folders of scans, in one process and several: all there, each once, failures named."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner

from medgen.cli import main
from medgen.errors import BundleError, ReadError
from medgen.interpolation import interpolate_volume, interpolator_named
from medgen.interpolation.job import Job, is_done, run_job
from medgen.interpolation.many import (
    attempt,
    is_folder_of_scans,
    jobs_for,
    run_jobs,
    work_through,
)
from medgen.volumes import read_volume, write_volume
from medgen.volumes.phantom import phantom_volume

MEDGEN = "from medgen.cli import main; main()"
OPTIONS = Job(Path(), Path(), "linear")


def write_scan(path, seed=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(phantom_volume("ct", (9, 8, 4), (40.0, 40.0, 60.0), seed), path, overwrite=True)
    return path


@pytest.fixture
def folder(tmp_path):
    """Three scans at different depths, and a file that is none."""
    for seed, name in enumerate(("a.nii.gz", "p1/b.nrrd", "p1/t0/c.mha")):
        write_scan(tmp_path / "scans" / name, seed)
    (tmp_path / "scans" / "notes.txt").write_text("no scan")
    return tmp_path / "scans"


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def run(*arguments):
    return CliRunner().invoke(main, ["interpolate", *map(str, arguments)])


WRITTEN = {"a.nii.gz", "a.json", "p1/b.nrrd", "p1/b.json", "p1/t0/c.mha", "p1/t0/c.json"}


# === What a folder is ===


def test_what_is_worked_through(folder, shared_data):
    assert is_folder_of_scans(folder)
    assert not is_folder_of_scans(folder / "a.nii.gz")
    assert not is_folder_of_scans(folder / "missing.nii")
    assert is_folder_of_scans(shared_data / "dicom")
    assert not is_folder_of_scans(shared_data / "dicom" / "mr_two_slices")
    (folder / "empty").mkdir()
    with pytest.raises(ReadError, match="No scan in"):
        is_folder_of_scans(folder / "empty")


def test_names_and_places(folder, tmp_path):
    for name in ("d.mgz", "e.hdr", "f.nhdr", "g.mhd", "h/1.2.3/x.dcm", "h/T1.se/x.dcm"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "d.json").write_text("{}")
    jobs = jobs_for(folder, folder / "out", replace(OPTIONS, seed=7))
    assert [str(job.output.relative_to(folder / "out")) for job in jobs] == [
        "a.nii.gz", "d.nii.gz", "e.nii", "f.nrrd", "g.mha", "h/1.2.3", "h/T1_se", "p1/b.nrrd",
        "p1/t0/c.mha",
    ]  # fmt: skip
    assert {job.seed for job in jobs} == {7}
    assert [job.sidecar for job in jobs if job.sidecar] == [folder / "d.json"]
    # What lies below the output is not taken for a scan.
    shutil.copytree(folder / "p1", folder / "out")
    assert len(jobs_for(folder, folder / "out", OPTIONS)) == len(jobs)
    with pytest.raises(ReadError, match="outside"):
        jobs_for(folder / "out", folder / "out", OPTIONS)
    with pytest.raises(BundleError, match="named 'spline'"):
        jobs_for(folder, tmp_path, replace(OPTIONS, model="spline"))


def test_scans_that_would_share_an_output_fail(folder, tmp_path):
    write_scan(folder / "a.nrrd")
    jobs = jobs_for(folder, tmp_path / "out", OPTIONS)
    results = [attempt(job) for job in jobs]
    assert [result.failed for result in results] == [False, True, False, False]
    assert "a.json, the place of the provenance of a.nrrd, holds something else" in results[1].line


# === Doing it ===


def test_all_are_done_once(folder, tmp_path):
    out = tmp_path / "out"
    result = run(folder, "-o", out, "--model", "sinc", "--factor", 3)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count(" by sinc, from 9 x 8 x 4 voxels") == 3
    assert files(out) == WRITTEN
    for name in ("a.nii.gz", "p1/b.nrrd", "p1/t0/c.mha"):
        expected = interpolate_volume(
            read_volume(folder / name), interpolator_named("sinc"), factor=3
        )
        np.testing.assert_array_equal(
            read_volume(out / name).physical(), expected.physical(), err_msg=name
        )
    times = {name: (out / name).stat().st_mtime_ns for name in WRITTEN}
    again = run(folder, "-o", out, "--model", "sinc", "--factor", 3)
    assert (again.exit_code, again.stdout.count(" is there already.")) == (0, 3)
    assert {name: (out / name).stat().st_mtime_ns for name in WRITTEN} == times

    other = run(folder, "-o", out, "--model", "sinc")
    assert other.exit_code == 1
    assert other.stderr.count("exists; choose another name or pass --overwrite") == 3
    assert run(folder, "-o", out, "--model", "sinc", "--overwrite").exit_code == 0
    assert read_volume(out / "a.nii.gz").shape == (9, 8, 7)
    assert files(out) == WRITTEN


def test_failures_are_listed_and_the_rest_is_done(folder, tmp_path):
    broken = folder / "p1" / "broken.nii"
    broken.write_bytes(b"no NIfTI")
    single = folder / "single.nii"
    nib.save(nib.Nifti1Image(np.ones((3, 4, 1), np.int16), np.diag((1, 1, 5, 1))), single)
    out = tmp_path / "out"
    result = run(folder, "-o", out, "--model", "linear")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        f"Error: 2 of 5 scans failed; {out / 'failures.csv'} tells why."
    )
    assert files(out) == WRITTEN | {"failures.csv"}
    with open(out / "failures.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["scan", "reason"]
    assert [row[0] for row in rows[1:]] == [str(broken), str(single)]
    assert "not a readable NIfTI" in rows[1][1]
    assert "at least 2 slices" in rows[2][1]
    broken.unlink()
    single.unlink()
    assert run(folder, "-o", out, "--model", "linear").exit_code == 0
    assert files(out) == WRITTEN


def test_a_bug_stops_one_scan_only(folder, tmp_path, monkeypatch):
    def fail(job, interpolator):
        if job.scan.name == "b.nrrd":
            raise KeyError("x")
        return run_job(job, interpolator)

    monkeypatch.setattr("medgen.interpolation.many.run_job", fail)
    lines = []
    results = work_through(folder, tmp_path / "out", OPTIONS, tell=lines.append)
    assert lines == results
    assert [r.line for r in results if r.failed] == ["A bug in medgen: KeyError: 'x'"]
    assert files(tmp_path / "out") == WRITTEN - {"p1/b.nrrd", "p1/b.json"} | {"failures.csv"}


def test_what_makes_a_scan_undone(folder, tmp_path):
    job, *_ = jobs_for(folder, tmp_path / "out", OPTIONS)
    assert not is_done(job)
    attempt(job)
    assert is_done(job)
    for change in ({"model": "sinc"}, {"factor": 3}, {"seed": 1}, {"slice_axis": 0}):
        assert not is_done(replace(job, **change))
    provenance = tmp_path / "out" / "a.json"
    sound = provenance.read_text()
    for damage in ("", "{}", sound.replace('"0.', '"9.'), json.dumps({"medgen": 1})):
        provenance.write_text(damage)
        assert not is_done(job)
    provenance.write_text(sound)
    write_scan(folder / "a.nii.gz", seed=9)
    assert not is_done(job)


def test_refused_options(folder, tmp_path):
    for arguments, message in (
        ((folder, "--mask", tmp_path / "m.nii"), "leave them out for a folder"),
        ((folder / "a.nii.gz", "--jobs", 2), "is one scan"),
        ((folder / "a.nii.gz", "--scheduler", "tcp://x:1"), "is one scan"),
    ):
        result = run(*arguments, "-o", tmp_path / "out.nii", "--model", "linear")
        assert (result.exit_code, message in result.stderr.replace("\n", " ")) == (2, True)
    (tmp_path / "file").touch()
    result = run(folder, "-o", tmp_path / "file", "--model", "linear")
    assert result.exit_code == 1
    assert "Cannot write to" in result.stderr
    result = run(folder, "-o", tmp_path / "out", "--model", "linear", "--temperature", 1)
    assert "Error: The classical method 'linear' samples nothing" in result.stderr
    assert not (tmp_path / "out").exists()


# === BIDS ===


def test_a_bids_data_set_becomes_a_derivative(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "raw" / "derivatives" / "finer"
    scan = write_scan(raw / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    write_scan(raw / "derivatives" / "other" / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    write_scan(raw / "sourcedata" / "x.nii.gz")
    (raw / "dataset_description.json").write_text('{"Name": "Heads", "BIDSVersion": "1.8.0"}')
    (raw / "T1w.json").write_text('{"EchoTime": 0.004}')
    sidecar = {"SliceThickness": 50, "SpacingBetweenSlices": 60, "SliceTiming": [0, 1]}
    (scan.parent / "sub-01_T1w.json").write_text(json.dumps(sidecar))
    (raw / "participants.tsv").write_text("participant_id\nsub-01\n")
    assert run(raw, "-o", out, "--model", "linear").exit_code == 0
    assert files(out) == {
        "dataset_description.json", "T1w.json", "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_T1w.json",
    }  # fmt: skip
    description = json.loads((out / "dataset_description.json").read_text())
    assert (description["BIDSVersion"], description["DatasetType"]) == ("1.8.0", "derivative")
    assert description["GeneratedBy"][0]["Name"] == "medgen"
    facts = json.loads((out / "sub-01" / "anat" / "sub-01_T1w.json").read_text())
    assert (facts["SliceThickness"], facts["SpacingBetweenSlices"]) == (50, 30)
    assert "SliceTiming" not in facts
    assert facts["synthetic_slices"] == [1, 3, 5]
    assert (out / "T1w.json").read_text() == '{"EchoTime": 0.004}'
    again = run(raw, "-o", out, "--model", "linear")
    assert again.stdout.count("is there already") == 1
    (scan.parent / "sub-01_T1w.json").write_text("[1]")
    (out / "sub-01" / "anat" / "sub-01_T1w.nii.gz").unlink()
    assert "no JSON object of fields" in run(raw, "-o", out, "--model", "linear").stderr


# === Several processes ===


def die_or_attempt(job):
    if job.scan.name == "b.nrrd":
        os.kill(os.getpid(), signal.SIGKILL)
    return attempt(job)


def test_processes_do_what_one_does(folder, tmp_path):
    for processes, out in ((1, "one"), (2, "two")):
        jobs = jobs_for(folder, tmp_path / out, OPTIONS)
        results = list(run_jobs(jobs, processes=processes))
        assert sorted(result.scan for result in results) == [job.scan for job in jobs]
        assert not any(result.failed for result in results)
    assert files(tmp_path / "two") == WRITTEN
    for name in WRITTEN:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_process_that_ends_takes_its_own_scan_alone(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("medgen.interpolation.many.attempt", die_or_attempt)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    jobs = jobs_for(folder, tmp_path / "out", OPTIONS)
    results = list(run_jobs(jobs, processes=2))
    assert sorted(result.scan for result in results) == [job.scan for job in jobs]
    (failed,) = [result for result in results if result.failed]
    assert failed.scan.name == "b.nrrd"
    assert "The process ended" in failed.line
    assert files(tmp_path / "out") == WRITTEN - {"p1/b.nrrd", "p1/b.json"}


def test_killed_and_started_again(tmp_path):
    """SIGKILL at several times: no half output, nothing left of it in the end, same bytes."""
    for number in range(6):
        write_scan(tmp_path / "scans" / f"{number}.nii.gz", number)
    expected, out = tmp_path / "expected", tmp_path / "out"
    work_through(tmp_path / "scans", expected, OPTIONS, tell=lambda result: None)
    before = {path: path.read_bytes() for path in (tmp_path / "scans").iterdir()}
    command = [sys.executable, "-c", MEDGEN, "interpolate", tmp_path / "scans", "-o", out]
    rng = np.random.default_rng(5)
    for _ in range(4):
        process = subprocess.Popen([*command, "--model", "linear"], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.wait()
        process.stdout.close()
        for name in files(out):
            if not any(part.startswith(".medgen-") for part in Path(name).parts):
                assert (out / name).read_bytes() == (expected / name).read_bytes()
    assert run(tmp_path / "scans", "-o", out, "--model", "linear").exit_code == 0
    there = {name for name in files(out) if not name.startswith(".medgen-")}
    assert there == files(expected)
    for name in there:
        assert (out / name).read_bytes() == (expected / name).read_bytes()
    assert {path: path.read_bytes() for path in (tmp_path / "scans").iterdir()} == before
