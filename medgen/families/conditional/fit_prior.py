"""Fitting the second stage: codes of a slice from the acquired slices around it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from medgen.bundles.bundle import Bundle
from medgen.families.conditional import FAMILY
from medgen.families.conditional.build import conditional_prior_from
from medgen.families.conditional.examples import CodesOfWindows, Windows
from medgen.families.conditional.fit import kept
from medgen.families.conditional.measure import measure_codes, measure_decoding
from medgen.families.conditional.recipe import ConditionalPriorRecipe
from medgen.families.vqvae.codes import digest
from medgen.recipes import to_json
from medgen.training.checkpoint import FolderStore, Row
from medgen.training.gather import TrainingScans
from medgen.training.schedule import Plan
from medgen.training.session import Progress, Report, best_of, train
from medgen.training.workers import ALONE, Workers


def fit_conditional_prior(
    scans: TrainingScans,
    first_stage: Bundle,
    recipe: ConditionalPriorRecipe,
    folder: Path,
    *,
    seed: int = 0,
    minutes: float | None = None,
    resume: bool = False,
    report: Report = lambda row: None,
    progress: Progress = lambda step, logs: None,
    workers: Workers = ALONE,
) -> Bundle:
    """Train a PixelCNN over the codes that the conditional VQ-VAE of `first_stage` gives.

    Args:
        scans: what to train and validate on.
        first_stage: bundle with a conditional VQ-VAE.
        recipe: architecture and training.
        folder: see `FolderStore`.
        seed: of everything random.
        minutes: see `Plan`; None for the recipe's steps.
        resume: continue an interrupted run in `folder`.
        report: receives a row for each validation, see `ConditionalPriorTask.measure`.
        progress: receives step and losses after every step.
        workers: see `session.train`.

    Returns:
        A two-stage bundle, with the metrics of its best validation.

    Raises:
        TrainingError: see `session.train`, or no slab with three slices.
    """
    task = ConditionalPriorTask(scans, first_stage, recipe, seed)
    rows = train(
        task,
        Plan.of(recipe, minutes),
        FolderStore(folder),
        resume=resume,
        report=report,
        progress=progress,
        workers=workers,
    )
    return task.bundle(rows)


class ConditionalPriorTask:
    """A `session.Task`: codes of a slice given the slices around it.

    The embedding starts at the codebook. A moving average of the weights is validated and kept.
    """

    averages_weights = True

    def __init__(
        self, scans: TrainingScans, first_stage: Bundle, recipe: ConditionalPriorRecipe, seed: int
    ):
        keras.utils.set_random_seed(seed)
        self.first_stage, self.recipe = first_stage, recipe
        self.vqvae, first = first_stage.nets["vqvae"], first_stage.recipes["vqvae"]
        self.net = conditional_prior_from(recipe, first, seed)
        self.identity = {
            "recipe": to_json(recipe),
            "seed": seed,
            "scans": scans.identity(),
            "first_stage": digest(self.vqvae),
        }
        self._windows = Windows(scans, first, recipe.batch_size, seed)
        self._codes_of = CodesOfWindows(self.vqvae)
        self._held_out = [self._codes_of(inputs) for inputs in self._windows.held_out]
        self._decoding = measure_decoding(
            self.vqvae, self._windows.held_out, scans.rule.level_width
        )

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """Inputs of the net, see there."""
        return self._codes_of(self._windows.training(step))

    def prepare(self) -> None:
        """Start the embedding at the codebook."""
        codebook = keras.ops.convert_to_numpy(self.vqvae.quantizer.codebook)
        self.net.embedding.embeddings.assign(np.pad(codebook, ((0, 1), (0, 0))))

    def measure(self) -> Row:
        """See `measure_codes`; and the evidence lower bound of windows, beside the prediction's.

        `elbo_bits_per_dim` is an upper bound of what a pixel takes: its share of the codes' bits,
        and its bits given the codes.
        """
        row = measure_codes(self.net, self._held_out)
        residual = self._decoding["residual_bits_per_dim"]
        return {
            **row,
            "elbo_bits_per_dim": row["code_bits_per_dim"] + residual,
            "prediction_bits_per_dim": self._decoding["prediction_bits_per_dim"],
        }

    def bundle(self, rows: list[Row]) -> Bundle:
        """The trained model, with the metrics of its best validation."""
        return replace(
            self.first_stage,
            kind=FAMILY.kind,
            recipes={**self.first_stage.recipes, "prior": self.recipe},
            nets={**self.first_stage.nets, "prior": self.net},
            metrics={**self.first_stage.metrics, "prior": kept(best_of(rows))},
        )
