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
    parts = None if model_folder is None else [p for p in model_folder.iterdir() if p.is_file()]
    return {
        "medgen": medgen.__version__,
        "output": output.name,
        "input": {"path": str(scan), "files": len(files), "sha256": checksum(files)},
        "model": {"name": model, "sha256": None if parts is None else checksum(parts)},
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


def require_provenance_writable(output: Path) -> None:
    """Raise `WriteError` if the place of the provenance of `output` holds anything else."""
    path = provenance_path(output)
    if not path.exists():
        return
    try:
        with open(path, "rb") as file:
            facts = json.loads(file.read(LARGEST))
        own = isinstance(facts, dict) and "medgen" in facts and facts.get("output") == output.name
    except (OSError, ValueError, RecursionError):
        own = False
    if not own:
        raise WriteError(
            f"{path}, the place of the provenance of {output.name}, holds something else; choose "
            "another name for the output."
        )


def write_provenance(facts: Mapping[str, object], output: Path) -> None:
    """Write `facts` beside `output`; the whole file appears at once.

    Raises:
        WriteError: the folder cannot be written to.
    """
    path = provenance_path(output)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".medgen-") as folder:
            unfinished = Path(folder) / path.name
            unfinished.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
            os.replace(unfinished, path)
    except OSError as error:
        raise WriteError(f"Cannot write {path}: {error.strerror or error}.") from error
