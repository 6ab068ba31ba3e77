"""Cores, and work that is done by several processes or threads at a time."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

Task, Result = TypeVar("Task"), TypeVar("Result")


def cores() -> int:
    """Cores that this process may use; all of the machine where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def process_pool(count: int) -> ProcessPoolExecutor:
    """Up to `count` fresh processes: a fork of a process that runs TensorFlow may hang.

    None of them outlives this one, however it ends, and Ctrl-C is left to this one.
    """
    return ProcessPoolExecutor(count, get_context("spawn"), initializer=_follow_parent)


def workers(jobs: int) -> AbstractContextManager[Executor | None]:
    """What `in_order` has `jobs` tasks done by at a time: a pool, or nobody else for one job."""
    return nullcontext() if jobs == 1 else process_pool(jobs)


def in_order(
    executor: Executor | None,
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    ahead: int,
) -> Iterator[Result]:
    """`map(function, tasks)` in parallel, at most `ahead` of them in memory.

    Args:
        executor: does the tasks; None to do each when its result is asked for.
        function: of one task.
        tasks: taken as they are needed.
        ahead: tasks at work, or done and not yet taken.
    """
    if executor is None:
        yield from map(function, tasks)
        return
    under_way = deque()
    try:
        for task in tasks:
            under_way.append(executor.submit(function, task))
            if len(under_way) == ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:  # where nobody takes the rest
        for future in under_way:
            future.cancel()


def _follow_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        connection.wait([parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
