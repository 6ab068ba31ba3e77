"""Who does the jobs of many scans: processes of this machine, or the workers of a Dask cluster.

Whatever goes wrong with one scan is its result, up to the end of the process that was at it, as
readers of foreign formats can crash and memory can run out.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from medgen.errors import BundleError, MedgenError, ReadError, WriteError
from medgen.jobs.done import is_done
from medgen.jobs.scan_job import One, ScanJob
from medgen.processes import process_pool
from medgen.storage import clear, make_folder

Fate = Literal["done", "failed", "passed over"]


@dataclass(frozen=True)
class Result:
    """What became of one scan.

    Args:
        scan: its path.
        line: one line for the user.
        fate: whether `line` says what was made, why it failed or why it was passed over.
    """

    scan: Path
    line: str
    fate: Fate = "done"

    @property
    def failed(self) -> bool:
        """Whether `line` says why it failed."""
        return self.fate == "failed"


# === One scan ===


def attempt(job: ScanJob) -> Result:
    """Do a job unless it is done; whatever goes wrong is a result as well."""
    source = job.source()
    try:
        job = job.with_model(source)
        if is_done(job, source):
            for output in job.outputs:
                clear(output)
            return Result(job.scan, f"{job.output} is there already.")
        make_folder(job.output.parent)
        outcome = job.run(load(options_of(job)), source=source)
    except Exception as error:  # a scan must not stop the others, not even by a bug
        if isinstance(error, WriteError) and is_done(job, source):
            return Result(job.scan, f"{job.output} is there already.")
        if isinstance(error, OSError):  # of reading: writing has errors of its own
            error = ReadError(f"Cannot read {job.scan}: {error.strerror or error}.")
        known = isinstance(error, MedgenError)
        line = str(error) if known else f"A bug in medgen: {type(error).__name__}: {error}"
        return Result(job.scan, " ".join(line.split()), "failed")
    notes = "".join(f" Note: {sentence}" for sentence in outcome.notes)
    return Result(job.scan, outcome.line + notes)


def options_of(job: One) -> One:
    """What a job shares with the others, in the form of a job."""
    return replace(job, scan=Path(), output=Path(), sidecar=None)


@lru_cache(maxsize=3)  # the defaults of CT, MR and label maps
def load(options: ScanJob) -> Any:
    """The method of all jobs with these options, loaded once in a process."""
    return options.load_method()


# === Processes ===


class Processes(AbstractContextManager["Processes"]):
    """Processes of this machine that jobs are done in.

    None of them outlives this one, however it ends.

    Args:
        count: how many scans are worked on at a time.
    """

    def __init__(self, count: int = 1):
        self.count = count
        self.pool: ProcessPoolExecutor | None = None

    def __exit__(self, *_: object) -> None:
        self._stop()

    def check(self, options: ScanJob) -> None:
        """Load a model where jobs will need it.

        Raises:
            MedgenError: it cannot be loaded, or has not these options.
        """
        try:
            self._submit(_interruptible, _check, options).result()
        except BrokenExecutor as error:
            raise BundleError(
                f"The process that loaded {options.model} ended without a word, perhaps for lack "
                "of memory; end other programs, or name another model."
            ) from error

    def run(self, jobs: Sequence[ScanJob]) -> Iterator[Result]:
        """Do jobs and yield what became of each as it ends.

        A process that ends (crashed, killed, or out of memory) fails its own scan alone.
        """
        waiting, suspects = deque(jobs), deque[ScanJob]()
        while waiting:
            ended = yield from self._until_one_ends(waiting, self.count)
            if self.count == 1:
                yield from map(_ended, ended)
            else:
                suspects.extend(ended)
        # One that ends takes the pool with it: alone, each shows whether it was to blame.
        while suspects:
            yield from map(_ended, (yield from self._until_one_ends(suspects, 1)))

    def _until_one_ends(
        self, waiting: deque[ScanJob], count: int
    ) -> Generator[Result, None, list[ScanJob]]:
        """Do jobs until none waits, or a process has ended; returns those then at work."""
        running: dict[Future[Any], ScanJob] = {}
        try:
            while waiting or running:
                while waiting and len(running) < count:
                    future = self._submit(_interruptible, attempt, waiting[0])
                    running[future] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    del running[future]
                    yield result
        except BrokenExecutor:
            self._stop()
        return list(running.values())

    def _submit(self, function: Callable[..., Any], *arguments: object) -> Future[Any]:
        if self.pool is None:
            self.pool = process_pool(self.count)
        return self.pool.submit(function, *arguments)

    def _stop(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
            self.pool = None


def _ended(job: ScanJob) -> Result:
    return Result(
        job.scan,
        "The process that worked on it ended without a word: there was not enough memory, or a "
        f"reader does not survive it; leave {job.scan} out, or convert it with another program.",
        "failed",
    )


def _interruptible(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function that Ctrl-C ends in good order."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return function(*arguments)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _check(options: ScanJob) -> None:
    load(options)  # which stays there


# === A cluster ===


def run_on_cluster(jobs: Sequence[ScanJob], scheduler: str) -> Iterator[Result]:
    """Do jobs on a Dask cluster, and yield what became of each as it ends.

    Workers see the scans under the same paths as this machine. The scan of a worker that is lost is
    done by another, from the slices it had.

    Args:
        jobs: what to do.
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
                yield Result(futures[future].scan, sentence, "failed")
