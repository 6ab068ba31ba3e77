"""Fitting the first stage: slices to codes and back, beside the acquired slices."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np

from medgen.bundles.bundle import Bundle
from medgen.bundles.start import begin_with
from medgen.errors import TrainingError
from medgen.families.conditional import FIRST_STAGE
from medgen.families.conditional.build import conditional_vqvae_from
from medgen.families.conditional.examples import Windows
from medgen.families.conditional.measure import measure_decoding
from medgen.families.conditional.recipe import ConditionalRecipe
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.vqvae.fit import start_codebook
from medgen.layers.quantizer import codebook_statistics
from medgen.nets.conditional_vqvae import ConditionalVQVAE
from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.recipes import to_json
from medgen.training.checkpoint import Row
from medgen.training.gather import TrainingScans
from medgen.training.session import best_of
from medgen.training.windows_on_device import WindowsOnDevice

# Of a PixelMiner and its recipe, what makes the prediction.
PREDICTION_FIELDS = ("context", "conditioner_filters", "conditioner_blocks", "prediction_mixtures")
PREDICTION_LAYERS = ("acquired", "place", "conditioner", "prediction")
LEFT_OUT = ("loss", "seconds")


class ConditionalTask:
    """A `session.Fitting`: grey levels of a slice given its codes and the slices around it.

    The codebook starts at the k-means centres of the untrained encoder's outputs. A moving average
    of the weights is validated, on windows that `windows` holds out, and kept.

    Args:
        scans: what to train and validate on, with the intensities of `start`.
        recipe: architecture and training.
        start: a PixelMiner, whose prediction is taken over and stays as it is.
        seed: of everything random.
        first: a conditional VQ-VAE to begin with, on whatever prediction it was trained.

    Raises:
        TrainingError: no slab with three slices, a `start` that predicts no slices, or a `first`
            of another kind or size.
    """

    averages_weights = True

    def __init__(
        self,
        scans: TrainingScans,
        recipe: ConditionalRecipe,
        start: Bundle,
        seed: int = 0,
        first: Bundle | None = None,
    ):
        keras.utils.set_random_seed(seed)
        self.recipe, self.rule, self.seed = with_prediction_of(recipe, start), scans.rule, seed
        self.net = conditional_vqvae_from(self.recipe, scans.rule.levels, seed)
        self.first = first
        if first is not None:
            begin_with(self.net, first, "vqvae")
        take_prediction(self.net, start.nets["pixelminer"])
        self.identity = {
            "recipe": to_json(self.recipe),
            "seed": seed,
            "scans": scans.identity(),
            "start": start.name,
            "first": None if first is None else first.name,
        }
        self.windows = Windows(scans, self.recipe, self.recipe.batch_size, seed)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """Inputs of the net, see there."""
        return self.windows.training(step)

    def on_device(self) -> WindowsOnDevice:
        """See `session.OnDevice`."""
        return self.windows.on_device()

    def prepare(self) -> None:
        """Put the codebook at the centres of what the encoder gives, unless it is trained."""
        if self.first is not None:
            self.net.quantizer.take_usage()
            return

        def latents(number: int) -> object:
            inputs = self.batch(2**32 + number)
            surroundings = self.net.surroundings(self.net.condition(inputs))
            return self.net.latents(inputs["target"], surroundings)

        start_codebook(self.net.quantizer, latents, self.seed)

    def measure(self) -> Row:
        """See `measure_decoding`; and what of the codebook was used since the last time.

        `loss` is the bits of a pixel given its codes.
        """
        row = measure_decoding(self.net, self.windows.held_out, self.rule.level_width)
        used = codebook_statistics(self.net.quantizer.take_usage())
        return {
            "loss": row["residual_bits_per_dim"],
            **row,
            "codebook_usage": used["usage"],
            "perplexity": used["perplexity"],
        }

    def bundle(self, rows: list[Row]) -> Bundle:
        """The trained model, with the metrics of its best validation."""
        return Bundle(
            FIRST_STAGE.kind,
            self.rule,
            {"vqvae": self.recipe},
            {"vqvae": self.net},
            metrics={"vqvae": kept(best_of(rows))},
        )


def with_prediction_of(recipe: ConditionalRecipe, start: Bundle) -> ConditionalRecipe:
    """`recipe` for a net that holds the prediction of `start`.

    Raises:
        TrainingError: `start` makes none that the net could hold.
    """
    given = start.recipes.get("pixelminer")
    if not isinstance(given, PixelMinerRecipe) or given.in_plane or given.partially_causal:
        raise TrainingError(
            f"{start.name} does not predict whole slices from acquired ones alone; start from a "
            "PixelMiner that train-pixelminer wrote with its default recipe."
        )
    return replace(recipe, **{name: getattr(given, name) for name in PREDICTION_FIELDS})


def take_prediction(net: ConditionalVQVAE, start: PixelMinerLean) -> None:
    """Give `net` the prediction of `start`."""
    for name in PREDICTION_LAYERS:
        own, given = (getattr(one, name).weights for one in (net.predictor, start))
        for variable, value in zip(own, given, strict=True):
            variable.assign(value)


def kept(row: Row) -> Row:
    """What of a validation stands in a model's metrics."""
    return {k: v for k, v in row.items() if not k.startswith("train_") and k not in LEFT_OUT}
