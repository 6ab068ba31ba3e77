"""The descriptor is what Boutiques takes, and says of every option what click does."""

import json

import click
import pytest
from click.testing import CliRunner

from medgen.cli import main
from medgen.cli.interpolate import interpolate

COMMON = {"help", "json", "quiet"}


@pytest.fixture(scope="module")
def descriptor() -> dict:
    result = CliRunner().invoke(main, ["boutiques"])
    assert result.exit_code == 0
    assert CliRunner().invoke(main, ["boutiques", "--json"]).stdout == result.stdout
    assert CliRunner().invoke(main, ["boutiques", "--quiet"]).stdout == ""
    return json.loads(result.stdout)


def test_boutiques_takes_it(descriptor):
    """Its own validator, which finds an input that the command line lacks, for one."""
    validator = pytest.importorskip("boutiques.validator")
    validator.validate_descriptor(descriptor)
    lacking = descriptor | {"command-line": "medgen interpolate"}
    with pytest.raises(validator.DescriptorValidationError):
        validator.validate_descriptor(lacking)


def test_every_option_is_there_once(descriptor):
    inputs = {each["id"]: each for each in descriptor["inputs"]}
    assert len(inputs) == len(descriptor["inputs"])
    flags = {each.get("command-line-flag") for each in inputs.values()}
    for parameter in interpolate.params:
        if parameter.name in COMMON:
            continue
        if isinstance(parameter, click.Option):
            assert {parameter.opts[-1], *parameter.secondary_opts} <= flags
        else:
            assert not inputs[parameter.name]["optional"]
    for each in inputs.values():
        assert each["value-key"] in descriptor["command-line"]
    assert (inputs["scan"]["type"], inputs["output"]["type"]) == ("File", "String")
    assert (inputs["factor"]["minimum"], inputs["factor"]["integer"]) == (2, True)
    assert inputs["spacing"]["exclusive-minimum"] is True
    assert inputs["decode"]["value-choices"] == ["sample", "mean"]
    assert inputs["no_check"]["type"] == "Flag"


def test_its_command_line_parses(descriptor):
    """With every input filled in as Boutiques does."""
    values = {"String": "auto", "File": "scan.nii", "Number": "3"}
    words = []
    for each in descriptor["inputs"]:
        flag = [each["command-line-flag"]] if "command-line-flag" in each else []
        value = each.get("value-choices", [values.get(each["type"], "")])[0]
        if each["id"] == "top_p":
            value = "0.5"
        words += flag if each["type"] == "Flag" else [*flag, value]
    parent = click.Context(main, **main.context_settings)  # whose names of --help click remembers
    context = interpolate.make_context("interpolate", words, parent)
    assert context.params["factor"] == 3
    assert context.params["check"] is False
