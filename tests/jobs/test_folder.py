"""Folders of scans, in one process and several: all there, each once, failures named."""

import csv
import json
import os
import shutil
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
from medgen.jobs.done import is_done
from medgen.jobs.folder import is_folder_of_scans, survey, work_through, write_failures
from medgen.jobs.job import Job
from medgen.jobs.runners import Result, attempt
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume

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
    jobs = survey(folder, folder / "out", replace(OPTIONS, seed=7)).jobs
    assert [str(job.output.relative_to(folder / "out")) for job in jobs] == [
        "a.nii.gz", "d.nii.gz", "e.nii", "f.nrrd", "g.mha", "h/1.2.3", "h/T1.se", "p1/b.nrrd",
        "p1/t0/c.mha",
    ]  # fmt: skip
    assert {job.seed for job in jobs} == {7}
    assert [job.sidecar.files for job in jobs if job.sidecar] == [(folder / "d.json",)]
    # What lies below the output is not taken for a scan.
    shutil.copytree(folder / "p1", folder / "out")
    assert len(survey(folder, folder / "out", OPTIONS).jobs) == len(jobs)
    with pytest.raises(ReadError, match="outside"):
        survey(folder / "out", folder / "out", OPTIONS)
    with pytest.raises(BundleError, match="named 'spline'"):
        survey(folder, tmp_path, replace(OPTIONS, model="spline"))


@pytest.mark.parametrize("others", [["a.nii", "a.mha"], ["a.mgz"], ["a.nrrd"]])
def test_scans_that_would_share_an_output_are_refused(folder, tmp_path, others):
    """Both, whatever the order or number of processes; but what was done before remains done."""
    out = tmp_path / "out"
    for name in others:
        (folder / name).touch()
    found = survey(folder, out, OPTIONS)
    assert [job.scan.name for job in found.jobs] == ["b.nrrd", "c.mha"]
    assert {result.scan.name for result in found.settled} == {"a.nii.gz", *others}
    first = next(result for result in found.settled if result.scan.name == "a.nii.gz")
    assert first.failed
    for name in others:
        assert str(folder / name) in first.line
    assert f"{folder / 'a.nii.gz'} would share {out / 'a.json'} with" in first.line

    for name in others:
        (folder / name).unlink()
    attempt(survey(folder, out, OPTIONS).jobs[0])
    made = (out / "a.nii.gz").read_bytes()
    for name in others:
        (folder / name).touch()
    found = survey(folder, out, OPTIONS)
    assert [job.scan.name for job in found.jobs] == ["a.nii.gz", "b.nrrd", "c.mha"]
    assert {result.scan.name for result in found.settled} == set(others)
    assert attempt(found.jobs[0]).line.endswith("is there already.")
    assert (out / "a.nii.gz").read_bytes() == made


def test_a_series_around_other_scans_is_refused(folder, tmp_path):
    for name in ("h/1.dcm", "h/deep/2.dcm"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    write_scan(folder / "h" / "d.nii")
    found = survey(folder, tmp_path / "out", OPTIONS)
    assert [str(job.scan.relative_to(folder)) for job in found.jobs] == [
        "a.nii.gz", "h/d.nii", "h/deep", "p1/b.nrrd", "p1/t0/c.mha",
    ]  # fmt: skip
    (refused,) = found.settled
    assert (refused.scan, refused.failed) == (folder / "h", True)
    assert f"{tmp_path / 'out' / 'h'}, which holds the finer scans of others" in refused.line


def test_a_linked_subject_is_done_like_the_others(folder, tmp_path):
    write_scan(tmp_path / "elsewhere" / "d.nii.gz", 7)
    (folder / "p2").symlink_to(tmp_path / "elsewhere")
    (folder / "p1" / "back").symlink_to(folder)
    out = tmp_path / "out"
    result = run(folder, "-o", out, "--model", "linear")
    assert (result.exit_code, result.stderr) == (0, "")
    assert files(out) == WRITTEN | {"p2/d.nii.gz", "p2/d.json"}


def test_a_name_that_is_no_text(folder, tmp_path):
    """Fails in one sentence, is listed, and costs the others nothing; or is done."""
    broken = Path(os.fsdecode(os.fsencode(folder / "p1") + b"/\xff.nii"))
    broken.write_bytes(b"no NIfTI")
    whole = write_scan(broken.with_name(os.fsdecode(b"\xe4.nii")))
    out = tmp_path / "out"
    command = [sys.executable, "-c", MEDGEN, "interpolate", folder, "-o", out, "--model", "linear"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False)
    assert b"Failed: " in done.stderr
    assert b"1 of 5 scans failed" in done.stderr
    with open(out / "failures.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows] == ["scan", f"{folder}/p1/\\udcff.nii"]
    assert "not a readable NIfTI" in rows[1][1]
    assert len(done.stdout.splitlines()) == 4
    assert (out / "p1" / whole.name).is_file()
    again = subprocess.run(command, capture_output=True, check=False)
    assert again.stdout.count(b" is there already.") == 4


def test_failures_are_no_formulas(tmp_path):
    results = [Result(Path("=1+1.nii"), "+1", "failed"), Result(Path("a.nii"), "no", "failed")]
    write_failures(results, tmp_path)
    assert (tmp_path / "failures.csv").read_text() == "scan,reason\n'=1+1.nii,'+1\na.nii,no\n"


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
            read_volume(out / name).to_physical(), expected.to_physical(), err_msg=name
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


def test_what_makes_a_scan_undone(folder, tmp_path):
    job, *_ = survey(folder, tmp_path / "out", OPTIONS).jobs
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


# === Killed ===


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
    # What the killed runs left is gone as well.
    assert files(out) == files(expected)
    for name in files(expected):
        assert (out / name).read_bytes() == (expected / name).read_bytes()
    assert {path: path.read_bytes() for path in (tmp_path / "scans").iterdir()} == before
