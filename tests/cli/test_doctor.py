"""`medgen doctor`: a line a check, and an exit code that tells."""

import numpy as np
from click.testing import CliRunner

from medgen.bundles.bundle import save_bundle
from medgen.cli import main


def test_a_sound_and_a_broken_model(two_stage, tmp_path):
    save_bundle(two_stage, tmp_path / "sound", "# Card\n")
    result = CliRunner().invoke(main, ["doctor", str(tmp_path / "sound")])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert len(lines) == 7
    assert all(line.startswith("ok      ") for line in lines)
    assert lines[5] == (
        "ok      prior causality           sees all earlier positions and no other: 5 rows up, "
        "5 columns left, 5 right"
    )

    kernel = two_stage.nets["prior"].out.kernel
    whole = kernel.numpy()
    kernel.assign(np.full(kernel.shape, np.inf))
    save_bundle(two_stage, tmp_path / "broken", "# Card\n")
    kernel.assign(whole)
    result = CliRunner().invoke(main, ["doctor", str(tmp_path / "broken")])
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == (
        "FAILED  prior weights             NaN or infinite in prior/out/kernel"
    )


def test_no_model(tmp_path):
    result = CliRunner().invoke(main, ["doctor", str(tmp_path)])
    assert result.exit_code == 1
    assert result.output == (f"Error: {tmp_path} is no complete model: recipe.json is missing.\n")
    result = CliRunner().invoke(main, ["doctor", "linear"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: There is no folder and no model named 'linear'; give ")
