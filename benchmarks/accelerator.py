"""Train PixelMiners on an accelerator for some minutes, and measure them.

    export KERAS_BACKEND=jax
    python benchmarks/accelerator.py OUT --ct DATA --ct-scan SCAN --mr DATA --mr-scan SCAN

For each modality that is given: `medgen train-pixelminer` on DATA, a folder, with SCAN to validate
on; `medgen evaluate` of what came of it on SCAN, drawn and mean, where every other slice is
removed; `benchmarks/interpolation.py` on SCAN. First of all `benchmarks/sampling.py`. Each is
printed before it runs, so that it can be repeated alone. Models and reports stay in OUT, also when
a later command fails; a run that was cut off goes on when the same command is given again.

Try it where time costs nothing, with `--minutes 0.1 --batch-size 2`, on a CPU.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MEDGEN = (sys.executable, "-m", "medgen")


def run(*words: object) -> bool:
    """Print a command, run it, and tell whether it went well."""
    command = [str(word) for word in words]
    print(f"\n$ {shlex.join(command)}", flush=True)
    code = subprocess.run(command, check=False).returncode
    if code:
        print(f"failed ({code})", flush=True)
    return code == 0


def trained(modality: str, data: Path, scan: Path, options: argparse.Namespace) -> Path | None:
    """Where the model of a modality is; None if it could not be trained."""
    model = options.output / f"{modality}-pixelminer"
    if (model / "recipe.json").exists():
        return model
    words = [*MEDGEN, "train-pixelminer", data, "--validation", scan, "-o", model, "--resume"]
    words += ["--minutes", options.minutes, "--batch-size", options.batch_size]
    words += ["--learning-rate", options.learning_rate]
    if options.start:
        words += ["--start", f"{modality}-pixelminer"]
    return model if run(*words) else None


def measure(model: Path, scan: Path, report: Path) -> None:
    """Print what a model is worth on a scan, and how long it takes."""
    if not report.exists():
        methods = [f"{model}:decode=mean", str(model), "linear", "bspline"]
        words = [word for method in methods for word in ("--method", method)]
        run(*MEDGEN, "evaluate", scan, "-o", report, "--jobs", 1, *words)
    run(sys.executable, HERE / "interpolation.py", "--model", model, "--scan", scan)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, metavar="OUT")
    for modality in ("ct", "mr"):
        parser.add_argument(f"--{modality}", type=Path, metavar="DATA")
        parser.add_argument(f"--{modality}-scan", type=Path, metavar="SCAN")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--start", action="store_true", help="from the released model")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    options = parser.parse_args()
    given = {
        modality: (data, scan)
        for modality in ("ct", "mr")
        if (data := getattr(options, modality)) and (scan := getattr(options, f"{modality}_scan"))
    }
    if not given:
        parser.error("give --ct with --ct-scan, or --mr with --mr-scan")
    print(f"KERAS_BACKEND={os.environ.get('KERAS_BACKEND', 'tensorflow')}")
    options.output.mkdir(parents=True, exist_ok=True)
    run(sys.executable, HERE / "sampling.py", "--no-tfp")
    # All models before the first figure: a machine may be lent for less time than it all takes.
    models = {name: trained(name, data, scan, options) for name, (data, scan) in given.items()}
    for name, model in models.items():
        if model is not None:
            measure(model, given[name][1], options.output / f"{name}-report")


if __name__ == "__main__":
    main()
