"""What readers did, in an SQLite file that can be added to and not be changed.

Each row is a step of a reader: `begin` (what they say of themselves), `answer`, or `undo` of the
last answer. Rows have the time, triggers refuse to change or remove one, and each holds a digest of
itself and of the row before, so that a change by other means shows.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medgen.errors import StudyError

BEGIN, ANSWER, UNDO = "begin", "answer", "undo"
# Another process that writes is waited for so long.
SECONDS_TO_WAIT = 30
SCHEMA = """
CREATE TABLE IF NOT EXISTS steps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    reader INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('begin', 'answer', 'undo')),
    question INTEGER,
    choice INTEGER CHECK (choice IN (0, 1)),
    seconds REAL,
    at TEXT NOT NULL,
    note TEXT NOT NULL,
    digest TEXT NOT NULL,
    UNIQUE (reader, turn)
);
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON steps
BEGIN SELECT RAISE(ABORT, 'answers cannot be changed'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON steps
BEGIN SELECT RAISE(ABORT, 'answers cannot be removed'); END;
"""
COLUMNS = ("reader", "turn", "kind", "question", "choice", "seconds", "at", "note", "digest")


@dataclass(frozen=True)
class Step:
    """A row.

    Args:
        reader: number of the reader, from 0.
        turn: how many steps this reader had made before.
        kind: `begin`, `answer` or `undo`.
        question: number among the reader's questions, None for `begin`.
        choice: 0 for the picture shown as 1, 1 for the other; None unless an answer.
        seconds: that the reader took, as the page measured.
        at: when it was stored, UTC.
        note: what else was told, such as the reader's role or the screen.
        digest: SHA-256 of all this and of the digest before.
    """

    reader: int
    turn: int
    kind: str
    question: int | None
    choice: int | None
    seconds: float | None
    at: str
    note: Mapping[str, Any]
    digest: str


class OutOfTurnError(Exception):
    """Something else was stored since the page was shown, as from a second tab."""


class Answers:
    """The file, open; for one study, and any number of threads and processes.

    Args:
        path: of the file, made if it is not there.

    Raises:
        StudyError: it cannot be opened or is no such file.
    """

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.Lock()
        with _reported(path):
            self._connection = sqlite3.connect(
                path, timeout=SECONDS_TO_WAIT, isolation_level=None, check_same_thread=False
            )
            try:
                # On disk once a transaction is through, also where the power fails.
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.executescript(SCHEMA)
            except sqlite3.Error:
                self._connection.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def of(self, reader: int) -> list[Step]:
        """All steps of a reader, in order."""
        with self._lock, _reported(self.path):
            return _steps(self._connection, reader)

    def add(
        self,
        reader: int,
        turn: int,
        kind: str,
        *,
        question: int | None = None,
        choice: int | None = None,
        seconds: float | None = None,
        note: Mapping[str, Any],
    ) -> None:
        """Store a step; once this returns it is on disk. The same one sent again is stored once.

        Args:
            reader: whose step.
            turn: how many steps of the reader the page knew of.
            kind: of the step.
            question: that is answered, or whose answer is taken back.
            choice: the answer.
            seconds: that it took.
            note: what else there is to keep.

        Raises:
            OutOfTurnError: the reader has made another step meanwhile; nothing is stored.
        """
        with self._lock, _reported(self.path), _transaction(self._connection):
            steps = _steps(self._connection, reader)
            if turn == len(steps) - 1:
                last = steps[-1]
                if (last.kind, last.question, last.choice) == (kind, question, choice):
                    return
            if turn != len(steps):
                raise OutOfTurnError
            row = self._connection.execute("SELECT digest FROM steps ORDER BY id DESC LIMIT 1")
            before = (row.fetchone() or ("",))[0]
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            text = json.dumps(note, sort_keys=True, allow_nan=False)
            values = (reader, turn, kind, question, choice, seconds, at, text)
            self._connection.execute(
                f"INSERT INTO steps ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, _digest(before, values)),
            )


def read_steps(path: Path) -> list[Step]:
    """All steps in a file, which may be in use, in order.

    Raises:
        StudyError: there is no such file, or rows were changed or removed after they were stored.
    """
    if not path.is_file():
        raise StudyError(f"{path.parent} has no answers; let readers answer with medgen read.")
    with _reported(path):
        # Not read-only: what a killed server left half written has to be taken back first.
        address = f"{path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(address, timeout=SECONDS_TO_WAIT, uri=True)
        try:
            steps = _steps(connection)
        finally:
            connection.close()
    before = ""
    for number, step in enumerate(steps, start=1):
        text = json.dumps(step.note, sort_keys=True, allow_nan=False)
        values = (step.reader, step.turn, step.kind, step.question, step.choice, step.seconds)
        if step.digest != _digest(before, (*values, step.at, text)):
            raise StudyError(
                f"{path} was changed after it was written: step {number} does not follow from "
                "those before; take it from a backup."
            )
        before = step.digest
    return steps


def answered(steps: Sequence[Step]) -> dict[int, Step]:
    """The answer that counts to each question of one reader: the last, unless it was taken back."""
    standing: dict[int, Step] = {}
    for step in steps:
        if step.question is not None:
            if step.kind == UNDO:
                standing.pop(step.question, None)
            else:
                standing[step.question] = step
    return standing


def _steps(connection: sqlite3.Connection, reader: int | None = None) -> list[Step]:
    which = "" if reader is None else "WHERE reader = :reader"
    query = f"SELECT {', '.join(COLUMNS)} FROM steps {which} ORDER BY id"
    rows = connection.execute(query, {"reader": reader}).fetchall()
    fields = (dict(zip(COLUMNS, row, strict=True)) for row in rows)
    return [Step(**each | {"note": json.loads(each["note"])}) for each in fields]


def _digest(before: str, values: Sequence[object]) -> str:
    text = json.dumps([before, *values])
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StudyError(f"{path} cannot be used as a file of answers ({error}).") from error
