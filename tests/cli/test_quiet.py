"""TensorFlow's start-up notes do not reach the user; what goes wrong does.

All in processes of their own: TensorFlow starts once in each, and writes past Python.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from medgen.bundles.bundle import save_bundle
from medgen.cli.quiet import LEVEL
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import write_volume

MAIN = "from medgen.cli import main; main()"
SCRIPT = """
from importlib import import_module
from multiprocessing import get_context

import medgen.cli

if __name__ == "__main__":
    process = get_context("spawn").Process(target=import_module, args=("tensorflow",))
    process.start()
    process.join()
"""
# As TensorFlow 2.21 writes them on a machine without a GPU.
NOTES = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    "I0000 00:00:1795776198.205242    8870 port.cc:153] oneDNN custom operations are on.\n"
    "I0000 00:00:1795776198.206465    8870 cudart_stub.cc:31] Could not find cuda drivers.\n"
)
NEWS = (
    "E0000 00:00:1795776292.149173    8870 cuda_platform.cc:52] failed call to cuInit\n"
    "W0000 00:00:1795776292.149173    8870 port.cc:1] I0000 is no note here\n"
    "something else: port.cc:153] \u00e9\n"
)


def run(code, *arguments, path="", **environment):
    environment = {
        key: value for key, value in os.environ.items() if key not in (LEVEL, "PYTHONPATH")
    } | {"PYTHONPATH": os.pathsep.join([str(path), *sys.path])} | environment  # fmt: skip
    program = [code] if isinstance(code, Path) else ["-c", code]
    command = [sys.executable, *program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


@pytest.fixture
def stand_in(tmp_path):
    """Makes a module `tensorflow` that writes notes and news below Python, and then does `last`."""

    def make(last: str) -> Path:
        source = f"import os\nos.write(2, {(NOTES + NEWS).encode()!r})\n{last}\n"
        (tmp_path / "tensorflow.py").write_text(source)
        return tmp_path

    return make


def test_a_trained_model_answers_without_a_word_on_standard_error(two_stage, tmp_path):
    save_bundle(two_stage, tmp_path / "model", "# Card\n")
    write_volume(phantom_volume("ct", (16, 16, 3), (20.0, 18.0, 30.0), 1), tmp_path / "ct.nii")
    arguments = ["interpolate", tmp_path / "ct.nii", "-o", tmp_path / "out.nii"]
    result = run(MAIN, *arguments, "--model", tmp_path / "model")
    assert (result.returncode, result.stderr) == (0, "")
    assert "16 x 16 x 5 voxels" in result.stdout


def test_processes_that_a_command_starts_are_quiet_too(stand_in, tmp_path):
    """They import the script that started them, as they do that of the console."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    assert run(script, path=stand_in("")).stderr == NEWS


def test_an_error_of_tensorflow_still_shows():
    result = run("import medgen.cli, tensorflow as tf; tf.matmul(tf.ones((2, 3)), tf.ones((2, 3)))")
    assert result.returncode == 1
    assert result.stderr.startswith("Traceback")
    assert "Matrix size-incompatible" in result.stderr


def test_only_notes_are_held_back(stand_in):
    path = stand_in("import sys; print('by Python', file=sys.stderr)")
    code = "import medgen.cli, tensorflow, os; os.write(2, b'I0000 afterwards')"
    result = run(code, path=path)
    assert result.stderr == NEWS + "by Python\nI0000 afterwards"


def test_advice_to_programmers_is_held_back_and_errors_are_not(stand_in):
    path = stand_in("import logging; log = logging.getLogger('tensorflow')")
    code = "import medgen.cli, tensorflow as t; t.log.warning('retracing'); t.log.error('wrong')"
    assert run(code, path=path).stderr == NEWS + "wrong\n"


@pytest.mark.parametrize(
    ("last", "words"),
    [("raise ImportError('no such library')", "ImportError: no such library"), ("os.abort()", "")],
)
def test_an_import_that_fails_or_dies_shows_what_it_said(stand_in, last, words):
    result = run("import medgen.cli, tensorflow", path=stand_in(last))
    assert result.returncode != 0
    assert result.stderr.startswith(NEWS)
    assert words in result.stderr
    assert "absl" not in result.stderr


def test_whoever_sets_a_level_hears_all_of_it(stand_in):
    code = "import medgen.cli, tensorflow, os; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    result = run(code, path=stand_in(""), TF_CPP_MIN_LOG_LEVEL="0")
    assert (result.stdout, result.stderr) == ("0\n", NOTES + NEWS)
