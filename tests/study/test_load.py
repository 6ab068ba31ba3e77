"""Many readers at once, through HTTP."""

import http.client
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from served import Served

from medgen.storage import csv_text
from medgen.study.answers import answered, read_steps
from medgen.study.draw import Case, Contest, draw_questions
from medgen.study.prepare import new_codes
from medgen.study.study import Pair, PicturedScan, Study, load_codes

SIDE = 64
SCREEN = {"width": 1920, "height": 1080, "ratio": 1, "pane": 600}


def write_study(folder, readers, questions) -> Study:
    """A study of pictures that show nothing."""
    scan = PicturedScan("scan", "ct", "1.npy", SIDE, SIDE, (1, 1), 4.0, -1024.0, 1.0, (0.0, 400.0))
    cases = [Case(0, n, Contest("one", "other")) for n in range(questions)]
    pairs = [Pair(0, n, "one", "other", (0, 1), 2, (3,), (4,)) for n in range(questions)]
    generator = np.random.default_rng(0)
    drawn = draw_questions(
        cases, readers=readers, questions=questions, repeats=0, generator=generator
    )
    study = Study("closer", 0, ("one", "other"), (scan,), tuple(pairs), tuple(map(tuple, drawn)))
    (folder / "pictures").mkdir(parents=True)
    pictures = generator.integers(0, 4096, (5, SIDE, SIDE))
    np.save(folder / "pictures" / "1.npy", pictures.astype("<u2"))
    (folder / "study.json").write_text(study.text())
    codes = [("reader", "code"), *enumerate(new_codes(readers), start=1)]
    (folder / "codes.csv").write_text(csv_text(codes))
    return study


def read_all(served, code, number) -> list[int]:
    """Answer everything as a page would, and give the choices."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=120)
    headers = {"Content-Type": "application/json", "Host": f"127.0.0.1:{served.port}"}

    def ask(method, path, body=None):
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, headers)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content
        if answer.getheader("set-cookie"):
            headers["Cookie"] = answer.getheader("set-cookie").split(";")[0]
        return content if "octet" in answer.getheader("content-type") else json.loads(content)

    ask("POST", "/api/enter", {"code": code})
    profile = {"turn": 0, "role": "radiologist", "years": number, "screen": SCREEN}
    state = ask("POST", "/api/begin", profile)
    choices = []
    while state["question"] is not None:
        asked = state["question"]["number"]
        for what in ("1", "2", "target", "-1", "+1"):
            assert len(ask("GET", f"/api/pictures/{asked}/{what}")) == 2 * SIDE * SIDE
        choices.append((asked * 7 + number) % 3 % 2)
        body = {"turn": state["turn"], "question": asked, "choice": choices[-1], "seconds": 1.0}
        state = ask("POST", "/api/answer", body | {"screen": SCREEN})
    connection.close()
    return choices


@pytest.mark.parametrize(
    ("readers", "questions"), [(6, 8), pytest.param(20, 100, marks=pytest.mark.slow)]
)
def test_many_readers_at_once(tmp_path, readers, questions):
    """Every answer is stored, once, with the reader who gave it."""
    folder = tmp_path / "study"
    write_study(folder, readers, questions)
    served = Served(folder)
    try:
        with ThreadPoolExecutor(readers) as pool:
            codes = load_codes(folder)
            given = list(pool.map(read_all, [served] * readers, codes, range(readers)))
    finally:
        served.kill()
    steps = read_steps(folder / "answers.sqlite")
    assert Counter(step.kind for step in steps) == {"begin": readers, "answer": readers * questions}
    for reader, choices in enumerate(given):
        own = answered([step for step in steps if step.reader == reader])
        assert [own[n].choice for n in range(questions)] == choices
        assert next(s.note for s in steps if s.reader == reader)["years"] == reader
