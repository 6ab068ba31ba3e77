"""Readers that a computer plays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from medgen.study.answers import Answers
from medgen.study.study import ANSWERS, PRACTICE, Pair, load_study

ROLES = ("radiologist", "radiation oncologist")
SCREEN = {"width": 1920, "height": 1080, "ratio": 1, "pane": 600}


def answer_all(
    folder: Path, chance: Callable[[int, Pair], float], *, seed: int = 0, readers: int | None = None
) -> None:
    """Answer a study.

    Args:
        folder: of the study.
        chance: of a reader to choose the first of a pair; practice is always right.
        seed: of what the chance decides.
        readers: how many of them answer, all by default.
    """
    study = load_study(folder)
    generator = np.random.default_rng(seed)
    answers = Answers(folder / ANSWERS)
    for reader, questions in enumerate(study.readers[:readers]):
        profile = {"role": ROLES[reader % 2], "years": reader, "screen": SCREEN, "consent": ""}
        answers.add(reader, 0, "begin", note=profile)
        for number, question in enumerate(questions):
            likely = (
                1.0 if question.kind == PRACTICE else chance(reader, study.pairs[question.pair])
            )
            first = generator.random() < likely
            answers.add(
                reader,
                number + 1,
                "answer",
                question=number,
                choice=int(first == question.swapped),
                seconds=1.0 + number,
                note=SCREEN,
            )
    answers.close()
