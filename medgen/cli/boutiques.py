"""`medgen boutiques`: `medgen interpolate` described for platforms that run tools by description.

References:
    Glatard et al., Boutiques: a flexible framework to integrate command-line applications in
    computing platforms, GigaScience 7(5), 2018; descriptors of schema version 0.5.
"""

from __future__ import annotations

import json
from typing import Any

import click

import medgen
from medgen.cli.output import answer, json_option

# Options of `medgen interpolate` that name what is written; all other paths are read.
WRITTEN = {"output", "uncertainty", "mask", "labels_out"}
OTHERS = {"help", "json", "quiet"}


@click.command(short_help="Describe medgen interpolate for platforms such as CBRAIN.")
@json_option
def boutiques() -> None:
    """Print the Boutiques descriptor of medgen interpolate, which is JSON in any case.

    `bosh validate` checks it, and platforms that know Boutiques run medgen by it.
    """
    from medgen.cli.interpolate import interpolate

    told = descriptor(interpolate)
    click.echo(json.dumps(told, indent=2))
    answer(told)


def descriptor(command: click.Command) -> dict[str, Any]:
    """Boutiques descriptor of a command that writes a file named by its option `output`."""
    inputs = [each for parameter in command.params for each in inputs_of(parameter)]
    keys = " ".join(each["value-key"] for each in inputs)
    return {
        "schema-version": "0.5",
        "name": f"medgen {command.name}",
        "description": command.short_help,
        "tool-version": medgen.__version__,
        "command-line": f"medgen {command.name} {keys}",
        "inputs": inputs,
        "output-files": [
            {"id": "finer", "name": "What was made", "path-template": "[OUTPUT]"},
        ],
        "tags": {"domain": ["neuroinformatics", "medical imaging"]},
    }


def inputs_of(parameter: click.Parameter) -> list[dict[str, Any]]:
    """What a parameter is to Boutiques: one input, of a switch with two names one for each."""
    name = parameter.name or ""
    if name in OTHERS:
        return []
    if isinstance(parameter, click.Option) and parameter.is_flag:
        return [
            _input(flag.removeprefix("--").replace("-", "_"), parameter)
            | {"type": "Flag", "command-line-flag": flag, "optional": True}
            for flag in (parameter.opts[-1], *parameter.secondary_opts)
        ]
    told = _input(name, parameter) | _type_of(parameter) | {"optional": not parameter.required}
    if isinstance(parameter, click.Option):
        told["command-line-flag"] = parameter.opts[-1]
    return [told]


def _input(name: str, parameter: click.Parameter) -> dict[str, Any]:
    text = getattr(parameter, "help", None)
    described = {"description": text} if text else {}
    return {
        "id": name,
        "name": name.replace("_", " "),
        "value-key": f"[{name.upper()}]",
    } | described


def _type_of(parameter: click.Parameter) -> dict[str, Any]:
    kind = parameter.type
    if isinstance(kind, click.Path):
        return {"type": "String" if parameter.name in WRITTEN else "File"}
    if isinstance(kind, click.Choice):
        return {"type": "String", "value-choices": list(kind.choices)}
    if isinstance(kind, click.IntRange | click.FloatRange):
        told: dict[str, Any] = {"type": "Number", "integer": isinstance(kind, click.IntRange)}
        if kind.min is not None:
            told |= {"minimum": kind.min, "exclusive-minimum": kind.min_open}
        if kind.max is not None:
            told |= {"maximum": kind.max, "exclusive-maximum": kind.max_open}
        return told
    return {"type": "Number" if kind is click.FLOAT else "String"}
