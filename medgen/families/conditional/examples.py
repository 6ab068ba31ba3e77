"""What the nets of the family are shown: windows with the slices around them, and codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import keras
import numpy as np

from medgen.backends import compiled
from medgen.examples.augmentation import Augmentation
from medgen.examples.contexts import NO_AUGMENTATION, context_batch
from medgen.examples.stacks import Slab
from medgen.families.conditional.recipe import ConditionalRecipe
from medgen.nets.conditional_vqvae import ConditionalVQVAE
from medgen.training.gather import TrainingScans

VALIDATION_BATCHES = 4
# Nearer slices share their noise, which codes need not hold then.
VALIDATION_GAP_MM = 3.0

Inputs = dict[str, np.ndarray]


class Windows:
    """Training and validation windows of some scans.

    Args:
        scans: what to train and validate on.
        recipe: of the conditional VQ-VAE.
        size: windows a batch.
        seed: of everything random.

    Raises:
        TrainingError: no slab with three slices.
    """

    def __init__(self, scans: TrainingScans, recipe: ConditionalRecipe, size: int, seed: int):
        self.scans, self.recipe, self.size, self.seed = scans, recipe, size, seed
        self._augmentation = Augmentation(
            **{field.name: getattr(recipe, field.name) for field in fields(Augmentation)}
        )
        self.training(0)  # refuses scans without three slices before anything else is done
        self.held_out = [
            self._batch(scans.validation, 2**31 + i, NO_AUGMENTATION, VALIDATION_GAP_MM)
            for i in range(VALIDATION_BATCHES)
        ]

    def training(self, step: int) -> Inputs:
        """Augmented windows of training scans, inputs of a `ConditionalVQVAE`."""
        return self._batch(self.scans.training, step, self._augmentation)

    def _batch(
        self,
        slabs: Sequence[Slab],
        step: int,
        augmentation: Augmentation,
        min_gap_mm: float = 0.0,
    ) -> Inputs:
        return context_batch(
            slabs,
            levels=self.scans.rule.levels,
            crop=self.recipe.crop,
            size=self.size,
            context=self.recipe.context,
            max_gap_mm=self.recipe.max_gap_mm,
            min_gap_mm=min_gap_mm,
            augmentation=augmentation,
            seed=self.seed,
            step=step,
        )


class CodesOfWindows:
    """From windows to the inputs of a `ConditionalPrior`: their codes, and what surrounds them.

    Args:
        vqvae: trained.
    """

    def __init__(self, vqvae: ConditionalVQVAE):
        def read(inputs: Inputs) -> tuple[Any, Any]:
            surroundings = vqvae.surroundings(vqvae.condition(inputs))
            return vqvae.encode(inputs["target"], surroundings), surroundings[-1]

        self._read = compiled(read)

    def __call__(self, inputs: Inputs) -> Inputs:
        """Inputs of the prior."""
        codes, surroundings = map(keras.ops.convert_to_numpy, self._read(inputs))
        place = {key: inputs[key] for key in ("position", "gap_mm")}
        return {"codes": codes, "surroundings": surroundings, **place}
