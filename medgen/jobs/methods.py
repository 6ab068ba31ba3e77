"""What a paper says of finer scans: a paragraph for its methods, and the references in BibTeX."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medgen.bundles.families import FAMILIES, family_of
from medgen.errors import ReadError
from medgen.interpolation import SELF
from medgen.interpolation.contract import AUTO
from medgen.jobs.provenance import provenance_path, read_provenance
from medgen.storage import json_fields
from medgen.volumes import Geometry

BIBLIOGRAPHY = Path(__file__).with_name("references.bib")
ITSELF = "medgen"  # key of its own entry
# What the methods without a trained model are, and keys of `BIBLIOGRAPHY`.
CLASSICAL = {
    "nearest": ("copies of the nearest acquired slice", ()),
    "linear": ("linear interpolation", ("lowekamp2013",)),
    "bspline": ("cubic B-spline interpolation", ("lowekamp2013",)),
    "sinc": ("windowed sinc interpolation", ("meijering1999", "lowekamp2013")),
    "shape": ("shape-based interpolation", ("raya1990",)),
    "lanczos": ("Lanczos interpolation", ("meijering1999",)),
}
MATCHING = "heeger1995"
# Options that the paragraph tells in words of their own.
IN_WORDS = ("factor", "spacing_mm", "slice_axis", "fill_gaps", "seed", "temperature", "decode")
MOST_LISTED = 12


@dataclass(frozen=True)
class Methods:
    """What is to be said of finer scans that were made alike.

    Args:
        paragraph: with citations as Pandoc has them, `[@key]`.
        keys: of what is cited, in order.
        scans: how many there are.
        version: of medgen that made them.
    """

    paragraph: str
    keys: tuple[str, ...]
    scans: int
    version: str


def methods_of(output: Path) -> list[Methods]:
    """What is to be said of the finer scan at a path, or of all those below a folder.

    Args:
        output: a finer scan, the JSON file beside it, or a folder that many were written to. Scans
            of the same version, model and options are told together.

    Raises:
        ReadError: there is no provenance of medgen.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from medgen.jobs.job import Job
        >>> from medgen.jobs.run import run_job
        >>> from medgen.phantoms.phantom import phantom_volume
        >>> from medgen.volumes import write_volume
        >>> with TemporaryDirectory() as folder:
        ...     scan, finer = Path(folder) / "ct.nii", Path(folder) / "finer.nii"
        ...     write_volume(phantom_volume("ct", (16, 12, 5), (20.0, 18.0, 30.0), seed=1), scan)
        ...     _ = run_job(Job(scan=scan, output=finer, model="sinc"))
        ...     (told,) = methods_of(finer)
        >>> told.keys
        ('medgen', 'meijering1999', 'lowekamp2013')
        >>> "windowed sinc interpolation [@meijering1999; @lowekamp2013]" in told.paragraph
        True
    """
    facts = _provenances(output.absolute())
    if not facts:
        raise ReadError(
            f"{output} has no provenance of medgen; name what medgen interpolate wrote, beside "
            "which a JSON file lies, or a folder of such."
        )
    alike: dict[str, list[Mapping[str, Any]]] = {}
    for one in facts:
        options = {name: value for name, value in one["options"].items() if name != "seed"}
        made = json.dumps([one["medgen"], one["model"], options, _used(one)], sort_keys=True)
        alike.setdefault(made, []).append(one)
    return [methods(group) for group in alike.values()]


def methods(facts: Sequence[Mapping[str, Any]]) -> Methods:
    """What is to be said of scans by their provenance, all of one version, model and options."""
    first = facts[0]
    if "synthetic_slices" not in first:
        return _superresolved(facts)
    options = first["options"]
    what, keys = _described(first["model"], _used(first))
    seeds = sorted({one["options"]["seed"] for one in facts if "seed" in one["options"]})
    told = [
        f"{name} {value}"
        for name, value in options.items()
        if name not in IN_WORDS and value not in (None, False)
    ]
    if (first["model"]["sha256"] is not None or _used(first) is not None) and seeds:
        told.insert(
            0, f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
        )
    by = f"{what}{_citations(keys)}" + (f" ({', '.join(told)})" if told else "")
    sentences = [
        f"Slices were put between the acquired ones with medgen {first['medgen']} [@{ITSELF}] by "
        f"{by}.",
        _learnt(facts),
        _drawn(first),
        _slices(facts),
        _check(facts),
        "Synthetic slices are no measurements.",
    ]
    if options.get("temperature") == AUTO:
        keys = (*keys, MATCHING)
    paragraph = " ".join(sentence for sentence in sentences if sentence)
    return Methods(paragraph, (ITSELF, *keys), len(facts), first["medgen"])


def _superresolved(facts: Sequence[Mapping[str, Any]]) -> Methods:
    """What is to be said of scans whose voxels were made finer."""
    first = facts[0]
    factor, in_plane = first["factor"], first["kept_axis"] is not None
    what, keys = _described(first["model"])
    finer = [np.linalg.norm(np.array(one["affine"])[:3, :3], axis=0) for one in facts]
    coarse = [
        sides * Geometry.parts_along(factor, one["kept_axis"])
        for sides, one in zip(finer, facts, strict=True)
    ]
    before, after = (
        " x ".join(_range([float(sides[axis]) for sides in of_scans]) for axis in range(3))
        for of_scans in (coarse, finer)
    )
    parts = " x ".join([str(factor)] * (2 if in_plane else 3))
    paragraph = (
        f"Every {'pixel' if in_plane else 'voxel'} was split into {parts} with medgen "
        f"{first['medgen']} [@{ITSELF}] by {what}{_citations(keys)}; voxels of {before} mm became "
        f"ones of {after} mm, all of them estimates. They are no measurements."
    )
    return Methods(paragraph, (ITSELF, *keys), len(facts), first["medgen"])


def bibtex(keys: Sequence[str], version: str) -> str:
    """Entries of the references, in the order of their keys.

    Args:
        keys: see `Methods.keys`.
        version: of medgen, for its own.

    Example:
        >>> print(bibtex(["raya1990"], "0.1.0").splitlines()[0])
        @article{raya1990,
    """
    text = BIBLIOGRAPHY.read_text(encoding="utf-8").replace("{VERSION}", f"{{{version}}}")
    entries = {re.split("[{,]", entry)[1]: entry for entry in text.strip().split("\n\n")}
    return "\n\n".join(entries[key] for key in dict.fromkeys(keys))


def _provenances(output: Path) -> list[dict[str, Any]]:
    """Of a finer scan, of the one that a JSON file lies beside, or of all below a folder."""
    facts = read_provenance(output)
    if facts is not None:
        return [facts]
    if output.is_dir():
        return [one for path in sorted(output.rglob("*.json")) for one in _told_in(path)]
    return _told_in(output)


def _told_in(path: Path) -> list[dict[str, Any]]:
    """The provenance in a JSON file, if it holds one of what lies beside it."""
    try:
        name = json_fields(path).get("output") if path.suffix == ".json" else None
    except ReadError:
        return []
    output = path.with_name(name) if isinstance(name, str) and Path(name).name == name else None
    if output is None or provenance_path(output) != path:
        return []
    facts = read_provenance(output)
    return [] if facts is None else [facts]


def _used(facts: Mapping[str, Any]) -> str | None:
    """What was used where a model learnt from the scan, None where none did."""
    return facts["adaptation"]["used"] if "adaptation" in facts else None


def _described(model: Mapping[str, Any], used: str | None = None) -> tuple[str, tuple[str, ...]]:
    """What filled in the slices, in words, and keys of what is to be cited for it."""
    name, sha256, kind = model["name"], model["sha256"], model.get("kind")
    if name == SELF and used == SELF:
        family = family_of("pixelminer")
        return f"the mean of a {family.title} that knew nothing else", tuple(family.references)
    if name == SELF and used is not None:
        name = used  # a classical method
    if name in CLASSICAL and sha256 is None:
        return CLASSICAL[name]
    if kind not in FAMILIES:
        return f"its model {name} of SHA-256 {sha256}", ()
    family = family_of(kind)
    return f"its model {name}, a {family.title} of SHA-256 {sha256}", tuple(family.references)


def _citations(keys: Sequence[str]) -> str:
    return f" [{'; '.join(f'@{key}' for key in keys)}]" if keys else ""


def _learnt(facts: Sequence[Mapping[str, Any]]) -> str:
    """What came of learning from the scan first; the scans are alike in that."""
    used = _used(facts[0])
    if used is None:
        return ""
    counts = [one["adaptation"]["steps"] for one in facts]
    steps = f"{_range(counts)} steps"
    if used == SELF or (used != facts[0]["adaptation"]["start"] and used not in CLASSICAL):
        return f"It had learnt from acquired slices of the scan itself in {steps}."
    return (
        f"A model that had learnt from acquired slices of the scan itself in {steps} was not used, "
        "as it was not ahead on those that were left out."
    )


def _drawn(facts: Mapping[str, Any]) -> str:
    """How a trained model's slices came from it."""
    if facts["model"]["sha256"] is None:
        return ""
    options = facts["options"]
    mean, matched = options.get("decode") == "mean", options.get("temperature") == AUTO
    texture = f"the texture of their acquired neighbours{_citations([MATCHING])}"
    if mean:
        return f"They are its mean{f', given {texture}' if matched else ''}."
    if matched:
        return f"They were drawn from it and given {texture}."
    temperature = options.get("temperature")
    return f"They were drawn from it at temperature {1 if temperature is None else temperature:g}."


def _slices(facts: Sequence[Mapping[str, Any]]) -> str:
    total = sum(one["shape"][one["slice_axis"]] for one in facts)
    synthetic = sum(len(one["synthetic_slices"]) for one in facts)
    before, after = zip(*map(_spacings, facts), strict=True)
    place = f"along axis {facts[0]['slice_axis']}"
    which = _listed(facts[0]["synthetic_slices"])
    if len(facts) > 1:
        place = f"of {len(facts)} scans"
        which = "named in the JSON file beside each scan"
    return (
        f"Of the {total} slices {place} {synthetic} are synthetic ({which}), and the other "
        f"{total - synthetic} the acquired ones, unchanged; their distance went from "
        f"{_range(before)} mm to {_range(after)} mm."
    )


def _spacings(facts: Mapping[str, Any]) -> tuple[float, float]:
    """Distance between slices before and after, in mm."""
    after = float(np.linalg.norm(np.array(facts["affine"])[:3, facts["slice_axis"]]))
    positions = facts["positions"]
    step = positions[1] - positions[0] if len(positions) > 1 else 1.0
    return after / step, after


def _range(values: Sequence[float]) -> str:
    low, high = (f"{value:.4g}" for value in (min(values), max(values)))
    return low if low == high else f"{low}–{high}"


def _listed(slices: Sequence[int]) -> str:
    """Numbers from 0, with a gap where they go on regularly."""
    if not slices:
        return "none"
    counted = ", counted from 0"
    steps = set(np.diff(slices).tolist())
    if len(slices) > 4 and len(steps) == 1:
        return f"{', '.join(map(str, slices[:3]))}, …, {slices[-1]}{counted}"
    if len(slices) <= MOST_LISTED:
        return ", ".join(map(str, slices)) + counted
    return f"{slices[0]} to {slices[-1]} in part; the JSON file names them"


def _check(facts: Sequence[Mapping[str, Any]]) -> str:
    """How the model did where acquired slices were left out first."""
    checks = [one["check"] for one in facts if isinstance(one.get("check"), dict)]
    if not checks:
        return ""
    mae, linear = ([check[key] for check in checks] for key in ("mae", "linear_mae"))
    left_out = sum(len(check["left_out"]) for check in checks)
    return (
        f"Where {left_out} acquired slices were left out first, its mean absolute error was "
        f"{np.mean(mae):.3g}, that of linear interpolation {np.mean(linear):.3g}."
    )
