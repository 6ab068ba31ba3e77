"""Fitting the first stage."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import keras
import numpy as np
from scipy.cluster.vq import kmeans2

from medgen.bundles.bundle import Bundle
from medgen.bundles.start import begin_with
from medgen.evaluation.similarity import box_ssim, psnr
from medgen.examples.batches import image_batch
from medgen.examples.stacks import Slab
from medgen.families.vqvae.build import vqvae_from
from medgen.families.vqvae.recipe import VQVAERecipe
from medgen.layers.quantizer import VectorQuantizer, codebook_statistics
from medgen.nets.vqvae import VQVAE
from medgen.recipes import to_json
from medgen.training.checkpoint import Row
from medgen.training.gather import TrainingScans
from medgen.training.session import best_of

VALIDATION_SLICES = 24
# Below this share of codes in use a warning is given.
LOW_USAGE = 0.25
# Of slices that come back exactly, which would make a mean infinite.
HIGHEST_PSNR_DB = 120.0
KEPT = ("step", "loss", "ssim", "psnr_db", "codebook_usage", "perplexity")


class VQVAETask:
    """A `session.Fitting` of a VQ-VAE (van den Oord et al. 2017): reconstruct crops of slices.

    The codebook starts at the k-means centres of the untrained encoder's outputs. Codes used and
    perplexity are counted over all batches between two validations.

    Args:
        scans: what to train and validate on.
        recipe: architecture and training.
        seed: of everything random; the same seed and machine give the same weights.
        first: a VQ-VAE to begin with.

    Raises:
        TrainingError: a `first` of another kind or size.
    """

    averages_weights = False

    def __init__(
        self,
        scans: TrainingScans,
        recipe: VQVAERecipe,
        seed: int = 0,
        first: Bundle | None = None,
    ):
        keras.utils.set_random_seed(seed)
        recipe = replace(recipe, channels=len(scans.channels) or 1)
        self.scans, self.recipe, self.seed = scans, recipe, seed
        self.net = vqvae_from(recipe, seed)
        self.first = first
        if first is not None:
            begin_with(self.net, first, "vqvae")
        self.identity = {
            "recipe": to_json(recipe),
            "seed": seed,
            "scans": scans.identity(),
            "first": None if first is None else first.name,
        }
        self._images = validation_images(scans.validation)

    def batch(self, step: int) -> np.ndarray:
        """Crops `(b, crop, crop, c)`."""
        return image_batch(
            self.scans.training,
            crop=self.recipe.crop,
            size=self.recipe.batch_size,
            seed=self.seed,
            step=step % 2**32,
        )

    def prepare(self) -> None:
        """Put the codebook at the centres of what the encoder gives, unless it is trained."""
        if self.first is not None:
            self.net.quantizer.take_usage()
            return
        start_codebook(
            self.net.quantizer, lambda step: self.net.latents(self.batch(-step)), self.seed
        )

    def measure(self) -> dict[str, float]:
        """Of whole slices, and what of the codebook was used since the last time.

        `loss` (nats per pixel), `ssim` and `psnr_db` of whole validation slices in the unit range,
        `codebook_usage` and `perplexity`.
        """
        statistics = codebook_statistics(self.net.quantizer.take_usage())
        return measure_reconstruction(self.net, self._images) | {
            "codebook_usage": statistics["usage"],
            "perplexity": statistics["perplexity"],
        }

    def bundle(self, rows: list[Row]) -> Bundle:
        """The trained model, with the metrics of its best validation."""
        best = best_of(rows)
        return Bundle(
            "vqvae",
            self.scans.rule,
            {"vqvae": self.recipe},
            {"vqvae": self.net},
            metrics={"vqvae": {key: best[key] for key in KEPT}},
        )


def start_codebook(quantizer: VectorQuantizer, latents: Callable[[int], object], seed: int) -> None:
    """Put the codebook at the k-means centres of latents.

    Args:
        quantizer: whose codebook it is.
        latents: from a number, 1 and up, to vectors `(..., embedding_dim)`.
        seed: of the centres to begin with.
    """
    codes, dim = quantizer.num_embeddings, quantizer.embedding_dim
    vectors = np.empty((0, dim), np.float32)
    batch = 0
    while batch < 8 or len(vectors) < codes:
        batch += 1
        more = keras.ops.convert_to_numpy(latents(batch))
        vectors = np.concatenate([vectors, more.reshape(-1, dim)])
    with warnings.catch_warnings():
        # A centre that ends without vectors is a dead code, which the quantiser revives.
        warnings.filterwarnings("ignore", "One of the clusters is empty")
        centres, _ = kmeans2(vectors, codes, iter=10, minit="points", rng=seed)
    quantizer.set_codebook(centres)


def validation_images(slabs: Sequence[Slab]) -> list[np.ndarray]:
    """Up to `VALIDATION_SLICES` whole slices `(1, rows, cols, c)`, evenly spread over all slabs."""
    everything = [(slab.stack, i) for slab in slabs for i in range(slab.start, slab.stop)]
    count = min(VALIDATION_SLICES, len(everything))
    chosen = np.linspace(0, len(everything) - 1, count).round().astype(int)
    slices = (everything[k][0].unit[everything[k][1]] for k in chosen)
    return [image.reshape(1, *image.shape[:2], -1) for image in slices]


def measure_reconstruction(model: VQVAE, images: Sequence[np.ndarray]) -> dict[str, float]:
    """Mean nats per pixel, SSIM and PSNR over `images` `(1, rows, cols, c)` in the unit range."""
    totals = np.zeros(3)
    for image in images:
        output = model(image, training=False)
        loss = model.compute_loss(x=image, y_pred=output, training=False)
        tests = np.moveaxis(np.clip(keras.ops.convert_to_numpy(output), -0.5, 0.5)[0], -1, 0)
        trues = np.moveaxis(image[0], -1, 0)
        pairs = list(zip(trues, tests, strict=True))
        db = [min(psnr(true, test, data_range=1.0), HIGHEST_PSNR_DB) for true, test in pairs]
        ssim = [box_ssim(true, test, data_range=1.0) for true, test in pairs]
        totals += [float(loss), float(np.mean(ssim)), float(np.mean(db))]
    model.reset_metrics()
    return dict(zip(("loss", "ssim", "psnr_db"), map(float, totals / len(images)), strict=True))
