"""Many scans: every scan in a folder or a BIDS data set, in this process, in several, on a cluster.

Scans keep their names and places below the output folder. A scan that fails does not stop the
others, and one that is done (see `is_done`) is not done again, so that a run can be repeated until
all are there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import medgen
from medgen.errors import MedgenError, ReadError, WriteError
from medgen.interpolation import model_folder
from medgen.interpolation.engine import Interpolator
from medgen.interpolation.job import Job, is_done, run_job
from medgen.interpolation.provenance import provenance_path, writes_series
from medgen.storage import clear, csv_text, json_fields, make_folder, write_text
from medgen.volumes.files import find_scans, suffix_of

FAILURES = "failures.csv"
DATASET = "dataset_description.json"
NOT_RAW = ("derivatives", "sourcedata", "code", "stimuli")  # folders of a BIDS data set
# What is written for formats that medgen reads but does not write, or writes in one file.
WRITTEN_AS = {
    ".hdr": ".nii", ".img": ".nii", ".hdr.gz": ".nii.gz", ".img.gz": ".nii.gz",
    ".mgh": ".nii", ".mgz": ".nii.gz", ".nhdr": ".nrrd", ".mhd": ".mha",
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What became of one scan.

    Args:
        scan: its path.
        line: one line for the user.
        failed: whether `line` says why it failed.
    """

    scan: Path
    line: str
    failed: bool = False


def is_folder_of_scans(path: Path) -> bool:
    """Whether `path` is a folder to be worked through, rather than one scan.

    A folder with DICOM files in it and no scan below is one scan.

    Raises:
        ReadError: a folder without any scan.
    """
    return path.is_dir() and find_scans([path]) != [path]


def jobs_for(folder: Path, output: Path, options: Job) -> list[Job]:
    """A job for every scan below `folder`.

    A BIDS data set's folders of derivatives and sources are left out. Formats that medgen does not
    write become NIfTI, NRRD or MetaImage in one file. A `.json` beside a scan, as BIDS has them,
    becomes the job's sidecar.

    Args:
        folder: searched with `find_scans`; what lies below `output` does not count.
        output: folder to write to.
        options: all options; its scan and output do not matter.

    Raises:
        ReadError: there is no scan.
        BundleError: there is no such model.
    """
    folder, output = folder.absolute(), output.absolute()
    model = options.model and model_folder(options.model)
    if model is not None and Path(options.model).is_dir():
        options = replace(options, model=str(model.absolute()))
    left_out = {output, *([folder / name for name in NOT_RAW] if is_bids(folder) else [])}
    scans = [s for s in find_scans([folder]) if left_out.isdisjoint((s, *s.parents))]
    if not scans:
        raise ReadError(f"No scan in {folder} outside {output}; give the folder of the scans.")
    jobs = []
    for scan in scans:
        place = output / scan.relative_to(folder)
        if scan.is_dir():
            place = output / folder.name if scan == folder else place
            if not writes_series(place):
                place = place.with_name(place.name.replace(".", "_"))
        elif suffix_of(scan) in WRITTEN_AS:
            stem = scan.name[: -len(suffix_of(scan))]
            place = place.with_name(stem + WRITTEN_AS[suffix_of(scan)])
        sidecar = None if scan.is_dir() else provenance_path(scan)
        sidecar = sidecar if sidecar and sidecar.is_file() else None
        jobs.append(replace(options, scan=scan, output=place, sidecar=sidecar, resume=True))
    return jobs


def work_through(
    folder: Path,
    output: Path,
    options: Job,
    *,
    processes: int = 1,
    scheduler: str | None = None,
    tell: Callable[[Result], None],
) -> list[Result]:
    """Do `jobs_for` a folder and list in `output` what failed (see `write_failures`).

    Args:
        folder: see `jobs_for`.
        output: likewise.
        options: likewise.
        processes: see `run_jobs`.
        scheduler: see `run_jobs_on_cluster`; None for this machine.
        tell: called with each result as it comes.

    Raises:
        MedgenError: nothing can be done at all: no scan, no such model, no scheduler, no place to
            write to.
    """
    jobs = jobs_for(folder, output, options)
    if options.model is not None:
        _interpolator(options_of(jobs[0]))
    make_folder(output)
    write_dataset_description(folder, output)
    results = []
    cluster = scheduler is not None
    done = run_jobs_on_cluster(jobs, scheduler) if cluster else run_jobs(jobs, processes=processes)
    for result in done:
        results.append(result)
        tell(result)
    write_failures(results, output)
    return results


def is_bids(folder: Path) -> bool:
    """Whether a folder is the root of a BIDS data set."""
    return (folder / DATASET).is_file()


def write_dataset_description(folder: Path, output: Path) -> None:
    """Make `output` a BIDS derivative of `folder`, if that is a BIDS data set.

    JSON files that hold for many scans, which lie above these, are copied.

    Raises:
        ReadError: the description of the data set is damaged.
    """
    if not is_bids(folder):
        return
    source = json_fields(folder / DATASET)
    description = {
        "Name": f"{source.get('Name', folder.name)}, finer slices",
        "BIDSVersion": source.get("BIDSVersion", "1.9.0"),
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "medgen", "Version": medgen.__version__}],
    }
    write_text(json.dumps(description, indent=2) + "\n", output / DATASET, overwrite=True)
    for file in folder.glob("*.json"):
        if file.name != DATASET:
            write_text(file.read_text(encoding="utf-8"), output / file.name, overwrite=True)


def run_jobs(jobs: Sequence[Job], *, processes: int = 1) -> Iterator[Result]:
    """Do jobs on this machine, and yield what became of each as it ends.

    Args:
        jobs: see `jobs_for`.
        processes: how many scans at a time. With 1 they are done in this process; else a process
            that ends (killed, or out of memory) fails its own scan alone.
    """
    if processes == 1:
        yield from map(attempt, jobs)
        return
    # TensorFlow does not survive a fork.
    context = get_context("spawn")
    suspects: list[Job] = []
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = {pool.submit(attempt, job): job for job in jobs}
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenExecutor:
                suspects.append(futures[future])
    # One process that ends takes the pool with it; a scan that ends a pool of its own is to blame.
    for job in suspects:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            try:
                yield pool.submit(attempt, job).result()
            except BrokenExecutor:
                sentence = "The process ended, perhaps for lack of memory; try it with --jobs 1."
                yield Result(job.scan, sentence, failed=True)


def run_jobs_on_cluster(jobs: Sequence[Job], scheduler: str) -> Iterator[Result]:
    """Do jobs on a Dask cluster, and yield what became of each as it ends.

    Workers see the scans under the same paths as this machine. The scan of a worker that is lost is
    done by another, from the slices it had.

    Args:
        jobs: see `jobs_for`.
        scheduler: its address, such as `tcp://host:8786`.

    Raises:
        MedgenError: Dask is not installed, or no scheduler answers.
    """
    try:
        import distributed
    except ImportError:
        raise MedgenError(
            "A scheduler needs Dask; install it with: pip install 'medgen[cluster]'."
        ) from None
    try:
        client = distributed.Client(scheduler, set_as_default=False)
    except (OSError, ValueError) as error:
        raise MedgenError(
            f"No Dask scheduler answers at {scheduler}; start one with dask scheduler, or check "
            "the address."
        ) from error
    with client:
        futures = {client.submit(attempt, job, pure=False): job for job in jobs}
        for future in distributed.as_completed(futures, loop=client.loop):
            if future.status == "finished":
                yield future.result()
            else:
                sentence = f"The cluster gave it up ({type(future.exception()).__name__})."
                yield Result(futures[future].scan, sentence, failed=True)


def attempt(job: Job) -> Result:
    """Do a job unless it is done; whatever goes wrong is a result as well."""
    try:
        job = job.with_model()
        if is_done(job):
            for output in job.outputs:
                clear(output)
            return Result(job.scan, f"{job.output} is there already.")
        make_folder(job.output.parent)
        outcome = run_job(job, _interpolator(options_of(job)))
    except Exception as error:  # a scan must not stop the others, not even by a bug
        known = isinstance(error, MedgenError)
        if isinstance(error, WriteError) and is_done(job):
            return Result(job.scan, f"{job.output} is there already.")
        if isinstance(error, OSError):  # as writing raises none
            known, error = True, ReadError(f"Cannot read {job.scan}: {error.strerror}.")
        line = str(error) if known else f"A bug in medgen: {type(error).__name__}: {error}"
        return Result(job.scan, " ".join(line.split()), failed=True)
    return Result(job.scan, outcome.line)


def options_of(job: Job) -> Job:
    """What a job shares with the others, in the form of a job."""
    return replace(job, scan=Path(), output=Path(), sidecar=None)


@lru_cache(maxsize=2)  # the default models of CT and MR
def _interpolator(options: Job) -> Interpolator:
    return options.load_interpolator()


def write_failures(results: Iterable[Result], folder: Path) -> None:
    """List in `failures.csv` the scans that failed and why, as `scan` and `reason`.

    Where none failed, there is no such file.

    Raises:
        WriteError: the folder cannot be written to.
    """
    failures = sorted((str(r.scan), r.line) for r in results if r.failed)
    if not failures:
        (folder / FAILURES).unlink(missing_ok=True)
        return
    table = csv_text([("scan", "reason"), *failures])
    write_text(table, folder / FAILURES, overwrite=True)
