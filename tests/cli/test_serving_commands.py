"""`medgen export` and `medgen serve`: what they print and what they refuse."""

import json
import socket

import pytest
from click.testing import CliRunner

from medgen.bundles.bundle import save_bundle
from medgen.cli import main


@pytest.fixture
def folder(two_stage, tmp_path):
    save_bundle(two_stage, tmp_path / "mine", "# Card of mine\n")
    return tmp_path / "mine"


def run(*words) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_export_says_where_what_and_how_large(folder, tmp_path):
    code, output = run("export", folder, "-o", tmp_path / "out")
    version = tmp_path / "out" / "1"
    signatures = "serving_default, fill, log_prob, encode, decode"
    assert code == 0
    assert output.startswith(f"{version}: mine with {signatures}, ")
    assert output.endswith(" MB\n")
    assert (version / "saved_model.pb").is_file()
    assert (version / "assets.extra" / "README.md").read_text() == "# Card of mine\n"


@pytest.mark.parametrize("command", ["export", "serve"])
@pytest.mark.parametrize(
    ("name", "words"),
    [("nowhere", "named 'nowhere'"), ("linear", "no model named 'linear'")],
)
def test_what_is_no_trained_model(tmp_path, command, name, words):
    options = ["-o", tmp_path / "out"] if command == "export" else ["--port", "0"]
    code, output = run(command, name, *options)
    assert code == 1
    assert output.startswith("Error: ")
    assert words in output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["export", "serve"])
def test_a_damaged_bundle(folder, tmp_path, command):
    recipe = json.loads((folder / "recipe.json").read_text())
    (folder / "recipe.json").write_text(json.dumps(recipe | {"format_version": 99}))
    options = ["-o", tmp_path / "out"] if command == "export" else ["--port", "0"]
    code, output = run(command, folder, *options)
    assert (code, "format version 99" in output) == (1, True)


def test_export_into_a_file(folder, tmp_path):
    (tmp_path / "file").write_text("")
    code, output = run("export", folder, "-o", tmp_path / "file")
    assert (code, "cannot be a folder to write to" in output) == (1, True)


def test_a_port_in_use(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = run("serve", folder, "--port", port)
    assert code == 1
    assert output.startswith(f"Error: Cannot listen on 127.0.0.1, port {port} (")
    assert "choose another --port" in output
