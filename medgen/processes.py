"""Cores, and work that is done by several processes or threads at a time."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing import connection, get_context, parent_process, resource_tracker
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process may use; all of the machine where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def process_pool(count: int) -> ProcessPoolExecutor:
    """Up to `count` fresh processes: a fork of a process that runs TensorFlow may hang.

    None of them outlives this one, however it ends, and Ctrl-C is left to this one.
    """
    return _Pool(count, get_context("spawn"), initializer=_follow_parent)


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
    under_way: deque[Future[Result]] = deque()
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


class _Pool(ProcessPoolExecutor):
    """Its processes do not see Ctrl-C, not even while they start, so that none has a traceback."""

    def submit(
        self, function: Callable[..., Result], /, *arguments: Any, **named: Any
    ) -> Future[Result]:
        with _held_back():
            return super().submit(function, *arguments, **named)


@contextmanager
def _held_back() -> Iterator[None]:
    """Ctrl-C waits until the context ends; processes started within inherit that it waits."""
    if not hasattr(signal, "pthread_sigmask"):  # as on Windows
        yield
        return
    resource_tracker.ensure_running()  # as its start would end the waiting
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _follow_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    parent = parent_process()
    assert parent is not None  # as this runs in its children

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
