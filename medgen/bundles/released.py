"""Trained models that come with medgen, found by name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from medgen.errors import BundleError, IntensityError, ReadError
from medgen.intensities.guess import UNTOLD, Guess
from medgen.intensities.modality import MODALITIES, UNKNOWN
from medgen.storage import json_fields

PACKAGE = Path(__file__).resolve().parents[1]
FURTHER = "MEDGEN_MODELS"  # folders of further models, as PATH has them
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
        modality: `ct`, `mr` or `he`.
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
    """All models that ship, by name, and behind them those in the folders of `MEDGEN_MODELS`.

    Raises:
        BundleError: a folder that the environment variable names is none, holds a model that is
            damaged, or one whose name is taken.

    Example:
        >>> released_models()["ct-pixelminer"].modality
        'ct'
    """
    shipped = next((place for place in PLACES if place.is_dir()), None)
    further = [Path(text) for text in os.environ.get(FURTHER, "").split(os.pathsep) if text]
    for place in further:
        if not place.is_dir():
            raise BundleError(
                f"{FURTHER} names {place}, where there is no folder of models; correct or unset it."
            )
    found: dict[str, ReleasedModel] = {}
    for place in [*([] if shipped is None else [shipped]), *further]:
        for folder in sorted(path.parent for path in place.glob("*/recipe.json")):
            if folder.name in found:
                raise BundleError(
                    f"{folder} has the name of a model in {found[folder.name].folder.parent}; "
                    "rename its folder."
                )
            found[folder.name] = _described(folder)
    return found


def folder_named(name: str, *others: str) -> Path:
    """Folder of the trained model a user means by `name`: a path, or a model that ships.

    Args:
        name: a folder goes before a model of the same name.
        others: what else there is to name, for the sentence that says so.

    Raises:
        BundleError: nothing goes by that name.

    Example:
        >>> folder_named("ct-pixelminer").name
        'ct-pixelminer'
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

    Example:
        >>> default_model("mr").name
        'mr-pixelminer'
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
    """Kind that a model's folder tells, as `bundles.families` has it, or `unknown`; unchecked.

    Raises:
        BundleError: its recipe is no JSON object.
    """
    return str(_fields(folder, "recipe.json").get("kind", "unknown"))


def _described(folder: Path) -> ReleasedModel:
    size = sum(path.stat().st_size for path in folder.iterdir())
    modality = str(_fields(folder, "intensity.json").get("modality"))
    return ReleasedModel(folder.name, folder, kind_in(folder), modality, size / 1e6)


def _fields(folder: Path, name: str) -> dict[str, object]:
    try:
        return json_fields(folder / name)
    except ReadError as error:
        raise BundleError(f"{folder} is no whole model: {error}") from error
