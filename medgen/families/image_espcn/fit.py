"""Fitting a super-resolution net of colour images, by pixels or by features, too."""

from __future__ import annotations

import numpy as np
from keras import ops

from medgen.bundles.bundle import Bundle
from medgen.families.image_espcn.build import image_espcn_from
from medgen.families.image_espcn.recipe import ImageESPCNRecipe
from medgen.families.image_espcn.refine import bicubic, comparison, degraded, refined
from medgen.families.vqvae.codes import digest
from medgen.images.levels import to_unit
from medgen.nets.autoencoder import Autoencoder
from medgen.recipes import to_json
from medgen.training.checkpoint import Row
from medgen.training.gather_images import TrainingImages
from medgen.training.session import best_of

KEPT = ("step", "loss", "psnr_db", "ssim", "spectrum_db", "bicubic_psnr_db")


class ImageESPCNTask:
    """A `session.Fitting` of a super-resolution net: crops that were made coarse become fine again.

    Args:
        images: what to train and validate on.
        recipe: architecture and training.
        seed: of everything random; the same seed and machine give the same weights.
        judge: whose encodings are to be alike, with `recipe.feature_weight`; it is not trained.
    """

    averages_weights = True

    def __init__(
        self,
        images: TrainingImages,
        recipe: ImageESPCNRecipe,
        seed: int = 0,
        judge: Autoencoder | None = None,
    ):
        self.images, self.recipe, self.seed = images, recipe, seed
        self.net = image_espcn_from(recipe, seed)
        self.identity = {"recipe": to_json(recipe), "seed": seed, "images": images.identity()}
        if judge is not None:
            self.net.judged_by(judge.encode, recipe.feature_weight)
            self.identity["judge"] = digest(judge)
        # As coarse pixels are whole.
        self._validation = [_whole(tile, recipe.factor) for tile in images.held_out()]

    def batch(self, step: int) -> np.ndarray:
        """Crops `(b, crop, crop, 3)`."""
        return self.images.batch(self.recipe, seed=self.seed, step=step)

    def prepare(self) -> None:
        """Nothing; see `session.Task`."""

    def measure(self) -> dict[str, float]:
        """Means over the validation images.

        `loss`, that of training; `psnr_db`, `ssim` and `spectrum_db` of `refine.comparison`, and
        what bicubic interpolation has in PSNR.
        """
        rows = []
        for tile in self._validation:
            unit = ops.convert_to_tensor(to_unit(tile)[None])
            loss = self.net.compute_loss(x=unit, y_pred=self.net(unit), training=False)
            coarse = degraded(tile, self.recipe.factor)
            ours = comparison(tile, refined(self.net, coarse))
            theirs = comparison(tile, bicubic(coarse, self.recipe.factor))["psnr_db"]
            rows.append([float(loss), ours["psnr_db"], ours["ssim"], ours["spectrum_db"], theirs])
        self.net.reset_metrics()
        return dict(zip(KEPT[1:], map(float, np.mean(rows, axis=0)), strict=True))

    def bundle(self, rows: list[Row]) -> Bundle:
        """The trained model, with the metrics of its best validation."""
        best = best_of(rows)
        return Bundle(
            "image-espcn",
            self.images.rule,
            {"image_espcn": self.recipe},
            {"image_espcn": self.net},
            metrics={"image_espcn": {key: best[key] for key in KEPT}},
        )


def _whole(tile: np.ndarray, factor: int) -> np.ndarray:
    rows, cols = (n // factor * factor for n in tile.shape[:2])
    return tile[:rows, :cols]
