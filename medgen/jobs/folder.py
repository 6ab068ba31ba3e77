"""Many scans: every scan in a folder or a BIDS data set, on this machine or on a cluster.

Scans keep their names and places below the output folder; in a BIDS data set their names tell the
resolution. A scan that fails does not stop the others, and one that is done (see `is_done`) is not
done again, so that a run can be repeated until all are there.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from medgen.errors import ReadError, WriteError
from medgen.interpolation.contract import Progress
from medgen.jobs.bids import (
    NOT_RAW,
    DataSet,
    Name,
    sidecar_beside,
    write_derivative,
)
from medgen.jobs.provenance import provenance_path, read_provenance, writes_series
from medgen.jobs.runners import Processes, Result, options_of, run_on_cluster
from medgen.jobs.scan_job import ScanJob
from medgen.storage import clear, csv_text, make_folder, write_text, writing
from medgen.volumes.files import find_scans, suffix_of

FAILURES = "failures.csv"
HEADER = ("scan", "reason")
# What is written for formats that medgen reads but does not write, or writes in one file.
WRITTEN_AS = {
    ".hdr": ".nii", ".img": ".nii", ".hdr.gz": ".nii.gz", ".img.gz": ".nii.gz",
    ".mgh": ".nii", ".mgz": ".nii.gz", ".nhdr": ".nrrd", ".mhd": ".mha",
}  # fmt: skip


@dataclass(frozen=True)
class Survey:
    """What there is to do in a folder.

    Args:
        jobs: to be done, no two of which write the same file.
        settled: what became, without any work, of all other scans.
        data_set: the folder, if it is a BIDS data set.
    """

    jobs: list[ScanJob]
    settled: list[Result]
    data_set: DataSet | None


def is_folder_of_scans(path: Path) -> bool:
    """Whether `path` is a folder to be worked through, rather than one scan.

    A folder with DICOM files in it and no scan below is one scan.

    Raises:
        ReadError: a folder without any scan.
    """
    return path.is_dir() and find_scans([path]) != [path]


def survey(
    folder: Path, output: Path, options: ScanJob, participants: Collection[str] | None = None
) -> Survey:
    """A job for every scan below `folder` that there can be one for.

    Formats that medgen does not write become NIfTI, NRRD or MetaImage in one file. Where an output
    is follows from the path of the scan alone, whatever lies beside it; scans that would share one
    are refused, but for one whose output is there. In a BIDS data set label maps are interpolated
    by shape, whatever the model; what is neither that nor an image of anatomy is passed over,
    without a word its folders of derivatives and sources.

    Args:
        folder: searched with `find_scans`; what lies below `output` does not count.
        output: folder to write to.
        options: all options; its scan and output do not matter.
        participants: labels of the subjects of a data set that count; None for all.

    Raises:
        ReadError: there is no scan.
        BundleError: there is no such model.
    """
    folder, output = folder.absolute(), output.absolute()
    if options.model is not None:
        model = options.model_folder
        if model is not None and Path(options.model).is_dir():
            options = replace(options, model=str(model.absolute()))
    options = options.in_folder()
    data_set = DataSet.at(folder)
    left_out = {output, *([folder / name for name in NOT_RAW] if data_set else [])}
    try:
        scans = find_scans([folder], left_out)
    except ReadError as error:
        raise ReadError(f"{str(error).rstrip('.')}, outside {output}.") from error
    if participants is not None:
        subjects = {f"sub-{label}" for label in participants}
        scans = [scan for scan in scans if scan.relative_to(folder).parts[0] in subjects]
    jobs, settled = [], []
    for scan in scans:
        reason = data_set and data_set.why_not(scan)
        if reason:
            settled.append(Result(scan, f"{scan}: {reason}.", "passed over"))
            continue
        job = replace(options, scan=scan, output=_place(scan, folder, output))
        if data_set:
            jobs += _of_data_set(job, data_set)
        else:
            jobs.append(job if scan.is_dir() else replace(job, sidecar=sidecar_beside(scan)))
    # Samples one after the other, as each loads its model.
    jobs.sort(key=lambda job: getattr(job, "seed", 0))
    clashes = _clashes(jobs)
    settled += [Result(scan, line, "failed") for scan, line in clashes.items()]
    return Survey([job for job in jobs if job.scan not in clashes], settled, data_set)


def _place(scan: Path, folder: Path, output: Path) -> Path:
    """Where the finer scan goes."""
    place = output / scan.relative_to(folder)
    if scan.is_dir():
        place = output / folder.name if scan == folder else place
        return place if writes_series(place) else place.with_name(place.name.replace(".", "_"))
    suffix = suffix_of(scan)
    if suffix in WRITTEN_AS:
        place = place.with_name(scan.name[: -len(suffix)] + WRITTEN_AS[suffix])
    return place


def _of_data_set(job: ScanJob, data_set: DataSet) -> list[ScanJob]:
    """A job for each sample, with the name and the sidecar of BIDS."""
    name = Name.of(job.scan)
    job = replace(job, sidecar=data_set.sidecar_of(job.scan))
    label = job.resolution
    if data_set.is_label_map(job.scan):
        job = job.of_label_map()
    return [
        replace(one, output=job.output.with_name(str(name.with_resolution(label, number))))
        for number, one in job.each_sample()
    ]


def _clashes(jobs: Iterable[ScanJob]) -> dict[Path, str]:
    """Why scans are refused whose outputs would be those of others, too, or would hold them."""
    takers: dict[Path, dict[Path, ScanJob]] = defaultdict(dict)
    for job in jobs:
        for output in job.outputs:
            takers[output][job.scan] = takers[provenance_path(output)][job.scan] = job
    refused = {}
    for place, by in takers.items():
        done = [scan for scan, job in by.items() if len(by) > 1 and _is_made_by(job)]
        for scan in by:
            others = ", ".join(str(other) for other in by if other != scan)
            if others and done != [scan]:
                refused[scan] = (
                    f"{scan} would share {place} with {others}; rename one, or do them one by one."
                )
    above = {parent for place in takers for parent in place.parents}
    for place in above & set(takers):
        for scan in takers[place]:
            refused[scan] = (
                f"{scan} would become {place}, which holds the finer scans of others; move its "
                "files to a folder of their own."
            )
    return refused


def _is_made_by(job: ScanJob) -> bool:
    """Whether the outputs of a job are there and, by their provenance, of its scan."""
    facts = [read_provenance(output) for output in job.outputs if output.exists()]
    told = [fact["input"] for fact in facts if fact and isinstance(fact.get("input"), dict)]
    return len(told) == len(job.outputs) and {t.get("path") for t in told} == {str(job.scan)}


def work_through(
    folder: Path,
    output: Path,
    options: ScanJob,
    *,
    processes: int = 1,
    scheduler: str | None = None,
    participants: Collection[str] | None = None,
    tell: Callable[[Result], None],
    progress: Progress = lambda done, total: None,
) -> list[Result]:
    """Do the jobs of a folder and list in `output` what failed (see `write_failures`).

    A script that calls this does so under `if __name__ == "__main__":`, as new processes read it.

    Args:
        folder: see `survey`.
        output: likewise.
        options: likewise.
        processes: how many scans to work on at a time, each in a process of its own.
        scheduler: see `run_on_cluster`; None for this machine.
        participants: see `survey`.
        tell: called with each result as it comes.
        progress: called with how many scans are worked on, and how many there are to work on.

    Raises:
        MedgenError: nothing can be done at all: no scan, no such model, no scheduler, no place to
            write to.
    """
    found = survey(folder, output, options, participants)
    _require_own(output / FAILURES)
    results = []

    def settle(result: Result) -> None:
        results.append(result)
        tell(result)

    with Processes(processes) as workers:
        if options.model is not None and options.model_folder is None:
            options_of(options).load_method()
        elif options.model is not None and scheduler is None:
            for job in [job for job in found.jobs if job.model_folder is not None][:1]:
                workers.check(options_of(job))
        make_folder(output)
        progress(0, len(found.jobs))
        if found.data_set:
            write_derivative(found.data_set, output.absolute(), options.purpose, [FAILURES])
        for result in found.settled:
            settle(result)
        if scheduler is None:
            came = workers.run(found.jobs)
        else:
            came = run_on_cluster(found.jobs, scheduler)
        for done, result in enumerate(came, 1):
            settle(result)
            progress(done, len(found.jobs))
    write_failures(results, output)
    return results


def write_failures(results: Iterable[Result], folder: Path) -> None:
    """List in `failures.csv` the scans that failed and why, as `scan` and `reason`.

    Where none failed, there is no such file.

    Raises:
        WriteError: the folder cannot be written to, or the file is not one written here.
    """
    _require_own(folder / FAILURES)
    failures = sorted((str(result.scan), result.line) for result in results if result.failed)
    place = folder / FAILURES
    if failures:
        write_text(csv_text([HEADER, *failures]), place, overwrite=True)
    else:
        clear(place)
        place.unlink(missing_ok=True)


def _require_own(place: Path) -> None:
    if not os.path.lexists(place):
        return
    with writing(place), open(place, "rb") as file:
        if file.readline(100) != csv_text([HEADER]).encode():
            raise WriteError(f"{place} is no list of failures; move it elsewhere.")
