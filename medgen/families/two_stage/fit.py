"""Fitting the second stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import keras
import numpy as np

from medgen.bundles.bundle import Bundle
from medgen.bundles.start import begin_with
from medgen.examples.batches import CodeSlab, triplet_batch
from medgen.examples.stacks import Slab
from medgen.families.two_stage.build import pixelcnn_from
from medgen.families.two_stage.recipe import PriorRecipe
from medgen.families.vqvae.codes import Codes, codes_of, digest
from medgen.layers.quantizer import codebook_statistics
from medgen.nets.pixelcnn import PixelCNN
from medgen.recipes import to_json
from medgen.training.checkpoint import Row
from medgen.training.gather import TrainingScans
from medgen.training.session import best_of

VALIDATION_BATCHES = 8
KEPT = ("step", "bits_per_code", "bits_per_code_shuffled", "unigram_bits")


class PriorTask:
    """A `session.Fitting`: codes of a slice given those of its neighbours.

    Every slice is encoded once under each of the four in-plane flips. The embedding starts at the
    codebook. A moving average of the weights is validated and kept.

    Args:
        scans: what to train and validate on.
        first_stage: bundle with a VQ-VAE.
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
        recipe: PriorRecipe,
        seed: int = 0,
        start: Bundle | None = None,
    ):
        keras.utils.set_random_seed(seed)
        scans.require_one_channel("A prior")
        self.first_stage, self.codes = first_stage, codes_of(first_stage)
        self.recipe, self.seed = recipe, seed
        self._training, validation = (
            [code_slab(self.codes, slab) for slab in slabs]
            for slabs in (scans.training, scans.validation)
        )
        self.net, self.start = pixelcnn_from(recipe, self.codes.recipe, seed), start
        if start is not None:
            begin_with(self.net, start, "prior")
        self.identity = {
            "recipe": to_json(recipe),
            "seed": seed,
            "scans": scans.identity(),
            "start": None if start is None else start.name,
            "first_stage": digest(self.codes.vqvae),
        }
        self._held_out = [
            self._triplets(validation, 2**31 + i, 0.0) for i in range(VALIDATION_BATCHES)
        ]

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """Crops of triplets."""
        return self._triplets(self._training, step, self.recipe.unconditional)

    def prepare(self) -> None:
        """Start the embedding at the codebook, unless the prior is trained."""
        if self.start is not None:
            return
        codebook = keras.ops.convert_to_numpy(self.codes.vqvae.quantizer.codebook)
        self.net.embedding.embeddings.assign(np.pad(codebook, ((0, 1), (0, 0))))

    def measure(self) -> dict[str, float]:
        """See `measure_prior`."""
        return measure_prior(self.net, self._held_out)

    def bundle(self, rows: list[Row]) -> Bundle:
        """The trained model, with the metrics of its best validation."""
        best = best_of(rows)
        return replace(
            self.first_stage,
            kind="two-stage",
            recipes={"vqvae": self.codes.recipe, "prior": self.recipe},
            nets={"vqvae": self.codes.vqvae, "prior": self.net},
            metrics={**self.first_stage.metrics, "prior": {key: best[key] for key in KEPT}},
        )

    def _triplets(
        self, slabs: Sequence[CodeSlab], step: int, unconditional: float
    ) -> dict[str, np.ndarray]:
        return triplet_batch(
            slabs,
            crop=self.recipe.crop,
            size=self.recipe.batch_size,
            max_gap_mm=self.recipe.max_gap_mm,
            unknown=self.codes.recipe.num_embeddings,
            unconditional=unconditional,
            seed=self.seed,
            step=step,
        )


def code_slab(first_stage: Codes, slab: Slab) -> CodeSlab:
    """Codes of every slice of `slab` under the four in-plane flips."""
    slices = slab.stack.unit[slab.start : slab.stop]
    flips = [slices, slices[:, ::-1], slices[:, :, ::-1], slices[:, ::-1, ::-1]]
    codes = [[first_stage.encode_slice(image) for image in flipped] for flipped in flips]
    return CodeSlab(slab.stack.name, np.array(codes), slab.stack.spacing_mm[0])


def measure_prior(model: PixelCNN, batches: Sequence[dict[str, np.ndarray]]) -> dict[str, float]:
    """Bits per code given the true neighbours, given another triplet's, and without context."""
    nats: list[float] = []
    shuffled: list[float] = []
    for inputs, others in zip(batches, [*batches[1:], batches[0]], strict=True):
        other = others | {"codes": inputs["codes"]}
        for losses, given in ((nats, inputs), (shuffled, other)):
            logits = model(given, training=False)
            losses.append(float(model.compute_loss(x=given, y_pred=logits, training=False)))
    model.reset_metrics()
    codes = np.concatenate([inputs["codes"].ravel() for inputs in batches])
    counts = np.bincount(codes, minlength=model.config["num_embeddings"])
    return {
        "loss": float(np.mean(nats)),
        "bits_per_code": float(np.mean(nats) / np.log(2)),
        "bits_per_code_shuffled": float(np.mean(shuffled) / np.log(2)),
        "unigram_bits": codebook_statistics(counts)["entropy_bits"],
    }
