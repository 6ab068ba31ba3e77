"""Teaching a PixelMiner one scan: the released one, or one from nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np

from medgen.bundles.bundle import Bundle
from medgen.bundles.start import take_over
from medgen.examples.alone import ScanExamples
from medgen.families.pixelminer import FAMILY
from medgen.families.pixelminer.measure import measure_likelihood
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.intensities.rule import IntensityRule
from medgen.recipes import to_json

# Windows of held-out slices that a validation measures, and batches that these make.
HELD_WINDOWS = 16
# Of the net that learns from nothing, in minutes: the prediction alone, slim.
ALONE = PixelMinerRecipe(
    context=2,
    conditioner_filters=32,
    conditioner_blocks=1,
    autoregressive=False,
    learning_rate=2e-3,
    optimizer="muon",
    validate_every=50,
)
# Of one that is released, while it adapts.
GENTLE_RATE, VALIDATE_EVERY = 3e-4, 25


def untaught(rule: IntensityRule, recipe: PixelMinerRecipe, seed: int = 0) -> Bundle:
    """A PixelMiner that has learnt nothing yet, with the weights that `seed` gives."""
    keras.utils.set_random_seed(seed)
    recipes = {"pixelminer": recipe}
    return Bundle(FAMILY.kind, rule, recipes, FAMILY.build(recipes, rule.levels, seed), name="self")


def gently(bundle: Bundle) -> PixelMinerRecipe:
    """How a released model goes on to learn: its own recipe at a small learning rate."""
    recipe: PixelMinerRecipe = bundle.recipes["pixelminer"]
    return replace(
        recipe, learning_rate=GENTLE_RATE, validate_every=VALIDATE_EVERY, optimizer="adam"
    )


class AdaptationTask:
    """A `session.Task`: a model goes on to learn from one scan.

    Prediction and causal trunk learn together. The weights are kept whose `loss` is the least.

    Args:
        bundle: a PixelMiner, whose weights stay as they are.
        recipe: for its crop and batch size.
        examples: of the scan.
        seed: of everything random.
        loss: of the net; None for the bits per pixel of both in windows of what is held out.
    """

    averages_weights = True

    def __init__(
        self,
        bundle: Bundle,
        recipe: PixelMinerRecipe,
        examples: ScanExamples,
        seed: int = 0,
        loss: Callable[[keras.Model], float] | None = None,
    ):
        keras.utils.set_random_seed(seed)
        self.recipe, self.examples, self.seed, self._loss = recipe, examples, seed, loss
        self.levels = bundle.rule.levels
        self.net = FAMILY.build({"pixelminer": recipe}, self.levels, seed)["pixelminer"]
        take_over(self.net, bundle, "pixelminer")
        self.identity = {
            "recipe": to_json(recipe),
            "seed": seed,
            "start": bundle.name,
            "examples": examples.checksum,
        }
        windows = examples.held_batch(
            levels=self.levels,
            crop=recipe.crop,
            size=HELD_WINDOWS,
            context=recipe.context,
            seed=seed,
        )
        self._held = [
            {key: values[i : i + recipe.batch_size] for key, values in windows.items()}
            for i in range(0, HELD_WINDOWS, recipe.batch_size)
        ]

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """Inputs of the net, see there."""
        return self.examples.batch(
            levels=self.levels,
            crop=self.recipe.crop,
            size=self.recipe.batch_size,
            context=self.recipe.context,
            seed=self.seed,
            step=step,
        )

    def prepare(self) -> None:
        """Nothing is initialised from data."""

    def measure(self) -> dict[str, float]:
        """Bits per pixel of what is held out, and `loss`."""
        bits = measure_likelihood(self.net, self._held)
        loss = sum(bits.values()) if self._loss is None else self._loss(self.net)
        return {"loss": loss, **bits}


def blended(bundle: Bundle, net: keras.Model, share: float) -> Bundle:
    """A model between two: `share` of the weights of `net`, the others of `bundle`.

    Nets that were trained on from one another lose little between them, and often win.
    """
    mixed = FAMILY.build(dict(bundle.recipes), bundle.rule.levels)["pixelminer"]
    for own, before, behind in zip(
        mixed.weights, bundle.nets["pixelminer"].weights, net.weights, strict=True
    ):
        own.assign((1 - share) * before + share * behind)
    return replace(bundle, nets={"pixelminer": mixed})
