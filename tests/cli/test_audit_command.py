import csv

import numpy as np
import pytest
from click.testing import CliRunner

from medgen.cli import main
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import write_volume


def run(*arguments) -> tuple[int, str]:
    """Exit code, and standard output and error together."""
    result = CliRunner().invoke(main, ["audit", *map(str, arguments), "--jobs", "1"])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("scans") / "ct.nii"
    write_volume(phantom_volume("ct", (40, 36, 7), (9.0, 8.0, 20.0), seed=3), path)
    return path


def test_compares_every_inner_slice_with_the_classical_methods(scan):
    code, output = run(scan, "--model", "linear")
    assert code == 0
    lines = output.splitlines()
    assert lines[0] == "Mean absolute error, re-created across a gap of 40 mm;"
    assert lines[2].split() == ["slice", "linear", "nearest", "bspline", "sinc", "edges", "noise"]
    rows = [line.split() for line in lines[3:9]]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5", "mean"]
    values = phantom_volume("ct", (40, 36, 7), (9.0, 8.0, 20.0), seed=3).to_physical()
    for row in rows[:5]:
        k = int(row[0])
        middle = (values[..., k - 1] + values[..., k + 1]) / 2
        assert float(row[1]) == pytest.approx(np.abs(middle - values[..., k]).mean(), abs=0.3)
    mean = np.mean([float(row[1]) for row in rows[:5]])
    assert float(rows[5][1]) == pytest.approx(mean, rel=1e-3)
    wins = sum(float(row[1]) < float(row[2]) for row in rows[:5])
    assert lines[9].startswith(f"linear is nearer than nearest in {wins} of 5 slices")
    assert len(lines) == 12


def test_writes_every_metric(scan, tmp_path):
    code, output = run(scan, "--model", "sinc", "-o", tmp_path / "audit.csv")
    assert code == 0
    assert output.endswith(f"Every metric written to {tmp_path / 'audit.csv'}.\n")
    rows = list(csv.DictReader((tmp_path / "audit.csv").open()))
    assert [row["slice"] for row in rows[:8]] == ["1"] * 4 + ["2"] * 4
    code, output = run(scan, "--model", "sinc", "-o", tmp_path / "audit.csv")
    assert code == 1
    assert output == f"Error: {tmp_path / 'audit.csv'} exists; pass --overwrite to replace it.\n"


def test_classical_methods_have_no_intervals(scan):
    code, output = run(scan, "--model", "nearest", "--calibration")
    assert code == 0
    assert output.endswith("nearest gives the same slice for every seed, so it has no intervals.\n")


def test_bad_input_is_one_sentence(scan, tmp_path):
    short = tmp_path / "short.nii"
    write_volume(phantom_volume("ct", (40, 36, 2), (9.0, 8.0, 20.0), seed=3), short)
    for arguments, message in [
        ((short, "--model", "linear"), "needs at least 3, but the scan has 2"),
        ((scan, "--model", "cubic"), "named 'cubic'"),
        ((tmp_path / "no.nii", "--model", "linear"), "does not exist"),
    ]:
        code, output = run(*arguments)
        assert code == 1
        assert output.startswith("Error: ")
        assert output.count("\n") == 1
        assert message in output
