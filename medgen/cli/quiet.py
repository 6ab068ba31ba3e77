"""TensorFlow without its start-up notes and advice; whatever else it says still shows."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# C++ writes notes while its libraries are loaded, before it has read a log level, and to the file
# descriptor: how it logs, and lines of severity I such as
# "I0000 00:00:1795776276.234868    9508 port.cc:153] oneDNN custom operations are on. …".
NOTES = (
    rb"WARNING: All log messages before absl::InitializeLog|I\d{4} \d\d:\d\d:[\d.]+ +\d+ \S+:\d+\]"
)
# A process of its own also passes on the last words of a process that does not survive the import.
FILTER = f"""
import re, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # its end is that of what it reads
for line in sys.stdin.buffer:
    if not re.match({NOTES!r}, line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""
LEVEL = "TF_CPP_MIN_LOG_LEVEL"


def quieten_tensorflow() -> None:
    """Let the first import of TensorFlow in this process, and all after it, give no notes.

    Errors come as exceptions, and what ends the process still is written. Nothing is held back
    where the environment sets TensorFlow's own `TF_CPP_MIN_LOG_LEVEL` to another level than 3.
    """
    if os.environ.setdefault(LEVEL, "3") == "3" and "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _Quiet())


@contextmanager
def without_notes() -> Iterator[None]:
    """Filter what is written to file descriptor 2, by Python or C++, until the context ends."""
    sys.stderr.flush()
    command = [sys.executable, "-I", "-S", "-c", FILTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as passing_on:
        assert passing_on.stdin is not None  # it is a pipe
        before = os.dup(2)
        os.dup2(passing_on.stdin.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)


class _Quiet(MetaPathFinder):
    """Finds TensorFlow, once, as it is found without, to be executed `without_notes`."""

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def quietly(module: ModuleType) -> None:
                with without_notes():
                    execute(module)
                # Its warnings in Python are advice to who writes programs, such as on retracing.
                logging.getLogger("tensorflow").setLevel(logging.ERROR)

            spec.loader.exec_module = quietly  # type: ignore[method-assign]
        return spec
