"""Every example in a docstring is true; modules without one are not even imported."""

import doctest
import inspect
import re
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


PYTHON = ROOT.parent / "docs" / "python.md"


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_are_true(module):
    result = doctest.testmod(import_module(module))
    assert result.attempted
    assert not result.failed


def test_every_function_of_the_python_page_has_an_example():
    listed = re.findall(r"automodule:: (\S+)\n +:members: (.+)", PYTHON.read_text())
    functions = {
        f"{module}.{name}": getattr(import_module(module), name)
        for module, names in listed
        for name in names.split(", ")
    }
    assert len(functions) > 60
    lacking = [
        name
        for name, made in functions.items()
        if inspect.isfunction(made) and ">>> " not in inspect.getdoc(made)
    ]
    assert lacking == []
