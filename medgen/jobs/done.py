"""Whether a job is done."""

from __future__ import annotations

import medgen
from medgen.jobs.provenance import model_checksum, read_provenance
from medgen.jobs.scan_job import ScanJob
from medgen.jobs.source import Source


def is_done(job: ScanJob, source: Source | None = None) -> bool:
    """Whether the outputs of a job are there and, by their provenance, what it would make.

    That is, they come from the same version of medgen, model, options and bytes of the scan.

    Args:
        job: what was to be done.
        source: its scan, where it is at hand.

    Raises:
        MedgenError: there are outputs, but the scan or the model cannot be read.
    """
    found = [read_provenance(output) for output in job.outputs if output.exists()]
    told = [facts for facts in found if facts is not None]
    if len(told) < len(job.outputs) or not all(path.exists() for path in job.beside):
        return False
    folder = job.model_folder
    parts = None if folder is None else model_checksum(folder)
    for k, facts in enumerate(told):
        if not all(isinstance(facts.get(name), dict) for name in ("options", "model", "input")):
            return False
        name, parts_told = (facts["model"].get(key) for key in ("name", "sha256"))
        if (facts["medgen"], parts_told) != (medgen.__version__, parts):
            return False
        if not job.is_told(facts["options"], k):
            return False
        if folder is None and name != job.model:
            return False
    bytes_now = (source or job.source()).facts["sha256"]
    same = all(facts["input"].get("sha256") == bytes_now for facts in told)
    return same and (job.segmentation is None or job.segmentation.is_done())
