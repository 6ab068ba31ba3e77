"""What a PixelMiner's prediction learns in as many steps by each optimizer.

    python benchmarks/optimizers.py DATA... --validation SCAN [--steps 400]

Recipe `no-autoregression` is trained by Adam and by Muon (see `medgen/training/muon.py`) at each of
`--rates`, on the same windows in the same order. Told of windows of the validation scan: bits per
pixel, the mean absolute error of the prediction in HU (CT) or per cent of the range (MR) beside
that of linear interpolation, and seconds. The last line is one JSON object. A run of 400 steps
takes five minutes of a core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

from medgen.families.pixelminer.fit import PixelMinerTask
from medgen.families.pixelminer.presets import PIXELMINER_RECIPES
from medgen.recipes import OPTIMIZERS
from medgen.training.checkpoint import FolderStore, Row
from medgen.training.gather import TrainingScans, gather_scans
from medgen.training.schedule import Plan
from medgen.training.session import train

COLUMNS = {
    "bits": "prediction_bits_per_dim",
    "error": "prediction_mae",
    "linear": "linear_mae",
    "seconds": "seconds",
}


def trained(scans: TrainingScans, optimizer: str, rate: float, steps: int) -> Row:
    """The last validation of the prediction."""
    recipe = replace(
        PIXELMINER_RECIPES["no-autoregression"],
        steps=steps,
        validate_every=steps,
        learning_rate=rate,
        optimizer=optimizer,
    )
    with tempfile.TemporaryDirectory() as folder:
        task = PixelMinerTask(scans, recipe)
        return train(task, Plan.of(recipe), FolderStore(Path(folder)))[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--validation", nargs="+", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-3])
    options = parser.parse_args()
    scans = gather_scans(
        options.data, options.validation, rule=None, image_size=None, guard_mm=8.0, seed=0
    )
    found = {}
    print("optimizer  rate     " + "  ".join(f"{name:>7s}" for name in COLUMNS))
    for rate, optimizer in product(options.rates, OPTIMIZERS):
        row = trained(scans, optimizer, rate, options.steps)
        values = {name: row[key] for name, key in COLUMNS.items()}
        found[f"{optimizer} {rate:g}"] = values
        told = "  ".join(f"{value:7.3f}" for value in values.values())
        print(f"{optimizer:9s}  {rate:<7g}  {told}", flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
