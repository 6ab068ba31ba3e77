"""BIDS data sets: what of them is interpolated, and the derivative data set that it makes.

Follows the Brain Imaging Data Structure, https://bids-specification.readthedocs.io: the inheritance
principle for sidecars, `.bidsignore`, and file names and metadata of derived images.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pathspec import GitIgnoreSpec

import medgen
from medgen.errors import WriteError
from medgen.storage import json_fields, write_text
from medgen.volumes import Geometry
from medgen.volumes.fetched import require_fetched

DESCRIPTION = "dataset_description.json"
IGNORE = ".bidsignore"
VERSION = "1.10.0"  # of the specification that a derivative follows
RAW = "raw"  # name of the source in a derivative's BIDS URIs
NOT_RAW = ("derivatives", "sourcedata", "code", "stimuli")  # folders beside the subjects'

IMAGES = {
    "T1w", "T2w", "T2starw", "PDw", "PD", "PDT2", "FLAIR", "FLASH", "inplaneT1", "inplaneT2",
    "angio", "UNIT1", "MTw", "VFA", "IRT1", "MP2RAGE", "MESE", "MEGRE", "MTR", "MTS", "MPM",
    "CT", "ct",
}  # fmt: skip
FOLDERS_OF_IMAGES = ("anat", "ct")
OTHERS = {
    "func": "it is functional MR, not anatomy",
    "dwi": "it is diffusion-weighted, not anatomy",
    "fmap": "it belongs to a field map, not to anatomy",
    "perf": "it is perfusion MR, not anatomy",
    "pet": "it is PET, which no model has learnt",
    "mrs": "it belongs to spectroscopy, not to anatomy",
}
PARTS = {"phase": "a phase", "real": "a real part", "imag": "an imaginary part"}
LABEL_MAPS = {"dseg", "mask", "defacemask"}

SLICES = ("SliceThickness", "SpacingBetweenSlices", "SliceTiming")  # fields about acquired slices
AFTER_RES = ("den", "label", "desc")  # entities of a name that come after `res`
AGREEMENT = 0.01  # by which share of it a spacing in a sidecar may differ from the grid's

README = """\
# {title}

Made by medgen {version} from the data set {name}: {told}
"""


@dataclass(frozen=True)
class Purpose:
    """What a derivative is for.

    Args:
        title: of it, short.
        sentence: what its images are.
        told: the same for whoever opens it.
    """

    title: str
    sentence: str
    told: str


BETWEEN = Purpose(
    "Finer slices",
    "Synthetic slices between the acquired ones.",
    """synthetic slices between the acquired ones. The
field `synthetic_slices` of every image's JSON file tells which these are, counted from 0 along
`slice_axis`.

Synthetic slices are drawn from a model of other scans. They are no measurements: do not diagnose
from them.""",
)
SPLIT = Purpose(
    "Finer voxels",
    "Voxels split into finer ones, all of them estimates.",
    """its voxels, split into finer
ones that fill their space. The field `factor` of every image's JSON file tells into how many.

All voxels are estimates. They are no measurements: do not diagnose from them.""",
)


# === What is there ===


@dataclass(frozen=True)
class Name:
    """A file name of BIDS: entities such as `sub-01`, in their order, then suffix and extension."""

    entities: tuple[tuple[str, str], ...]
    suffix: str
    extension: str

    @classmethod
    def parse(cls, name: str) -> Name | None:
        """The parts of a file name, None if it is not one of BIDS."""
        stem, dot, extension = name.partition(".")
        *entities, suffix = stem.split("_")
        matches = [re.fullmatch(r"([a-z]+)-([A-Za-z0-9+]+)", entity) for entity in entities]
        parts = tuple((match[1], match[2]) for match in matches if match)
        if not (dot and re.fullmatch("[A-Za-z0-9]+", suffix) and len(parts) == len(matches)):
            return None
        return cls(parts, suffix, dot + extension)

    @classmethod
    def of(cls, scan: Path) -> Name:
        """The parts of the name of a scan, of which `DataSet.why_not` says that it is one."""
        name = cls.parse(scan.name)
        assert name is not None
        return name

    def __str__(self) -> str:
        entities = "".join(f"{key}-{value}_" for key, value in self.entities)
        return f"{entities}{self.suffix}{self.extension}"

    def holds_for(self, other: Name) -> bool:
        """Whether a sidecar of this name is about a data file of the other."""
        return self.suffix == other.suffix and set(self.entities) <= set(other.entities)

    def with_resolution(self, label: str, sample: int | None = None) -> Name:
        """The name of a finer image: another `res`, and the number of the sample in `desc`."""
        kept = [(key, value) for key, value in self.entities if key != "res"]
        later = [key in AFTER_RES for key, _ in kept]
        place = later.index(True) if any(later) else len(kept)
        kept.insert(place, ("res", label))
        if sample is not None:
            described = dict(kept).get("desc", "")
            kept = [(key, value) for key, value in kept if key != "desc"]
            kept.append(("desc", f"{described}Sample{sample}" if described else f"sample{sample}"))
        return Name(tuple(kept), self.suffix, self.extension)


class DataSet:
    """A BIDS data set on disk, looked at once.

    Args:
        root: its folder.
    """

    def __init__(self, root: Path):
        self.root = root
        self._sidecars: dict[Path, list[tuple[Name, Path]]] = {}

    @classmethod
    def at(cls, folder: Path) -> DataSet | None:
        """The data set whose root is a folder, None if it is none."""
        return cls(folder) if os.path.lexists(folder / DESCRIPTION) else None

    @cached_property
    def ignored(self) -> GitIgnoreSpec:
        """What `.bidsignore` names, in the notation of `.gitignore`."""
        file = self.root / IGNORE
        if not os.path.lexists(file):
            return GitIgnoreSpec.from_lines([])
        require_fetched(file)
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
        return GitIgnoreSpec.from_lines(text.splitlines())

    def why_not(self, scan: Path) -> str | None:
        """Why a scan is not interpolated, None if it is."""
        if self.ignored.match_file(scan.relative_to(self.root).as_posix()):
            return f"{IGNORE} names it"
        name, folder = Name.parse(scan.name), scan.parent.name
        if name is None or "sub" not in dict(name.entities):
            return "its name is not one of BIDS"
        if folder not in FOLDERS_OF_IMAGES:
            return OTHERS.get(folder, f"it lies in {folder}, which is no folder of anatomy")
        if name.extension not in (".nii", ".nii.gz"):
            return "it is not NIfTI, as images of BIDS are"
        part = dict(name.entities).get("part")
        if part in PARTS:
            return f"it is {PARTS[part]} of a signal, not a magnitude"
        if name.suffix not in IMAGES | LABEL_MAPS:
            return f"it is {name.suffix}, which is no image like those that models have learnt"
        return None

    def is_label_map(self, scan: Path) -> bool:
        """Whether a scan holds labels instead of an image."""
        return Name.of(scan).suffix in LABEL_MAPS

    def sidecar_of(self, scan: Path) -> Sidecar:
        """The JSON files about a scan, by the inheritance principle.

        Those in any folder from the root to the scan's count whose entities the scan has; those
        nearer to it, and with more entities, are over the others.
        """
        name, place = Name.of(scan), scan.relative_to(self.root)
        files = []
        for depth in range(len(place.parts)):
            folder = self.root.joinpath(*place.parts[:depth])
            about = [(len(other.entities), file) for other, file in self._named(folder)
                     if other.holds_for(name)]  # fmt: skip
            files += [file for _, file in sorted(about)]
        return Sidecar(tuple(files), f"bids:{RAW}:{place.as_posix()}")

    def _named(self, folder: Path) -> list[tuple[Name, Path]]:
        """Name and path of the JSON files in a folder that have names of BIDS."""
        if folder not in self._sidecars:
            named = ((Name.parse(path.name), path) for path in sorted(folder.glob("*.json")))
            self._sidecars[folder] = [(name, path) for name, path in named if name is not None]
        return self._sidecars[folder]


# === Sidecars ===


@dataclass(frozen=True)
class Sidecar:
    """What JSON files say of a scan, and what is to be said of a finer one.

    Args:
        files: the files, a later one over an earlier one.
        source: BIDS URI of the scan in a data set, None for a scan that is in none.
    """

    files: tuple[Path, ...]
    source: str | None = None

    def fields(
        self, before: Geometry, after: Geometry, axis: int, purpose: Purpose = BETWEEN
    ) -> dict[str, object]:
        """Fields about the finer scan.

        What no longer holds of every slice is told as `acquired_slices`.

        Args:
            before: grid of the scan.
            after: grid of the finer one.
            axis: of the slices.
            purpose: of the finer one.

        Raises:
            ReadError: a file cannot be read, or holds no object.
        """
        fields: dict[str, object] = {}
        for file in self.files:
            require_fetched(file)
            fields |= json_fields(file)
        acquired = {name: fields.pop(name) for name in SLICES if name in fields}
        spacing, now = before.spacing[axis], after.spacing[axis]
        told = acquired.get("SpacingBetweenSlices")
        if isinstance(told, int | float):
            others = [mm for other, mm in enumerate(before.spacing) if other != axis]
            if _agree(told, spacing):
                fields["SpacingBetweenSlices"] = now
            elif any(_agree(told, mm) for mm in others):
                fields["SpacingBetweenSlices"] = told
        kind = fields.get("ImageType")
        if isinstance(kind, list) and kind:
            acquired["ImageType"], fields["ImageType"] = kind, ["DERIVED", *kind[1:]]
        if acquired:
            fields["acquired_slices"] = acquired
        if self.source is None:
            return fields
        stripped = fields.get("SkullStripped")
        return fields | {
            "Description": purpose.sentence,
            "Sources": [self.source],
            "Resolution": f"{now:g} mm between slices along axis {axis}, where those of the "
            f"source are {spacing:g} mm apart."
            if purpose is BETWEEN
            else f"Voxels of {_sides(after)} mm, where those of the source are of "
            f"{_sides(before)} mm.",
            "SkullStripped": stripped if isinstance(stripped, bool) else False,
        }


def sidecar_beside(scan: Path) -> Sidecar | None:
    """The JSON file that differs from a scan in suffix alone, for a scan that is in no data set."""
    beside = scan.with_name(scan.name.removesuffix(".gz")).with_suffix(".json")
    return Sidecar((beside,)) if beside.is_file() else None


def _sides(geometry: Geometry) -> str:
    return " x ".join(f"{mm:g}" for mm in geometry.spacing)


def _agree(told: float, mm: float) -> bool:
    return abs(told - mm) <= AGREEMENT * mm


# === The derivative ===


def resolution_label(factor: int | None, spacing_mm: float | None) -> str:
    """Value of the entity `res`: `2x` for a factor, `1p5mm` for a spacing."""
    if spacing_mm is None:
        return f"{factor or 2}x"
    return f"{spacing_mm:.6f}".rstrip("0").rstrip(".").replace(".", "p") + "mm"


def write_derivative(
    source: DataSet, output: Path, purpose: Purpose, others: Iterable[str] = ()
) -> None:
    """Make a folder a derivative data set.

    Args:
        source: what it is made of.
        output: the folder.
        purpose: what it is for.
        others: names of files in it that are none of BIDS.

    Raises:
        ReadError: the description of the source is damaged.
        WriteError: the folder holds the data set of somebody else, or cannot be written to.
    """
    place = output / DESCRIPTION
    if os.path.lexists(place) and not _is_own(json_fields(place)):
        raise WriteError(f"{output} holds another data set; choose a folder of its own.")
    require_fetched(source.root / DESCRIPTION)
    told = json_fields(source.root / DESCRIPTION)
    name = told.get("Name") or source.root.name
    url = {"URL": source.root.absolute().as_uri()}
    doi = {"DOI": told["DatasetDOI"]} if "DatasetDOI" in told else {}
    description = {
        "Name": f"{name}, {purpose.title.lower()}",
        "BIDSVersion": VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {"Name": "medgen", "Version": medgen.__version__, "Description": purpose.sentence},
        ],
        "SourceDatasets": [url | doi],
        "DatasetLinks": {RAW: Path(os.path.relpath(source.root, output)).as_posix()},
    }
    write_text(json.dumps(description, indent=2) + "\n", place, overwrite=True)
    beside = {
        "README.md": README.format(
            title=purpose.title, version=medgen.__version__, name=name, told=purpose.told
        ),
        IGNORE: "".join(f"{other}\n" for other in others),
    }
    for file, text in beside.items():
        if not os.path.lexists(output / file):
            write_text(text, output / file)


def _is_own(description: dict[str, object]) -> bool:
    made_by = description.get("GeneratedBy")
    first = made_by[0] if isinstance(made_by, list) and made_by else None
    return isinstance(first, dict) and first.get("Name") == "medgen"
