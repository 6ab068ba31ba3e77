"""A trained model as a folder: weights never travel without architecture, intensities and card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np

from medgen.bundles.weights import check_weights, load_weights
from medgen.errors import BundleError, MedgenError, ReadError
from medgen.intensities.rule import IntensityRule
from medgen.nets.pixelcnn import PixelCNN, pixelcnn_from
from medgen.nets.pixelminer_lean import PixelMiner, pixelminer_from
from medgen.nets.pixelminer_published.net import PixelMinerPaper, pixelminer_paper_from
from medgen.nets.vqvae import VQVAE, vqvae_from
from medgen.recipes import (
    PixelMinerPaperRecipe,
    PixelMinerRecipe,
    PriorRecipe,
    Recipe,
    VQVAERecipe,
    recipe_from_json,
    to_json,
)
from medgen.sampling.rows import RowSampler
from medgen.sampling.slices import SliceSampler
from medgen.sampling.windows import WindowSampler
from medgen.storage import json_fields, make_folder, move, staging, write_text

FORMAT_VERSION = 1
PIXEL_RECIPES = {"pixelminer": PixelMinerRecipe, "pixelminer-paper": PixelMinerPaperRecipe}
KINDS = ("vqvae", "two-stage", *PIXEL_RECIPES)
RECIPE = "recipe.json"
INTENSITY = "intensity.json"
METRICS = "metrics.json"
CARD = "README.md"
LONGEST_JSON = 1 << 24  # bytes


@dataclass(frozen=True, eq=False)
class CodeModel:
    """A VQ-VAE, alone or with a prior over its codes.

    Args:
        vqvae_recipe: architecture and training of the first stage.
        vqvae: first stage.
        prior_recipe: architecture and training of the second stage, or None.
        prior: second stage, or None.
    """

    vqvae_recipe: VQVAERecipe
    vqvae: VQVAE
    prior_recipe: PriorRecipe | None = None
    prior: PixelCNN | None = None

    @property
    def kind(self) -> str:
        """`vqvae`, or `two-stage` with a prior."""
        return "vqvae" if self.prior is None else "two-stage"

    @property
    def stages(self) -> dict[str, tuple[Recipe, keras.Model]]:
        """Recipe and net by name."""
        stages = {"vqvae": (self.vqvae_recipe, self.vqvae)}
        return stages if self.prior is None else stages | {"prior": (self.prior_recipe, self.prior)}

    def encode_slice(self, unit: np.ndarray) -> np.ndarray:
        """Codes `(h, w)` int32 of one slice `(rows, cols)` in the unit range."""
        return keras.ops.convert_to_numpy(self.vqvae.encode(unit[None, ..., None]))[0]

    def decode_slice(self, codes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Slice of `shape` in the unit range, float32, from codes `(h, w)`."""
        image = keras.ops.convert_to_numpy(self.vqvae.decode(codes[None]))
        return image[0, : shape[0], : shape[1], 0]


@dataclass(frozen=True, eq=False)
class PixelModel:
    """A net over grey levels.

    Args:
        recipe: architecture and training.
        net: the net.
    """

    recipe: PixelMinerRecipe | PixelMinerPaperRecipe
    net: PixelMiner | PixelMinerPaper

    @property
    def kind(self) -> str:
        """`pixelminer`, or `pixelminer-paper` as published."""
        return next(kind for kind, of in PIXEL_RECIPES.items() if isinstance(self.recipe, of))

    @property
    def stages(self) -> dict[str, tuple[Recipe, keras.Model]]:
        """Recipe and net by name."""
        return {"pixelminer": (self.recipe, self.net)}

    def sampler(self, **options: object) -> SliceSampler | RowSampler | WindowSampler:
        """What draws slices from the net; see there for the options."""
        if isinstance(self.net, PixelMinerPaper):
            return WindowSampler(self.net, side=self.recipe.crop, **options)
        sampler = SliceSampler(self.net, **options)
        return RowSampler(sampler) if self.recipe.in_plane else sampler


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model and all that is needed to use it.

    Args:
        rule: intensities.
        model: the nets with their recipes.
        metrics: measured values by stage.
        name: how the model is called in reports.
    """

    rule: IntensityRule
    model: CodeModel | PixelModel
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    name: str = "model"

    @property
    def code_model(self) -> CodeModel:
        """The model, for those who need codes.

        Raises:
            BundleError: it has none.
        """
        if not isinstance(self.model, CodeModel):
            raise BundleError(
                f"{self.name} is a {self.model.kind} model, which has no codes; give a model that "
                "train-vqvae or train-prior wrote."
            )
        return self.model


def save_bundle(bundle: Bundle, folder: Path, card: str) -> None:
    """Write `bundle` into `folder` (made if missing); `recipe.json`, there last, makes it whole.

    Args:
        bundle: the model.
        folder: files of the same names in it are replaced, `recipe.json` going first.
        card: the model card, in Markdown.

    Raises:
        WriteError: `folder` cannot be written to.
    """
    make_folder(folder)
    recipes = {"format_version": FORMAT_VERSION, "kind": bundle.model.kind}
    with staging(folder / RECIPE) as place:
        for stage, (recipe, net) in bundle.model.stages.items():
            recipes[stage] = to_json(recipe)
            net.save_weights(_weights(place, stage))
        _write_json(place / INTENSITY, bundle.rule.to_json())
        _write_json(place / METRICS, dict(bundle.metrics))
        write_text(card, place / CARD)
        _write_json(place / RECIPE, recipes)
        (folder / RECIPE).unlink(missing_ok=True)
        names = [*(_weights(place, stage).name for stage in bundle.model.stages), INTENSITY]
        for name in (*names, METRICS, CARD, RECIPE):
            move(place / name, folder / name, overwrite=True)


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle; nothing in it is executed, and nothing outside it is read.

    Raises:
        BundleError: not a folder, a missing or damaged file, an unknown format version or kind, or
            weights that do not fit the recipe or are no plain numbers.
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
    if recipe.get("kind") not in KINDS:
        raise BundleError(f"{folder} holds a model of unknown kind {recipe.get('kind')!r}.")
    try:
        rule = IntensityRule(**_read_json(folder / INTENSITY))
        recipes = _recipes(recipe)
    except (MedgenError, TypeError, ValueError) as error:
        raise BundleError(f"The description in {folder} is damaged: {error}") from error
    metrics = _read_json(folder / METRICS)
    if not all(isinstance(values, dict) for values in metrics.values()):
        raise BundleError(f"{folder / METRICS} is damaged: expected an object for each stage.")
    # A net takes memory as soon as it is built, so its weights are looked at before.
    for stage, stage_recipe in recipes.items():
        check_weights(_weights(folder, stage), stage_recipe)
    try:
        model = _untrained(recipes, rule)
    except (MedgenError, TypeError, ValueError) as error:
        raise BundleError(f"The description in {folder} makes no net: {error}") from error
    for stage, (_, net) in model.stages.items():
        load_weights(net, _weights(folder, stage))
    return Bundle(rule, model, metrics=metrics, name=folder.resolve().name)


def _recipes(values: Mapping[str, object]) -> dict[str, Recipe]:
    """Recipes by stage, from what `recipe.json` holds."""
    if values["kind"] in PIXEL_RECIPES:
        kinds = {"pixelminer": PIXEL_RECIPES[values["kind"]]}
    else:
        kinds = {"vqvae": VQVAERecipe, "prior": PriorRecipe}
        if values["kind"] == "vqvae":
            del kinds["prior"]
    return {stage: recipe_from_json(kind, values.get(stage)) for stage, kind in kinds.items()}


def _untrained(recipes: Mapping[str, Recipe], rule: IntensityRule) -> CodeModel | PixelModel:
    """The nets that recipes describe."""
    if "pixelminer" in recipes:
        return untrained_pixel_model(recipes["pixelminer"], rule.levels)
    first, second = recipes["vqvae"], recipes.get("prior")
    if second is None:
        return CodeModel(first, vqvae_from(first))
    return CodeModel(first, vqvae_from(first), second, pixelcnn_from(second, first))


def untrained_pixel_model(
    recipe: PixelMinerRecipe | PixelMinerPaperRecipe, levels: int, seed: int = 0
) -> PixelModel:
    """The net that `recipe` describes, over `levels` grey levels."""
    if isinstance(recipe, PixelMinerPaperRecipe):
        return PixelModel(recipe, pixelminer_paper_from(recipe, levels, seed))
    return PixelModel(recipe, pixelminer_from(recipe, levels, seed))


def _weights(folder: Path, stage: str) -> Path:
    return folder / f"{stage}.weights.h5"


def _write_json(path: Path, values: Mapping[str, object]) -> None:
    write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", path)


def _read_json(path: Path) -> dict:
    if not path.is_file():
        raise BundleError(f"{path.parent} is no complete model: {path.name} is missing.")
    try:
        return json_fields(path, longest=LONGEST_JSON)
    except ReadError as error:
        raise BundleError(f"{path} is damaged; copy the bundle again: {error}") from error
