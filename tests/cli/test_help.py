"""Help for every command, without waiting for what only the commands themselves need."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

import medgen
from medgen.cli import COMMANDS, main

# Runs the command named by its arguments, then names the packages that must not have been loaded.
WATCHED = """
import sys
from medgen.cli import main
try:
    main(sys.argv[1:], prog_name="medgen")
finally:
    heavy = ("tensorflow", "keras", "tensorflow_probability", "tensorboardX", "matplotlib")
    print("LOADED", *(name for name in heavy if name in sys.modules))
"""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: main {command} [OPTIONS]")
    assert result.output == CliRunner().invoke(main, [command, "-h"]).output
    for parameter in main.get_command(None, command).params:
        if parameter.param_type_name == "option":
            assert parameter.opts[-1] in result.output


def test_help_lists_every_command_with_a_sentence():
    lines = CliRunner().invoke(main, ["--help"]).output.splitlines()
    listed = lines[lines.index("Commands:") + 1 :]
    for line, command in zip(listed, COMMANDS, strict=True):
        name, words = line.split(maxsplit=1)
        assert name == command
        assert words[0].isupper()
        assert words.endswith(".")
        assert not words.endswith("...")
    assert CliRunner().invoke(main, ["-h"]).output.splitlines() == lines


def test_version():
    result = CliRunner().invoke(main, ["--version"])
    assert result.exit_code == 0
    assert result.output == f"medgen, version {medgen.__version__}\n"


@pytest.mark.parametrize("words", ["--help", "--version", "info --help", "train-vqvae --help"])
def test_help_loads_nothing_heavy(words):
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *words.split()], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "LOADED"
    assert "medgen" in done.stdout


def test_wrong_input_is_refused_before_anything_heavy_is_loaded(tmp_path):
    (tmp_path / "recipe.json").write_text("{}")
    missing = str(tmp_path / "missing.nii")
    for words, message in (
        (["info", missing], "missing.nii does not exist"),
        (["interpolate", missing, "-o", str(tmp_path / "a.nii"), "--model", "linear"], "not exist"),
        (["train-vqvae", missing, "-o", str(tmp_path)], "already holds a trained model"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == "LOADED\n"
