"""Every command that takes a model takes a folder, or the name of one that comes with medgen."""

import shlex

import pytest
from click.testing import CliRunner

from medgen.bundles.released import released_models
from medgen.cli import main
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume, write_volume


@pytest.fixture
def scan(tmp_path):
    """An MR of a few slices, as a NIfTI file."""
    write_volume(phantom_volume("mr", (24, 20, 4), (4.0, 4.0, 12.0), 1), tmp_path / "mr.nii")
    return tmp_path / "mr.nii"


def run(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return CliRunner().invoke(main, shlex.split(words))


@pytest.mark.parametrize(
    "words",
    [
        "interpolate mr.nii -o out.nii --model",
        "interpolate . -o finer --model",
        "evaluate mr.nii -o report --method",
        "audit mr.nii --model",
        "reconstruct mr.nii -o out.nii --model",
        "sample -o new --model",
        "train-prior mr.nii -o out --vqvae",
        "train-pixelminer mr.nii -o out --start",
        "export -o out",
        "doctor",
        "serve --port 0",
    ],
)
def test_a_name_that_nothing_goes_by(scan, tmp_path, monkeypatch, words):
    result = run(f"{words} nothing", tmp_path, monkeypatch)
    assert result.exit_code == 1
    expected = "Error: There is no folder and no model named 'nothing'; give the folder of a "
    assert result.stderr.startswith(expected)
    assert result.stderr.endswith(f"{', '.join(released_models())}.\n")
    assert list(tmp_path.iterdir()) == [scan]


def test_reconstruct_by_a_released_model(scan, tmp_path, monkeypatch):
    words = "reconstruct mr.nii --model mr-two-stage -o seen.nii --modality mr"
    result = run(words, tmp_path, monkeypatch)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("2 slices: mean SSIM 0.")  # of four, those between others
    assert read_volume(tmp_path / "seen.nii").geometry == read_volume(scan).geometry


def test_sample_from_a_released_model(tmp_path, monkeypatch):
    words = "sample --model oasis-80 -n 2 --size 20,24 -o samples"
    result = run(words, tmp_path, monkeypatch)
    assert (result.exit_code, result.stderr) == (0, "")
    assert read_volume(tmp_path / "samples" / "samples.nii.gz").shape == (20, 24, 2)


def test_training_goes_on_from_a_released_model(scan, tmp_path, monkeypatch):
    """A first stage of another modality than the scan's: the model was found, and looked at."""
    words = "train-prior mr.nii -o out --vqvae ct-two-stage --steps 1"
    result = run(words, tmp_path, monkeypatch)
    assert result.exit_code == 1
    assert "This model was trained on CT" in result.stderr
