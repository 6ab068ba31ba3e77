"""A reader study as a value, and as a folder: pictures, the key to them, and codes of readers."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medgen.errors import ReadError, StudyError
from medgen.storage import json_fields

FORMAT_VERSION = 1
STUDY, CODES, ANSWERS, PICTURES = "study.json", "codes.csv", "answers.sqlite", "pictures"
# What is asked: which of two synthetic slices is closer to the true one, or which of two is real.
CLOSER, REAL = "closer", "real"
# What a slice is by that no method made.
TRUTH = "truth"
# Pictures are numbers of so many levels, stored in 16 bits, whatever they show.
LEVELS = 4096
DTYPE = np.dtype("<u2")
PRACTICE, QUESTION, REPEAT = "practice", "question", "repeat"


@dataclass(frozen=True)
class PicturedScan:
    """A scan whose slices are shown.

    Args:
        name: of the scan, which readers do not see.
        modality: as the volume's.
        pictures: file in the folder of pictures, uint16 `(n, rows, cols)`, slices as they hang.
        rows: of every picture.
        cols: likewise.
        spacing_mm: of rows and of columns.
        gap_mm: distance of the acquired slices.
        low: physical value of level 0.
        step: physical units from one level to the next.
        window: middle and width of a window that shows what there is, in physical units.
    """

    name: str
    modality: str
    pictures: str
    rows: int
    cols: int
    spacing_mm: tuple[float, float]
    gap_mm: float
    low: float
    step: float
    window: tuple[float, float]


@dataclass(frozen=True)
class Pair:
    """Two pictures of one place, of which readers choose one.

    Args:
        scan: number of the scan.
        slice: index of the slice in the scan.
        first: the method of which the study asks how often it is chosen, or `truth`.
        second: what it is shown against.
        pictures: of both, as numbers among the scan's.
        target: picture of the true slice where both are compared with it, else None.
        before: pictures of the acquired slices before it, the nearest last.
        behind: of those behind it, the nearest first.
    """

    scan: int
    slice: int
    first: str
    second: str
    pictures: tuple[int, int]
    target: int | None
    before: tuple[int, ...]
    behind: tuple[int, ...]


@dataclass(frozen=True)
class Question:
    """A pair as it is shown to a reader.

    Args:
        pair: number of the pair.
        swapped: whether the second of the pair is shown as 1 and the first as 2.
        kind: `practice`, `question`, or `repeat` of one that the reader has answered.
    """

    pair: int
    swapped: bool
    kind: str = QUESTION


@dataclass(frozen=True)
class Study:
    """All that was drawn before the first reader came.

    Args:
        design: `closer` or `real`.
        seed: of what was drawn.
        methods: all of them, in the order they were named.
        scans: whose slices are shown.
        pairs: that are asked.
        readers: the questions of each reader, in their order.
        consent: what readers agree to first, empty if to nothing.
        warnings: on what was odd about scans and methods.
    """

    design: str
    seed: int
    methods: tuple[str, ...]
    scans: tuple[PicturedScan, ...]
    pairs: tuple[Pair, ...]
    readers: tuple[tuple[Question, ...], ...]
    consent: str = ""
    warnings: tuple[str, ...] = ()

    def text(self) -> str:
        """The study as JSON."""
        fields = {"format_version": FORMAT_VERSION, **asdict(self)}
        return json.dumps(fields, indent=1, allow_nan=False) + "\n"


def load_study(folder: Path) -> Study:
    """The study in a folder.

    Raises:
        StudyError: there is none, or it is damaged.
    """
    if not (folder / STUDY).is_file():
        raise StudyError(f"{folder} holds no reader study; prepare one with medgen study.")
    try:
        fields = json_fields(folder / STUDY)
        version = fields.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise StudyError(
                f"{folder} has format version {version}, expected {FORMAT_VERSION}; "
                "use the medgen that prepared it."
            )
        return _study_from(fields)
    except (KeyError, TypeError, ValueError, ReadError) as error:
        raise StudyError(
            f"{folder / STUDY} is damaged ({error}); prepare the study anew."
        ) from error


def open_pictures(folder: Path, scan: PicturedScan) -> np.ndarray:
    """Pictures of a scan, uint16 `(n, rows, cols)`, read from the disk as they are asked for.

    Raises:
        StudyError: they are missing or damaged.
    """
    path = folder / PICTURES / Path(scan.pictures).name
    try:
        pictures = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read ({error}); prepare the study anew.") from error
    if pictures.dtype != DTYPE or pictures.shape[1:] != (scan.rows, scan.cols):
        raise StudyError(
            f"{path} holds {pictures.dtype} of shape {pictures.shape}, expected {DTYPE} of "
            f"(n, {scan.rows}, {scan.cols}); prepare the study anew."
        )
    return pictures


def load_codes(folder: Path) -> list[str]:
    """The code of each reader.

    Raises:
        StudyError: they are missing, or two are the same.
    """
    path = folder / CODES
    try:
        with open(path, newline="", encoding="utf-8") as file:
            codes = [row["code"] for row in csv.DictReader(file)]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise StudyError(f"{path} holds no codes ({error}); prepare the study anew.") from error
    if len(set(codes)) < len(codes) or not all(codes):
        raise StudyError(f"{path} has a code twice, or an empty one; give each reader another.")
    return codes


def _study_from(fields: dict[str, Any]) -> Study:
    scans = tuple(
        PicturedScan(**scan | {key: tuple(scan[key]) for key in ("spacing_mm", "window")})
        for scan in fields.pop("scans")
    )
    pairs = tuple(
        Pair(**pair | {key: tuple(pair[key]) for key in ("pictures", "before", "behind")})
        for pair in fields.pop("pairs")
    )
    readers = tuple(
        tuple(Question(**question) for question in questions) for questions in fields.pop("readers")
    )
    for key in ("methods", "warnings"):
        fields[key] = tuple(fields[key])
    return Study(scans=scans, pairs=pairs, readers=readers, **fields)
