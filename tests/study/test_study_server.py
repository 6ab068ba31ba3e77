"""What the server of a study says, and what it keeps to itself."""

import json
import shutil

import numpy as np
import pytest
from starlette.testclient import TestClient

from medgen.study.answers import read_steps
from medgen.study.server import MAX_BYTES, StudyServer
from medgen.study.study import PRACTICE, load_codes, load_study, open_pictures
from medgen.web import Guarded

SCREEN = {"width": 1920, "height": 1080, "ratio": 1.5, "pane": 600}
PROFILE = {"turn": 0, "role": "radiologist", "years": 7, "consent": True, "screen": SCREEN}
# Everything that needs a code.
PRIVATE = [
    ("GET", "/api/state"),
    ("POST", "/api/begin"),
    ("POST", "/api/answer"),
    ("POST", "/api/undo"),
    ("GET", "/api/pictures/0/1"),
]


@pytest.fixture(scope="module", params=["closer", "real"])
def prepared(request, make_study):
    return make_study(design=request.param, consent="Of my own free will.")


@pytest.fixture
def folder(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "study")


@pytest.fixture
def server(folder):
    server = StudyServer(folder)
    yield server
    server.answers.close()


def reader(server, folder, number=0) -> TestClient:
    """A browser in which the code of a reader was entered."""
    client = TestClient(Guarded(server.app(), ("testserver",)), raise_server_exceptions=False)
    answer = client.post("/api/enter", json={"code": load_codes(folder)[number]})
    assert answer.status_code == 200
    return client


def begun(client) -> dict:
    return client.post("/api/begin", json=PROFILE).json()


def send(client, state, choice=0, **changes):
    body = {
        "turn": state["turn"],
        "question": state["question"]["number"],
        "choice": choice,
        "seconds": 1.5,
        "screen": SCREEN,
    }
    return client.post("/api/answer", json=body | changes)


def test_without_a_code_there_is_the_page_and_nothing_of_the_study(server, folder):
    client = TestClient(Guarded(server.app(), ("testserver",)))
    for path in ("/", "/study.js", "/panes.js", "/style.css", "/icon.svg"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not any(name in answer.text for name in ("nearest", "linear", "ct.nii"))
    for method, path in PRIVATE:
        assert client.request(method, path, json={}).status_code == 401, path
    for code in ("", "AAAAA-AAAAA", load_codes(folder)[0][:-1], None, 7, ["A"]):
        assert client.post("/api/enter", json={"code": code}).status_code == 403
        assert client.get("/api/state").status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/study.json",
        "/codes.csv",
        "/answers.sqlite",
        "/../study.json",
        "/%2e%2e/study.json",
        "/..%2fstudy.json",
        "/page/../study.py",
        "/pictures/1.npy",
        "/api/pictures/0/../../study.json",
        "/api/pictures/0/..%2f..%2fstudy.json",
        "/api/pictures/-1/1",
        "/api/pictures/0/3",
        "/api/pictures/0/truth",
    ],
)
def test_no_path_leads_to_a_file(server, folder, path):
    client = reader(server, folder)
    begun(client)
    assert client.get(path).status_code == 404


def test_a_code_as_people_type_it(server, folder):
    code = load_codes(folder)[1]
    client = TestClient(Guarded(server.app(), ("testserver",)))
    answer = client.post("/api/enter", json={"code": f" {code.lower().replace('-', ' ')} "})
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert client.get("/api/state").status_code == 200
    client.post("/api/leave", json={})
    assert client.get("/api/state").status_code == 401


def test_the_consent_and_profile_come_first(server, folder):
    client = reader(server, folder)
    state = client.get("/api/state").json()
    assert (state["begun"], state["question"]) == (False, None)
    assert state["consent"] == "Of my own free will."
    assert client.get("/api/pictures/0/1").status_code == 404
    assert send(client, {"turn": 0, "question": {"number": 0}}).status_code == 409
    for change, word in (
        ({"consent": False}, "Agree"),
        ({"consent": 1}, "Agree"),
        ({"role": "king"}, "roles"),
        ({"years": -1}, "Years"),
        ({"years": "7"}, "Years"),
        ({"years": True}, "Years"),
        ({"screen": {}}, "screen"),
        ({"screen": SCREEN | {"ratio": "2"}}, "ratio"),
        ({"turn": "0"}, "turn"),
    ):
        answer = client.post("/api/begin", json=PROFILE | change)
        assert (answer.status_code, word in answer.json()["error"]) == (400, True), change
    assert begun(client)["begun"]
    assert client.post("/api/begin", json=PROFILE).status_code == 200  # as after a lost answer
    (step,) = read_steps(folder / "answers.sqlite")
    assert step.note == {
        "role": "radiologist",
        "years": 7,
        "screen": SCREEN,
        "consent": "Of my own free will.",
    }


def test_a_whole_study(server, folder):
    """Practice tells what was right; the rest is asked in order, and all of it is stored."""
    study = load_study(folder)
    client = reader(server, folder, 2)
    state = begun(client)
    chosen = []
    for number, question in enumerate(study.readers[2]):
        assert state["question"]["number"] == number
        assert state["question"]["practice"] == (question.kind == PRACTICE)
        choice = number % 2
        answer = send(client, state, choice, seconds=number + 0.5)
        assert answer.status_code == 200
        chosen.append(choice)
        state = answer.json()
        feedback = state.pop("feedback")
        if question.kind == PRACTICE:
            assert feedback["truth"] == int(question.swapped)
            assert feedback["right"] == (choice == question.swapped)
        else:
            assert feedback is None
    assert state["question"] is None
    assert state["done"] == state["total"] == 7
    steps = [step for step in read_steps(folder / "answers.sqlite") if step.kind == "answer"]
    assert [step.choice for step in steps] == chosen
    assert [step.seconds for step in steps] == [number + 0.5 for number in range(len(chosen))]
    assert all(step.note == SCREEN for step in steps)


def test_pictures_are_those_of_the_open_question_on_their_sides(server, folder):
    study = load_study(folder)
    client = reader(server, folder)
    state = begun(client)
    for question in study.readers[0][:5]:
        number, pair = state["question"]["number"], study.pairs[question.pair]
        pictures = open_pictures(folder, study.scans[pair.scan])
        one, two = pair.pictures[::-1] if question.swapped else pair.pictures
        expected = {"1": one, "2": two, "-1": pair.before[-1], "+1": pair.behind[0]}
        expected |= {"-2": pair.before[0], "+2": pair.behind[-1]} if len(pair.before) > 1 else {}
        if study.design == "closer":
            expected["target"] = pair.target
        headers = set()
        for what, picture in expected.items():
            answer = client.get(f"/api/pictures/{number}/{what}")
            shape = (state["question"]["rows"], state["question"]["cols"])
            got = np.frombuffer(answer.content, "<u2").reshape(shape)
            np.testing.assert_array_equal(got, pictures[picture])
            headers.add(json.dumps(sorted(answer.headers.items())))
        assert len(headers) == 1  # sizes, types, dates: nothing that differs
        assert client.get(f"/api/pictures/{number + 1}/1").status_code == 404
        state = send(client, state).json()
        assert client.get(f"/api/pictures/{number}/1").status_code == 404


def test_what_a_page_is_told_is_the_same_whichever_side_is_which(server, folder):
    """Two studies that differ in the key alone say the same, word for word."""
    study = load_study(folder)
    client = reader(server, folder)
    state = begun(client)
    for _ in range(4):
        state = send(client, state).json()
    text = json.dumps(client.get("/api/state").json())
    for word in ("sinc", "nearest", "linear", "truth", "ct.nii", "mr.nii", "repeat", "swapped"):
        assert word not in text
    flipped = tuple(
        tuple(type(q)(q.pair, not q.swapped, q.kind) for q in own) for own in study.readers
    )
    object.__setattr__(server.study, "readers", flipped)
    assert json.dumps(client.get("/api/state").json()) == text


def test_the_last_answer_can_be_taken_back_and_stays_on_disk(server, folder):
    client = reader(server, folder)
    state = begun(client)
    assert client.post("/api/undo", json={"turn": state["turn"]}).status_code == 409
    for _ in range(3):
        state = send(client, state).json()
    assert not state["undoable"]
    assert client.post("/api/undo", json={"turn": state["turn"]}).status_code == 409
    for choice in (0, 1):
        state = send(client, state, choice).json()
    assert (state["done"], state["undoable"]) == (2, True)
    turn = state["turn"]
    state = client.post("/api/undo", json={"turn": turn}).json()
    assert (state["done"], state["question"]["number"]) == (1, 4)
    again = client.post("/api/undo", json={"turn": turn})  # as after a lost answer
    assert (again.status_code, again.json()) == (200, state)
    state = send(client, state, 0).json()
    assert state["question"]["number"] == 5
    kinds = [(s.kind, s.question, s.choice) for s in read_steps(folder / "answers.sqlite")[-3:]]
    assert kinds == [("answer", 4, 1), ("undo", 4, None), ("answer", 4, 0)]
    assert client.post("/api/undo", json={"turn": turn}).status_code == 409


def test_two_windows_of_one_reader_do_not_answer_twice(server, folder):
    one, other = reader(server, folder), reader(server, folder)
    state = begun(one)
    seen = other.get("/api/state").json()
    assert seen["turn"] == state["turn"]
    assert send(one, state, 0).status_code == 200
    assert send(other, seen, 0).status_code == 200  # the same, as if sent twice
    assert send(other, seen, 1).status_code == 409
    now = other.get("/api/state").json()
    assert now["question"]["number"] == 1
    assert send(other, now | {"question": {"number": 2}}).status_code == 409
    assert len(read_steps(folder / "answers.sqlite")) == 2


def test_readers_do_not_see_each_other(server, folder):
    one, other = reader(server, folder, 0), reader(server, folder, 1)
    state = begun(one)
    send(one, state)
    assert not other.get("/api/state").json()["begun"]
    assert other.get("/api/state").json()["turn"] == 0
    assert other.get("/api/pictures/1/1").status_code == 404


def test_a_server_that_starts_anew_goes_on_where_the_last_one_was(server, folder):
    client = reader(server, folder)
    state = send(client, begun(client), 1).json()
    second = StudyServer(folder)
    again = TestClient(Guarded(second.app(), ("testserver",)), cookies=client.cookies)
    del state["feedback"]
    assert again.get("/api/state").json() == state
    second.answers.close()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"choice": 2}, 400),
        ({"choice": True}, 400),
        ({"choice": "1"}, 400),
        ({"question": -1}, 409),
        ({"question": 1e9}, 400),
        ({"question": 10**9}, 409),
        ({"turn": 10**30}, 409),
        ({"seconds": -1}, 400),
        ({"seconds": None}, 400),
        ({"seconds": 1e9}, 400),
        ({"screen": [1]}, 400),
    ],
)
def test_answers_that_make_no_sense_are_not_stored(server, folder, changes, status):
    client = reader(server, folder)
    state = begun(client)
    assert send(client, state, **changes).status_code == status
    assert len(read_steps(folder / "answers.sqlite")) == 1


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"[" * 4000, 400),
        (b"[]", 400),
        (b'{"turn": NaN}', 400),
        (b"\xff{}", 400),
        (b"{}" + b" " * MAX_BYTES, 413),
    ],
)
def test_bodies_that_are_no_answer(server, folder, content, status):
    client = reader(server, folder)
    begun(client)
    headers = {"content-type": "application/json"}
    assert client.post("/api/answer", content=content, headers=headers).status_code == status
    headers = {"content-type": "text/plain"}  # as a form of another site could send it
    assert client.post("/api/answer", content=content, headers=headers).status_code == 415


def test_pages_of_other_sites_are_not_heard(server, folder):
    client = reader(server, folder)
    for headers in ({"origin": "http://elsewhere.example"}, {"sec-fetch-site": "cross-site"}):
        assert client.post("/api/begin", json=PROFILE, headers=headers).status_code == 403
    assert client.get("/api/state", headers={"host": "elsewhere.example"}).status_code == 421
    assert client.get("/api/state").json()["turn"] == 0


def test_an_answer_that_cannot_be_stored_is_not_taken(server, folder, monkeypatch):
    client = reader(server, folder)
    state = begun(client)
    connection = server.answers._connection
    connection.execute("PRAGMA query_only = ON")
    assert send(client, state).status_code == 500
    connection.execute("PRAGMA query_only = OFF")
    assert send(client, state).status_code == 200
