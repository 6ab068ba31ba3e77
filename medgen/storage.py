"""Whole files and folders or nothing; JSON of bounded length; checksums; CSV for spreadsheets.

What is to appear under a name is made in a folder beside it (see `staging`) and moved there in one
step (see `move`), so that no reader sees half of it and nothing is replaced unless told.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from medgen.errors import ReadError, WriteError

LONGEST_JSON = 1 << 26  # bytes
LOCK = "lock"
OCCUPIED = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)
FORMULA = tuple("=+-@\t\r\n")  # how a cell begins that a spreadsheet computes


# === Whole or nothing ===


@contextmanager
def staging(path: Path, *, advice: str = "") -> Iterator[Path]:
    """A folder for what is to be moved to `path`; see `claim` and `move`.

    Args:
        path: file or folder to be.
        advice: what to do when it cannot be written, after a semicolon.

    Yields:
        An empty folder, but for a file that is its lock.

    Raises:
        WriteError: the disk is full, or the folder of `path` cannot be written to.
    """
    with writing(path, advice=advice), claim(path) as folder:
        yield folder


@contextmanager
def claim(path: Path, *, tell: Callable[[str], None] = lambda sentence: None) -> Iterator[Path]:
    """Make `path` this process's to write, and give it a folder on the same disk to do it in.

    The folder lies beside `path`, and its name follows from that. While a process has it others
    wait, and what a killed one left in it is removed, as all of it is in the end. A disk that knows
    no locks gets a folder of a random name, and keeps what a killed process leaves.

    Args:
        path: file or folder to be.
        tell: called with a sentence if another process has it, before waiting for that.

    Yields:
        An empty folder, but for a file that is its lock.

    Raises:
        WriteError: the folder of `path` cannot be written to.
    """
    folder = _folder_of(path)
    lock = _locked(folder, tell)
    if lock is None:
        with writing(path):
            folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=".medgen-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        with writing(path):
            _empty(folder)
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


@contextmanager
def writing(path: Path, *, advice: str = "") -> Iterator[None]:
    """Make a `WriteError` of what the disk has against writing `path`."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"Cannot write {path}: {error.strerror or error}{advice}.") from error


def move(new: Path, path: Path, *, overwrite: bool = False) -> None:
    """Put what was made in its place, in one step.

    Args:
        new: file or folder in the `staging` of `path`.
        path: its place.
        overwrite: replace what is there; else nothing is replaced, even if it appeared just now.

    Raises:
        WriteError: something is there.
        OSError: the disk refuses; all is as it was.
    """
    try:
        if not new.is_dir():
            os.replace(new, path) if overwrite else _move_file(new, path)
            return
        replaced = new.with_name(f"{new.name}.replaced")
        if overwrite and path.is_dir():
            os.rename(path, replaced)
        try:
            os.rename(new, path)  # which takes the place of nothing but an empty folder
        except OSError:
            if replaced.exists():
                os.rename(replaced, path)
            raise
    except OSError as error:
        if error.errno not in OCCUPIED:
            raise
        raise occupied(path) from error


def is_free(path: Path) -> bool:
    """Whether nothing is there, or an empty folder, which a folder may take the place of."""
    if path.is_dir() and not path.is_symlink():
        return not any(path.iterdir())
    return not os.path.lexists(path)


def occupied(path: Path) -> WriteError:
    """The error of a place that is taken."""
    return WriteError(f"{path} exists; choose another name or pass --overwrite.")


def clear(path: Path) -> None:
    """Remove what a killed process left of making `path`, if there is anything.

    Raises:
        WriteError: the disk refuses.
    """
    if _folder_of(path).exists():
        with claim(path):
            pass


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if they are missing.

    Raises:
        WriteError: the disk refuses, or a file has the name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"Cannot write to {folder}: {error.strerror or error}.") from error


def write_text(text: str, path: Path, *, overwrite: bool = False) -> None:
    """Write a file in UTF-8; bytes of file names that are no text become escapes.

    Raises:
        WriteError: the file exists, or its folder cannot be written to.
    """
    with staging(path) as folder:
        unfinished = folder / "unfinished"
        unfinished.write_bytes(text.encode("utf-8", "backslashreplace"))
        move(unfinished, path, overwrite=overwrite)


def _folder_of(path: Path) -> Path:
    """The folder in which `path` is made, of a name that every file system takes."""
    return path.with_name(f".medgen-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}")


def _locked(folder: Path, tell: Callable[[str], None]) -> int | None:
    """Make a folder this process's own, once nobody else has it; None where that is impossible."""
    try:
        import fcntl
    except ImportError:
        return None
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            pass  # not `exist_ok`, which refuses a folder that goes away while it looks
        except OSError:
            return None
        try:
            lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o666)
        except FileNotFoundError:  # who had it removed it just now
            continue
        except OSError:
            return None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                tell("Another process is making the same output; waiting until it ends.")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(lock), os.stat(folder / LOCK)):
                return lock
        except FileNotFoundError:
            pass
        except OSError:  # a disk that knows no locks
            os.close(lock)
            _remove(folder)
            return None
        os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a folder, its lock last, as from then on it may be another's."""
    with suppress(OSError):
        _empty(folder)
        (folder / LOCK).unlink()
        folder.rmdir()


def _empty(folder: Path) -> None:
    """Remove all in a folder but its lock."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _move_file(new: Path, path: Path) -> None:
    try:
        os.link(new, path)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links: take the name, then fill it
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            os.replace(new, path)
        except OSError:
            path.unlink()
            raise


# === Contents ===


def json_fields(path: Path, *, longest: int = LONGEST_JSON) -> dict[str, object]:
    """Fields of the object in a JSON file.

    Args:
        path: the file.
        longest: bytes; what is longer is refused unread.

    Raises:
        ReadError: it cannot be read or holds no object.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(longest + 1)
        if len(content) > longest:
            raise ReadError(f"{path} is longer than {longest} bytes; mend or remove it.")
        fields = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReadError(f"{path} is no JSON file ({reason}); mend or remove it.") from error
    if not isinstance(fields, dict):
        raise ReadError(f"{path} is no JSON object of fields; mend or remove it.")
    return fields


def checksum(files: Iterable[Path]) -> str:
    """SHA-256 of a file; of several that of the lines `sha256sum` prints, sorted by file name."""
    lines = []
    for file in sorted(files, key=lambda file: file.name):
        with open(file, "rb") as stream:
            lines.append((hashlib.file_digest(stream, "sha256").hexdigest(), file.name))
    if len(lines) == 1:
        return lines[0][0]
    listing = "".join(f"{sha}  {name}\n" for sha, name in lines)
    return hashlib.sha256(os.fsencode(listing)).hexdigest()


def csv_text(rows: Iterable[Iterable[object]], *, digits: int | None = None) -> str:
    """Rows as CSV.

    A text that a spreadsheet would take for a formula gets an apostrophe before it; numbers stay.

    Args:
        rows: the first of them the header.
        digits: of floats; None for all that there are.
    """
    lines = []
    for row in rows:
        line = io.StringIO()
        # Ended by both, either of them within a cell is quoted.
        csv.writer(line, lineterminator="\r\n").writerow([_cell(value, digits) for value in row])
        lines.append(line.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def _cell(value: object, digits: int | None) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return f"{value:.{digits}g}" if digits and isinstance(value, float) else value
