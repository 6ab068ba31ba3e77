"""The model card: what a bundle was trained on, by which command, and what was measured."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from medgen.bundles.bundle import Bundle
from medgen.recipes import to_json

MEASURED = {
    "vqvae": "`loss` is in nats per pixel; `ssim` and `psnr_db` compare whole slices with their "
    "reconstruction over the model's intensity range.",
    "pixelminer": "Bits are per pixel, given the true earlier pixels; errors are in HU for CT and "
    "in per cent of the intensity range for MR; `sampled_...` is of freely drawn windows.",
}
MEASURED["two-stage"] = MEASURED["vqvae"]
MEASURED["pixelminer-paper"] = MEASURED["pixelminer"]
PACKAGES = ("medgen", "tensorflow", "keras", "numpy")


def command_line(command: str, options: Mapping[str, object]) -> str:
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


def model_card(bundle: Bundle, command: str, data: Sequence[Mapping[str, object]]) -> str:
    """Markdown for the bundle's `README.md`.

    Args:
        bundle: the trained model.
        command: the call that trained it.
        data: `TrainingScans.describe()`.
    """
    title = {
        "vqvae": "VQ-VAE",
        "two-stage": "VQ-VAE with conditional PixelCNN prior",
        "pixelminer": "PixelMiner",
        "pixelminer-paper": "PixelMiner as published",
    }
    lines = [
        f"# {title[bundle.model.kind]} for {bundle.rule.kind.title}",
        "",
        "Synthetic slices are drawn from a model of the training scans below. They are no "
        "measurements: do not diagnose from them.",
        "",
        "## Training",
        "",
        f"    {command}",
        "",
        "| scan | slices | spacing (mm) | use |",
        "|---|---|---|---|",
        *[
            f"| {row['scan']} | {row['slices']} | "
            f"{' x '.join(f'{s:g}' for s in row['spacing_mm'])} | {row['use']} |"
            for row in data
        ],
        "",
        "## Measured on the validation slices",
        "",
        "| stage | metric | value |",
        "|---|---|---|",
        *[
            f"| {stage} | {name} | {value:.6g} |"
            for stage, values in bundle.metrics.items()
            for name, value in values.items()
        ],
        "",
        MEASURED[bundle.model.kind],
        "",
        "## Recipe",
        "",
    ]
    for stage, (recipe, _) in bundle.model.stages.items():
        fields = ", ".join(f"{name} {value}" for name, value in to_json(recipe).items())
        lines += [f"- {stage}: {fields}"]
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines += ["", f"Made with {versions}, Python {platform.python_version()}.", ""]
    return "\n".join(lines)
