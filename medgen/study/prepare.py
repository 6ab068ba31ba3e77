"""From scans and methods to a study: slices re-created, pairs drawn, all pictures stored alike."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medgen.errors import MedgenError, StudyError
from medgen.evaluation.experiment import Progress
from medgen.evaluation.recreate import Recreate
from medgen.evaluation.scans import Settings, scan_names
from medgen.storage import csv_text, make_folder, move, staging, write_text
from medgen.study.draw import Case, Contest, draw_cases, draw_questions, swaps
from medgen.study.pictures import SMOOTHED, Source, source_of, write_pictures
from medgen.study.study import (
    ANSWERS,
    CLOSER,
    CODES,
    PICTURES,
    PRACTICE,
    STUDY,
    TRUTH,
    Question,
    Study,
)

# Practice is to tell the true slice from itself, smoothed by Gaussians of so many pixels: ever
# harder, and no method has any part in it.
SIGMAS = (2.0, 1.4, 1.0)
# Of codes: no letter or digit that looks like another. 10 of them are 49 bits.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
CODE_LENGTH = 10
# Each pair is asked of so many readers unless told, so that their agreement shows.
READERS_OF_A_PAIR = 4


@dataclass(frozen=True)
class Trial:
    """What a study is told beside the scans and methods.

    Args:
        design: `closer` or `real`.
        readers: how many.
        questions: of each reader.
        repeats: of these, how many are asked once more.
        practice: whether to practise first.
        cases: different pairs in all; None for what has each asked of four readers.
        consent: text that readers agree to first.
        seed: of all that is drawn, but for the codes, which nobody can repeat.
    """

    design: str
    readers: int
    questions: int
    repeats: int = 0
    practice: bool = True
    cases: int | None = None
    consent: str = ""
    seed: int = 0


def prepare_study(
    paths: Sequence[Path],
    methods: Mapping[str, Recreate],
    settings: Settings,
    trial: Trial,
    folder: Path,
    *,
    overwrite: bool = False,
    progress: Progress = lambda name, done, total: None,
    look: Callable[[Sequence[Source]], None] = lambda sources: None,
) -> Study:
    """Make the folder of a study; either all of it appears, or nothing does.

    Slices are removed from each scan and re-created as `medgen.evaluation` does it. In a study of
    what is closer to the truth the first method is shown against each other one; in one of what is
    real, the truth against every method. Asked are slices of inner gaps that are not blank. All
    pictures of a scan have the same 4096 levels (1 HU each in CT, from -1024 to 3071; beyond that
    both truth and methods are cut off), lie in one file in an order drawn by chance, and hang as
    radiologists hang them.

    Args:
        paths: scans.
        methods: name -> function that inserts slices.
        settings: which slices are removed, and how scans are read.
        trial: what is asked of whom.
        folder: to be made.
        overwrite: replace a study that has no answers.
        progress: called with a scan's name, methods that are through, and how many there are.
        look: called with the scans once their slices are re-created, before questions are drawn.

    Raises:
        StudyError: the folder is taken, or scans and methods do not give the pairs asked for.
        WriteError: it cannot be written.
    """
    require_free(folder, overwrite=overwrite)
    if trial.design == CLOSER and len(methods) < 2:
        raise StudyError(
            "To ask which of two slices is closer to the truth takes two methods; give --method "
            "twice or more, the one that the study is about first."
        )
    generator = np.random.default_rng(trial.seed)
    make_folder(folder.parent)
    with staging(folder) as place:
        new = place / "new"
        (new / PICTURES).mkdir(parents=True, mode=0o700)
        new.chmod(0o700)
        sources, warnings = _recreated(paths, methods, settings, place, progress)
        look(sources)
        cases, practised = _asked(sources, warnings, list(methods), trial, generator)
        readers = draw_questions(
            cases,
            readers=trial.readers,
            questions=trial.questions,
            repeats=trial.repeats,
            generator=generator,
        )
        asked = [*cases, *practised]
        pairs = write_pictures(new / PICTURES, sources, asked, trial.design, generator)
        study = Study(
            trial.design,
            trial.seed,
            tuple(methods),
            tuple(source.scan for source in sources),
            tuple(pairs),
            tuple(
                (*_practice(len(cases), len(asked), generator), *questions) for questions in readers
            ),
            trial.consent,
            tuple(warnings),
        )
        write_text(study.text(), new / STUDY)
        codes = [("reader", "code"), *enumerate(new_codes(trial.readers), start=1)]
        write_text(csv_text(codes), new / CODES)
        (new / CODES).chmod(0o600)
        move(new, folder, overwrite=overwrite)
    return study


def require_free(folder: Path, *, overwrite: bool = False) -> None:
    """Raise `StudyError` where a study must not be written: over anything but one unanswered."""
    if not folder.exists():
        return
    if not overwrite:
        raise StudyError(f"{folder} exists; choose another name or pass --overwrite.")
    if (folder / ANSWERS).exists():
        raise StudyError(f"{folder} has been read, and answers are kept; choose another folder.")
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / STUDY).is_file()):
        raise StudyError(f"{folder} is no study and will not be replaced; choose another folder.")


def new_codes(count: int) -> list[str]:
    """Codes that nobody can guess, each once."""
    codes: dict[str, None] = {}
    while len(codes) < count:
        letters = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
        codes[f"{letters[:5]}-{letters[5:]}"] = None
    return list(codes)


def _contests(design: str, methods: list[str]) -> list[tuple[str, str]]:
    if design == CLOSER:
        return [(methods[0], other) for other in methods[1:]]
    return [(TRUTH, method) for method in methods]


def _asked(
    sources: Sequence[Source],
    warnings: Sequence[str],
    methods: list[str],
    trial: Trial,
    generator: np.random.Generator,
) -> tuple[list[Case], list[Case]]:
    """What is asked, and what is practised on: other slices, as long as there are enough."""
    contests = [Contest(*names) for names in _contests(trial.design, methods)]
    possible = [
        Case(number, t, contest)
        for number, source in enumerate(sources)
        for t in source.eligible
        for contest in contests
        if {contest.first, contest.second} <= set(source.stacks)
    ]
    missing = sorted({c.second for c in contests} - {case.contest.second for case in possible})
    if missing:
        raise StudyError(" ".join([f"No scan has slices of {', '.join(missing)}.", *warnings]))
    practised = _practised(sources, generator) if trial.practice else []
    wanted = trial.cases or max(
        trial.questions, -(-trial.readers * trial.questions // READERS_OF_A_PAIR)
    )
    places = {case.place for case in practised}
    rest = [case for case in possible if case.place not in places]
    if len(rest) >= min(wanted, len(possible)) or len(rest) >= 2 * trial.questions:
        possible = rest
    count = wanted if trial.cases else min(wanted, len(possible))
    return draw_cases(possible, count, generator), practised


def _recreated(
    paths: Sequence[Path],
    methods: Mapping[str, Recreate],
    settings: Settings,
    place: Path,
    progress: Progress,
) -> tuple[list[Source], list[str]]:
    """Scans with their slices re-created, and warnings; one that fails is one of these."""
    sources: list[Source] = []
    warnings: list[str] = []
    for number, (name, path) in enumerate(zip(scan_names(paths), paths, strict=True), start=1):
        try:
            source = source_of(name, path, methods, settings, place, number, progress)
        except MedgenError as error:
            warnings.append(f"{name} failed: {error}")
            continue
        sources.append(source)
        warnings += source.warnings
    if not sources:
        raise StudyError(f"No scan gives a slice to ask about. {' '.join(warnings)}")
    return sources, warnings


def _practised(sources: Sequence[Source], generator: np.random.Generator) -> list[Case]:
    """Slices to practise on, scans in turn: the truth against itself, smoothed."""
    cases = []
    for number, sigma in enumerate(SIGMAS):
        scan = number % len(sources)
        t = int(generator.choice(sources[scan].eligible))
        cases.append(Case(scan, t, Contest(TRUTH, f"{SMOOTHED} {sigma:g}")))
    return cases


def _practice(first: int, end: int, generator: np.random.Generator) -> list[Question]:
    """Practice for one reader: the pairs from `first` to `end`, sides drawn."""
    pairs = range(first, end)
    flags = swaps(len(pairs), generator)
    return [Question(pair, swapped, PRACTICE) for pair, swapped in zip(pairs, flags, strict=True)]
