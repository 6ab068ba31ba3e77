"""`python -m medgen` is `medgen`."""

import subprocess
import sys

import medgen


def test_version_and_name():
    call = [sys.executable, "-m", "medgen", "--version"]
    answer = subprocess.run(call, capture_output=True, text=True, check=True)
    assert answer.stdout == f"medgen, version {medgen.__version__}\n"
    assert answer.stderr == ""
