"""Trained models that come with medgen, found by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from medgen.errors import BundleError, IntensityError
from medgen.intensities.guess import UNTOLD, Guess
from medgen.intensities.modality import MODALITIES, UNKNOWN

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


def folder_named(name: str, *others: str) -> Path:
    """Folder of the trained model a user means by `name`: a path, or a model that ships.

    Args:
        name: a folder goes before a model of the same name.
        others: what else there is to name, for the sentence that says so.

    Raises:
        BundleError: nothing goes by that name.
    """
    released = released_models()
    folder = Path(name) if Path(name).is_dir() or name not in released else released[name].folder
    if not folder.is_dir():
        raise BundleError(
            f"There is no folder and no model named {name!r}; give the folder of a trained model, "
            f"or one of {', '.join([*others, *released])}."
        )
    return folder


def default_model(modality: str, guess: Guess = UNTOLD) -> ReleasedModel:
    """The model for a scan of which the user named none.

    Args:
        modality: as `Volume.modality` has it.
        guess: why it is thought to be of that modality.

    Raises:
        IntensityError: nobody knows what the scan is.
        BundleError: no model is for that modality.
    """
    if modality == UNKNOWN.name:
        raise IntensityError(guess.question)
    models = released_models()
    if DEFAULT.get(modality) not in models:
        raise BundleError(
            f"The scan looks like {MODALITIES[modality].title}, for which no model comes with "
            f"medgen: {guess.words}; say what else it is with --modality, or name one with "
            f"--model: {', '.join(models)}, a classical method, or a folder of your own."
        )
    return models[DEFAULT[modality]]


def kind_in(folder: Path) -> str:
    """Kind that a model's folder tells, as `bundles.families` has it, or `unknown`; unchecked."""
    return str(json.loads((folder / "recipe.json").read_text()).get("kind", "unknown"))


def _described(folder: Path) -> ReleasedModel:
    size = sum(path.stat().st_size for path in folder.iterdir())
    return ReleasedModel(
        folder.name,
        folder,
        kind_in(folder),
        json.loads((folder / "intensity.json").read_text())["modality"],
        size / 1e6,
    )
