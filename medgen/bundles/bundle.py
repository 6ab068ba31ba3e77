"""A trained model as a folder: weights never travel without architecture, intensities and card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from medgen.bundles.families import Family, family_of
from medgen.bundles.weights import check_weights, load_weights
from medgen.errors import BundleError, MedgenError, ReadError
from medgen.intensities.rule import IntensityRule
from medgen.recipes import recipe_from_json, to_json
from medgen.storage import json_fields, make_folder, move, staging, write_text

FORMAT_VERSION = 1
RECIPE = "recipe.json"
INTENSITY = "intensity.json"
METRICS = "metrics.json"
CARD = "README.md"
LONGEST_JSON = 1 << 24  # bytes


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model and all that is needed to use it.

    Args:
        kind: of model, see `bundles.families`.
        rule: intensities.
        recipes: architecture and training of each net, by stage, as `Family.stages` has them.
        nets: by stage.
        metrics: measured values by stage.
        name: how the model is called in reports.
    """

    kind: str
    rule: IntensityRule
    recipes: Mapping[str, Any]
    nets: Mapping[str, keras.Model]
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    name: str = "model"

    @property
    def family(self) -> Family:
        """What is known of models of this kind."""
        return family_of(self.kind)

    def require_kind(self, kind: str, lacks: str) -> None:
        """Raise `BundleError` if it is of another kind, which `lacks` what is asked for."""
        if self.kind != kind:
            raise BundleError(
                f"{self.name} is a {self.kind} model and {lacks}; give one that train-{kind} wrote."
            )


def save_bundle(bundle: Bundle, folder: Path, card: str) -> None:
    """Write `bundle` into `folder` (made if missing); `recipe.json`, there last, makes it whole.

    Args:
        bundle: the model.
        folder: files of the same names in it are replaced, `recipe.json` going first.
        card: the model card, in Markdown.

    Raises:
        WriteError: `folder` cannot be written to.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from medgen.bundles.released import folder_named
        >>> model = load_bundle(folder_named("mr-espcn-x2"))
        >>> with TemporaryDirectory() as folder:
        ...     save_bundle(model, Path(folder) / "copy", "# A copy")
        ...     load_bundle(Path(folder) / "copy").kind
        'espcn'
    """
    make_folder(folder)
    recipes = {stage: to_json(recipe) for stage, recipe in bundle.recipes.items()}
    with staging(folder / RECIPE) as place:
        for stage, net in bundle.nets.items():
            net.save_weights(_weights(place, stage))
        _write_json(place / INTENSITY, bundle.rule.to_json())
        _write_json(place / METRICS, dict(bundle.metrics))
        write_text(card, place / CARD)
        _write_json(
            place / RECIPE, {"format_version": FORMAT_VERSION, "kind": bundle.kind, **recipes}
        )
        (folder / RECIPE).unlink(missing_ok=True)
        names = [*(_weights(place, stage).name for stage in bundle.nets), INTENSITY]
        for name in (*names, METRICS, CARD, RECIPE):
            move(place / name, folder / name, overwrite=True)


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle; nothing in it is executed, and nothing outside it is read.

    Raises:
        BundleError: not a folder, a missing or damaged file, an unknown format version or kind, or
            weights that do not fit the recipe or are no plain numbers.

    Example:
        >>> from medgen.bundles.released import folder_named
        >>> load_bundle(folder_named("mr-espcn-x2")).kind
        'espcn'
    """
    if not folder.is_dir():
        raise BundleError(f"There is no model folder {folder}; give the path of a trained bundle.")
    recipe = _read_json(folder / RECIPE)
    version = recipe.get("format_version")
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{folder} has format version {version!r} and this medgen reads {FORMAT_VERSION}; use "
            "the medgen that wrote it, or train again."
        )
    try:
        family = family_of(recipe.get("kind"))
    except BundleError as error:
        raise BundleError(f"{folder} holds a model of unknown kind: {error}") from error
    try:
        rule = IntensityRule(**_read_json(folder / INTENSITY))
        recipes = {
            stage: recipe_from_json(of, recipe.get(stage)) for stage, of in family.stages.items()
        }
    except (MedgenError, TypeError, ValueError) as error:
        raise BundleError(f"The description in {folder} is damaged: {error}") from error
    metrics = _read_json(folder / METRICS)
    if not all(isinstance(values, dict) for values in metrics.values()):
        raise BundleError(f"{folder / METRICS} is damaged: expected an object for each stage.")
    # A net takes memory as soon as it is built, so its weights are looked at before.
    for stage, stage_recipe in recipes.items():
        check_weights(_weights(folder, stage), stage_recipe.fewest_numbers)
    try:
        nets = family.build(recipes, rule.levels)
    except (MedgenError, TypeError, ValueError) as error:
        raise BundleError(f"The description in {folder} makes no net: {error}") from error
    for stage, net in nets.items():
        load_weights(net, _weights(folder, stage))
    return Bundle(family.kind, rule, recipes, nets, metrics=metrics, name=folder.resolve().name)


def _weights(folder: Path, stage: str) -> Path:
    return folder / f"{stage}.weights.h5"


def _write_json(path: Path, values: Mapping[str, object]) -> None:
    write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", path)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BundleError(f"{path.parent} is no complete model: {path.name} is missing.")
    try:
        return json_fields(path, longest=LONGEST_JSON)
    except ReadError as error:
        raise BundleError(f"{path} is damaged; copy the bundle again: {error}") from error
