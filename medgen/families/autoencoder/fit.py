"""Fitting an autoencoder of colour images."""

from __future__ import annotations

import numpy as np

from medgen.bundles.bundle import Bundle
from medgen.families.autoencoder.build import autoencoder_from
from medgen.families.autoencoder.encode import decoded, likeness
from medgen.families.autoencoder.recipe import AutoencoderRecipe
from medgen.images.levels import to_unit
from medgen.recipes import to_json
from medgen.training.checkpoint import Row
from medgen.training.gather_images import TrainingImages
from medgen.training.session import best_of

KEPT = ("step", "loss", "psnr_db", "ssim")


class AutoencoderTask:
    """A `session.Fitting` of an autoencoder: crops of images come back with the least square error.

    Args:
        images: what to train and validate on.
        recipe: architecture and training.
        seed: of everything random; the same seed and machine give the same weights.
    """

    averages_weights = True

    def __init__(self, images: TrainingImages, recipe: AutoencoderRecipe, seed: int = 0):
        self.images, self.recipe, self.seed = images, recipe, seed
        self.net = autoencoder_from(recipe, seed)
        self.identity = {"recipe": to_json(recipe), "seed": seed, "images": images.identity()}
        self._validation = images.held_out()

    def batch(self, step: int) -> np.ndarray:
        """Crops `(b, crop, crop, 3)`."""
        return self.images.batch(self.recipe, seed=self.seed, step=step)

    def prepare(self) -> None:
        """Nothing; see `session.Task`."""

    def measure(self) -> dict[str, float]:
        """Means over the validation images.

        `loss`, the mean squared error in the unit range; `psnr_db` and `ssim` of the reconstruction
        in 8 bits.
        """
        rows = []
        for image in self._validation:
            result = decoded(self.net, image)
            error = (result.unit - to_unit(image)) ** 2
            rows.append([error.mean(), *likeness(image, result.image)])
        means = np.mean(rows, axis=0)
        return dict(zip(("loss", "psnr_db", "ssim"), map(float, means), strict=True))

    def bundle(self, rows: list[Row]) -> Bundle:
        """The trained model, with the metrics of its best validation."""
        best = best_of(rows)
        return Bundle(
            "autoencoder",
            self.images.rule,
            {"autoencoder": self.recipe},
            {"autoencoder": self.net},
            metrics={"autoencoder": {key: best[key] for key in KEPT}},
        )
