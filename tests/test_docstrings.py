"""Every example in a docstring is true; modules without one are not even imported."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import medgen

ROOT = Path(medgen.__file__).parent
WITH_EXAMPLES = [
    ".".join(["medgen", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
    for path in sorted(ROOT.rglob("*.py"))
    if ">>>" in path.read_text()
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_are_true(module):
    result = doctest.testmod(import_module(module))
    assert result.attempted
    assert not result.failed
