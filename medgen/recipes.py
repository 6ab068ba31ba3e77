"""Everything a training run is told, as values: what all families' recipes have in common."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import Field, asdict, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from medgen.errors import RecipeError

One = TypeVar("One", bound="Recipe")

# What 90 % intervals are made to hold, by what a net thinks likely or on scans that validate it. A
# net is too sure of scanners that it has not learnt from: of the two scans that the released nets
# for CT and MR never saw, 90 % of the pixels lie within what they hold for 94 %.
HELD = 0.94

OPTIMIZERS = ("adam", "muon")


class Recipe:
    """Architecture of a net and how it is trained: the base of each family's frozen dataclass.

    Refuses values of another type than the defaults', and those out of range.

    Attributes:
        steps: gradient steps.
        batch_size: examples a step.
        learning_rate: its peak.
        validate_every: steps.
        optimizer: one of `OPTIMIZERS`: Adam, or Muon for kernels between hidden layers, see
            `training.muon.Muon`.
        falls_linearly: whether the learning rate falls in a line to 0 instead, see `Plan`.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    steps: int
    batch_size: int
    learning_rate: float
    validate_every: int
    optimizer: str = "adam"
    falls_linearly: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            # By `type`, as a bool is an int to isinstance.
            if isinstance(field.default, bool):
                kind, valid = "true or false", type(value) is bool
            elif isinstance(field.default, str):
                kind, valid = "a word", type(value) is str
            elif isinstance(field.default, float):
                kind = "a finite number, 0 or more"
                valid = type(value) in (int, float) and 0 <= value < math.inf
            else:
                kind = "a whole number above 0"
                valid = type(value) is int and value >= 1
            if not valid:
                raise RecipeError(f"Field {field.name} must be {kind}, got {value!r}.")
        if self.optimizer not in OPTIMIZERS:
            raise RecipeError(
                f"Field optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}."
            )
        if self.learning_rate == 0:
            raise RecipeError("Field learning_rate must be above 0.")

    @property
    def fewest_numbers(self) -> int:
        """Fewer numbers than the weights of any net have that is built to this recipe."""
        raise NotImplementedError

    def require_below_1(self, *names: str) -> None:
        """Raise `RecipeError` where one of these fields is 1 or more."""
        for name in names:
            if getattr(self, name) >= 1:
                raise RecipeError(f"Field {name} must be below 1, got {getattr(self, name)}.")


def named_recipe(recipes: Mapping[str, One], name_or_file: str) -> One:
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


def recipe_from_json(kind: type[One], values: object) -> One:
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
