"""What the nets of the family are shown: windows with the slices around them, and codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import keras
import numpy as np

from medgen.backends import Tensor, compiled
from medgen.examples.augmentation import Augmentation
from medgen.examples.contexts import NO_AUGMENTATION, context_batch
from medgen.examples.stacks import Slab
from medgen.families.conditional.recipe import ConditionalRecipe
from medgen.nets.conditional_vqvae import ConditionalVQVAE
from medgen.training.gather import TrainingScans
from medgen.training.windows_on_device import WindowsOnDevice

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

    def on_device(self) -> WindowsOnDevice:
        """What makes the same on a device."""
        augmentation = self._augmentation
        return WindowsOnDevice(self.scans.training, augmentation=augmentation, **self._of_all())

    def _batch(
        self,
        slabs: Sequence[Slab],
        step: int,
        augmentation: Augmentation,
        min_gap_mm: float = 0.0,
    ) -> Inputs:
        options: dict[str, Any] = {"min_gap_mm": min_gap_mm, "augmentation": augmentation}
        return context_batch(slabs, step=step, **self._of_all(), **options)

    def _of_all(self) -> dict[str, Any]:
        """Options of all examples."""
        return {
            "levels": self.scans.rule.levels,
            "crop": self.recipe.crop,
            "size": self.size,
            "context": self.recipe.context,
            "max_gap_mm": self.recipe.max_gap_mm,
            "seed": self.seed,
        }


class CodesOfWindows:
    """From windows to the inputs of a `ConditionalPrior`: their codes, and what surrounds them.

    Args:
        vqvae: trained.
    """

    def __init__(self, vqvae: ConditionalVQVAE):
        self.vqvae = vqvae
        self._read = compiled(self.inputs, vqvae)

    def __call__(self, windows: Inputs) -> Inputs:
        """Inputs of the prior."""
        return keras.tree.map_structure(keras.ops.convert_to_numpy, self._read(windows))

    def inputs(self, windows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same in tensors."""
        surroundings = self.vqvae.surroundings(self.vqvae.condition(windows))
        codes = self.vqvae.encode(windows["target"], surroundings)
        place = {key: keras.ops.convert_to_tensor(windows[key]) for key in ("position", "gap_mm")}
        return {"codes": codes, "surroundings": surroundings[-1], **place}


class CodesOnDevice:
    """A `session.DeviceExamples` of what `codes` gives of windows that the device makes."""

    def __init__(self, codes: CodesOfWindows, windows: WindowsOnDevice):
        self.codes, self.windows, self.size = codes, windows, windows.size
        self.tensors = windows.tensors, [variable.value for variable in codes.vqvae.variables]

    def __call__(self, tensors: Any, step: Tensor) -> dict[str, Tensor]:
        """Inputs of the prior in a step."""
        of_windows, values = tensors
        with keras.StatelessScope(zip(self.codes.vqvae.variables, values, strict=True)):
            return self.codes.inputs(self.windows(of_windows, step))
