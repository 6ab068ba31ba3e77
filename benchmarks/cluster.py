"""Processor seconds and memory of Dask workers that fill in scans: just started, and warm.

    python benchmarks/cluster.py [--model ct-two-stage --modality ct --shape 512,512,4]

Workers have one thread each and lie on this machine; the scans are phantoms. Each number of workers
starts afresh and does as many scans twice: what the second time took is what every further scan
takes. Processor time does not depend on what else the machine does, other than that of the clock.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from distributed import Client, LocalCluster

from medgen.jobs.folder import work_through
from medgen.jobs.job import Job
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import write_volume

SPACING_MM = {"ct": (0.7, 0.7, 3.0), "mr": (2.0, 2.0, 4.0)}


def numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def processor_seconds(client: Client) -> float:
    return sum(client.run(time.process_time).values())


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(workers: int, job: Job, work: Path, scans: int) -> None:
    """Print a line for workers that have just started and one for the same workers, warm."""
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=None, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        for state in ("started", "warm"):
            output = work / f"{workers}-{state}"
            before, start = processor_seconds(client), time.perf_counter()
            results = work_through(
                job.scan,
                output,
                job,
                scheduler=cluster.scheduler_address,
                tell=lambda result: None,
            )
            if any(result.failed for result in results):
                raise SystemExit(results[0].line)
            clock, seconds = time.perf_counter() - start, processor_seconds(client) - before
            stored = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
            print(
                f"{workers} {state:8s} {clock:8.1f} s of the clock {seconds:8.1f} s of processors "
                f"{seconds / scans:7.2f} s a scan {max(client.run(peak_gib).values()):6.2f} GiB "
                f"{stored / scans / 1e6:7.2f} MB stored a scan",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mr-pixelminer")
    parser.add_argument("--modality", default="mr", choices=list(SPACING_MM))
    parser.add_argument("--shape", type=numbers, default=(64, 56, 8))
    parser.add_argument("--scans", type=int, default=4)
    parser.add_argument("--workers", type=numbers, default=(1, 2))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "scans").mkdir()
        for seed in range(options.scans):
            scan = phantom_volume(
                options.modality, options.shape, SPACING_MM[options.modality], seed=seed
            )
            write_volume(scan, work / "scans" / f"{seed}.nii.gz")
        job = Job(scan=work / "scans", output=work / "out", model=options.model)
        for workers in options.workers:
            measure(workers, job, work, options.scans)


if __name__ == "__main__":
    main()
