"""Whose 90 % interval of a pixel is better: the prediction's, or that of many drawn slices.

    python benchmarks/intervals.py SCAN [--gap 4] [--model ct-two-stage] [--samples 8]

As by `medgen evaluate`, slices are taken out of the scan, so that those left lie `--gap` mm apart;
of some of them a square in the middle of the patient is looked at. There every pixel gets the
likelihood of the prediction, given the acquired slices alone, and that of `--samples` drawn slices:
the mean of what the decoder says of the pixel for each draw of the codes. The third row is the mean
of the two. For intervals that mean to hold 90 and 94 % (`--uncertainty` gives the latter, of the
prediction) the table tells what share of the true values lies within, their mean width, and their
score as intervals of 90 % (Gneiting and Raftery 2007), lower being better; then bits a pixel, the
width of intervals of 90 % when all are stretched alike to hold as many, and the rank correlation of
widths with the errors of the likelihood's mean. Widths and scores are in HU for CT, in per cent of
the intensity range for MR. Below stands what share of the true values lies between the least and
the greatest of the samples, as `--samples` gives them. The last line is one JSON object.

The model is a conditional two-stage one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from ablation_measures import matched
from keras import ops, tree
from likelihood import levels_of
from scipy.stats import spearmanr

from medgen.backends import Tensor
from medgen.bundles.bundle import Bundle, load_bundle
from medgen.evaluation.plan import Plan, plan_scan
from medgen.examples.contexts import inputs_left_out
from medgen.families.conditional.examples import CodesOfWindows, Inputs
from medgen.interpolation import model_folder
from medgen.likelihoods import bits_per_dim, logistic_mixture
from medgen.sampling.cached import CachedSampler
from medgen.sampling.draw import categorical_draw
from medgen.sampling.randomness import uniforms
from medgen.volumes import read_volume

NOMINAL = (0.90, 0.94)
ALPHA = 0.1


class Drawing:
    """Mixtures of the pixels of drawn slices.

    Args:
        bundle: a conditional two-stage model.
        samples: slices drawn.
    """

    def __init__(self, bundle: Bundle, samples: int):
        self.vqvae, self.prior, self.samples = bundle.nets["vqvae"], bundle.nets["prior"], samples
        self._codes = CachedSampler(self.prior, categorical_draw(), jit_compile=True)
        self._shown = CodesOfWindows(self.vqvae)

    def __call__(self, inputs: Inputs, known: Tensor, place: int) -> list[Tensor]:
        """Parameters `(1, h, w, 3k)` for each sample of a slice, whose numbers `place` keys."""
        conditioning = self.prior.condition(self._shown(inputs))
        shape = conditioning.shape[1:3]
        numbers = [uniforms(k, [place], (*shape, 1)) for k in range(self.samples)]
        repeated = ops.repeat(conditioning, self.samples, axis=0)
        codes = self._codes(repeated, np.concatenate(numbers))
        rows, columns = known.shape[1:3]
        surroundings = self.vqvae.surroundings(known)
        return [
            self.vqvae.decode(codes[k : k + 1], surroundings)[:, :rows, :columns]
            for k in range(self.samples)
        ]


def moved(params: Tensor, by: Tensor) -> Tensor:
    """The same mixtures `(..., 3k)` relative to centers that lie `by` `(...)` lower."""
    logits, means, log_scales = ops.split(params, 3, axis=-1)
    return ops.concatenate([logits, means + by[..., None], log_scales], axis=-1)


def pooled(mixtures: list[Tensor]) -> Tensor:
    """The mean of mixtures with the same centers."""
    parts = zip(*map(logistic_mixture.components, mixtures), strict=True)
    return ops.concatenate([ops.concatenate(part, axis=-1) for part in parts], axis=-1)


def of_slice(drawing: Drawing, inputs: Inputs, place: int, levels: int):
    """Of one missing slice what `row` takes, by likelihood, and its samples as `--samples` gives.

    Returns:
        Name -> column -> `(h, w)` or, of ends, `(2, h, w)`; name -> `(samples, h, w)`.
    """
    vqvae = drawing.vqvae
    features, params, linear = vqvae.predictor.read(inputs)
    known = vqvae.predictor.conditioning(features, params, linear)
    center = vqvae.center(known)
    mixtures = drawing(inputs, known, place)
    prediction, drawn = moved(params, linear - center), pooled(mixtures)
    likelihoods = {
        "prediction": prediction,
        f"{drawing.samples} drawn slices": drawn,
        "both": pooled([prediction, drawn]),
    }
    over = {"levels": levels, "center": center}
    images = np.concatenate([vqvae.mean(mixture, known) for mixture in mixtures])
    middle = inputs["context"].shape[-1] // 2
    beside = inputs["context"][..., middle - 1 : middle + 1]
    auto = matched(images, *(np.repeat(x, len(images), axis=0) for x in (center, beside)))
    maps = {
        name: {
            "mean": ops.convert_to_numpy(logistic_mixture.mean(mixture, **over))[0],
            "log_prob": ops.convert_to_numpy(
                logistic_mixture.log_prob(mixture, inputs["target"], **over)
            )[0],
            **{f"{nominal:.0%}": ends(mixture, nominal, over) for nominal in NOMINAL},
        }
        for name, mixture in likelihoods.items()
    }
    return maps, {"--temperature auto": auto, "--temperature 1": images}


def ends(params: Tensor, nominal: float, over: dict) -> np.ndarray:
    """Lower and upper end of intervals, `(2, h, w)`."""
    tails = ((1 - nominal) / 2, (1 + nominal) / 2)
    return np.concatenate([logistic_mixture.quantile(params, tail, **over) for tail in tails])


def row(true: np.ndarray, maps: dict[str, np.ndarray], width: float) -> dict[str, float]:
    """Of the table, from maps of all pixels of all slices; a level is `width` wide."""
    columns = {}
    for nominal in NOMINAL:
        low, high = maps[f"{nominal:.0%}"]
        outside = np.maximum(low - true, 0) + np.maximum(true - high, 0)
        columns[f"held by {nominal:.0%}"] = np.mean(outside == 0)
        columns[f"width of {nominal:.0%}"] = width * np.mean(high - low)
        score = np.mean(high - low + 2 / ALPHA * outside)
        columns[f"score of {nominal:.0%}"] = width * score
    low, high = maps[f"{NOMINAL[0]:.0%}"]
    half = (high - low + 1) / 2
    stretch = np.quantile(np.abs(true - (low + high) / 2) / half, 1 - ALPHA)
    columns["bits"] = bits_per_dim(maps["log_prob"])
    columns["stretched"] = width * 2 * stretch * np.mean(half)
    columns["rank"] = spearmanr(half, np.abs(true - maps["mean"]), axis=None).statistic
    return {name: float(value) for name, value in columns.items()}


def middle_of(levels: np.ndarray, side: int) -> tuple[slice, slice]:
    """Rows and columns of a square in the middle of what is not empty."""
    occupied = levels.any(axis=0)
    centers = [int(np.flatnonzero(occupied.any(axis=axis)).mean()) for axis in (1, 0)]
    rows, columns = (slice(start := max(0, c - side // 2), start + side) for c in centers)
    return rows, columns


def some(plan: Plan, count: int) -> list[int]:
    """Evenly spread ones of the slices that were removed from interior gaps."""
    removed = [t for t in plan.removed if plan.where(t) == "interior"]
    chosen = np.linspace(0, len(removed) - 1, min(count, len(removed))).round()
    return [removed[int(i)] for i in chosen]


def main() -> None:
    """Measure both on a scan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scan", type=Path)
    parser.add_argument("--gap", type=float)
    parser.add_argument("--model", default="ct-two-stage")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--slices", type=int, default=6)
    parser.add_argument("--side", type=int, default=96, help="of the square, in pixels")
    options = parser.parse_args()

    volume = read_volume(options.scan)
    plan = plan_scan(volume.geometry, gap_mm=options.gap)
    bundle = load_bundle(model_folder(options.model))
    levels = levels_of(volume, plan, bundle)
    levels = levels[(slice(None), *middle_of(levels, options.side))]
    drawing, removed = Drawing(bundle, options.samples), some(plan, options.slices)
    slices = []
    for t in removed:
        before, context = t - t % plan.factor, drawing.vqvae.context
        inputs = inputs_left_out(levels, t, before, plan.factor, plan.gap_mm, context)
        slices.append(of_slice(drawing, inputs, t, bundle.rule.levels))
    maps, samples = tree.map_structure(lambda *parts: np.stack(parts, axis=-3), *slices)
    true = levels[removed].astype(float)
    rows = {name: row(true, of, bundle.rule.level_width) for name, of in maps.items()}
    held = {
        name: float(np.mean((images.min(axis=0) <= true) & (true <= images.max(axis=0))))
        for name, images in samples.items()
    }

    print(f"{options.scan.name}: {len(removed)} slices in gaps of {plan.gap_mm:g} mm")
    print(" " * 18 + "".join(f"{column:>14}" for column in next(iter(rows.values()))))
    for name, columns in rows.items():
        print(f"{name:18}" + "".join(f"{value:14.3f}" for value in columns.values()))
    count = options.samples
    print(f"between the least and the greatest of {count}: ", end="")
    print(", ".join(f"{share:.1%} with {name}" for name, share in held.items()), end="")
    print(f"; {(count - 1) / (count + 1):.1%} would if they were drawn as the truth is")
    print(json.dumps(rows | held))


if __name__ == "__main__":
    main()
