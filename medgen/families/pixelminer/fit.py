"""Fitting a PixelMiner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from medgen.bundles.bundle import Bundle
from medgen.errors import TrainingError
from medgen.evaluation.noise import high_frequency_power, homogeneous_tissue
from medgen.families import pixelminer, pixelminer_published
from medgen.families.pixelminer.recipe import PixelMinerRecipe
from medgen.families.pixelminer.sampler import sampler_of
from medgen.families.pixelminer_published.recipe import PixelMinerPaperRecipe
from medgen.intensities.rule import IntensityRule
from medgen.likelihoods.baseline import logistic_bits_per_dim
from medgen.nets.pixelminer_lean import PixelMiner
from medgen.nets.pixelminer_published.net import PixelMinerPaper
from medgen.preprocessing.augmentation import Augmentation
from medgen.preprocessing.bands import around_bands
from medgen.preprocessing.contexts import context_batch
from medgen.preprocessing.slices import Slab, lines
from medgen.recipes import to_json
from medgen.sampling.randomness import uniforms
from medgen.sampling.slices import SliceSampler, prediction
from medgen.sampling.windows import WindowSampler
from medgen.training.gather import TrainingScans
from medgen.training.loop import Run, fit
from medgen.training.workers import ALONE, Workers

FAMILIES = (pixelminer.FAMILY, pixelminer_published.FAMILY)
VALIDATION_BATCHES = 4
# Windows that every validation draws, twice each. Nearer slices than 3 mm share their noise, so
# that no drawn noise can match theirs.
SAMPLED_WINDOWS = 12
SAMPLED_SIDE = 48
SAMPLED_GAP_MM = 3.0
# The score is an estimate and could be 0 where there is next to nothing to draw.
SMALLEST_CRPS = 1e-3


def fit_pixelminer(
    scans: TrainingScans,
    recipe: PixelMinerRecipe | PixelMinerPaperRecipe,
    folder: Path,
    *,
    seed: int = 0,
    start: Bundle | None = None,
    resume: bool = False,
    report: Callable[[dict[str, float]], None] = lambda row: None,
    progress: Callable[[int, dict[str, float]], None] = lambda step, logs: None,
    workers: Workers = ALONE,
) -> Bundle:
    """Train a PixelMiner on slices left out between others at random distances.

    A moving average of the weights is validated and kept. Low teacher-forced bits do not mean good
    samples, so every validation also draws: `loss`, which chooses the weights that are kept, is
    `bits_per_dim` (of what is sampled from) plus the binary logarithm of `sampled_crps`. One half
    of it is the texture given true pixels, the other how near freely drawn pixels come to the
    truth. The latter is a proper score: neither noise nor the lack of it is rewarded for itself,
    and a net that drifts loses.

    Args:
        scans: what to train and validate on.
        recipe: architecture and training.
        folder: see `loop.Run`.
        seed: of everything random.
        start: a PixelMiner whose weights are taken over where the net begins; it may lack parts
            of the net, as one without autoregression lacks the causal trunk.
        resume: continue an interrupted run in `folder`.
        report: receives a row for each validation, with the values of `measure_likelihood`,
            `measure_samples` and, if partially causal, `measure_bands`, and `loss`.
        progress: receives step and losses after every step.
        workers: see `loop.fit`.

    Returns:
        The bundle, with the metrics of its best validation.

    Raises:
        TrainingError: see `loop.fit`, no slab with three slices, or a `start` that does not fit.
    """
    keras.utils.set_random_seed(seed)
    family = next(f for f in FAMILIES if f.stages["pixelminer"] is type(recipe))
    model = family.build({"pixelminer": recipe}, scans.rule.levels, seed)["pixelminer"]
    if start is not None:
        take_over(model, start)
    shared = {
        "levels": scans.rule.levels,
        "context": recipe.context,
        "max_gap_mm": recipe.max_gap_mm,
        "seed": seed,
    }
    augmentation = Augmentation(
        **{field.name: getattr(recipe, field.name, field.default) for field in fields(Augmentation)}
    )

    training, validation = scans.training, scans.validation
    if recipe.in_plane:
        training, validation = (
            [line for slab in slabs for line in lines(slab)] for slabs in (training, validation)
        )

    def examples(slabs: Sequence[Slab], **options: object) -> dict[str, np.ndarray]:
        inputs = context_batch(slabs, **options, **shared)
        if recipe.in_plane:  # a line was extended to a square by repetition
            inputs |= {key: inputs[key][:, :1] for key in ("target", "context")}
        return inputs

    def batch(step: int) -> dict[str, np.ndarray]:
        inputs = examples(
            training,
            crop=recipe.crop,
            size=recipe.batch_size,
            augmentation=augmentation,
            step=step,
        )
        if recipe.partially_causal:
            inputs["known"] = around_bands(inputs["target"], seed, step)
        return inputs

    batch(0)  # refuses scans without three slices before anything else is done
    held_out = [
        examples(validation, crop=recipe.crop, size=recipe.batch_size, step=2**31 + i)
        for i in range(VALIDATION_BATCHES)
    ]
    windows = examples(
        validation,
        crop=SAMPLED_SIDE,
        size=SAMPLED_WINDOWS * (SAMPLED_SIDE if recipe.in_plane else 1),
        min_gap_mm=SAMPLED_GAP_MM,
        step=2**32,
    )
    sampler = sampler_of(recipe, model)
    baseline = {"linear_bits_per_dim": linear_bits_per_dim(held_out, scans.rule.levels)}

    def validate() -> dict[str, float]:
        row = measure_likelihood(model, held_out) | baseline
        if recipe.partially_causal:
            row |= measure_bands(model, held_out, seed)
        row |= measure_samples(model, sampler, windows, scans.rule, seed)
        bits = row["bits_per_dim" if recipe.autoregressive else "prediction_bits_per_dim"]
        return {"loss": bits + float(np.log2(max(row["sampled_crps"], SMALLEST_CRPS))), **row}

    rows = fit(
        model,
        batch,
        validate,
        Run(
            folder,
            recipe.steps,
            recipe.validate_every,
            recipe.learning_rate,
            average_weights=True,
            identity={
                "recipe": to_json(recipe),
                "seed": seed,
                "scans": scans.identity(),
                "start": None if start is None else start.name,
            },
        ),
        resume=resume,
        report=report,
        progress=progress,
        workers=workers,
    )
    best = min(rows, key=lambda row: row["loss"])
    kept = [key for key in best if not key.startswith("train_") and key not in ("loss", "seconds")]
    return Bundle(
        family.kind,
        scans.rule,
        {"pixelminer": recipe},
        {"pixelminer": model},
        metrics={"pixelminer": {key: best[key] for key in kept}},
    )


def take_over(model: PixelMiner, start: Bundle) -> None:
    """Give `model` the weights that `start` has.

    Raises:
        TrainingError: `start` is of another kind, or has a weight that `model` lacks or has in
            another shape.
    """
    if "pixelminer" not in start.nets:
        raise TrainingError(
            f"{start.name} is a {start.kind} model; start from one that train-pixelminer wrote."
        )
    own = {variable.path: variable for variable in model.weights}
    for variable in start.nets["pixelminer"].weights:
        path = variable.path
        if path not in own or own[path].shape != variable.shape:
            raise TrainingError(
                f"{start.name} has weights {path} {tuple(variable.shape)} that the recipe does not "
                "have; train with its recipe, or one that only adds to it."
            )
        own[path].assign(variable)


def measure_likelihood(
    model: PixelMiner | PixelMinerPaper, batches: Sequence[dict[str, np.ndarray]]
) -> dict[str, float]:
    """Teacher-forced `bits_per_dim`, if autoregressive, and `prediction_bits_per_dim`."""
    for inputs in batches:
        model.compute_loss(x=inputs, y_pred=model(inputs, training=False), training=False)
    values = {metric.name: float(metric.result()) for metric in model.metrics}
    model.reset_metrics()
    return {name: value for name, value in values.items() if name.endswith("bits_per_dim")}


def measure_bands(
    model: PixelMiner, batches: Sequence[dict[str, np.ndarray]], seed: int
) -> dict[str, float]:
    """Bits per pixel within bands, given all that is around them, and without.

    Returns:
        `band_bits_per_dim`, and `band_bits_per_dim_alone` of the same pixels when nothing around
        the bands is shown, but the earlier pixels as always.
    """
    metric = model.bits if model.autoregressive else model.prediction_bits
    bits = {}
    for name, shown in (("band_bits_per_dim", True), ("band_bits_per_dim_alone", False)):
        for i, inputs in enumerate(batches):
            banded = inputs | {"known": around_bands(inputs["target"], seed, i, all_unknown=0.0)}
            outputs = model(banded if shown else inputs, training=False)
            model.compute_loss(x=banded, y_pred=outputs, training=False)
        bits[name] = float(metric.result())
        model.reset_metrics()
    return bits


def linear_bits_per_dim(batches: Sequence[dict[str, np.ndarray]], levels: int) -> float:
    """Bits per pixel of a logistic of the best one scale around the linear interpolation."""
    target = np.concatenate([inputs["target"] for inputs in batches])
    linear = np.concatenate([_linear(inputs) for inputs in batches])
    return logistic_bits_per_dim(target, linear, levels)


def measure_samples(
    model: PixelMiner | PixelMinerPaper,
    sampler: SliceSampler | WindowSampler,
    windows: dict[str, np.ndarray],
    rule: IntensityRule,
    seed: int,
) -> dict[str, float]:
    """Draw every window twice, without its true pixels, and compare with the truth.

    Args:
        model: what is measured.
        sampler: of `model`.
        windows: inputs of the net.
        rule: intensities.
        seed: of the draws.

    Returns:
        `sampled_mae`, and beside it `linear_mae` and, from a net that makes one, `prediction_mae`:
        mean absolute errors, in HU for CT and in per cent of the intensity range for MR.
        `sampled_crps`: the continuous ranked probability score of the two draws,
        E|x - y| - E|x - x'| / 2, same units. `growth_rows` and `growth_columns`: sampled over
        predicted (or else linear) error in the last quarter, over that in the first; 1 without
        drift, NaN in windows of one row. `hf_power_ratio`: high-frequency power in homogeneous
        tissue over that of the nearest acquired slices, NaN if there is no such tissue.
    """
    count, rows, cols = windows["target"].shape
    twice = {key: np.concatenate([values, values]) for key, values in windows.items()}
    numbers = uniforms(seed, tf.range(2 * count, dtype=tf.int64), (rows, cols, 2))
    span = rule.high_hu - rule.low_hu if rule.kind.absolute else 100
    unit = span / (rule.levels - 1)
    target = windows["target"]
    drawn = sampler(twice, numbers).reshape(2, count, rows, cols)
    errors = np.abs(drawn - target).mean(axis=0)
    linear = np.abs(_linear(windows) - target)
    predicted, beside = linear, {}
    if isinstance(model, PixelMiner):
        predicted = np.abs(prediction(model, windows) - target)
        beside = {"prediction_mae": float(unit * predicted.mean())}
    between = np.abs(drawn[0] - drawn[1])
    return {
        "sampled_mae": float(unit * errors.mean()),
        **beside,
        "linear_mae": float(unit * linear.mean()),
        "sampled_crps": float(unit * (errors.mean() - between.mean() / 2)),
        "growth_rows": _growth(errors, predicted, axis=1),
        "growth_columns": _growth(errors, predicted, axis=2),
        "hf_power_ratio": _power_ratio(windows["context"], drawn[0]),
    }


def _linear(inputs: dict[str, np.ndarray]) -> np.ndarray:
    context = inputs["context"].shape[-1] // 2
    before, after = (inputs["context"][..., context - 1 + i].astype(np.float32) for i in (0, 1))
    return before + inputs["position"][:, None, None] * (after - before)


def _growth(errors: np.ndarray, reference: np.ndarray, axis: int) -> float:
    quarter = errors.shape[axis] // 4
    if not quarter:
        return float("nan")
    first, last = (
        errors.take(where, axis).mean() / reference.take(where, axis).mean()
        for where in (range(quarter), range(-quarter, 0))
    )
    return float(last / first)


def _power_ratio(context: np.ndarray, drawn: np.ndarray) -> float:
    middle = context.shape[-1] // 2
    powers = np.zeros(2)
    for acquired, image in zip(context, drawn, strict=True):
        neighbours = np.moveaxis(acquired[..., middle - 1 : middle + 1], -1, 0)
        tissue = homogeneous_tissue(neighbours)
        if tissue.any():
            powers += (
                high_frequency_power(image, tissue),
                np.mean([high_frequency_power(neighbour, tissue) for neighbour in neighbours]),
            )
    return float(powers[0] / powers[1]) if powers[1] > 0 else float("nan")
