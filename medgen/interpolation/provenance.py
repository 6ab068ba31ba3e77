"""What a finer scan was made of and how, written beside it for whoever finds it later."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import medgen
from medgen.errors import WriteError
from medgen.interpolation.plan import SlicePlan
from medgen.volumes.files import suffix_of

LARGEST = 1 << 26  # bytes of a provenance


def provenance(
    *,
    scan: Path,
    files: Iterable[Path],
    output: Path,
    model: str,
    model_folder: Path | None,
    options: Mapping[str, object],
    plan: SlicePlan,
) -> dict[str, object]:
    """Everything that tells a finer scan from others, in values that JSON can hold.

    Of the scan it says where it was and what its bytes were; nothing of its headers.

    Args:
        scan: path as the user gave it.
        files: every file it was read from.
        output: where the finer scan goes.
        model: name of the model or method.
        model_folder: its files, None for a method that has none.
        options: all others, by name.
        plan: its slices.

    Returns:
        A dict in this order: `medgen` (version), `output` (name), `input` (`path`, number of
        `files`, `sha256`), `model` (`name`, `sha256` or None), `options`, `slice_axis`, `shape`,
        `affine` (RAS, mm), `synthetic_slices` (indices along the axis from 0) and `positions` (of
        every slice, in units of acquired slices).
    """
    files = list(files)
    return {
        "medgen": medgen.__version__,
        "output": output.name,
        "input": {"path": str(scan), "files": len(files), "sha256": checksum(files)},
        "model": {"name": model, "sha256": model_folder and model_checksum(model_folder)},
        "options": dict(options),
        "slice_axis": plan.axis,
        "shape": list(plan.geometry.shape),
        "affine": plan.geometry.affine.tolist(),
        "synthetic_slices": plan.synthetic.nonzero()[0].tolist(),
        "positions": plan.positions.tolist(),
    }


def identity(facts: Mapping[str, object]) -> str:
    """The part of `provenance` that does not depend on where files lie, as text."""
    kept = {name: value for name, value in facts.items() if name != "output"}
    return json.dumps(kept | {"input": facts["input"]["sha256"]}, sort_keys=True)


def model_checksum(folder: Path) -> str:
    """SHA-256 of the files in a model's folder."""
    return checksum(path for path in folder.iterdir() if path.is_file())


def checksum(files: Iterable[Path]) -> str:
    """SHA-256 of a file; of several that of the lines `sha256sum` prints, sorted by file name."""
    lines = []
    for file in sorted(files, key=lambda file: file.name):
        with open(file, "rb") as stream:
            lines.append((hashlib.file_digest(stream, "sha256").hexdigest(), file.name))
    if len(lines) == 1:
        return lines[0][0]
    return hashlib.sha256("".join(f"{sha}  {name}\n" for sha, name in lines).encode()).hexdigest()


def provenance_path(output: Path) -> Path:
    """`scan_2x.json` for `scan_2x.nii.gz`, `folder.json` for `folder`."""
    suffix = "" if writes_series(output) else suffix_of(output)
    return output.with_name(output.name[: len(output.name) - len(suffix)] + ".json")


def writes_series(output: Path) -> bool:
    """Whether an output names a folder for a DICOM series: it has no suffix, unless of digits."""
    suffix = suffix_of(output)
    return output.is_dir() or not suffix or suffix[1:].isdigit()


def read_provenance(output: Path) -> dict[str, object] | None:
    """The provenance beside `output`, None if there is none."""
    try:
        with open(provenance_path(output), "rb") as file:
            facts = json.loads(file.read(LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    own = isinstance(facts, dict) and "medgen" in facts and facts.get("output") == output.name
    return facts if own else None


def require_provenance_writable(output: Path) -> None:
    """Raise `WriteError` if the place of the provenance of `output` holds anything else."""
    path = provenance_path(output)
    if path.exists() and read_provenance(output) is None:
        raise WriteError(
            f"{path}, the place of the provenance of {output.name}, holds something else; choose "
            "another name for the output."
        )


def remove_provenance(output: Path) -> None:
    """Remove the provenance beside `output`, if there is any.

    Raises:
        WriteError: the folder cannot be written to.
    """
    path = provenance_path(output)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WriteError(f"Cannot replace {path}: {error.strerror or error}.") from error


def write_provenance(facts: Mapping[str, object], output: Path) -> None:
    """Write `facts` beside `output`; the whole file appears at once.

    Raises:
        WriteError: the folder cannot be written to.
    """
    write_text(json.dumps(facts, indent=1) + "\n", provenance_path(output))


def write_text(text: str, path: Path) -> None:
    """Write a file in UTF-8; it appears as a whole or not at all.

    Raises:
        WriteError: the folder cannot be written to.
    """
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".medgen-") as folder:
            unfinished = Path(folder) / path.name
            unfinished.write_text(text, encoding="utf-8")
            os.replace(unfinished, path)
    except OSError as error:
        raise WriteError(f"Cannot write {path}: {error.strerror or error}.") from error
