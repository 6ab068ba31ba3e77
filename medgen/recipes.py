"""Everything a training run is told, as values: the architecture and how it is trained."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar

from medgen.errors import RecipeError


class _Checked:
    """Refuses values of another type than the defaults', and those out of range."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            # By `type`, as a bool is an int to isinstance.
            if isinstance(field.default, bool):
                kind, valid = "true or false", type(value) is bool
            elif isinstance(field.default, float):
                kind = "a finite number, 0 or more"
                valid = type(value) in (int, float) and 0 <= value < math.inf
            else:
                kind = "a whole number above 0"
                valid = type(value) is int and value >= 1
            if not valid:
                raise RecipeError(f"Field {field.name} must be {kind}, got {value!r}.")
        if self.learning_rate == 0:
            raise RecipeError("Field learning_rate must be above 0.")

    def _require_below_1(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) >= 1:
                raise RecipeError(f"Field {name} must be below 1, got {getattr(self, name)}.")


@dataclass(frozen=True)
class VQVAERecipe(_Checked):
    """A VQ-VAE on single slices.

    `image_size` not None: slices are the axial ones, each brought to `image_size` x `image_size`
    pixels over its whole field of view; None: slices along the coarsest axis at full resolution, in
    crops of `crop` pixels.
    """

    filters: int = 96
    residual_blocks: int = 2
    compression: int = 4
    num_embeddings: int = 512
    embedding_dim: int = 16
    commitment_cost: float = 0.25
    decay: float = 0.99
    image_size: int | None = None
    crop: int = 64
    batch_size: int = 16
    steps: int = 6000
    learning_rate: float = 1e-3
    validate_every: int = 250

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.compression not in (2, 4, 8):
            raise RecipeError(f"Field compression must be 2, 4 or 8, got {self.compression}.")
        self._require_below_1("decay")


@dataclass(frozen=True)
class PriorRecipe(_Checked):
    """A conditional PixelCNN over the codes of a VQ-VAE; `crop` is in codes.

    Training triplets have neighbours at random distances, at most `max_gap_mm` apart (the nearest
    pair of the scan where even that is wider). A share `unconditional` of them is shown without
    neighbours, so that the prior can also be sampled freely.
    """

    filters: int = 64
    blocks: int = 8
    conditioner_filters: int = 64
    conditioner_blocks: int = 6
    dropout: float = 0.1
    max_gap_mm: float = 10.0
    unconditional: float = 0.1
    crop: int = 24
    batch_size: int = 16
    steps: int = 3000
    learning_rate: float = 1e-3
    validate_every: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_below_1("dropout", "unconditional")


@dataclass(frozen=True)
class PixelMinerRecipe(_Checked):
    """A lean PixelMiner on grey levels; see `nets.pixelminer_lean.PixelMiner`.

    Training targets lie at random places between two slices at random distances, at most
    `max_gap_mm` apart (the nearest pair of the scan where even that is wider), with `context`
    slices a side at that distance. A share `edge` of them is shown as if near an end of the scan.

    Augmentation, the same for all slices of an example, 0 leaves it out: a share `other_axes` of
    the examples is sliced along other axes, slices are averaged to a thickness of up to `thickness`
    of their distance, pixels resized by up to `zoom`, noise of up to `noise` (standard deviation
    over the intensity range) with in-plane correlation is added, and images are sharpened or
    smoothed by up to `kernel` times what a Gaussian takes away.

    Variants: not `autoregressive`, every pixel is drawn on its own; `partially_causal`, parts of a
    slice may be known and count on all sides, for which half of the examples show all but a band of
    the target; `in_plane`, rows of single slices are missing instead of slices: every slice is a
    stack of its rows, and one of its columns, and windows are `crop` pixels of one.
    """

    levels: ClassVar[int] = 2048

    context: int = 3
    filters: int = 32
    blocks: int = 4
    mixtures: int = 5
    conditioner_filters: int = 48
    conditioner_blocks: int = 2
    prediction_mixtures: int = 3
    input_noise: float = 0.5
    dropout: float = 0.0
    autoregressive: bool = True
    partially_causal: bool = False
    in_plane: bool = False
    max_gap_mm: float = 8.0
    edge: float = 0.2
    other_axes: float = 0.4
    thickness: float = 1.0
    zoom: float = 0.3
    noise: float = 0.02
    kernel: float = 0.8
    crop: int = 64
    batch_size: int = 8
    steps: int = 8000
    learning_rate: float = 1e-3
    validate_every: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_below_1("dropout", "edge", "other_axes", "zoom")


@dataclass(frozen=True)
class PixelMinerPaperRecipe(_Checked):
    """PixelMiner as published; see `nets.pixelminer_published.net.PixelMinerPaper`.

    Published are architecture, levels, windows, batch size and learning rate; training targets are
    those of `PixelMinerRecipe`, without augmentation. `levels` are those of the intensities, in
    steps of 8 HU in CT. Windows of `crop` pixels are also what is drawn at once.
    """

    context: ClassVar[int] = 1
    autoregressive: ClassVar[bool] = True
    partially_causal: ClassVar[bool] = False
    in_plane: ClassVar[bool] = False

    levels: int = 256
    filters: int = 128
    layers: int = 1
    mixtures: int = 10
    dropout: float = 0.5
    max_gap_mm: float = 8.0
    crop: int = 64
    batch_size: int = 18
    steps: int = 100_000
    learning_rate: float = 8e-6
    validate_every: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_below_1("dropout")
        if self.levels < 2:
            raise RecipeError(f"Field levels must be at least 2, got {self.levels}.")
        if self.crop % 2:
            raise RecipeError(f"Field crop must be even, got {self.crop}.")


Recipe = VQVAERecipe | PriorRecipe | PixelMinerRecipe | PixelMinerPaperRecipe

VQVAE_RECIPES = {
    "default": VQVAERecipe(),
    "oasis-80": VQVAERecipe(image_size=80, crop=80, batch_size=16, steps=6000),
    "small": VQVAERecipe(
        filters=32,
        residual_blocks=1,
        compression=2,
        num_embeddings=128,
        embedding_dim=8,
        crop=32,
        batch_size=8,
        steps=600,
        learning_rate=2e-3,
        validate_every=100,
    ),
}
PRIOR_RECIPES = {
    "default": PriorRecipe(),
    "oasis-80": PriorRecipe(crop=20),
    "small": PriorRecipe(
        filters=24,
        blocks=3,
        conditioner_filters=24,
        conditioner_blocks=3,
        dropout=0.0,
        crop=16,
        batch_size=8,
        steps=600,
        learning_rate=3e-3,
        validate_every=100,
    ),
}
PIXELMINER_RECIPES = {
    "default": PixelMinerRecipe(),
    "no-autoregression": PixelMinerRecipe(autoregressive=False, steps=4200, validate_every=300),
    "small": PixelMinerRecipe(
        context=2,
        filters=12,
        blocks=2,
        mixtures=3,
        conditioner_filters=12,
        conditioner_blocks=1,
        prediction_mixtures=2,
        crop=32,
        steps=300,
        learning_rate=3e-3,
        validate_every=50,
    ),
    "in-plane": PixelMinerRecipe(in_plane=True, max_gap_mm=4.0, other_axes=0.0, batch_size=128),
    "pixelminer-paper": PixelMinerPaperRecipe(),
}


def named_recipe(recipes: dict[str, Recipe], name_or_file: str) -> Recipe:
    """The recipe called `name_or_file`, or read from that JSON file.

    Fields that the file leaves out are those of the recipe it names as `from`, or of `default`.

    Raises:
        RecipeError: neither a name nor a readable file, or not a valid recipe.
    """
    if name_or_file in recipes:
        return recipes[name_or_file]
    path = Path(name_or_file)
    if not path.is_file():
        raise RecipeError(
            f"No recipe or file is called {name_or_file!r}; the recipes are {', '.join(recipes)}."
        )
    try:
        values = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise RecipeError(f"{path} is not a recipe in JSON ({error}).") from error
    if not isinstance(values, dict):
        raise RecipeError(f"A recipe is a JSON object of fields and values, got {values!r}.")
    start = values.pop("from", "default")
    if not isinstance(start, str) or start not in recipes:
        raise RecipeError(
            f"{path} starts from a recipe {start!r}; the recipes are {', '.join(recipes)}."
        )
    base = recipes[start]
    return recipe_from_json(type(base), to_json(base) | values)


def recipe_from_json(kind: type[Recipe], values: object) -> Recipe:
    """A recipe of class `kind` from the plain values that `to_json` wrote.

    Raises:
        RecipeError: unknown fields, or values of another type or out of range.
    """
    if not isinstance(values, dict):
        raise RecipeError(f"A recipe is a JSON object of fields and values, got {values!r}.")
    known = [field.name for field in fields(kind)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise RecipeError(
            f"A recipe has no field {', '.join(unknown)}; its fields are {', '.join(known)}."
        )
    return kind(**values)


def to_json(recipe: Recipe) -> dict[str, object]:
    """Plain values of all fields."""
    return asdict(recipe)
