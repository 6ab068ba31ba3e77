"""The README's commands for serving, and the answer that it shows."""

import http.client
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from shown import block, commands

from medgen.cli import main

SERVE = block("medgen serve")
CURL = block("$ curl")


@pytest.fixture(scope="module")
def example() -> tuple[str, str, dict]:
    """Body and path of the request, and the answer."""
    (command,) = commands(CURL)
    *_, body, place = command.words
    return body, "/" + place.split("/", 1)[1], json.loads(command.printed)["outputs"]


def assert_answers(got: dict, expected: dict) -> None:
    """Levels as they are; deviations to the digits that do not depend on the processor."""
    assert set(got) == set(expected) == {"slice", "std"}
    np.testing.assert_array_equal(got["slice"], expected["slice"])
    np.testing.assert_allclose(got["std"], expected["std"], rtol=1e-4)


@pytest.mark.slow
def test_the_server_answers_as_shown(example):
    """Its command, but for the port, which may be taken here."""
    body, path, expected = example
    _, *words = commands(SERVE)[0].words
    words[words.index("--port") + 1] = "0"
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "medgen", *words], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(process.stdout.readline().split(":")[2].split("/")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        connection.request("POST", path, body)
        answer = connection.getresponse()
        assert_answers(json.loads(answer.read())["outputs"], expected)
        connection.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def test_an_export_answers_as_shown(example, tmp_path, monkeypatch):
    body, path, expected = example
    monkeypatch.chdir(tmp_path)
    _, *words = commands(SERVE)[1].words
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    name = path.split("/")[3].removesuffix(":predict")
    predict = tf.saved_model.load(str(Path("served") / name / "1")).signatures["serving_default"]
    inputs = json.loads(body)["inputs"]
    types = {"seed": tf.int64}
    given = {key: tf.constant(x, types.get(key, tf.float32)) for key, x in inputs.items()}
    answer = predict(**given, temperature=tf.constant(1.0))
    assert_answers({key: x.numpy() for key, x in answer.items()}, expected)
