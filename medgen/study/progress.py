"""Where a reader stands, and what the page is told of it: nothing that says which is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeGuard

from medgen.errors import RequestError
from medgen.intensities.modality import MODALITIES
from medgen.study.answers import BEGIN, Step, answered
from medgen.study.study import PRACTICE, Question, Study

# As readers of the study published with PixelMiner were of several professions.
ROLES = (
    "radiologist",
    "radiology resident",
    "radiation oncologist",
    "nuclear medicine physician",
    "other physician",
    "medical physicist",
    "radiographer",
    "researcher",
    "other",
)
MOST_YEARS = 80
LONGEST_ANSWER_S = 86_400.0
# What the page tells of the screen with each answer, and the most that each can be.
SCREEN = {"width": 1e5, "height": 1e5, "ratio": 100.0, "pane": 1e5}


@dataclass(frozen=True)
class Standing:
    """Where one reader stands.

    Args:
        study: that is read.
        reader: number of the reader, from 0.
        steps: all that the reader did.
    """

    study: Study
    reader: int
    steps: Sequence[Step]

    @property
    def questions(self) -> Sequence[Question]:
        """All that this reader is asked."""
        return self.study.readers[self.reader]

    @property
    def has_begun(self) -> bool:
        """Whether the reader has agreed and told who they are."""
        return any(step.kind == BEGIN for step in self.steps)

    @property
    def open(self) -> int | None:
        """Number of the first question without an answer, None at the end."""
        done = answered(self.steps)
        return next((n for n in range(len(self.questions)) if n not in done), None)

    @property
    def undoable(self) -> int | None:
        """Number of the question whose answer can be taken back: the last, unless for practice."""
        done = answered(self.steps)
        numbers = [n for n in done if self.questions[n].kind != PRACTICE]
        return max(numbers, default=None)

    def told(self) -> dict[str, Any]:
        """What the page is told."""
        kinds = [question.kind for question in self.questions]
        done = answered(self.steps)
        practice = kinds.count(PRACTICE)
        return {
            "turn": len(self.steps),
            "design": self.study.design,
            "begun": self.has_begun,
            "consent": self.study.consent,
            "roles": ROLES,
            "practice": practice,
            "total": len(kinds) - practice,
            "done": sum(kinds[n] != PRACTICE for n in done),
            "undoable": self.undoable is not None,
            "question": self._asked() if self.has_begun else None,
        }

    def _asked(self) -> dict[str, Any] | None:
        number = self.open
        if number is None:
            return None
        question = self.questions[number]
        pair = self.study.pairs[question.pair]
        scan = self.study.scans[pair.scan]
        level, width = scan.window
        windows = [asdict(window) for window in MODALITIES[scan.modality].windows]
        return {
            "number": number,
            "practice": question.kind == PRACTICE,
            "before": len(pair.before),
            "behind": len(pair.behind),
            "rows": scan.rows,
            "cols": scan.cols,
            "spacing": scan.spacing_mm,
            "gap": scan.gap_mm,
            "low": scan.low,
            "step": scan.step,
            "unit": MODALITIES[scan.modality].unit,
            "windows": [*windows, {"name": "all", "level": level, "width": width}],
        }

    def picture(self, number: int, what: str) -> tuple[int, int] | None:
        """Scan and picture that the page asks for by `what`, of the open question alone.

        Args:
            number: of the question.
            what: `1`, `2` or `target`; `-1` for the acquired slice before, `-2` for the one
                before that; `+1` and so on for those behind.

        Returns:
            None where there is none, or not now.
        """
        if number != self.open or not self.has_begun:
            return None
        question = self.questions[number]
        pair = self.study.pairs[question.pair]
        one, two = pair.pictures[::-1] if question.swapped else pair.pictures
        shown: dict[str, int | None] = {"1": one, "2": two, "target": pair.target}
        shown |= {f"-{n}": picture for n, picture in enumerate(pair.before[::-1], start=1)}
        shown |= {f"+{n}": picture for n, picture in enumerate(pair.behind, start=1)}
        picture = shown.get(what)
        return None if picture is None else (pair.scan, picture)

    def feedback(self, number: int, choice: int) -> dict[str, Any] | None:
        """After practice: whether the choice was right. After anything else: nothing."""
        question = self.questions[number]
        if question.kind != PRACTICE:
            return None
        right = int(question.swapped)
        return {"right": choice == right, "choice": choice, "truth": right}


def profile_in(fields: Mapping[str, Any], consent: str) -> dict[str, Any]:
    """Role and years of experience, and the text that was agreed to, from what a page sent.

    Raises:
        RequestError: something is missing or makes no sense.
    """
    role, years = fields.get("role"), fields.get("years")
    if role not in ROLES:
        raise RequestError(f"Choose one of the roles, got {str(role)[:50]!r}.")
    if not _is_number(years) or not 0 <= years <= MOST_YEARS:
        raise RequestError(f"Years of experience are 0 to {MOST_YEARS}, got {str(years)[:50]!r}.")
    if consent and fields.get("consent") is not True:
        raise RequestError("Agree to the text first.")
    return {"role": role, "years": years, "screen": screen_in(fields), "consent": consent}


def screen_in(fields: Mapping[str, Any]) -> dict[str, float]:
    """Size and pixel ratio of the screen, and width of a picture on it in its own pixels.

    Raises:
        RequestError: one is missing or no plausible number.
    """
    screen = fields.get("screen")
    if not isinstance(screen, dict) or set(screen) != set(SCREEN):
        raise RequestError(f"The screen must be told by {', '.join(SCREEN)}.")
    for name, most in SCREEN.items():
        if not _is_number(screen[name]) or not 0 <= screen[name] <= most:
            raise RequestError(f"The screen's {name} must be a number of 0 to {most:g}.")
    return screen


def answer_in(fields: Mapping[str, Any]) -> tuple[int, int, float]:
    """Question, choice and seconds from what a page sent.

    Raises:
        RequestError: one is missing or makes no sense.
    """
    question, choice, seconds = (fields.get(key) for key in ("question", "choice", "seconds"))
    if type(question) is not int or type(choice) is not int or choice not in (0, 1):
        raise RequestError("An answer has the question's number, and 0 or 1 as choice.")
    if not _is_number(seconds) or not 0 <= seconds <= LONGEST_ANSWER_S:
        raise RequestError(f"Seconds are a number of 0 to {LONGEST_ANSWER_S:g}.")
    return question, choice, float(seconds)


def turn_in(fields: Mapping[str, Any]) -> int:
    """How many steps the page knows of.

    Raises:
        RequestError: it does not tell.
    """
    turn = fields.get("turn")
    if type(turn) is not int:
        raise RequestError("The turn must be a whole number.")
    return turn


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float) and value == value
