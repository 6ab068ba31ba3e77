"""Everything a training run is told, as values: the architecture and how it is trained."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from medgen.errors import RecipeError


class _Checked:
    """Refuses values of another type than the defaults', and those that are not positive."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            types = (int, float) if isinstance(field.default, float) else (int,)
            # A bool is an int to isinstance; only rates may be 0.
            if type(value) not in types or value < 0 or (value == 0 and type(value) is int):
                raise RecipeError(
                    f"Field {field.name} of a recipe must be a positive number of the kind of "
                    f"{field.default!r}, got {value!r}."
                )


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
            raise RecipeError(f"compression must be 2, 4 or 8, got {self.compression}.")


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


Recipe = VQVAERecipe | PriorRecipe

VQVAE_RECIPES = {
    "default": VQVAERecipe(),
    "oasis-80": VQVAERecipe(image_size=80, crop=80, batch_size=16, steps=6000),
    "small": VQVAERecipe(
        filters=32,
        residual_blocks=1,
        num_embeddings=64,
        embedding_dim=8,
        crop=32,
        batch_size=8,
        steps=300,
        learning_rate=2e-3,
        validate_every=50,
    ),
}
PRIOR_RECIPES = {
    "default": PriorRecipe(),
    "oasis-80": PriorRecipe(crop=20),
    "small": PriorRecipe(
        filters=24,
        blocks=3,
        conditioner_filters=24,
        conditioner_blocks=2,
        dropout=0.0,
        crop=8,
        batch_size=8,
        steps=300,
        learning_rate=3e-3,
        validate_every=50,
    ),
}


def named_recipe(recipes: dict[str, Recipe], name_or_file: str) -> Recipe:
    """The recipe called `name_or_file`, or read from that JSON file.

    Fields that the file leaves out are those of the recipe `default`.

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
    return recipe_from_json(type(recipes["default"]), values)


def recipe_from_json(kind: type[Recipe], values: object) -> Recipe:
    """A recipe of class `kind` from the plain values that `to_json` wrote.

    Raises:
        RecipeError: unknown fields, or values of another type or out of range.
    """
    known = [field.name for field in fields(kind)]
    if not isinstance(values, dict) or not set(values) <= set(known):
        raise RecipeError(
            f"A recipe is a JSON object with fields among {', '.join(known)}; got {values!r}."
        )
    return kind(**values)


def to_json(recipe: Recipe) -> dict[str, object]:
    """Plain values of all fields."""
    return asdict(recipe)
