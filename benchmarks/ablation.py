"""What the two-stage model gains from each of its parts, and from what could stand in their place.

    python benchmarks/ablation.py DATA... --validation SCAN [--start ct-pixelminer] [--steps 300]

Each arm of `ARMS` trains a small first stage and a prior for each of its codebooks, all with as
many steps and windows; arms that differ only in what follows share what comes before. Of windows of
the validation scan the table tells

- `true`, `drawn`, `mean`: PSNR in dB over the model's range of decoding the true codes, sampled
  ones, and of the mean of `--samples` of these;
- `power`, `texture`: of sampled windows, high-frequency power over the truth's (1 is right) and the
  median over texture features of the error over their range (0 is right);
- `auto ...`: the same with `--temperature auto`: half way to the prediction, then `Texture`;
- `a code`, `pixels`, `bits`: bits that a code takes, that a pixel takes given the codes, and with
  its share of these, the evidence lower bound;
- `beside`: share of the quantised vectors' variance that those of the acquired slices on either
  side explain by a linear fit; `usage`: share of the codebook in use.

Above them stand what needs no codes: linear interpolation, the prediction, and pixels drawn from
it one by one or with noise that is correlated as that of the neighbours. `--start ct-two-stage`, or
another two-stage model, is measured as it is in place of the arms, with each kind of pixels; below
it stands what its decoder makes of vectors that are not quantised. The last line is one JSON
object. An arm takes minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from ablation_codes import (
    FirstStage,
    Model,
    PriorTask,
    Shown,
    Variant,
    explained_by_beside,
    model_of,
)
from ablation_measures import correlated, matched, power, psnr_db, texture_error

from medgen.bundles.bundle import Bundle, load_bundle
from medgen.bundles.released import folder_named
from medgen.families.conditional.examples import Inputs, Windows
from medgen.families.conditional.measure import measure_decoding
from medgen.families.conditional.recipe import ConditionalPriorRecipe, ConditionalRecipe
from medgen.likelihoods import bits_per_dim, logistic_mixture
from medgen.sampling.randomness import uniforms
from medgen.training.checkpoint import FolderStore, Row
from medgen.training.gather import TrainingScans, gather_scans
from medgen.training.schedule import Plan
from medgen.training.session import Task, best_of, train

Pixels = Literal["mean", "alone", "correlated"]


@dataclass(frozen=True)
class Arm:
    """A row of the table.

    Args:
        name: of the row.
        fields: of the first stage's recipe, where they differ from its default.
        variant: what its codes are.
        beside: whether the prior sees the codes of the acquired slices.
        pixels: whether those around decoded codes are their means, drawn each alone, or with noise
            correlated as that of the neighbours.
    """

    name: str
    fields: Mapping[str, object] = field(default_factory=dict)
    variant: Variant = field(default_factory=Variant)
    beside: bool = False
    pixels: Pixels = "mean"


ARMS = (
    Arm("shown to neither", {"encoder_sees": False, "decoder_sees": False}),
    Arm("shown to the decoder", {"encoder_sees": False}),
    Arm("shown to both (the default)"),
    Arm("  pixels drawn, each alone", pixels="alone"),
    Arm("  pixels drawn, correlated", pixels="correlated"),
    Arm("  prior sees codes beside", beside=True),
    Arm("  64 codes", {"num_embeddings": 64}),
    Arm("  5 codes of 2 x 2 pixels", {"num_embeddings": 5}, Variant(side=2)),
    Arm("  2 codebooks of 23 codes", {"num_embeddings": 23}, Variant(depth=2)),
    Arm("  2 codebooks of 512 codes", variant=Variant(depth=2)),
    Arm("  2 levels, 512 on 347", {"num_embeddings": 347, "embedding_dim": 32}, Variant(tops=512)),
    Arm("  8 x 8 x 8 levels", {"embedding_dim": 3}, Variant(finite=True)),
)
COLUMNS = ("true", "drawn", "mean", "power", "texture")
COLUMNS += ("auto drawn", "auto power", "auto texture")
COLUMNS += ("a code", "pixels", "bits", "beside", "usage")
SEED = 0


def trained(task: Task, recipe: ConditionalRecipe | ConditionalPriorRecipe) -> Row:
    """What the best validation measured, whose weights the task's net has then."""
    with tempfile.TemporaryDirectory() as folder:
        return best_of(train(task, Plan.of(recipe), FolderStore(Path(folder))))


class Table:
    """Trains arms, each part of them once, and measures them on the same windows."""

    def __init__(self, scans: TrainingScans, start: Bundle, args: argparse.Namespace):
        self.scans, self.start, self.args = scans, start, args
        vqvae = start.nets.get("vqvae")
        net = start.nets["pixelminer"] if vqvae is None else vqvae.predictor
        self.levels, self.level_width = scans.rule.levels, scans.rule.level_width
        self.size = {"batch_size": args.batch_size, "filters": args.filters}
        large = ConditionalRecipe(**self.size, crop=args.window)
        self.windows = Windows(scans, large, args.batch_size, SEED).held_out
        self.true = np.concatenate([each["target"] for each in self.windows]).astype(np.float32)
        self.neighbours = np.concatenate([beside(each) for each in self.windows])
        self.params, self.linear, self.prediction = _joined(
            (params, linear, net.center(net.conditioning(features, params, linear)))
            for features, params, linear in map(net.read, self.windows)
        )
        self.first_stage, self.model = cache(self._first_stage), cache(self._model)

    def without_codes(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Rows of what draws no codes."""
        yield "linear interpolation", self._of_images(self.linear, self.linear[None])
        yield "prediction", self._of_images(self.prediction, self.prediction[None])
        log_prob = logistic_mixture.log_prob(self.params, self.true, **self._around(self.linear))
        bits = float(bits_per_dim(log_prob))
        for pixels in ("alone", "correlated"):
            drawn = [
                self._pixels(pixels, self.params, self.linear, self.neighbours, numbers)
                for numbers in self._numbers(range(len(self.true)), (*self.true.shape[1:], 2))
            ]
            row = self._of_images(self.prediction, np.stack(drawn))
            yield f"  drawn from it, {pixels}", row | {"bits": bits}

    def row(self, arm: Arm) -> dict[str, float]:
        """Of an arm, which is trained."""
        first = ConditionalRecipe(
            **self.size,
            **arm.fields,
            crop=self.args.crop,
            steps=self.args.steps,
            validate_every=self.args.steps,
        )
        model, usage = self.model(first, arm.variant, arm.beside)
        return self._of_model(model, arm.pixels) | {"usage": usage}

    def as_it_is(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Rows of the two-stage model that was given, with each kind of pixels."""
        model, usage = model_of(self.start), self.start.metrics["vqvae"]["codebook_usage"]
        for pixels in get_args(Pixels):
            row = self._of_model(model, pixels) | {"usage": usage}
            yield f"{self.start.name}, {pixels}", row
        yield "  vectors not quantised", self._not_quantised()

    def _not_quantised(self) -> dict[str, float]:
        """What further codebooks for the same vectors could at best come to."""
        vqvae, images, bits = self.start.nets["vqvae"], [], []
        for windows in self.windows:
            known = vqvae.condition(windows)
            surroundings = vqvae.surroundings(known)
            mixture = vqvae._decoded(vqvae.latents(windows["target"], surroundings), surroundings)
            images.append(vqvae.mean(mixture, known))
            over = self._around(vqvae.center(known))
            bits.append(bits_per_dim(logistic_mixture.log_prob(mixture, windows["target"], **over)))
        return {
            "true": psnr_db(np.concatenate(images), self.true, self.levels),
            "pixels": float(np.mean(bits)),
        }

    def _first_stage(self, recipe: ConditionalRecipe, variant: Variant):
        """Net, the windows of its training, and the share of its codebook in use."""
        task = FirstStage(self.scans, recipe, self.start, SEED, variant)
        return task.net, task.windows, trained(task, recipe)["codebook_usage"]

    def _model(self, first: ConditionalRecipe, variant: Variant, sees: bool):
        vqvae, windows, usage = self.first_stage(first, variant)
        shown = Shown(vqvae, sees)
        steps = self.args.prior_steps
        recipe = ConditionalPriorRecipe(
            batch_size=self.args.batch_size, steps=steps, validate_every=steps
        )
        tasks = [PriorTask(shown, book, windows, recipe, SEED) for book in range(len(shown.books))]
        for task in tasks:
            trained(task, recipe)
        return Model(shown, [task.net for task in tasks]), usage

    def _of_model(self, model: Model, pixels: Pixels) -> dict[str, float]:
        vqvae = model.shown.vqvae
        pairs = [self._decoded(pixels, model, i) for i in range(len(self.windows))]
        true, drawn = (np.concatenate(images, axis=-3) for images in zip(*pairs, strict=True))
        bits_a_code, bits_of_codes = model.bits(self.windows)
        decoded = measure_decoding(vqvae, self.windows, self.level_width)
        given = decoded["residual_bits_per_dim"]
        return {
            **self._of_images(true, drawn),
            "a code": bits_a_code,
            "pixels": given,
            "bits": bits_of_codes + given,
            "beside": explained_by_beside(vqvae, self.windows),
        }

    def _decoded(self, how: Pixels, model: Model, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Windows `(b, h, w)` from true codes, and `(samples, b, h, w)` from drawn ones."""
        windows, vqvae = self.windows[i], model.shown.vqvae
        size, rows, columns = windows["target"].shape
        places = range(i * size, (i + 1) * size)
        true, _ = model.shown(windows)
        drawn = model.draw(windows, self.args.samples, places.start)
        known = vqvae.condition(windows)
        surroundings = vqvae.surroundings(known)
        images = []
        numbers = self._numbers(places, (rows, columns, 2))
        for codes, pixels in zip([true, *drawn], [numbers[0], *numbers], strict=True):
            mixture = vqvae.decode(codes, surroundings)[:, :rows, :columns]
            if how == "mean":
                image = vqvae.mean(mixture, known)
            else:
                center = vqvae.center(known)
                image = self._pixels(how, mixture, center, beside(windows), pixels)
            images.append(np.asarray(image, np.float32))
        return images[0], np.stack(images[1:])

    def _pixels(self, how: Pixels, params, center, neighbours, numbers) -> np.ndarray:
        """Drawn from a likelihood by numbers `(b, h, w, 2)`."""
        if how == "alone":
            levels = logistic_mixture.sample(params, numbers, **self._around(center))
        else:
            probability = correlated(numbers[..., 0], neighbours)
            levels = logistic_mixture.quantile(params, probability, **self._around(center))
        return np.asarray(levels, np.float32)

    def _numbers(self, places: range, shape: tuple[int, ...]) -> list[np.ndarray]:
        """Uniform, `(b, *shape)` for each sample."""
        return [uniforms(k, places, shape) for k in range(self.args.samples)]

    def _around(self, center) -> dict[str, object]:
        return {"levels": self.levels, "center": center}

    def _of_images(self, true_codes: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
        """Columns for windows `(n, h, w)` and `(samples, n, h, w)`."""
        auto = np.stack([matched(each, self.prediction, self.neighbours) for each in drawn])
        return {
            "true": psnr_db(true_codes, self.true, self.levels),
            "mean": psnr_db(drawn.mean(axis=0), self.true, self.levels),
            **{
                f"{name}{column}": value
                for name, images in (("", drawn), ("auto ", auto))
                for column, value in self._of_drawn(images).items()
            },
        }

    def _of_drawn(self, images: np.ndarray) -> dict[str, float]:
        return {
            "drawn": psnr_db(images, self.true, self.levels),
            "power": power(images) / power(self.true),
            "texture": texture_error(images[0], self.true, self.level_width),
        }


def beside(windows: Inputs) -> np.ndarray:
    """The acquired slices next to the target, `(b, h, w, 2)`."""
    middle = windows["context"].shape[-1] // 2
    return windows["context"][..., middle - 1 : middle + 1]


def _joined(parts: Iterable[tuple[object, ...]]) -> tuple[np.ndarray, ...]:
    """Each part of several batches behind each other."""
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def line(name: str, row: dict[str, float]) -> str:
    """Of the table; a dash where there is nothing to tell."""
    cells = (f"{row[column]:8.2f}" if column in row else f"{'–':>8}" for column in COLUMNS)
    return f"{name:28}{''.join(cells)}"


def main() -> None:
    """Train and measure every arm."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--validation", action="append", type=Path, required=True)
    parser.add_argument(
        "--start",
        default="ct-pixelminer",
        help="whose prediction is built on; a two-stage model is measured as it is",
    )
    parser.add_argument("--arm", action="append", type=int, help="a row, from 0; default: all")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--prior-steps", type=int, default=200)
    parser.add_argument("--crop", type=int, default=48)
    parser.add_argument("--window", type=int, default=96, help="side of those that are measured")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--samples", type=int, default=4)
    args = parser.parse_args()

    start = load_bundle(folder_named(args.start))
    scans = gather_scans(
        args.data, args.validation, rule=start.rule, image_size=None, guard_mm=9.0, seed=SEED
    )
    table, rows = Table(scans, start, args), {}
    print(" " * 28 + "".join(f"{column.split()[0]:>8}" for column in COLUMNS))
    print(" " * 28 + "".join(f"{' '.join(column.split()[1:]):>8}" for column in COLUMNS))
    chosen = [ARMS[i] for i in args.arm] if args.arm else ARMS
    drawn = ((arm.name, table.row(arm)) for arm in chosen)
    if "prior" in start.nets:
        drawn = table.as_it_is()
    for name, row in chain(table.without_codes(), drawn):
        rows[name] = row
        print(line(name, row), flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
