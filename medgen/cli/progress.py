"""Bars on a terminal for work that takes its time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from medgen.cli.output import is_quiet

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn


@contextmanager
def shown_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A callback with what is done, how much of it and how much there is: a bar for each."""
    bar = terminal_bar(transient=True)
    if bar is None:
        yield lambda name, done, total: None
        return
    with bar:
        tasks = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done)

        yield progress


def terminal_bar(*columns: ProgressColumn, transient: bool = False) -> Progress | None:
    """A bar on standard error; none with `--quiet`, or where that is no terminal.

    Args:
        columns: of the bar; by default name, bar, percentage and time left.
        transient: whether it is gone in the end.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if is_quiet() or not console.is_terminal:  # where older releases of rich print an empty line
        return None
    # What is printed meanwhile goes above the bar, unless it goes elsewhere, as into a file.
    printed_there = sys.stdout.isatty()
    return Progress(*columns, console=console, transient=transient, redirect_stdout=printed_there)
