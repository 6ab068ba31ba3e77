"""`medgen interpolate` as a node of nipype's workflows, made from the command itself.

Importing this needs nipype: `pip install 'medgen[nipype]'`.

References:
    Gorgolewski et al., Nipype: a flexible, lightweight and extensible neuroimaging data processing
    framework in Python, Frontiers in Neuroinformatics 5:13, 2011.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    CommandLine,
    CommandLineInputSpec,
    Directory,
    File,
    TraitedSpec,
    traits,
)

from medgen.cli.boutiques import descriptor
from medgen.cli.interpolate import interpolate


def trait_of(told: Mapping[str, Any], position: int | None) -> Any:
    """What nipype takes for an input, as `medgen boutiques` tells it.

    Args:
        told: the input.
        position: of an argument on the command line; None for an option.
    """
    kind, flag = told["type"], told.get("command-line-flag", "")
    about: dict[str, Any] = {"desc": told.get("description", told["name"])}
    about["mandatory"] = not told["optional"]
    if position is not None:
        about["position"] = position
    if kind == "Flag":
        return traits.Bool(argstr=flag, **about)
    about["argstr"] = f"{flag} %s".strip()
    if kind == "Number":
        return (traits.Int if told.get("integer") else traits.Float)(**about)
    if "value-choices" in told:
        return traits.Enum(*told["value-choices"], **about)
    if kind == "File":
        return traits.Either(File(exists=True), Directory(exists=True), **about)
    return traits.Str(**about)


def _traits() -> dict[str, Any]:
    """A trait for every input of `medgen interpolate`, arguments in their order."""
    inputs, place = {}, 0
    for told in descriptor(interpolate)["inputs"]:
        is_argument = "command-line-flag" not in told
        inputs[told["id"]] = trait_of(told, place if is_argument else None)
        place += is_argument
    return inputs


# Workflows pickle their nodes, so that it is to be found by its name and module.
InterpolateInputSpec = type(
    "InterpolateInputSpec", (CommandLineInputSpec,), {"__module__": __name__, **_traits()}
)


class InterpolateOutputSpec(TraitedSpec):
    """What a run of `medgen interpolate` leaves behind."""

    outputs = traits.List(traits.Either(File, Directory), desc="finer scans, one for each sample")
    provenance = traits.List(File, desc="the JSON file beside each")
    uncertainty = traits.Dict(traits.Str, File, desc="maps by name: std, entropy, low, high")
    mask = File(desc="1 in synthetic slices")
    labels_out = File(desc="the finer label map")


class Interpolate(CommandLine):
    """Fill in the slices of a scan; every option of `medgen interpolate` is an input.

    Options with a dash have an underscore (`slice_axis`), and of those with a `--no-` both names
    are there (`check`, `no_check`).
    """

    _cmd = f"{shlex.quote(sys.executable)} -m medgen interpolate"
    input_spec = InterpolateInputSpec
    output_spec = InterpolateOutputSpec

    def _format_arg(self, name: str, trait_spec: Any, value: Any) -> str | None:
        """Words of the line, which a shell reads: nipype quotes traits of paths alone."""
        if isinstance(value, bool):
            return trait_spec.argstr if value else None
        word: str = trait_spec.argstr % shlex.quote(str(value))
        return word

    def _list_outputs(self) -> dict[str, Any]:
        from medgen.jobs.job import Job
        from medgen.jobs.provenance import provenance_path

        given = self.inputs.get_traitsfree()
        paths = ("scan", "output", "mask", "uncertainty", "labels", "labels_out")
        found: dict[str, Any] = {key: Path(given[key]).absolute() for key in paths if key in given}
        job = Job(**found, samples=int(given.get("samples", 1)))
        outputs = self.output_spec().get()
        outputs["outputs"] = [str(path) for path in job.outputs]
        outputs["provenance"] = [str(provenance_path(path)) for path in job.outputs]
        outputs["uncertainty"] = {name: str(path) for name, path in job.maps.items()}
        for key in ("mask", "labels_out"):
            if key in found:
                outputs[key] = str(found[key])
        return outputs
