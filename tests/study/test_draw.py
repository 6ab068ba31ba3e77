"""Who is asked what."""

from collections import Counter

import numpy as np
import pytest

from medgen.errors import StudyError
from medgen.study.draw import Case, Contest, draw_cases, draw_questions, swaps
from medgen.study.study import QUESTION, REPEAT

CONTESTS = [Contest("mine", other) for other in ("nearest", "linear", "bspline", "sinc")]


def possible(scans=3, slices=20, contests=CONTESTS) -> list[Case]:
    return [Case(s, t, c) for s in range(scans) for t in range(slices) for c in contests]


def drawn(readers=16, questions=9, repeats=0, cases=36, seed=1):
    generator = np.random.default_rng(seed)
    chosen = draw_cases(possible(), cases, generator)
    return chosen, draw_questions(
        chosen, readers=readers, questions=questions, repeats=repeats, generator=generator
    )


def spread(values, of) -> int:
    counts = Counter(values)
    return max(counts[each] for each in of) - min(counts[each] for each in of)


def test_the_same_seed_asks_the_same():
    assert drawn(seed=1) == drawn(seed=1)
    assert drawn(seed=1) != drawn(seed=2)


def test_cases_are_of_all_contests_and_scans_alike_and_at_different_places():
    cases, _ = drawn()
    assert len(set(cases)) == 36
    assert spread((c.contest for c in cases), CONTESTS) == 0
    assert spread((c.scan for c in cases), range(3)) == 0
    assert (
        spread(((c.contest, c.scan) for c in cases), [(x, s) for x in CONTESTS for s in (0, 1, 2)])
        == 0
    )
    assert len({c.place for c in cases}) == 36


@pytest.mark.parametrize("questions", [4, 9, 12, 13])
def test_every_reader_is_asked_alike(questions):
    cases, readers = drawn(questions=questions)
    for own in readers:
        asked = [cases[question.pair] for question in own]
        assert len(set(asked)) == questions
        assert spread((case.contest for case in asked), CONTESTS) <= 1
        assert spread((case.scan for case in asked), range(3)) <= 2
        assert len({case.place for case in asked}) == questions
        assert abs(2 * sum(question.swapped for question in own) - questions) <= 1
    everybody = [question.pair for own in readers for question in own]
    assert spread((cases[pair].contest for pair in everybody), CONTESTS) <= 1
    assert spread(everybody, range(len(cases))) <= 2


def test_orders_and_sides_differ():
    _, readers = drawn(readers=20, questions=36)
    assert len({tuple(question.pair for question in own) for own in readers}) == 20
    assert len({tuple(question.swapped for question in own) for own in readers}) == 20
    first = Counter(own[0].swapped for own in readers)
    assert min(first.values()) > 2


def test_repeats_come_once_more_and_late():
    _, readers = drawn(questions=12, repeats=3)
    for own in readers:
        assert len(own) == 15
        repeats = [i for i, question in enumerate(own) if question.kind == REPEAT]
        pairs = [question.pair for question in own]
        assert len({pairs[i] for i in repeats}) == 3
        for i in repeats:
            assert i >= 8
            assert pairs.index(pairs[i]) < 6
            assert own[pairs.index(pairs[i])].kind == QUESTION
        assert len(set(pairs)) == 12


def test_a_contest_that_few_scans_have_is_asked_all_the_same():
    few = [case for case in possible() if case.contest != CONTESTS[0] or case.scan == 1]
    cases = draw_cases(few, 40, np.random.default_rng(0))
    assert Counter(case.contest for case in cases) == dict.fromkeys(CONTESTS, 10)


def test_sides_are_half_and_half():
    generator = np.random.default_rng(0)
    assert all(sum(swaps(10, generator)) == 5 for _ in range(5))
    assert {sum(swaps(9, generator)) for _ in range(40)} == {4, 5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"questions": 3}, "ask 4 --questions or more, got 3"),
        ({"questions": 37}, "There are 36 pairs to ask 37 questions"),
        ({"questions": 9, "repeats": 5}, "At most half of 9 questions can be repeated"),
        ({"cases": 241}, "have 240 pairs to be asked and 241 are wanted"),
    ],
)
def test_what_cannot_be_drawn(options, message):
    with pytest.raises(StudyError, match=message):
        drawn(**options)
