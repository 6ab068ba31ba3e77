"""Fitting an ESPCN: fine patches from coarse ones."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from medgen.backends import compiled
from medgen.bundles.bundle import Bundle
from medgen.bundles.start import take_over
from medgen.evaluation.similarity import psnr
from medgen.families.espcn.build import espcn_from
from medgen.families.espcn.examples import Inputs, held_out_patches, patch_batch
from medgen.families.espcn.recipe import ESPCNRecipe
from medgen.layers.shuffle import CubicSubdivision
from medgen.recipes import HELD, to_json
from medgen.training.checkpoint import Row
from medgen.training.gather import TrainingScans
from medgen.training.session import best_of

VALIDATION_PATCHES = 24
LEFT_OUT = ("seconds", "train_examples_per_second")


class ESPCNTask:
    """A `session.Fitting` of an ESPCN; see `nets.espcn`.

    Args:
        scans: what to train and validate on.
        recipe: architecture and training.
        seed: of everything random; the same seed and machine give the same weights.
        start: an ESPCN whose weights the net begins with.

    Raises:
        TrainingError: scans of several channels, or a `start` that does not fit.
    """

    def __init__(
        self,
        scans: TrainingScans,
        recipe: ESPCNRecipe,
        seed: int = 0,
        start: Bundle | None = None,
    ):
        scans.require_one_channel("An ESPCN")
        keras.utils.set_random_seed(seed)
        self.scans, self.recipe, self.seed = scans, recipe, seed
        self.averages_weights = not recipe.published
        self.net = espcn_from(recipe, seed)
        if start is not None:
            take_over(self.net, start, "espcn")
        self.identity = {
            "recipe": to_json(recipe),
            "seed": seed,
            "scans": scans.identity(),
            "start": None if start is None else start.name,
        }
        self._gain = 0.0 if scans.rule.kind.absolute else recipe.gain
        self._held_out = held_out_patches(scans.validation, recipe, VALIDATION_PATCHES)
        self._run = compiled(lambda coarse: self.net({"coarse": coarse}), self.net)
        cubic = CubicSubdivision(recipe.factor)(self._held_out["coarse"][..., None])
        self._cubic_db = _psnr(self._held_out["fine"], ops.convert_to_numpy(cubic)[..., 0])

    def batch(self, step: int) -> Inputs:
        """Training pairs."""
        return patch_batch(
            self.scans.training, self.recipe, gain=self._gain, seed=self.seed, step=step
        )

    def prepare(self) -> None:
        """Nothing is to be made ready."""

    def measure(self) -> dict[str, float]:
        """Of patches of the validation scans, in the unit range.

        `loss`: nats a voxel, or the squared error of the published net; `psnr_db`; `cubic_psnr_db`
        of cubic interpolation; `interval_width`: how many of its standard deviations on either side
        of a mean hold `HELD` of the true values above the lowest, which the net keeps.
        """
        fine = self._held_out["fine"]
        parts = [self._run(coarse[None]) for coarse in self._held_out["coarse"]]
        outputs = {
            name: np.concatenate([ops.convert_to_numpy(part[name]) for part in parts])
            for name in parts[0]
        }
        row = {
            "loss": float(np.mean(ops.convert_to_numpy(self.net.log_loss(fine, outputs)))),
            "psnr_db": _psnr(fine, outputs["mean"]),
            "cubic_psnr_db": self._cubic_db,
        }
        if self.net.tells_uncertainty:
            counted = fine > fine.min()
            standard = np.abs(outputs["mean"] - fine)[counted] / outputs["scale"][counted]
            row["interval_width"] = float(np.quantile(standard, HELD))
            self.net.width.assign(row["interval_width"])
        return row

    def bundle(self, rows: list[Row]) -> Bundle:
        """The trained model, with the metrics of its best validation."""
        best = best_of(rows)
        metrics = {key: value for key, value in best.items() if key not in LEFT_OUT}
        return Bundle(
            "espcn",
            self.scans.rule,
            {"espcn": self.recipe},
            {"espcn": self.net},
            metrics={"espcn": metrics},
        )


def _psnr(fine: np.ndarray, made: np.ndarray) -> float:
    return psnr(fine, made, data_range=1.0)
