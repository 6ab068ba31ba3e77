"""The answers of a study beside the key, and what they amount to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medgen.errors import StudyError
from medgen.evaluation.statistics import holm
from medgen.study.answers import BEGIN, UNDO, Step, answered, read_steps
from medgen.study.statistics import (
    Bootstrap,
    Interval,
    components,
    detection,
    exact_interval,
    exact_p,
    fleiss_kappa,
    kappa_interval,
    mrmc_interval,
    percentiles,
    wilson_interval,
)
from medgen.study.study import ANSWERS, PRACTICE, QUESTION, REAL, REPEAT, Pair, Question, Study

# With so many scans the bootstrap draws scans, as slices of one are alike; below, it draws pairs.
SCANS_AS_UNITS = 6
# Percent in the study published with PixelMiner (16 readers, 140 comparisons), by what it was
# shown against; all of them together under None.
PUBLISHED = {None: 72, "nearest": 68, "bspline": 70, "sinc": 75, "linear": 96}


@dataclass(frozen=True)
class Given:
    """An answer that counts, beside the key.

    Args:
        reader: from 0.
        number: of the question among the reader's.
        question: what was asked.
        pair: what was shown.
        step: how it was answered.
        taken_back: how often it was answered otherwise or the same before.
    """

    reader: int
    number: int
    question: Question
    pair: Pair
    step: Step
    taken_back: int

    @property
    def first(self) -> bool:
        """Whether the first of the pair was chosen: the studied method, or the real slice."""
        return (self.step.choice == 1) == self.question.swapped


@dataclass(frozen=True)
class Results:
    """All answers of a study.

    Args:
        study: what was asked.
        given: answers that count, practice and repeats among them, by reader and question.
        profiles: what readers tell of themselves, by reader.
    """

    study: Study
    given: tuple[Given, ...]
    profiles: Mapping[int, Mapping[str, Any]]

    def of_kind(self, kind: str) -> list[Given]:
        """Answers to one kind of question."""
        return [each for each in self.given if each.question.kind == kind]

    def scores(self, given: Sequence[Given]) -> np.ndarray:
        """`(readers, pairs)`: 1 where the first was chosen, 0 where the second, else NaN."""
        scores = np.full((len(self.study.readers), len(self.study.pairs)), np.nan)
        for each in given:
            scores[each.reader, each.question.pair] = each.first
        return scores


def read_results(study: Study, folder: Path) -> Results:
    """The answers in the folder of a study, which may go on.

    Raises:
        StudyError: there are none, they were changed, or do not belong to this study.
    """
    steps = read_steps(folder / ANSWERS)
    given: list[Given] = []
    profiles: dict[int, Mapping[str, Any]] = {}
    for reader, questions in enumerate(study.readers):
        own = [step for step in steps if step.reader == reader]
        profiles |= {step.reader: step.note for step in own if step.kind == BEGIN}
        undone = [step.question for step in own if step.kind == UNDO]
        for number, step in sorted(answered(own).items()):
            if number >= len(questions):
                raise StudyError(f"{folder / ANSWERS} belongs to another study; look for its own.")
            question = questions[number]
            pair = study.pairs[question.pair]
            given.append(Given(reader, number, question, pair, step, undone.count(number)))
    if not any(each.question.kind == QUESTION for each in given):
        raise StudyError(f"{folder} has no answers yet; let readers answer with medgen read.")
    return Results(study, tuple(given), profiles)


def summarize(results: Results, *, seed: int) -> dict[str, Any]:
    """What a report tells, ready for JSON.

    Args:
        results: answers.
        seed: of the bootstrap.
    """
    study, asked = results.study, results.of_kind(QUESTION)
    scans = np.array([pair.scan for pair in study.pairs])
    by_scan = len({each.pair.scan for each in asked}) >= SCANS_AS_UNITS
    units = scans if by_scan else np.arange(len(study.pairs))
    bootstrap = Bootstrap.drawn(len(study.readers), units, seed=seed)

    def tallied(given: Sequence[Given]) -> dict[str, Any]:
        return _tally(results, given, bootstrap)

    def published(second: str | None) -> dict[str, Any]:
        return {} if study.design == REAL else {"published": PUBLISHED.get(second)}

    contests = sorted({(e.pair.first, e.pair.second) for e in asked}, key=_order(study))
    rows = [
        {"first": first, "second": second}
        | published(second)
        | tallied([e for e in asked if (e.pair.first, e.pair.second) == (first, second)])
        for first, second in contests
    ]
    for row, corrected in zip(rows, holm([row["exact_p"] for row in rows]), strict=True):
        row["holm"] = float(corrected)
    roles = {results.profiles[e.reader]["role"] for e in asked}
    scores = results.scores(asked)
    parts = components(scores)
    return {
        "design": study.design,
        "seed": study.seed,
        "methods": list(study.methods),
        "unit": "scan" if by_scan else "pair",
        "warnings": list(study.warnings),
        "scans": [
            {"name": scan.name, "modality": scan.modality, "gap_mm": scan.gap_mm}
            | {"pairs": len({e.question.pair for e in asked if e.pair.scan == number})}
            for number, scan in enumerate(study.scans)
        ],
        "overall": tallied(asked) | published(None),
        "contests": rows,
        "roles": [
            {"role": role}
            | tallied([e for e in asked if results.profiles[e.reader]["role"] == role])
            for role in sorted(roles)
        ],
        "readers": [_reader(results, reader) for reader in range(len(study.readers))],
        "components": None if parts is None else asdict(parts),
        "agreement": {
            "kappa": fleiss_kappa(scores),
            "interval": _ends(kappa_interval(scores, seed=seed)),
            "pairs": int(((~np.isnan(scores)).sum(axis=0) >= 2).sum()),
        },
        "own_agreement": _own_agreement(results),
        "seconds": _seconds(asked),
    }


def _order(study: Study) -> Callable[[tuple[str, str]], tuple[int, ...]]:
    """Contests in the order in which the methods were named."""
    names = [*study.methods]

    def place(contest: tuple[str, str]) -> tuple[int, ...]:
        return tuple(names.index(name) if name in names else -1 for name in contest)

    return place


def _tally(results: Results, given: Sequence[Given], bootstrap: Bootstrap) -> dict[str, Any]:
    """How often the first was chosen, and how sure that is."""
    answers, chosen = len(given), sum(each.first for each in given)
    scores = results.scores(given)
    tally = {
        "answers": answers,
        "chosen": chosen,
        "share": chosen / answers,
        "exact_p": exact_p(chosen, answers),
        "exact": _ends(exact_interval(chosen, answers)),
        "wilson": _ends(wilson_interval(chosen, answers)),
        "mrmc": _ends(mrmc_interval(scores)),
        "bootstrap": _ends(bootstrap.interval(scores)),
    }
    if results.study.design == REAL:
        tally |= _detected(results, given, bootstrap)
    return tally


def _detected(results: Results, given: Sequence[Given], bootstrap: Bootstrap) -> dict[str, Any]:
    """d′ and criterion of all answers, the former with its bootstrap interval."""
    counts = _counts(given)
    d_prime, criterion = detection(*(np.array(count) for count in counts))
    scores = results.scores(given)
    left = np.full(scores.shape, np.nan)  # whether the real slice was shown as 1
    for each in given:
        left[each.reader, each.question.pair] = not each.question.swapped
    hits, alarms = left * scores, (1 - left) * (1 - scores)
    interval = None
    if bootstrap.tells(scores):
        sums = [bootstrap.sums(part) for part in (hits, left, alarms, 1 - left)]
        interval = percentiles(detection(*sums)[0])
    return {
        "d_prime": float(d_prime),
        "d_prime_bootstrap": _ends(interval),
        "criterion": float(criterion),
    }


def _counts(given: Sequence[Given]) -> tuple[int, int, int, int]:
    """Choices of 1, and answers, where the real slice was 1; the same where it was 2."""
    left = [each for each in given if not each.question.swapped]
    right = [each for each in given if each.question.swapped]
    return (
        sum(each.step.choice == 0 for each in left),
        len(left),
        sum(each.step.choice == 0 for each in right),
        len(right),
    )


def _reader(results: Results, reader: int) -> dict[str, Any]:
    """One row of the table of readers."""
    own = [each for each in results.of_kind(QUESTION) if each.reader == reader]
    questions = results.study.readers[reader]
    profile = results.profiles.get(reader, {})
    practice = [each for each in results.of_kind(PRACTICE) if each.reader == reader]
    row: dict[str, Any] = {
        "reader": reader + 1,
        "role": profile.get("role"),
        "years": profile.get("years"),
        "answers": sum(each.reader == reader for each in results.given) - len(practice),
        "of": sum(question.kind != PRACTICE for question in questions),
        "practice_right": sum(each.first for each in practice),
        "share": sum(each.first for each in own) / len(own) if own else None,
        "wilson": _ends(wilson_interval(sum(e.first for e in own), len(own))) if own else None,
        "seconds": _seconds(own)["median"] if own else None,
        "chose_1": sum(each.step.choice == 0 for each in own) / len(own) if own else None,
    }
    if results.study.design == REAL:
        d_prime, criterion = detection(*(np.array(count) for count in _counts(own)))
        row |= {"d_prime": float(d_prime) if own else None}
        row |= {"criterion": float(criterion) if own else None}
    return row


def _own_agreement(results: Results) -> dict[str, Any]:
    """Of answers to the same question asked twice."""
    first = {(e.reader, e.question.pair): e.first for e in results.of_kind(QUESTION)}
    again = [e for e in results.of_kind(REPEAT) if (e.reader, e.question.pair) in first]
    both = np.array([[first[e.reader, e.question.pair], e.first] for e in again], float)
    both = both.reshape(-1, 2)
    return {
        "questions": len(again),
        "share": float((both[:, 0] == both[:, 1]).mean()) if len(again) else None,
        "kappa": fleiss_kappa(both.T) if len(again) else None,
    }


def _seconds(given: Sequence[Given]) -> dict[str, float]:
    """Of the time that answers took."""
    seconds = [each.step.seconds or 0.0 for each in given]
    low, median, high = np.quantile(seconds, (0.25, 0.5, 0.75))
    return {
        "median": float(median),
        "quarter": float(low),
        "three_quarters": float(high),
        "mean": float(np.mean(seconds)),
    }


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
