"""`medgen read`: what it refuses; what it serves is tested in `tests/study`."""

import socket

from click.testing import CliRunner

from medgen.cli import main
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import write_volume


def run(*words) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_what_is_no_study(tmp_path):
    code, output = run("read", tmp_path, "--port", 0)
    assert code == 1
    assert output == (f"Error: {tmp_path} holds no reader study; prepare one with medgen study.\n")


def test_a_port_in_use(tmp_path):
    write_volume(phantom_volume("ct", (40, 32, 13), (9.0, 9.0, 10.0), seed=1), tmp_path / "ct.nii")
    words = ["--method", "linear", "--design", "real", "--readers", 1, "--questions", 2]
    assert run("study", tmp_path / "ct.nii", "-o", tmp_path / "study", *words)[0] == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = run("read", tmp_path / "study", "--port", port)
    assert code == 1
    assert output.startswith(f"Error: Cannot listen on 127.0.0.1, port {port} (")
