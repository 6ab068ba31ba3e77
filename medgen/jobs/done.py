"""Whether a job is done, and whether what it is made of has changed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import medgen
from medgen.interpolation import model_folder
from medgen.jobs.job import Job
from medgen.jobs.provenance import model_checksum, read_provenance
from medgen.storage import checksum
from medgen.volumes.walk import walk

State = dict[Path, tuple[int, int]]  # size and time of change of files


def state_of(scan: Path) -> State:
    """Size and time of change of a scan's file, or of each in its folder and below."""
    files = walk(scan) if scan.is_dir() else [scan]
    states = {file: file.stat() for file in files if file.is_file()}
    return {file: (state.st_size, state.st_mtime_ns) for file, state in states.items()}


def state_beside(state: State, files: Iterable[Path]) -> State:
    """Of the files in the folders of `files` alone: other scans may lie in a scan's folder."""
    folders = {file.parent for file in files}
    return {file: told for file, told in state.items() if file.parent in folders}


def is_done(job: Job) -> bool:
    """Whether the outputs of a job are there and, by their provenance, what it would make.

    That is, they come from the same version of medgen, model, options and bytes of the scan.

    Raises:
        MedgenError: there are outputs, but the scan or the model cannot be read.
    """
    told = [read_provenance(output) if output.exists() else None for output in job.outputs]
    if None in told or not all(path.exists() for path in job.beside):
        return False
    folder = model_folder(job.model)
    parts = None if folder is None else model_checksum(folder)
    for k, facts in enumerate(told):
        if not all(isinstance(facts.get(name), dict) for name in ("options", "model", "input")):
            return False
        options = job.options | {"seed": job.seed + k}
        if job.sampling.temperature is None:  # the default is one of version and model
            options["temperature"] = facts["options"].get("temperature")
        name, parts_told = (facts["model"].get(key) for key in ("name", "sha256"))
        if (facts["medgen"], facts["options"], parts_told) != (medgen.__version__, options, parts):
            return False
        if folder is None and name != job.model:
            return False
    scan = job.read()
    files = scan.metadata["files"]
    same = all(facts["input"].get("sha256") == checksum(files) for facts in told)
    return same and (job.segmentation is None or job.segmentation.is_done())
