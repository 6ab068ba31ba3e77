"""How often the intervals of a study report hold the share of all readers and all cases.

Simulated studies of the default size (16 readers, 9 questions each of 36 pairs), drawn as `medgen
study` draws them, with readers and pairs whose own shares differ.

    python benchmarks/reader_study.py [--studies 1000]
"""

from __future__ import annotations

import argparse

import numpy as np

from medgen.study.draw import Case, Contest, draw_questions
from medgen.study.statistics import (
    Bootstrap,
    exact_interval,
    mrmc_interval,
    wilson_interval,
)

READERS, QUESTIONS, PAIRS = 16, 9, 36
SHARE, READER_SD, CASE_SD = 0.65, 0.1, 0.2


def simulated(generator: np.random.Generator) -> np.ndarray:
    contests = [Contest("mine", other) for other in ("nearest", "linear", "bspline", "sinc")]
    cases = [Case(n % 3, n, contests[n % len(contests)]) for n in range(PAIRS)]
    drawn = draw_questions(
        cases, readers=READERS, questions=QUESTIONS, repeats=0, generator=generator
    )
    # Two kinds of readers and of pairs, so that the share of all of them is known.
    chance = SHARE + READER_SD * generator.choice((-1, 1), (READERS, 1))
    chance = chance + CASE_SD * generator.choice((-1, 1), PAIRS)
    scores = np.full((READERS, PAIRS), np.nan)
    for reader, questions in enumerate(drawn):
        asked = [question.pair for question in questions]
        scores[reader, asked] = generator.random(len(asked)) < chance[reader, asked]
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    generator = np.random.default_rng(0)
    held: dict[str, list[bool]] = {}
    widths: dict[str, list[float]] = {}
    for seed in range(studies):
        scores = simulated(generator)
        chosen, answers = int(np.nansum(scores)), int((~np.isnan(scores)).sum())
        bootstrap = Bootstrap.drawn(READERS, np.arange(PAIRS), seed=seed, resamples=1000)
        intervals = {
            "exact": exact_interval(chosen, answers),
            "Wilson": wilson_interval(chosen, answers),
            "U-statistic (iMRMC)": mrmc_interval(scores),
            "bootstrap": bootstrap.interval(scores),
        }
        for name, interval in intervals.items():
            if interval is not None:
                held.setdefault(name, []).append(interval.low <= SHARE <= interval.high)
                widths.setdefault(name, []).append(interval.high - interval.low)
    for name in held:
        print(f"{name:20} {np.mean(held[name]):6.1%} held, {np.mean(widths[name]):.3f} wide")


if __name__ == "__main__":
    main()
