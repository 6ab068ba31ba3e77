"""Fitting an autoencoder of colour images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medgen.bundles.bundle import Bundle
from medgen.examples.tiles import tile_batch
from medgen.families.autoencoder.build import autoencoder_from
from medgen.families.autoencoder.encode import decoded, likeness
from medgen.families.autoencoder.recipe import AutoencoderRecipe
from medgen.intensities.rule import IntensityRule
from medgen.recipes import to_json
from medgen.training.checkpoint import Row
from medgen.training.gather_images import TrainingImages
from medgen.training.session import best_of

# Validated is the middle of so many images, spread over all, with sides of at most so many pixels.
VALIDATION_IMAGES = 24
VALIDATION_SIDE = 256
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
        self._training = [image.array for image in images.training.values()]
        self._validation = validated([image.array for image in images.validation.values()])

    def batch(self, step: int) -> np.ndarray:
        """Crops `(b, crop, crop, 3)`."""
        return tile_batch(
            self._training,
            crop=self.recipe.crop,
            size=self.recipe.batch_size,
            jitter=self.recipe.stain_jitter,
            seed=self.seed,
            step=step,
        )

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
            error = (result.unit - (image / 255.0 - 0.5)) ** 2
            rows.append([error.mean(), *likeness(image, result.image)])
        means = np.mean(rows, axis=0)
        return dict(zip(("loss", "psnr_db", "ssim"), map(float, means), strict=True))

    def bundle(self, rows: list[Row]) -> Bundle:
        """The trained model, with the metrics of its best validation."""
        best = best_of(rows)
        return Bundle(
            "autoencoder",
            IntensityRule("he", levels=256, low_hu=0.0, high_hu=255.0),
            {"autoencoder": self.recipe},
            {"autoencoder": self.net},
            metrics={"autoencoder": {key: best[key] for key in KEPT}},
        )


def validated(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The middle of up to `VALIDATION_IMAGES` images `(rows, cols, 3)`, spread over all."""
    count = min(VALIDATION_IMAGES, len(images))
    chosen = np.linspace(0, len(images) - 1, count).round().astype(int)
    return [_middle(images[k]) for k in chosen]


def _middle(image: np.ndarray) -> np.ndarray:
    starts = [max(0, (side - VALIDATION_SIDE) // 2) for side in image.shape[:2]]
    return image[tuple(slice(start, start + VALIDATION_SIDE) for start in starts)]
