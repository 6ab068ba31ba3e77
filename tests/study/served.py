"""A study served by the command itself, in a process that can be killed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


class Served:
    """`medgen read` on a free port, which stays the same when it is started again."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, 0
        self.start()

    def start(self) -> None:
        words = ["read", str(self.folder), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "medgen", *words], stdout=subprocess.PIPE, text=True
        )
        said = self.process.stdout.readline()
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+); Ctrl-C stops", said)[1])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)
        self.process.stdout.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"
