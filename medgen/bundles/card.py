"""The model card: what a bundle was trained on, by which command, and what was measured."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from medgen.bundles.bundle import Bundle
from medgen.recipes import to_json

# What a model depends on; those that are installed stand in its card.
PACKAGES = ("medgen", "tensorflow", "jax", "torch", "keras", "numpy")


def command_line(command: str, options: Mapping[str, Any]) -> str:
    """A `medgen` call that repeats a run; `None` and `False` are left out, `data` stands bare."""
    words = ["medgen", command, *map(str, options["data"])]
    for name, value in options.items():
        flag = "-o" if name == "output" else f"--{name.replace('_', '-')}"
        if name == "data":
            continue
        if isinstance(value, list | tuple):
            words += [word for item in value for word in (flag, str(item))]
        elif value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, str(value)]
    return shlex.join(words)


def model_card(bundle: Bundle, command: str, data: Sequence[Mapping[str, Any]]) -> str:
    """Markdown for the bundle's `README.md`.

    Args:
        bundle: the trained model.
        command: the call that trained it.
        data: a row for each scan or image, `describe()` of what it was trained on.
    """
    lines = [
        f"# {bundle.family.title} for {bundle.rule.kind.title}",
        "",
        bundle.family.caution,
        "",
        "## Training",
        "",
        f"    {command}",
        "",
        *_table(data),
        "",
        "## Measured in validation",
        "",
        "| stage | metric | value |",
        "|---|---|---|",
        *[
            f"| {stage} | {name} | {value:.6g} |"
            for stage, values in bundle.metrics.items()
            for name, value in values.items()
        ],
        "",
        bundle.family.measured,
        "",
        "## Recipe",
        "",
    ]
    for stage, recipe in bundle.recipes.items():
        fields = ", ".join(f"{name} {value}" for name, value in to_json(recipe).items())
        lines += [f"- {stage}: {fields}"]
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES if find_spec(name))
    lines += ["", f"Made with {versions}, Python {platform.python_version()}.", ""]
    return "\n".join(lines)


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows of the same fields as lines of a table; sides are joined."""
    titles = {"spacing_mm": "spacing (mm)", "um_per_pixel": "µm per pixel"}
    names = list(rows[0]) if rows else ["scan", "use"]
    lines = [[titles.get(name, name) for name in names], ["---"] * len(names)]
    for row in rows:
        cells = (row[name] for name in names)
        joined = (
            " x ".join(f"{n:g}" for n in c) if isinstance(c, list | tuple) else c for c in cells
        )
        lines.append([*joined])
    return [f"| {' | '.join(map(str, cells))} |" for cells in lines]
