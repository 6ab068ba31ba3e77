import numpy as np
import pytest
from click.testing import CliRunner

from medgen.cli import main
from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import read_volume


def run(*arguments):
    return CliRunner().invoke(main, ["phantom", *map(str, arguments)])


@pytest.mark.parametrize(
    ("modality", "spacing"), [("ct", (9.0, 9.5, 20.0)), ("mr", (6.0, 6.5, 11.0))]
)
def test_writes_the_phantom(tmp_path, modality, spacing):
    out = tmp_path / "scan.nii.gz"
    result = run(
        "-o", out, "--modality", modality, "--shape", "24,20,6",
        "--spacing", ",".join(map(str, spacing)), "--seed", 4,
    )  # fmt: skip
    sides = " x ".join(f"{s:.4g}" for s in spacing)
    assert result.output == f"{out}: {modality} phantom, seed 4, 24 x 20 x 6 voxels of {sides} mm\n"
    assert result.exit_code == 0
    written, expected = read_volume(out), phantom_volume(modality, (24, 20, 6), spacing, 4)
    np.testing.assert_array_equal(written.array, expected.array)
    assert written.array.dtype == np.int16
    assert written.geometry == expected.geometry
    assert written.modality == modality


def test_same_seed_same_bytes(tmp_path):
    names = [tmp_path / f"{letter}.nii.gz" for letter in "abc"]
    for name, seed in zip(names, (1, 1, 2), strict=True):
        assert run("-o", name, "--shape", "12,10,4", "--seed", seed).exit_code == 0
    one, same, other = (name.read_bytes() for name in names)
    assert one == same != other


def test_spacing_follows_the_modality(tmp_path):
    for modality, spacing in (("ct", (3, 3, 5)), ("mr", (1.8, 1.8, 2.8))):
        out = tmp_path / f"{modality}.nii"
        assert run("-o", out, "--shape", "4,5,6", "--modality", modality).exit_code == 0
        assert read_volume(out).spacing == pytest.approx(spacing, abs=1e-6)


def test_existing_file_is_kept(tmp_path):
    out = tmp_path / "scan.nii"
    out.write_bytes(b"mine")
    result = run("-o", out, "--shape", "4,5,6")
    assert result.exit_code == 1
    assert result.output == f"Error: {out} exists; choose another name or pass --overwrite.\n"
    assert out.read_bytes() == b"mine"
    assert run("-o", out, "--shape", "4,5,6", "--overwrite").exit_code == 0
    assert read_volume(out).shape == (4, 5, 6)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--shape", "4,5", "expected three whole numbers above 0"),
        ("--shape", "4,5.5,6", "expected three whole numbers above 0"),
        ("--shape", "4,0,6", "expected three whole numbers above 0"),
        ("--spacing", "1,-1,1", "expected three numbers above 0"),
        ("--spacing", "1,nan,1", "expected three numbers above 0"),
        ("--modality", "pet", "'pet' is not one of 'ct', 'mr'"),
    ],
)
def test_bad_options(tmp_path, option, value, message):
    out = tmp_path / "scan.nii"
    result = run("-o", out, option, value)
    assert result.exit_code == 2
    assert message in result.output
    assert not out.exists()
