"""What README.md and other pages show: fenced blocks, commands in them, what these print."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
# Blocks that modules of tests ask for when they are imported, by how they begin.
COVERED: set[str] = set()


@dataclass(frozen=True)
class Command:
    """A line of a shell: its words, what it sets before them, and what README says it prints."""

    words: tuple[str, ...]
    environment: dict[str, str]
    printed: str


def fenced(text: str) -> list[tuple[str, str]]:
    """Language and content of every fenced block of a page, in order."""
    return re.findall(r"^```([^\n`]*)\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)


def blocks() -> list[str]:
    """The text of every fenced block of README, in order."""
    return [text for _, text in fenced(README)]


def block(start: str) -> str:
    """The only block that begins with `start`, which counts as covered."""
    found = [text for text in blocks() if text.startswith(start)]
    if len(found) != 1:
        raise ValueError(f"README has {len(found)} blocks that begin with {start!r}, not one.")
    COVERED.add(start)
    return found[0]


def commands(text: str) -> list[Command]:
    """Every line of a block; where some begin with `$`, those, and the others are printed."""
    lines = text.replace("\\\n", " ").splitlines()
    shows = any(line.startswith("$ ") for line in lines)
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if shows and not line.startswith("$ "):
            found[-1][1].append(line)
        elif line.strip():
            found.append((line.removeprefix("$ "), []))
    return [_command(line, printed) for line, printed in found]


def _command(line: str, printed: list[str]) -> Command:
    words = shlex.split(line, comments=True)
    environment = {}
    while re.match(r"[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    return Command(tuple(words), environment, "\n".join(printed))


def assert_shown(printed: str, shown: str, *, numbers: bool = True) -> None:
    """Words and whole numbers are those shown, others to 1.5 of their last digit.

    What is shown with an exponent is rounding, and need only be as small. Without `numbers`, which
    depend on the machine or on the scan, only words count.
    """
    ours, theirs = printed.strip().splitlines(), shown.strip().splitlines()
    assert len(ours) == len(theirs), printed
    for line, expected in zip(ours, theirs, strict=True):
        assert NUMBER.sub("#", line).split() == NUMBER.sub("#", expected).split()
        if numbers:
            for one, other in zip(NUMBER.findall(line), NUMBER.findall(expected), strict=True):
                assert _alike(one, other), f"{line!r} is shown as {expected!r}"


def _alike(one: str, other: str) -> bool:
    one, other = (text.replace(",", "") for text in (one, other))
    if "e" in other:
        return abs(float(one)) <= 10 * abs(float(other))
    if "." not in other:
        return one == other
    return abs(float(one) - float(other)) <= 1.5 * 10.0 ** -len(other.split(".")[1])
