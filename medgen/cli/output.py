"""What commands print and where it goes: `--quiet` and `--json`.

Commands print sentences and give the same as facts to `answer`. Either option sends the sentences
nowhere; what goes to standard error (notes, warnings, errors) shows in any case.
"""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

STDOUT, QUIET, JSON = (f"{__name__}.{name}" for name in ("stdout", "quiet", "json"))


def quiet_option() -> click.Option:
    """`--quiet`, which every command has."""
    return click.Option(
        ["--quiet"],
        is_flag=True,
        expose_value=False,
        callback=_silence(QUIET),
        help="Print nothing but notes, warnings and errors.",
    )


def json_option(command: Any) -> Any:
    """`--json`, for a command that calls `answer`."""
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_silence(JSON),
        help="Print JSON instead.",
    )(command)


def is_quiet() -> bool:
    """Whether no bar is to be shown, either."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def answer(facts: Any) -> None:
    """Print what a command found or made as JSON, if it was asked to.

    Args:
        facts: nested mappings, sequences, paths and plain values; numbers that JSON has not become
            null.
    """
    meta = click.get_current_context().meta
    if meta.get(JSON):
        text = json.dumps(_plain(facts), indent=2, allow_nan=False)
        click.echo(text, file=meta[STDOUT])


def _silence(key: str) -> Any:
    def callback(context: click.Context, param: click.Parameter, value: bool) -> None:
        context.meta[key] = value
        if value and STDOUT not in context.meta:
            context.meta[STDOUT] = sys.stdout
            context.with_resource(redirect_stdout(io.StringIO()))

    return callback


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):  # a number of numpy
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def mean_of(values: Sequence[float]) -> float:
    """Mean of what is not NaN."""
    finite = [value for value in values if value == value]
    return sum(finite) / len(finite) if finite else float("nan")
