"""Fitting the second stage: codes of a slice from the acquired slices around it."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np

from medgen.bundles.bundle import Bundle
from medgen.bundles.start import begin_with
from medgen.families.conditional import FAMILY
from medgen.families.conditional.build import conditional_prior_from
from medgen.families.conditional.examples import CodesOfWindows, CodesOnDevice, Windows
from medgen.families.conditional.fit import kept
from medgen.families.conditional.measure import measure_codes, measure_decoding
from medgen.families.conditional.recipe import ConditionalPriorRecipe
from medgen.families.vqvae.codes import digest
from medgen.recipes import to_json
from medgen.training.checkpoint import Row
from medgen.training.gather import TrainingScans
from medgen.training.session import best_of


class ConditionalPriorTask:
    """A `session.Fitting`: codes of a slice given the slices around it.

    The embedding starts at the codebook. A moving average of the weights is validated and kept.

    Args:
        scans: what to train and validate on.
        first_stage: bundle with a conditional VQ-VAE.
        recipe: architecture and training.
        seed: of everything random.
        start: a two-stage model whose prior to begin with.

    Raises:
        TrainingError: no slab with three slices, or a `start` of another kind or size.
    """

    averages_weights = True

    def __init__(
        self,
        scans: TrainingScans,
        first_stage: Bundle,
        recipe: ConditionalPriorRecipe,
        seed: int = 0,
        start: Bundle | None = None,
    ):
        keras.utils.set_random_seed(seed)
        self.first_stage, self.recipe = first_stage, recipe
        self.vqvae, first = first_stage.nets["vqvae"], first_stage.recipes["vqvae"]
        self.net, self.start = conditional_prior_from(recipe, first, seed), start
        if start is not None:
            begin_with(self.net, start, "prior")
        self.identity = {
            "recipe": to_json(recipe),
            "seed": seed,
            "scans": scans.identity(),
            "start": None if start is None else start.name,
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

    def on_device(self) -> CodesOnDevice:
        """See `session.OnDevice`."""
        return CodesOnDevice(self._codes_of, self._windows.on_device())

    def prepare(self) -> None:
        """Start the embedding at the codebook, unless the prior is trained."""
        if self.start is not None:
            return
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
