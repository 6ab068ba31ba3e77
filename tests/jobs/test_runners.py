"""Processes that do jobs: each scan once, crashes cost their own scan alone, nobody is left."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from medgen.errors import BundleError
from medgen.interpolation.options import SamplingOptions
from medgen.jobs.folder import survey
from medgen.jobs.job import Job
from medgen.jobs.run import run_job
from medgen.jobs.runners import Processes, attempt
from medgen.phantoms.phantom import phantom_volume
from medgen.storage import checksum
from medgen.volumes import read_volume, write_volume

OPTIONS = Job(Path(), Path(), "linear")
NAMES = ["a.nii.gz", "b.nrrd", "c.mha", "d.nii"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "scans").mkdir()
    for seed, name in enumerate(NAMES):
        scan = phantom_volume("ct", (9, 8, 4), (40.0, 40.0, 60.0), seed)
        write_volume(scan, tmp_path / "scans" / name)
    return tmp_path / "scans"


@pytest.fixture
def in_workers(monkeypatch):
    """Lets workers find this file, and call a function of it instead of `attempt`."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))

    def use(function):
        monkeypatch.setattr("medgen.jobs.runners.attempt", function)

    return use


def run(jobs, count):
    with Processes(count) as workers:
        return list(workers.run(jobs))


def crash_or_attempt(job):
    if job.scan.name == "b.nrrd":
        os.kill(os.getpid(), signal.SIGSEGV)
    return attempt(job)


def told_pid(job):
    return replace(attempt(job), line=str(os.getpid()))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_processes_do_what_this_one_does(folder, tmp_path):
    for job in survey(folder, tmp_path / "0", OPTIONS).jobs:
        attempt(job)
    for count in (1, 2):
        out = tmp_path / str(count)
        jobs = survey(folder, out, OPTIONS).jobs
        results = run(jobs, count)
        assert sorted(result.scan.name for result in results) == NAMES
        assert not any(result.failed for result in results)
        assert names(out) == names(tmp_path / "0")
        for name in names(out):
            assert (out / name).read_bytes() == (tmp_path / "0" / name).read_bytes()


def test_one_process_does_all(folder, tmp_path, in_workers):
    in_workers(told_pid)
    results = run(survey(folder, tmp_path / "out", OPTIONS).jobs, 1)
    assert len({result.line for result in results}) == 1
    assert results[0].line != str(os.getpid())


@pytest.mark.parametrize("count", [1, 2])
def test_a_process_that_crashes_costs_its_own_scan_alone(folder, tmp_path, in_workers, count):
    in_workers(crash_or_attempt)
    results = run(survey(folder, tmp_path / "out", OPTIONS).jobs, count)
    assert sorted(result.scan.name for result in results) == NAMES
    (failed,) = [result for result in results if result.failed]
    assert failed.scan.name == "b.nrrd"
    assert "The process that worked on it ended without a word" in failed.line
    assert names(tmp_path / "out") == [
        "a.json", "a.nii.gz", "c.json", "c.mha", "d.json", "d.nii"
    ]  # fmt: skip


def test_a_bug_stops_one_scan_only(folder, tmp_path, monkeypatch):
    def fail(job, interpolator, **told):
        if job.scan.name == "b.nrrd":
            raise KeyError("x")
        return run_job(job, interpolator, **told)

    monkeypatch.setattr("medgen.jobs.run.run_job", fail)
    results = [attempt(job) for job in survey(folder, tmp_path / "out", OPTIONS).jobs]
    assert [result.line for result in results if result.failed] == [
        "A bug in medgen: KeyError: 'x'"
    ]
    assert [result.failed for result in results] == [False, True, False, False]


@pytest.mark.parametrize(("model", "modality"), [(None, "labels"), ("linear", "ct")])
def test_a_scan_is_read_and_hashed_once(folder, tmp_path, monkeypatch, model, modality):
    """By whoever asks: what it is, whether it is done, the work, its provenance."""
    seen = []

    def noting(function):
        def noted(path, *arguments, **options):
            seen.append(function.__name__)
            return function(path, *arguments, **options)

        return noted

    for function in (read_volume, checksum):
        monkeypatch.setattr(f"medgen.jobs.source.{function.__name__}", noting(function))
    job = Job(folder / "a.nii.gz", tmp_path / "a.nii", model, modality=modality, factor=3)
    for line in ("by ", "is there already"):
        assert line in attempt(job).line
        assert sorted(seen) == ["checksum", "read_volume"]
        seen.clear()


def test_a_scan_that_vanishes(folder, tmp_path):
    jobs = survey(folder, tmp_path / "out", OPTIONS).jobs
    (folder / "b.nrrd").unlink()
    result = attempt(jobs[1])
    assert (result.failed, result.line) == (
        True,
        f"{folder / 'b.nrrd'} does not exist; check the path.",
    )


def test_a_model_is_checked_where_it_is_needed(two_stage, tmp_path):
    with Processes() as workers:
        workers.check(OPTIONS)
        with pytest.raises(BundleError, match="takes no top_k"):
            workers.check(replace(OPTIONS, sampling=SamplingOptions(top_k=3)))


PARENT = """
import sys, time
from pathlib import Path
from medgen.jobs.runners import Processes

def report(folder):
    import os, time
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)

if __name__ == "__main__":
    workers = Processes(2)
    futures = [workers._submit(report, sys.argv[1]) for _ in range(2)]
    futures[0].result()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_one_that_started_it(tmp_path, how):
    script, notes = tmp_path / "parent.py", tmp_path / "notes"
    script.write_text(PARENT)
    notes.mkdir()
    parent = subprocess.Popen([sys.executable, script, notes])
    while len(names(notes)) < 2:
        time.sleep(0.05)
    parent.send_signal(how)
    parent.wait()
    children = {int(name) for name in names(notes)}
    for _ in range(1200):
        children = {pid for pid in children if is_alive(pid)}
        if not children:
            return
        time.sleep(0.05)
    pytest.fail(f"Still there after a minute: {children}.")


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")  # where there is none, whoever inherits the dead waits
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
