"""Folders of scans that a command works through."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from medgen.cli.device import tell_device
from medgen.cli.output import answer
from medgen.cli.progress import shown_progress
from medgen.errors import printable

if TYPE_CHECKING:
    from medgen.jobs.runners import Result
    from medgen.jobs.scan_job import ScanJob


def require_one_scan(scan: Path, jobs: int, scheduler: str | None) -> None:
    """Refuse what is about folders of scans, of which `scan` is none."""
    if jobs > 1 or scheduler is not None:
        raise click.UsageError(
            f"--jobs and --scheduler share out a folder of scans, but {scan} is one scan."
        )


def work_through_folder(
    job: ScanJob,
    processes: int,
    scheduler: str | None = None,
    participants: Collection[str] | None = None,
) -> None:
    """Do a folder of scans, telling of each; see `medgen.jobs.folder.work_through`.

    Raises:
        MedgenError: some failed, or nothing can be done at all.
    """
    from medgen.errors import MedgenError
    from medgen.jobs.folder import FAILURES, work_through

    if job.model is None or job.model_folder is not None:
        tell_device()
    with shown_progress() as progress:
        results = work_through(
            job.scan,
            job.output,
            job,
            processes=processes,
            scheduler=scheduler,
            participants=participants,
            tell=_tell,
            progress=partial(progress, "Scans"),
        )
    fates = [result.fate for result in results]
    failed, tried = fates.count("failed"), len(fates) - fates.count("passed over")
    answer([asdict(result) for result in results])
    if failed:
        raise MedgenError(f"{failed} of {tried} scans failed; {job.output / FAILURES} tells why.")


def _tell(result: Result) -> None:
    """One line on a scan: standard output has those that are done."""
    word = {"done": "", "failed": "Failed: ", "passed over": "Passed over: "}[result.fate]
    click.echo(printable(word + result.line), err=result.fate != "done")
