"""How many readers and cases a study takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import norm

from medgen.errors import ReadError, StudyError
from medgen.storage import json_fields
from medgen.study.statistics import Components, quantile

# Of the report of another study.
SUMMARY = "summary.json"


@dataclass(frozen=True)
class Plan:
    """What can be expected of a study.

    Args:
        readers: how many.
        cases: different pairs.
        half_width: of the interval around the share, which is that of other readers and cases, too.
        power: how likely the interval leaves out one half.
    """

    readers: int
    cases: int
    half_width: float
    power: float


def assumed(share: float, *, reader_sd: float, case_sd: float) -> Components:
    """Components of answers of which `share` choose the first.

    Args:
        share: of all answers.
        reader_sd: standard deviation of readers' own shares.
        case_sd: of cases' own shares.
    """
    whole = share * (1 - share)
    return Components(reader_sd**2, case_sd**2, max(whole - reader_sd**2 - case_sd**2, 0.0))


def plan(share: float, parts: Components, *, readers: int, cases: int, questions: int) -> Plan:
    """What to expect of `readers` who answer `questions` each, drawn from `cases`.

    Args:
        share: that is expected to choose the first.
        parts: variance of the answers.
        readers: how many.
        cases: different pairs; no reader answers more of them than there are.
        questions: of each reader.
    """
    answers = readers * min(questions, cases)
    sd = parts.variance(readers=readers, cases=min(cases, answers), answers=answers) ** 0.5
    half = quantile(max(readers, 2), max(cases, 2)) * sd
    beyond = (abs(share - 0.5) - half) / sd if sd else float("inf")
    return Plan(readers, cases, half, float(norm.cdf(beyond)))


def of_pilot(report: Path) -> tuple[float, Components]:
    """Share and variance of the answers to another study.

    Args:
        report: folder that `medgen study-report` wrote.

    Raises:
        StudyError: it is no such folder, or no two readers answered two pairs of which they share
            one.
    """
    try:
        fields: dict[str, Any] = json_fields(report / SUMMARY)
        share, parts = fields["overall"]["share"], fields["components"]
        if parts is None:
            raise StudyError(
                f"{report} has too few answers to tell readers from cases; ask two readers or "
                "more about the same pairs."
            )
        return float(share), Components(**{key: float(value) for key, value in parts.items()})
    except (KeyError, TypeError, ValueError, ReadError) as error:
        raise StudyError(
            f"{report} is no report of a reader study; write one with medgen study-report."
        ) from error
