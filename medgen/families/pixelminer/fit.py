"""Fitting a PixelMiner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import keras
import numpy as np

from medgen.bundles.bundle import Bundle
from medgen.bundles.start import take_over
from medgen.examples.augmentation import Augmentation
from medgen.examples.bands import around_bands
from medgen.examples.contexts import context_batch
from medgen.examples.rows import finer_rows_batch
from medgen.examples.stacks import Slab, lines
from medgen.families import pixelminer, pixelminer_published
from medgen.families.pixelminer import measure
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.pixelminer.sampler import sampler_of
from medgen.families.pixelminer_published.recipe import PixelMinerPublishedRecipe
from medgen.recipes import to_json
from medgen.training.checkpoint import Row
from medgen.training.gather import TrainingScans
from medgen.training.session import best_of
from medgen.training.windows_on_device import WindowsOnDevice

FAMILIES = (pixelminer.FAMILY, pixelminer_published.FAMILY)
VALIDATION_BATCHES = 4
# Windows that every validation draws, twice each. Nearer slices than 3 mm share their noise, so
# that no drawn noise can match theirs.
SAMPLED_WINDOWS = 12
SAMPLED_SIDE = 48
SAMPLED_GAP_MM = 3.0
# The score is an estimate and could be 0 where there is next to nothing to draw.
SMALLEST_CRPS = 1e-3


class PixelMinerTask:
    """A `session.Fitting`: grey levels of a slice left out between others at random distances.

    A moving average of the weights is validated and kept. Low teacher-forced bits do not mean good
    samples, so every validation also draws: `loss`, which chooses the weights that are kept, is
    `bits_per_dim` (of what is sampled from) plus the binary logarithm of `sampled_crps`. One half
    of it is the texture given true pixels, the other how near freely drawn pixels come to the
    truth. The latter is a proper score: neither noise nor the lack of it is rewarded for itself,
    and a net that drifts loses.

    Args:
        scans: what to train and validate on.
        recipe: architecture and training.
        seed: of everything random.
        start: a PixelMiner whose weights are taken over where the net begins; it may lack parts
            of the net, as one without autoregression lacks the causal trunk.

    Raises:
        TrainingError: no slab with three slices, or a `start` that does not fit.
    """

    averages_weights = True

    def __init__(
        self,
        scans: TrainingScans,
        recipe: PixelMinerRecipe | PixelMinerPublishedRecipe,
        seed: int = 0,
        start: Bundle | None = None,
    ):
        keras.utils.set_random_seed(seed)
        scans.require_one_channel("A PixelMiner")
        self.scans, self.recipe, self.seed = scans, recipe, seed
        self.family = next(f for f in FAMILIES if f.stages["pixelminer"] is type(recipe))
        nets = self.family.build({"pixelminer": recipe}, scans.rule.levels, seed)
        self.net = nets["pixelminer"]
        if start is not None:
            take_over(self.net, start, "pixelminer")
        self.identity = {
            "recipe": to_json(recipe),
            "seed": seed,
            "scans": scans.identity(),
            "start": None if start is None else start.name,
        }
        told: dict[str, Any] = {
            f.name: getattr(recipe, f.name, f.default) for f in fields(Augmentation)
        }
        self._augmentation = Augmentation(**told)
        self._training: Sequence[Slab] = scans.training
        validation: Sequence[Slab] = scans.validation
        by_line = recipe.in_plane and recipe.subdivides is None
        if by_line:
            self._training, validation = (
                [line for slab in slabs for line in lines(slab)]
                for slabs in (self._training, validation)
            )
        self.batch(0)  # refuses scans without three slices before anything else is done
        self._held_out = [
            self._examples(validation, crop=recipe.crop, size=recipe.batch_size, step=2**31 + i)
            for i in range(VALIDATION_BATCHES)
        ]
        self._windows = self._examples(
            validation,
            crop=SAMPLED_SIDE,
            size=SAMPLED_WINDOWS * (SAMPLED_SIDE if by_line else 1),
            min_gap_mm=SAMPLED_GAP_MM,
            step=2**32,
        )
        self._sampler = sampler_of(recipe, self.net)
        self._baseline = measure.linear_bits_per_dim(self._held_out, scans.rule.levels)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """Inputs of the net, see there."""
        inputs = self._examples(
            self._training,
            crop=self.recipe.crop,
            size=self.recipe.batch_size,
            augmentation=self._augmentation,
            step=step,
        )
        if self.recipe.partially_causal:
            inputs["known"] = around_bands(inputs["target"], self.seed, step)
        return inputs

    def on_device(self) -> WindowsOnDevice | None:
        """See `session.OnDevice`."""
        recipe = self.recipe
        if recipe.partially_causal or recipe.in_plane or recipe.subdivides is not None:
            return None
        return WindowsOnDevice(
            self._training,
            crop=recipe.crop,
            size=recipe.batch_size,
            augmentation=self._augmentation,
            **self._of_all(),
        )

    def prepare(self) -> None:
        """Nothing is initialised from data."""

    def measure(self) -> dict[str, float]:
        """Measure likelihood and free draws.

        Returns:
            `loss`, what the functions of `families.pixelminer.measure` give (`measure_bands` of
            partially causal nets only), and `linear_bits_per_dim` of linear interpolation.
        """
        row = measure.measure_likelihood(self.net, self._held_out)
        row["linear_bits_per_dim"] = self._baseline
        if self.recipe.partially_causal:
            row |= measure.measure_bands(self.net, self._held_out, self.seed)
        rule = self.scans.rule
        row |= measure.measure_samples(self.net, self._sampler, self._windows, rule, self.seed)
        bits = row["bits_per_dim" if self.recipe.autoregressive else "prediction_bits_per_dim"]
        return {"loss": bits + float(np.log2(max(row["sampled_crps"], SMALLEST_CRPS))), **row}

    def bundle(self, rows: list[Row]) -> Bundle:
        """The trained model, with the metrics of its best validation."""
        best = best_of(rows)
        left_out = ("loss", "seconds")
        kept = [key for key in best if not key.startswith("train_") and key not in left_out]
        return Bundle(
            self.family.kind,
            self.scans.rule,
            {"pixelminer": self.recipe},
            {"pixelminer": self.net},
            metrics={"pixelminer": {key: best[key] for key in kept}},
        )

    def _examples(
        self, slabs: Sequence[Slab], min_gap_mm: float = 0.0, **options: Any
    ) -> dict[str, np.ndarray]:
        if self.recipe.subdivides is not None:
            return finer_rows_batch(
                slabs,
                factor=self.recipe.subdivides,
                levels=self.scans.rule.levels,
                context=self.recipe.context,
                seed=self.seed,
                **options,
            )
        inputs = context_batch(slabs, min_gap_mm=min_gap_mm, **self._of_all(), **options)
        if self.recipe.in_plane:  # a line was extended to a square by repetition
            inputs |= {key: inputs[key][:, :1] for key in ("target", "context")}
        return inputs

    def _of_all(self) -> dict[str, Any]:
        """Options of all examples."""
        return {
            "levels": self.scans.rule.levels,
            "context": self.recipe.context,
            "max_gap_mm": self.recipe.max_gap_mm,
            "seed": self.seed,
        }
