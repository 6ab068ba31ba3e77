"""A Dask cluster of two workers does a folder of scans; one is killed, nothing is lost or twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from medgen.errors import MedgenError
from medgen.jobs.folder import survey
from medgen.jobs.job import Job
from medgen.jobs.runners import attempt, run_on_cluster
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import write_volume

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

COUNT = 8
# A worker that tells its process, notes every scan that it finishes, and takes its time.
PRELOAD = """
import os, time
from pathlib import Path
from medgen.jobs import runners
from medgen.jobs.run import run_job

noted = Path({folder!r})

def noting(job, interpolator, source):
    noted.joinpath(f"start-{{job.scan.name}}-{{os.getpid()}}").touch()
    time.sleep(0.3)
    outcome = run_job(job, interpolator, source=source)
    noted.joinpath(f"end-{{job.scan.name}}-{{os.getpid()}}").touch()
    return outcome

runners.run_job = noting
"""


@pytest.fixture
def notes(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "preload.py").write_text(PRELOAD.format(folder=str(tmp_path / "notes")))
    return tmp_path / "notes"


@pytest.fixture
def scheduler(tmp_path, notes):
    """Address of a scheduler with two workers of one thread each, in processes of their own."""
    address = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    work = [sys.executable, "-m", "distributed.cli.dask_worker"]
    local = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(address)]
    processes = [subprocess.Popen([*dask, "--port", "0", *local], stderr=subprocess.DEVNULL)]
    options = [
        *("--nthreads", "1", "--no-nanny", "--no-dashboard", "--scheduler-file", str(address)),
        *("--preload", str(tmp_path / "preload.py"), "--local-directory", str(tmp_path / "dask")),
    ]
    while not address.exists() or not address.stat().st_size:
        time.sleep(0.05)
    processes += [subprocess.Popen([*work, *options], stderr=subprocess.DEVNULL) for _ in range(2)]
    with distributed.Client(scheduler_file=str(address), set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
        yield client.scheduler.address
    for process in processes:
        process.kill()
        process.wait()


def names(notes, kind):
    return sorted(path.name.split("-")[1] for path in notes.glob(f"{kind}-*"))


@pytest.mark.slow
def test_a_killed_worker_loses_and_repeats_nothing(scheduler, notes, tmp_path):
    for number in range(COUNT):
        path = tmp_path / "scans" / f"{number}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        write_volume(phantom_volume("ct", (9, 8, 4), (40.0, 40.0, 60.0), number), path)
    options = Job(Path(), Path(), "linear")
    jobs = survey(tmp_path / "scans", tmp_path / "out", options).jobs

    def kill_one():
        while len(list(notes.glob("end-*"))) < 2:
            time.sleep(0.02)
        running = {p.name[6:] for p in notes.glob("start-*")} - {
            p.name[4:] for p in notes.glob("end-*")
        }
        os.kill(int(sorted(running)[0].split("-")[1]), signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    results = list(run_on_cluster(jobs, scheduler))
    killer.join()
    assert sorted(result.scan for result in results) == [job.scan for job in jobs]
    assert not [result.line for result in results if result.failed]
    # The killed worker's scan was begun again, and none was ended twice.
    workers = {path.name.split("-")[2] for path in notes.glob("start-*")}
    assert len(workers) == 2
    assert names(notes, "end") == [job.scan.name for job in jobs]
    assert len(names(notes, "start")) == COUNT + 1

    here = survey(tmp_path / "scans", tmp_path / "here", options).jobs
    assert not any(attempt(job).failed for job in here)
    for path in (tmp_path / "here").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    visible = {path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."}
    assert visible == {path.name for path in (tmp_path / "here").iterdir()}
    # A second round finds all of it done.
    again = list(run_on_cluster(jobs, scheduler))
    assert all(result.line.endswith(" is there already.") for result in again)


def test_no_scheduler_answers():
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(MedgenError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"),
    ):
        list(run_on_cluster([], "tcp://127.0.0.1:9"))


def test_dask_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MedgenError, match=r"pip install 'medgen\[cluster\]'"):
        list(run_on_cluster([], "tcp://127.0.0.1:9"))
