"""Which pairs a study asks of whom: balanced over contests, scans, slices and sides, by seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from medgen.errors import StudyError
from medgen.study.study import REPEAT, Question

# Repeated questions come from the first half of a reader's and are asked in this last share.
REPEATED_IN = 1 / 3

Item = TypeVar("Item")


@dataclass(frozen=True, order=True)
class Contest:
    """Two that are shown against each other: methods, or the truth and a method."""

    first: str
    second: str


@dataclass(frozen=True, order=True)
class Case:
    """A contest at one slice of one scan.

    Args:
        scan: number of the scan.
        slice: which of its slices.
        contest: what is shown there.
    """

    scan: int
    slice: int
    contest: Contest

    @property
    def place(self) -> tuple[int, int]:
        """Scan and slice."""
        return self.scan, self.slice


def draw_cases(cases: Sequence[Case], count: int, generator: np.random.Generator) -> list[Case]:
    """Some of the possible cases: as many of each contest and scan, and few of one slice.

    Each one drawn is of the contest that has the fewest so far, then of the scan that this contest
    has the fewest of, of the scan with the fewest, and at the place with the fewest.

    Args:
        cases: all that are possible, each once.
        count: how many are wanted.
        generator: draws among equals.

    Raises:
        StudyError: there are not so many.
    """
    if count > len(cases):
        raise StudyError(
            f"The scans have {len(cases)} pairs to be asked and {count} are wanted; give more "
            "scans, or ask fewer --questions or --cases."
        )
    left = _shuffled(sorted(cases), generator)
    contests: Counter[Contest] = Counter()
    scans: Counter[int] = Counter()
    both: Counter[tuple[Contest, int]] = Counter()
    places: Counter[tuple[int, int]] = Counter()
    drawn = []
    for _ in range(count):
        case = min(
            left,
            key=lambda case: (
                contests[case.contest],
                both[case.contest, case.scan],
                scans[case.scan],
                places[case.place],
            ),
        )
        left.remove(case)
        drawn.append(case)
        contests[case.contest] += 1
        both[case.contest, case.scan] += 1
        scans[case.scan] += 1
        places[case.place] += 1
    return drawn


def draw_questions(
    cases: Sequence[Case],
    *,
    readers: int,
    questions: int,
    repeats: int,
    generator: np.random.Generator,
) -> list[list[Question]]:
    """The questions of each reader: cases by their number, in the order they are asked.

    A reader is asked every contest as often as every other, up to one, and no case twice but for
    the repeats; the same place only where there are too few, since who sees it twice may tell
    pictures by comparing. All cases are asked of as many readers, up to what that leaves. Half of
    a reader's questions have the sides swapped, at random.

    Args:
        cases: that the study asks.
        readers: how many.
        questions: of each reader.
        repeats: how many of them are asked once more.
        generator: draws.

    Raises:
        StudyError: there are fewer cases than questions, or fewer questions than contests.
    """
    contests = {case.contest for case in cases}
    if questions < len(contests):
        raise StudyError(
            f"Every reader compares each of {len(contests)} pairs of methods at least once; ask "
            f"{len(contests)} --questions or more, got {questions}."
        )
    if questions > len(cases):
        raise StudyError(
            f"There are {len(cases)} pairs to ask {questions} questions; give more scans or "
            "--cases, or ask fewer --questions."
        )
    if repeats > questions // 2:
        raise StudyError(
            f"At most half of {questions} questions can be repeated, got --repeats {repeats}."
        )
    asked: Counter[int] = Counter()  # over all readers
    contested: Counter[Contest] = Counter()
    drawn = []
    for _ in range(readers):
        own = _of_one_reader(cases, questions, asked, contested, generator)
        asked.update(own)
        contested.update(cases[number].contest for number in own)
        drawn.append(_in_order(own, repeats, generator))
    return drawn


def _of_one_reader(
    cases: Sequence[Case],
    questions: int,
    asked: Counter[int],
    contested: Counter[Contest],
    generator: np.random.Generator,
) -> list[int]:
    """Numbers of the cases that one reader is asked."""
    left = _shuffled(range(len(cases)), generator)
    contests: Counter[Contest] = Counter()
    scans: Counter[int] = Counter()
    places: Counter[tuple[int, int]] = Counter()
    own: list[int] = []

    def merit(number: int) -> tuple[int, ...]:
        case = cases[number]
        return (
            contests[case.contest],
            contested[case.contest],
            places[case.place],
            scans[case.scan],
            asked[number],
        )

    for _ in range(questions):
        number = min(left, key=merit)
        left.remove(number)
        own.append(number)
        contests[cases[number].contest] += 1
        scans[cases[number].scan] += 1
        places[cases[number].place] += 1
    return own


def _in_order(own: list[int], repeats: int, generator: np.random.Generator) -> list[Question]:
    """Cases as questions in random order, the sides of half of them swapped; repeats late."""
    order = _shuffled(own, generator)
    first = [
        Question(number, swapped)
        for number, swapped in zip(order, swaps(len(order), generator), strict=True)
    ]
    again = generator.choice(order[: (len(order) + 1) // 2], repeats, replace=False)
    late = len(order) - round(REPEATED_IN * len(order))
    repeated = [
        Question(int(number), swapped, REPEAT)
        for number, swapped in zip(again, swaps(repeats, generator), strict=True)
    ]
    return first[:late] + _shuffled([*first[late:], *repeated], generator)


def swaps(count: int, generator: np.random.Generator) -> list[bool]:
    """As many true as false, up to one, in random order."""
    flags = np.arange(count) % 2 == generator.integers(2)
    return [bool(flag) for flag in generator.permutation(flags)]


def _shuffled(values: Sequence[Item], generator: np.random.Generator) -> list[Item]:
    return [values[i] for i in generator.permutation(len(values))]
