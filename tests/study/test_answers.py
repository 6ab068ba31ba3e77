"""Answers are kept as they were given."""

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from medgen.errors import StudyError
from medgen.study.answers import Answers, OutOfTurnError, answered, read_steps


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.sqlite"


def fill(path) -> None:
    answers = Answers(path)
    answers.add(0, 0, "begin", note={"role": "radiologist"})
    answers.add(0, 1, "answer", question=0, choice=1, seconds=2.5, note={})
    answers.add(1, 0, "answer", question=0, choice=0, seconds=1.0, note={"ratio": 2})
    answers.add(0, 2, "answer", question=1, choice=0, seconds=3.0, note={})
    answers.close()


def test_steps_come_back_in_order_with_their_time(path):
    fill(path)
    steps = read_steps(path)
    assert [(s.reader, s.turn, s.kind, s.question, s.choice, s.seconds) for s in steps] == [
        (0, 0, "begin", None, None, None),
        (0, 1, "answer", 0, 1, 2.5),
        (1, 0, "answer", 0, 0, 1.0),
        (0, 2, "answer", 1, 0, 3.0),
    ]
    assert [dict(s.note) for s in steps] == [{"role": "radiologist"}, {}, {"ratio": 2}, {}]
    for step in steps:
        assert abs((datetime.now(UTC) - datetime.fromisoformat(step.at)).total_seconds()) < 3600


def test_nothing_can_be_changed_or_removed(path):
    fill(path)
    connection = sqlite3.connect(path)
    for statement in ("UPDATE steps SET choice = 0", "DELETE FROM steps WHERE id = 2"):
        with pytest.raises(sqlite3.IntegrityError, match="answers cannot be"):
            connection.execute(statement)
    connection.close()
    assert len(read_steps(path)) == 4


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE steps SET choice = 0 WHERE id = 2",
        "UPDATE steps SET at = '2020-01-01' WHERE id = 4",
        'UPDATE steps SET note = \'{"role": "other"}\' WHERE id = 1',
        "DELETE FROM steps WHERE id = 2",
    ],
)
def test_a_change_by_other_means_shows(path, statement):
    fill(path)
    connection = sqlite3.connect(path)
    connection.executescript(f"DROP TRIGGER no_update; DROP TRIGGER no_delete; {statement}")
    connection.close()
    with pytest.raises(StudyError, match="was changed after it was written"):
        read_steps(path)


def test_a_step_sent_twice_is_stored_once_and_one_out_of_turn_not_at_all(path):
    fill(path)
    answers = Answers(path)
    answers.add(0, 2, "answer", question=1, choice=0, seconds=9.0, note={})
    assert len(answers.of(0)) == 3
    for turn, choice in ((2, 1), (1, 1), (4, 0), (-1, 0)):
        with pytest.raises(OutOfTurnError):
            answers.add(0, turn, "answer", question=1, choice=choice, seconds=1.0, note={})
    assert len(read_steps(path)) == 4
    answers.close()


def test_an_answer_taken_back_does_not_count(path):
    fill(path)
    answers = Answers(path)
    answers.add(0, 3, "undo", question=1, note={})
    assert set(answered(answers.of(0))) == {0}
    answers.add(0, 4, "answer", question=1, choice=1, seconds=1.0, note={})
    assert {n: step.choice for n, step in answered(answers.of(0)).items()} == {0: 1, 1: 1}
    assert len(read_steps(path)) == 6
    answers.close()


def test_of_many_at_once_one_wins_each_turn(path):
    """Two files open, as two servers on one study would have."""
    both = [Answers(path), Answers(path)]

    def send(number):
        try:
            both[number % 2].add(
                0, 0, "answer", question=0, choice=number % 2, seconds=1.0 + number, note={}
            )
        except OutOfTurnError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(send, range(16)))
    steps = read_steps(path)
    assert len(steps) == 1
    assert stored == [int(number % 2 == steps[0].choice) for number in range(16)]
    for each in both:
        each.close()


def test_what_a_killed_server_left_half_written_does_not_count(path, tmp_path):
    """A file and its journal as they are in the middle of a transaction."""
    fill(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    fields = "reader, turn, kind, at, note, digest"
    for turn in range(200):
        row = (7, turn, "begin", "now", "{}" + " " * 1000, "")
        connection.execute(f"INSERT INTO steps ({fields}) VALUES (?, ?, ?, ?, ?, ?)", row)
    copy = tmp_path / "killed"
    copy.mkdir()
    for name in (path.name, f"{path.name}-journal"):
        shutil.copy(tmp_path / name, copy / name)
    connection.execute("ROLLBACK")
    connection.close()
    assert (copy / path.name).stat().st_size > path.stat().st_size
    assert read_steps(copy / path.name) == read_steps(path)
    answers = Answers(copy / path.name)
    answers.add(0, 3, "answer", question=2, choice=1, seconds=1.0, note={})
    answers.close()
    assert len(read_steps(copy / path.name)) == 5


def test_what_is_no_file_of_answers(path):
    with pytest.raises(StudyError, match="has no answers; let readers answer with medgen read"):
        read_steps(path)
    path.write_bytes(b"no" * 1000)
    with pytest.raises(StudyError, match="cannot be used as a file of answers"):
        Answers(path)
    with pytest.raises(StudyError, match="cannot be used as a file of answers"):
        read_steps(path)
