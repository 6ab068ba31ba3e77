"""What a net learns in as many steps by each optimizer.

    python benchmarks/optimizers.py DATA... --validation SCAN [--net prediction] [--steps 400]

A net of `NETS` is trained by Adam and by Muon (see `medgen/training/muon.py`) at each of `--rates`,
on the same windows in the same order: the prediction of a PixelMiner; the conditional VQ-VAE on the
prediction of `--start`, the prior over the codes of such a model; the plain VQ-VAE, and the prior
over its codes; a 3D-ESPCN. `--fields '{"crop": 48}'` makes nets or windows smaller. Told of the
validation scan: bits per pixel or code, the mean absolute error in HU (CT) or per cent of the range
(MR) of what is predicted or decoded, or SSIM and PSNR of what is decoded, or nats a voxel and PSNR
of what is made finer; and seconds of all processors. The last line is one JSON object. A run of 400
steps takes some minutes of a core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from medgen.bundles.bundle import Bundle, load_bundle
from medgen.bundles.released import folder_named
from medgen.families.conditional.fit import ConditionalTask
from medgen.families.conditional.fit_prior import ConditionalPriorTask
from medgen.families.conditional.recipe import CONDITIONAL_PRIOR_RECIPES, CONDITIONAL_RECIPES
from medgen.families.espcn.fit import ESPCNTask
from medgen.families.espcn.recipe import ESPCN_RECIPES
from medgen.families.pixelminer.fit import PixelMinerTask
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.families.two_stage.fit import PriorTask
from medgen.families.two_stage.recipe import PRIOR_RECIPES
from medgen.families.vqvae.fit import VQVAETask
from medgen.families.vqvae.recipe import VQVAE_RECIPES
from medgen.recipes import OPTIMIZERS, Recipe
from medgen.training.checkpoint import FolderStore, Row
from medgen.training.gather import TrainingScans, gather_scans
from medgen.training.schedule import Plan
from medgen.training.session import Task, train


@dataclass(frozen=True)
class Net:
    """What is trained, and what is told of it.

    Args:
        recipe: whose steps, rate and optimizer are replaced.
        task: from scans, a recipe and the model of `start`.
        columns: of the table, and what they are called in a validation.
        start: model that it builds on, unless another is given.
        image_size: see `gather_scans`.
    """

    recipe: Recipe
    task: Callable[[TrainingScans, Any, Any], Task]
    columns: Mapping[str, str]
    start: str | None = None
    image_size: int | None = None


NETS = {
    "prediction": Net(
        PIXELMINER_RECIPES["no-autoregression"],
        lambda scans, recipe, _: PixelMinerTask(scans, recipe),
        {"bits": "prediction_bits_per_dim", "error": "prediction_mae", "linear": "linear_mae"},
    ),
    "codes": Net(
        CONDITIONAL_RECIPES["conditional"],
        ConditionalTask,
        {
            "bits": "residual_bits_per_dim",
            "error": "decoded_mae",
            "predicted": "prediction_mae",
            "usage": "codebook_usage",
        },
        "ct-pixelminer",
    ),
    "prior": Net(
        CONDITIONAL_PRIOR_RECIPES["default"],
        lambda scans, recipe, first: ConditionalPriorTask(scans, first, recipe),
        {"a code": "bits_per_code", "alone": "unigram_bits"},
        "ct-two-stage",
    ),
    "slices": Net(
        VQVAE_RECIPES["oasis-80"],
        lambda scans, recipe, _: VQVAETask(scans, recipe),
        {"ssim": "ssim", "psnr": "psnr_db", "loss": "loss", "usage": "codebook_usage"},
        image_size=80,
    ),
    "slices-prior": Net(
        PRIOR_RECIPES["oasis-80"],
        lambda scans, recipe, first: PriorTask(scans, first, recipe),
        {"a code": "bits_per_code", "alone": "unigram_bits"},
        "oasis-80",
        image_size=80,
    ),
    "finer": Net(
        ESPCN_RECIPES["default"],
        lambda scans, recipe, _: ESPCNTask(scans, recipe),
        {"nats": "loss", "psnr": "psnr_db", "cubic": "cubic_psnr_db"},
    ),
}


def trained(net: Net, scans: TrainingScans, start: Bundle | None, **fields: Any) -> Row:
    """The last validation, and `processor`, the seconds of all processors."""
    recipe = replace(net.recipe, **fields)
    with tempfile.TemporaryDirectory() as folder:
        task = net.task(scans, recipe, start)
        before = time.process_time()
        rows = train(task, Plan.of(recipe), FolderStore(Path(folder)))
    return rows[-1] | {"processor": time.process_time() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--validation", nargs="+", type=Path, required=True)
    parser.add_argument("--net", choices=NETS, default="prediction")
    parser.add_argument("--start", help="model that the net builds on")
    parser.add_argument("--fields", type=json.loads, default={}, help="of the recipe, as JSON")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-3])
    parser.add_argument("--optimizers", nargs="+", choices=OPTIMIZERS, default=OPTIMIZERS)
    options = parser.parse_args()
    net = NETS[options.net]
    name = options.start or net.start
    start = None if name is None else load_bundle(folder_named(name))
    scans = gather_scans(
        options.data,
        options.validation,
        rule=None if start is None else start.rule,
        image_size=net.image_size,
        guard_mm=8.0,
        seed=0,
    )
    columns = {**net.columns, "processor": "processor"}
    found = {}
    print("optimizer  rate     " + "  ".join(f"{name:>9s}" for name in columns))
    for rate, optimizer in product(options.rates, options.optimizers):
        told = {"steps": options.steps, "validate_every": options.steps}
        told |= {"learning_rate": rate, "optimizer": optimizer}
        row = trained(net, scans, start, **options.fields, **told)
        values = {name: row[key] for name, key in columns.items()}
        found[f"{optimizer} {rate:g}"] = values
        cells = "  ".join(f"{value:9.3f}" for value in values.values())
        print(f"{optimizer:9s}  {rate:<7g}  {cells}", flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
