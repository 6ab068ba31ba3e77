"""What a validation of a PixelMiner measures: likelihood, and what it draws freely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medgen.evaluation.noise import high_frequency_power, homogeneous_tissue
from medgen.examples.bands import around_bands
from medgen.intensities.rule import IntensityRule
from medgen.likelihoods.baseline import logistic_bits_per_dim
from medgen.nets.pixelminer_lean import PixelMinerLean
from medgen.nets.pixelminer_published.net import PixelMinerPublished
from medgen.sampling.randomness import uniforms
from medgen.sampling.rows import RowSampler
from medgen.sampling.slices import SliceSampler, prediction
from medgen.sampling.windows import WindowSampler


def measure_likelihood(
    model: PixelMinerLean | PixelMinerPublished, batches: Sequence[dict[str, np.ndarray]]
) -> dict[str, float]:
    """Teacher-forced `bits_per_dim`, if autoregressive, and `prediction_bits_per_dim`."""
    for inputs in batches:
        model.compute_loss(x=inputs, y_pred=model(inputs, training=False), training=False)
    values = {metric.name: float(metric.result()) for metric in model.metrics}
    model.reset_metrics()
    return {name: value for name, value in values.items() if name.endswith("bits_per_dim")}


def measure_bands(
    model: PixelMinerLean, batches: Sequence[dict[str, np.ndarray]], seed: int
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
    model: PixelMinerLean | PixelMinerPublished,
    sampler: SliceSampler | RowSampler | WindowSampler,
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
    numbers = uniforms(seed, range(2 * count), (rows, cols, 2))
    unit = rule.level_width
    target = windows["target"]
    drawn = sampler(twice, numbers).reshape(2, count, rows, cols)
    errors = np.abs(drawn - target).mean(axis=0)
    linear = np.abs(_linear(windows) - target)
    predicted, beside = linear, {}
    if isinstance(model, PixelMinerLean):
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
            around = [high_frequency_power(neighbour, tissue) for neighbour in neighbours]
            powers += [high_frequency_power(image, tissue), float(np.mean(around))]
    return float(powers[0] / powers[1]) if powers[1] > 0 else float("nan")
