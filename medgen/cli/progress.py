"""Bars on a terminal for work that takes its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from medgen.cli.output import is_quiet


@contextmanager
def shown_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A callback with what is done, how much of it and how much there is: a bar for each."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if is_quiet() or not console.is_terminal:  # where older releases of rich print an empty line
        yield lambda name, done, total: None
        return
    with Progress(console=console, transient=True) as bar:
        tasks = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done)

        yield progress
