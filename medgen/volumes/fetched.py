"""Names whose content is elsewhere: what git-annex, DataLad and Git LFS have not fetched, links."""

from __future__ import annotations

import os
import re
from pathlib import Path

from medgen.errors import ReadError

# What a file holds in the place of its content.
ANNEX_POINTER = b"/annex/objects/"
POINTERS = {
    ANNEX_POINTER: "datalad get {path} (or git annex get {path})",
    b"version https://git-lfs.github.com/spec/": "git lfs pull",
}
LONGEST_POINTER = 1 << 15  # bytes, by git-annex
ANNEX = "annex/objects/"  # in the path of what git-annex keeps


def is_missing(path: Path) -> bool:
    """Whether a name is there, and its content is not, or must not be read."""
    return _how_to_get(path) is not None


def require_fetched(path: Path) -> None:
    """Refuse a name whose content is not there, or must not be read.

    Raises:
        ReadError: it says how to get the content.
    """
    how = _how_to_get(path)
    if how is not None:
        raise ReadError(f"{path} {how}.")


def leads_nowhere(path: Path) -> bool:
    """Whether a name is a link to nothing, other than to what git-annex would put there."""
    return path.is_symlink() and not path.exists() and ANNEX not in _target(path)


def is_in_annex(path: Path) -> bool:
    """Whether a name is a link to content that the repository around it keeps for git-annex."""
    content = path.resolve()
    around = (path.parent.resolve() / "x").parents
    return ANNEX in content.as_posix() and any(
        content.is_relative_to(folder / ".git") for folder in around
    )


def _how_to_get(path: Path) -> str | None:
    """What is wrong with a name whose content is missing and what to do, else None."""
    if path.is_symlink() and not path.exists():
        if leads_nowhere(path):
            return f"is a link to {_target(path)}, which is not there; mend or remove the link"
        return f"is not fetched yet; run: {POINTERS[ANNEX_POINTER].format(path=path)}"
    try:
        if path.is_dir():
            if _is_uninstalled(path):
                return f"is a data set that is not installed yet; run: datalad get {path}"
            return None
        if not path.is_file() or path.stat().st_size > LONGEST_POINTER:
            return None
        with open(path, "rb") as file:
            start = file.read(max(map(len, POINTERS)))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    for mark, command in POINTERS.items():
        if start.startswith(mark):
            return f"is not fetched yet; run: {command.format(path=path)}"
    return None


def _target(link: Path) -> str:
    return Path(os.readlink(link)).as_posix()


def _is_uninstalled(folder: Path) -> bool:
    """Whether a folder is empty since the data set in it, part of another, is not there."""
    if any(folder.iterdir()):
        return False
    folder = folder.absolute()
    for parent in folder.parents:
        try:
            modules = (parent / ".gitmodules").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        paths = re.findall(r"^\s*path\s*=\s*(.+?)\s*$", modules, re.MULTILINE)
        return folder.relative_to(parent).as_posix() in paths
    return False
