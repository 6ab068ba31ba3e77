"""The server over a real connection on this machine."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from medgen import web
from medgen.bundles.bundle import save_bundle
from medgen.errors import MedgenError
from medgen.families.two_stage.fill import TwoStage
from medgen.interpolation import interpolate_volume
from medgen.serving import batches
from medgen.serving import server as serving
from medgen.serving.bounds import Bounds
from medgen.serving.server import ModelServer, http_server
from medgen.volumes import Geometry, Volume
from medgen.web import listening_socket

MAX_BYTES = 200_000
BOUNDS = Bounds(voxels=4000, slices=6, side=100)
PREDICT = "/v1/models/tiny:predict"


@pytest.fixture(scope="module")
def model_server(exact_two_stage) -> ModelServer:
    server = ModelServer(exact_two_stage.family.served(exact_two_stage), "tiny", MAX_BYTES, BOUNDS)
    server.try_out()
    return server


@pytest.fixture(scope="module")
def port(model_server):
    with listening_socket("127.0.0.1", 0) as listening:
        running = http_server(model_server)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        running.should_exit = True
        thread.join(60)


def call(port, method, path, body=None) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    text = body if body is None or isinstance(body, bytes | str) else json.dumps(body)
    connection.request(method, path, text)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


def slices(seed=0, shape=(12, 17)) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1000, (2, *shape)).astype(np.float32)


def request(**changes) -> dict:
    previous, following = slices()
    inputs = {"previous": [previous.tolist()], "next": [following.tolist()], "gap_mm": 4.0}
    return {"inputs": {key: v for key, v in (inputs | changes).items() if v is not None}}


def test_the_answer_is_what_interpolate_writes(port, exact_two_stage):
    """Left out: position and temperature; the seed tells."""
    code, answer = call(port, "POST", PREDICT, request(seed=3))
    assert code == 200
    scan = Volume(slices(), Geometry.from_spacing((2, 12, 17), (4.0, 1, 1)), modality="ct")
    expected = interpolate_volume(scan, TwoStage(exact_two_stage, seed=3), factor=2, slice_axis=0)
    np.testing.assert_allclose(answer["outputs"]["slice"], expected.array[1:2], rtol=0, atol=0.01)
    assert np.shape(answer["outputs"]["std"]) == (1, 12, 17)
    assert call(port, "POST", PREDICT, request(seed=3))[1] == answer
    assert call(port, "POST", PREDICT, request(seed=4))[1] != answer


def test_rows_give_rows(port):
    """Two examples of other seeds equal two requests."""
    previous, following = slices().tolist()
    examples = [
        {"previous": previous, "next": following, "gap_mm": 4.0, "seed": seed} for seed in (3, 8)
    ]
    code, answer = call(port, "POST", PREDICT, {"instances": examples})
    assert code == 200
    for seed, row in zip((3, 8), answer["predictions"], strict=True):
        _, alone = call(port, "POST", PREDICT, request(seed=seed))
        assert row == {key: values[0] for key, values in alone["outputs"].items()}


def test_a_single_output_stands_bare(port):
    body = {"signature_name": "encode", "inputs": slices().tolist()}
    code, encoded = call(port, "POST", PREDICT, body)
    assert code == 200
    body = {"signature_name": "decode", "inputs": encoded["outputs"]}
    code, decoded = call(port, "POST", PREDICT, body)
    assert (code, np.shape(decoded["outputs"])) == (200, (2, 12, 20))
    rows = [{key: v[i] for key, v in encoded["outputs"].items()} for i in range(2)]
    body = {"signature_name": "decode", "instances": rows}
    assert call(port, "POST", PREDICT, body) == (200, {"predictions": decoded["outputs"]})


def test_status_metadata_and_health(port):
    state = {"version": "1", "state": "AVAILABLE"}
    for path in ("/v1/models/tiny", "/v1/models/tiny/versions/1"):
        code, answer = call(port, "GET", path)
        assert code == 200
        assert answer["model_version_status"][0].items() >= state.items()
    code, answer = call(port, "GET", "/v1/models/tiny/metadata")
    assert answer["model_spec"] == {"name": "tiny", "signature_name": "", "version": "1"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "fill", "log_prob", "encode", "decode"}
    inputs = signatures["serving_default"]["inputs"]
    assert inputs["previous"]["dtype"] == "DT_FLOAT"
    dims = inputs["previous"]["tensor_shape"]["dim"]
    assert [dim["size"] for dim in dims] == ["-1", "-1", "-1"]
    assert inputs["seed"]["dtype"] == "DT_INT64"
    assert set(signatures["serving_default"]["outputs"]) == {"slice", "std"}
    code, answer = call(port, "GET", "/health")
    assert (code, answer["status"], answer["requests"]) == (200, "ok", 0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "The body must be JSON"),
        (b"[" * 100_000, "The body must be JSON"),
        (b"\xff\xfe", "The body must be JSON"),
        ({}, 'either "instances" or "inputs"'),
        ({"inputs": {}, "signature_name": "spell"}, "no signature 'spell'; it has serving_default"),
        ({"instances": []}, "at least one example"),
        ({"instances": [{"previous": 1}, {}]}, "same names"),
        ({"inputs": [1]}, "Inputs must be given by name: previous, next"),
        (request(next=None), "missing: next"),
        (request(spell=1), "unknown: spell"),
        (request(previous=[[1.0]]), r"previous must have 3 axes, [slices, rows, cols], got shape"),
        (request(previous=[[[1.0], [1.0, 2.0]]]), "previous must be a regular nesting"),
        (request(previous=[[["a"]]]), "previous must be numbers"),
        (request(previous=[[[]]]), "previous must not be empty"),
        (request(previous=[[[float("nan")]]]), "previous must hold finite numbers only"),
        (request(previous=[[[1e300]]]), "previous must hold finite numbers only"),
        (request(previous=[[[1.0, 2.0]]]), "previous and next must be of one shape"),
        (request(position=1.5), "position must lie between 0 and 1"),
        (request(position=[0.5, 0.6]), "position must be one number or one a slice"),
        (request(seed=0.5), "seed must be whole numbers"),
        (request(seed=2**70), "seed must be whole numbers"),
        (request(seed=-1), "seed must be 0 or more"),
        (request(gap_mm=0), "gap_mm must be above 0"),
        (request(temperature=-1), "temperature must be 0 or more"),
    ],
)
def test_what_makes_no_sense_is_a_400_with_a_sentence(port, body, words):
    code, answer = call(port, "POST", PREDICT, body)
    assert code == 400
    assert words in answer["error"]


def pair(*shape: int) -> dict:
    zeros = np.zeros(shape).tolist()
    return {"previous": zeros, "next": zeros}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"inputs": pair(7, 1, 1)}, "previous would have 7 x 1 x 1; ask for fewer"),
        ({"inputs": pair(1, 1, 101)}, "A request may have 6 slices, of up to 100 x 100 pixels"),
        ({"inputs": pair(1, 101, 1)}, "previous would have 1 x 101 x 1"),
        ({"inputs": pair(2, 45, 45)}, "and 4000 voxels together; previous would have 2 x 45 x 45"),
        (
            {
                "signature_name": "fill",
                "inputs": {"acquired": pair(2, 9, 9)["next"], "positions": [0.5] * 7},
            },
            "the answer would have 7 x 9 x 9",
        ),
        (
            {"signature_name": "decode", "inputs": {"codes": np.zeros((1, 26, 5), int).tolist()}},
            "the answer would have 1 x 104 x 20",
        ),
        (b"[" + b"0," * 12_036 + b"0]", "A request may hold 12036 numbers, got 12037"),
    ],
)
def test_more_than_is_answered_at_once_is_a_413_before_it_is_computed(
    port, monkeypatch, body, words
):
    monkeypatch.setattr(batches, "_joined", None)  # whatever gets so far, fails
    code, answer = call(port, "POST", PREDICT, body)
    assert code == 413
    assert words in answer["error"]


def test_the_largest_within_bounds_is_answered(port):
    code, answer = call(port, "POST", PREDICT, {"inputs": pair(6, 6, 100)})
    assert (code, np.shape(answer["outputs"]["slice"])) == (200, (6, 6, 100))


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/models/other", 404),
        ("GET", "/v1/models/tiny/versions/2", 404),
        ("POST", "/v1/models/other:predict", 404),
        ("GET", "/elsewhere", 404),
        ("GET", PREDICT, 404),
        ("DELETE", "/health", 405),
    ],
)
def test_places_that_are_none(port, method, path, code):
    got, answer = call(port, method, path, b"{}" if method == "POST" else None)
    assert got == code
    assert answer["error"]


def raw(port, head: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: here\r\n" + head)
    return connection


def test_two_gigabytes_are_refused_before_they_are_sent(port):
    with raw(port, b"Content-Length: 2000000000\r\n\r\n") as connection:
        assert b" 413 " in connection.recv(100)
    assert call(port, "GET", "/health")[0] == 200


def test_a_body_without_a_length_is_cut_off(port):
    with raw(port, b"Transfer-Encoding: chunked\r\n\r\n") as connection:
        chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
        for _ in range(MAX_BYTES // 0x8000 + 1):
            connection.sendall(chunk)
        assert b" 413 " in connection.recv(100)


def test_a_client_that_hangs_up_leaves_its_place(port):
    for _ in range(2 * serving.MOST_INSIDE):
        raw(port, b"Content-Length: 1000\r\n\r\n{").close()
    deadline = time.monotonic() + 20
    while call(port, "GET", "/health")[1]["requests"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert call(port, "POST", PREDICT, request())[0] == 200


def test_a_slow_client_loses_its_place(port, monkeypatch):
    monkeypatch.setattr(web, "SECONDS_TO_SEND", 0.05)
    with raw(port, b"Content-Length: 1000\r\n\r\n{") as connection:
        assert b" 408 " in connection.recv(100)


def test_bodies_inside_are_bounded_together(port):
    """Each is within its bound, but not all of them."""
    held = [
        raw(port, f"Content-Length: {MAX_BYTES}\r\n\r\n{{".encode())
        for _ in range(serving.LARGEST_INSIDE)
    ]
    while call(port, "GET", "/health")[1]["requests"] < serving.LARGEST_INSIDE:
        pass
    code, answer = call(port, "POST", PREDICT, request())
    assert (code, answer["error"]) == (503, "The server is busy; try again later.")
    for connection in held:
        connection.close()
    while call(port, "GET", "/health")[1]["requests"]:
        pass
    assert call(port, "POST", PREDICT, request())[0] == 200


def test_a_thousand_at_once_are_answered_or_sent_away(port, model_server):
    """None fails otherwise, nobody's answer is another's, and the server goes on."""
    expected = {seed: call(port, "POST", PREDICT, request(seed=seed)) for seed in range(3)}
    with ThreadPoolExecutor(100) as pool:
        answers = list(
            pool.map(lambda i: call(port, "POST", PREDICT, request(seed=i % 3)), range(1000))
        )
    codes = [code for code, _ in answers]
    assert set(codes) <= {200, 503}
    assert codes.count(200) >= serving.MOST_INSIDE
    for i, answer in enumerate(answers):
        if answer[0] == 200:
            assert answer == expected[i % 3]
        else:
            assert "busy" in answer[1]["error"]
    assert call(port, "GET", "/health")[1]["requests"] == 0


def test_a_port_in_use_is_named(port):
    with pytest.raises(MedgenError, match=f"Cannot listen on 127.0.0.1, port {port}"):
        listening_socket("127.0.0.1", port)


@pytest.mark.slow
def test_the_command_serves_and_stops_when_told_to(two_stage, tmp_path):
    """A request that is being worked on is answered first."""
    save_bundle(two_stage, tmp_path / "mine", "# Card\n")
    words = ["serve", tmp_path / "mine", "--port", "0", "--max-voxels", "40000"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "medgen", *words], stdout=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    port = int(line.split(":")[2].split("/")[0])
    assert line == f"mine at http://127.0.0.1:{port}/v1/models/mine; Ctrl-C stops.\n"
    path = "/v1/models/mine:predict"
    code, answer = call(port, "POST", path, {"inputs": pair(1, 200, 201)})
    assert (code, "40000 voxels" in answer["error"]) == (413, True)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(call, port, "POST", path, {"inputs": pair(1, 200, 200)})
        while not call(port, "GET", "/health")[1]["requests"]:
            pass
        process.send_signal(signal.SIGTERM)
        code, answer = asked.result(120)
    assert code == 200
    assert np.shape(answer["outputs"]["slice"]) == (1, 200, 200)
    assert process.wait(60) in (0, -signal.SIGTERM)
