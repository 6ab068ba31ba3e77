"""What a finer scan was made of and how, written beside it for whoever finds it later."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from mimetypes import MimeTypes
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import medgen
from medgen.bundles.released import kind_in
from medgen.errors import ReadError, WriteError
from medgen.interpolation.plan import SlicePlan
from medgen.jobs.source import Input, Source
from medgen.storage import (
    checksum,
    claim,
    is_free,
    json_fields,
    move,
    occupied,
    write_text,
    writing,
)
from medgen.volumes import Geometry
from medgen.volumes.files import READABLE, suffix_of

UNTOLD = ("output", "check", "adaptation")  # what comes of a run, or where to
FILE_TYPES = MimeTypes()  # those that Python knows, whatever the machine does


class Model(TypedDict):
    """Name of a model or method, its kind, and a checksum of its files; None where it has none."""

    name: str
    kind: str | None
    sha256: str | None


class Made(TypedDict):
    """What is told of every finer scan, in values that JSON can hold.

    Of the scan it says where it was and what its bytes were; nothing of its headers.

    Attributes:
        medgen: version.
        output: name of the finer scan.
        input: the scan.
        model: what made its voxels.
        options: all others, by name.
        shape: of the finer scan.
        affine: likewise; RAS, mm.
    """

    medgen: str
    output: str
    input: Input
    model: Model
    options: dict[str, object]
    shape: list[int]
    affine: list[list[float]]


class Provenance(Made):
    """Everything that tells a scan of more slices from others.

    Attributes:
        slice_axis: 0, 1 or 2.
        synthetic_slices: indices along the axis from 0.
        positions: of every slice, in units of acquired slices.
        check: how the model does on the scan, where that was looked at.
        adaptation: what came of its learning from the scan, where it did.
        methods: what a paper says of the scan, see `medgen.jobs.methods`.
    """

    slice_axis: int
    synthetic_slices: list[int]
    positions: list[float]
    check: NotRequired[Mapping[str, object]]
    adaptation: NotRequired[Mapping[str, object]]
    methods: NotRequired[str]


def made(
    *,
    source: Source,
    output: Path,
    model: str,
    model_folder: Path | None,
    options: Mapping[str, object],
    geometry: Geometry,
) -> Made:
    """What is told of every finer scan.

    Args:
        source: the scan.
        output: where the finer scan goes.
        model: name of the model or method.
        model_folder: its files, None for a method that has none.
        options: all others, by name.
        geometry: of the finer scan.
    """
    return {
        "medgen": medgen.__version__,
        "output": output.name,
        "input": source.facts,
        "model": {
            "name": model,
            "kind": None if model_folder is None else kind_in(model_folder),
            "sha256": None if model_folder is None else model_checksum(model_folder),
        },
        "options": dict(options),
        "shape": list(geometry.shape),
        "affine": geometry.affine.tolist(),
    }


def provenance(
    *,
    source: Source,
    output: Path,
    model: str,
    model_folder: Path | None,
    options: Mapping[str, object],
    plan: SlicePlan,
) -> Provenance:
    """Provenance of a scan of more slices: see `made`, and `plan` for its slices."""
    return {
        **made(  # type: ignore[typeddict-item]  # mypy misses the keys that need not be there
            source=source,
            output=output,
            model=model,
            model_folder=model_folder,
            options=options,
            geometry=plan.geometry,
        ),
        "slice_axis": plan.axis,
        "synthetic_slices": plan.synthetic.nonzero()[0].tolist(),
        "positions": plan.positions.tolist(),
    }


def identity(facts: Mapping[str, Any]) -> str:
    """The part of `provenance` that does not depend on where files lie, as text."""
    kept = {
        name: value for name, value in facts.items() if name not in ("output", "check", "methods")
    }
    return json.dumps(kept | {"input": facts["input"]["sha256"]}, sort_keys=True)


def model_checksum(folder: Path) -> str:
    """SHA-256 of the files in a model's folder."""
    return checksum(path for path in folder.iterdir() if path.is_file())


def provenance_path(output: Path) -> Path:
    """`scan_2x.json` for `scan_2x.nii.gz`, `folder.json` for `folder`."""
    suffix = "" if writes_series(output) else suffix_of(output)
    return output.with_name(output.name[: len(output.name) - len(suffix)] + ".json")


def writes_series(output: Path) -> bool:
    """Whether an output names a folder for a DICOM series: no file's name ends like that.

    Thus a folder's name may hold dots, as in `1.25mm` or `study.v2`.
    """
    suffix = suffix_of(output)
    known = suffix in READABLE or suffix.endswith(".gz")
    return output.is_dir() or not (known or FILE_TYPES.guess_type(f"name{suffix}")[0])


def read_provenance(output: Path) -> dict[str, Any] | None:
    """The provenance beside `output`, None if there is none."""
    try:
        facts = json_fields(provenance_path(output))
    except ReadError:
        return None
    return facts if "medgen" in facts and facts.get("output") == output.name else None


def require_provenance_writable(output: Path) -> None:
    """Raise `WriteError` if the place of the provenance of `output` holds anything else."""
    path = provenance_path(output)
    if os.path.lexists(path) and read_provenance(output) is None:
        raise WriteError(
            f"{path}, the place of the provenance of {output.name}, holds something else; choose "
            "another name for the output."
        )


def remove_provenance(output: Path) -> None:
    """Remove the provenance beside `output`, if there is any.

    Raises:
        WriteError: its place holds anything else, or the folder cannot be written to.
    """
    require_provenance_writable(output)
    path = provenance_path(output)
    with writing(path):
        path.unlink(missing_ok=True)


@contextmanager
def claimed(
    places: Iterable[Path],
    told_of: Iterable[Path],
    require_writable: Callable[[], None],
    tell: Callable[[str], None],
) -> Iterator[dict[Path, Path]]:
    """Where outputs are written before they go to their places, which nobody else writes meanwhile.

    Args:
        places: of all outputs.
        told_of: those of them with a provenance beside them.
        require_writable: refuses what cannot be written; called once the places are claimed.
        tell: see `medgen.storage.claim`.
    """
    with ExitStack() as stack:
        # In one order, so that two runs do not wait for each other.
        folders = {path: stack.enter_context(claim(path, tell=tell)) for path in sorted(places)}
        require_writable()  # as what another run made may be there by now
        for output in told_of:
            if is_free(output):  # a killed run may have left the provenance alone
                remove_provenance(output)
        yield {path: folder / f"unfinished{suffix_of(path)}" for path, folder in folders.items()}


def put_in_place(
    new: Path, output: Path, facts: Mapping[str, object], *, overwrite: bool = False
) -> None:
    """Move a finer scan to its place and write its provenance beside it.

    At no time does an output lie beside the provenance of another.

    Args:
        new: the finer scan, in the folder of the claim to `output` (see `medgen.storage`).
        output: its place.
        facts: its provenance.
        overwrite: replace an output that is there.

    Raises:
        WriteError: the output exists, the place of the provenance holds something else, or the
            folder cannot be written to.
    """
    replaced = not is_free(output)
    if replaced and not overwrite:
        raise occupied(output)
    remove_provenance(output)
    text = json.dumps(facts, indent=1) + "\n"
    with writing(output):
        if replaced:
            move(new, output, overwrite=True)
            write_text(text, provenance_path(output))
            return
        write_text(text, provenance_path(output))
        try:
            move(new, output, overwrite=overwrite)
        except BaseException:
            remove_provenance(output)
            raise
