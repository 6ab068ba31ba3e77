"""Trained models that come with medgen, found by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from medgen.errors import BundleError

PACKAGE = Path(__file__).resolve().parents[1]
# An installed package has the models inside; in a checkout they lie beside it.
PLACES = (PACKAGE / "released", PACKAGE.parent / "models")

DEFAULT = {"ct": "ct-pixelminer", "mr": "mr-pixelminer"}


@dataclass(frozen=True)
class ReleasedModel:
    """A bundle that ships with medgen, described without loading it.

    Args:
        name: of its folder.
        folder: where it is.
        kind: as `bundles.bundle` has it.
        modality: `ct` or `mr`.
        megabytes: of all its files.
    """

    name: str
    folder: Path
    kind: str
    modality: str
    megabytes: float

    @property
    def card(self) -> str:
        """Its model card, Markdown: data, licences, command, what was measured."""
        return (self.folder / "README.md").read_text()


def released_models() -> dict[str, ReleasedModel]:
    """All models that ship, by name."""
    place = next((place for place in PLACES if place.is_dir()), None)
    folders = [] if place is None else sorted(path.parent for path in place.glob("*/recipe.json"))
    return {folder.name: _described(folder) for folder in folders}


def default_model(modality: str) -> ReleasedModel:
    """The model for a scan of which the user named none.

    Args:
        modality: `ct`, `mr` or `unknown`, as `Volume.modality` has it.

    Raises:
        BundleError: no model is for that modality.
    """
    models = released_models()
    if DEFAULT.get(modality) not in models:
        raise BundleError(
            f"No model that comes with medgen is for a scan of modality {modality}; name one with "
            f"--model: {', '.join(models)}, a classical method, or a folder of your own."
        )
    return models[DEFAULT[modality]]


def _described(folder: Path) -> ReleasedModel:
    size = sum(path.stat().st_size for path in folder.iterdir())
    return ReleasedModel(
        folder.name,
        folder,
        json.loads((folder / "recipe.json").read_text())["kind"],
        json.loads((folder / "intensity.json").read_text())["modality"],
        size / 1e6,
    )
