"""What every server of medgen refuses, whatever it serves."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from medgen.web import HEADERS, LOOPBACK, Guarded, read_body


async def echo(request):
    return PlainTextResponse(await read_body(request, max_bytes=10, advice="send less"))


@pytest.fixture
def client() -> TestClient:
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])])
    return TestClient(Guarded(app, (*LOOPBACK, "Reading-Room.example"), numeric=True))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8600", 200),
        ("[::1]:8600", 200),
        ("10.0.0.7", 200),
        ("localhost", 200),
        ("reading-room.example:8600", 200),
        ("READING-ROOM.EXAMPLE", 200),
        ("elsewhere.example", 421),
        ("127.0.0.1.elsewhere.example", 421),
        ("localhost@elsewhere.example", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
def test_only_its_own_names_are_answered(client, host, status):
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == status
    assert HEADERS.items() <= {name: answer.headers.get(name.lower()) for name in HEADERS}.items()


def test_numeric_addresses_only_where_they_are_all_known():
    app = Starlette(routes=[Route("/", echo)])
    client = TestClient(Guarded(app))
    for host, status in (("127.0.0.1:1", 200), ("[::1]:1", 200), ("10.0.0.7", 421)):
        assert client.get("/", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://localhost"}, 200),
        ({"origin": "https://localhost"}, 200),  # behind what encrypts
        ({"origin": "http://localhost:81"}, 403),
        ({"origin": "http://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "https://proxy.example"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_only_its_own_pages_may_change_anything(client, headers, status):
    answer = client.post("/", content=b"hello", headers={"host": "localhost"} | headers)
    assert answer.status_code == status
    assert client.get("/", headers={"host": "localhost"} | headers).status_code == 200


def test_a_body_within_its_bound(client):
    assert client.post("/", content=b"0123456789", headers={"host": "localhost"}).text
    answer = client.post("/", content=b"0123456789a", headers={"host": "localhost"})
    assert (answer.status_code, answer.text) == (413, "A request may have 10 bytes; send less.")
