"""ECLARE beside medgen's methods, on the same removed slices of one scan.

    pip install eclare torch        # in an environment of its own
    python benchmarks/eclare.py SCAN -o REPORT --run-eclare .../bin/run-eclare [--patches 4000]
        [--gap 3] [--middle 96] [--thickness-mm 1] [--adapt-steps 20] [--method NAME]...

ECLARE [1] learns from the pixels of the scan's own slices, as `--adapt` does. It asks for a million
patches, which take a GPU, and is cut to `--patches` here. It fills a gap with slices as far apart
as pixels are, half of one beside the acquired ones, so `--gap` must be an odd number of slices,
whose centres then lie on those of removed ones, and is told to it as so many pixels.
`--thickness-mm` tells it the slice profile; without, it estimates that. All is printed as by
`medgen evaluate`, and behind it the minutes of all cores that each method took.

[1] Remedios et al., ECLARE: efficient cross-planar learning for anisotropic resolution
    enhancement, 2025.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from medgen.adaptation.adapting import Learning
from medgen.adaptation.naming import learning_recreators
from medgen.cli.evaluate import echo_summary
from medgen.evaluation.report import write_report
from medgen.evaluation.scans import Settings, evaluate_scans
from medgen.interpolation import SELF
from medgen.interpolation.recreate import recreators
from medgen.volumes import Volume, read_volume

METHODS = ("linear", "bspline")
SEED = 0


@dataclass(frozen=True)
class Eclare:
    """Inserts slices as an evaluation's methods do.

    Args:
        command: `run-eclare`.
        patches: to learn from.
        thickness_mm: of the slices, None for what it estimates.
    """

    command: Path
    patches: int
    thickness_mm: float | None

    def __call__(self, volume: Volume, *, factor: int, slice_axis: int) -> Volume:
        """A scan with `factor - 1` slices between neighbours, of its own grid at factor spacing."""
        if factor % 2 == 0:
            raise SystemExit(f"--gap must be an odd number of slices, got {factor}.")
        spacing = np.full(3, volume.spacing[slice_axis] / factor)
        spacing[slice_axis] *= factor
        count = (volume.shape[slice_axis] - 1) * factor + 1
        geometry = volume.geometry.resliced(slice_axis, count, volume.spacing[slice_axis] / factor)
        with tempfile.TemporaryDirectory() as work:
            scan = Path(work) / "scan.nii"
            image = nibabel.Nifti1Image(
                volume.to_physical().astype(np.float32), np.diag([*spacing, 1])
            )
            nibabel.save(image, scan)
            words = [self.command, "--in-fpath", scan, "--out-dir", work]
            words += ["--n-patches", self.patches, "--suffix", "_fine"]
            if self.thickness_mm is not None:
                words += ["--relative-slice-thickness", self.thickness_mm / spacing.min()]
            done = subprocess.run([*map(str, words)], capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr)
            fine = nibabel.load(Path(work) / "scan_fine.nii").get_fdata(dtype=np.float32)
        first = factor // 2  # voxels before the centre of the first slice
        inner = np.take(fine, range(first, first + count), slice_axis)
        return Volume(inner, geometry, modality=volume.modality)


def middle_of(scan: Path, side: int, axis: int) -> nibabel.Nifti1Image:
    """The middle `side` x `side` pixels of all slices of a NIfTI file."""
    image = nibabel.load(scan)
    box = [slice(None)] * 3
    for across in {0, 1, 2} - {axis}:
        start = max(0, (image.shape[across] - side) // 2)
        box[across] = slice(start, start + side)
    return image.slicer[tuple(box)]


def timed(name: str, method: Callable[..., Any], minutes: dict[str, float]) -> Callable[..., Any]:
    """The same method, which notes how long the processor was at it."""

    def run(*args: Any, **options: Any) -> Any:
        before = sum(os.times()[:4])
        made = method(*args, **options)
        minutes[name] = (sum(os.times()[:4]) - before) / 60
        return made

    return run


def main() -> None:
    """Evaluate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scan", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--run-eclare", type=Path, required=True)
    parser.add_argument("--patches", type=int, default=1_000_000)
    parser.add_argument("--gap", type=int, default=3, help="in slices, an odd number")
    parser.add_argument("--middle", type=int, default=96, help="pixels a side of each slice")
    parser.add_argument("--thickness-mm", type=float)
    parser.add_argument("--adapt-steps", type=int, help="default: no model learns from the scan")
    parser.add_argument("--method", action="append", default=[])
    args = parser.parse_args()

    names = [*METHODS, *args.method]
    methods = recreators([name for name in names if name != SELF], SEED, intervals=True)
    if args.adapt_steps is not None:
        learning = Learning(args.adapt_steps, thickness_mm=args.thickness_mm, seed=SEED, tell=print)
        methods |= learning_recreators(names, learning)
    methods["eclare"] = Eclare(args.run_eclare, args.patches, args.thickness_mm)
    minutes: dict[str, float] = {}
    methods = {name: timed(name, method, minutes) for name, method in methods.items()}
    axis = read_volume(args.scan).geometry.slice_axis
    with tempfile.TemporaryDirectory() as work:
        part = Path(work) / f"middle_of_{args.scan.name}"
        nibabel.save(middle_of(args.scan, args.middle, axis), part)
        settings = Settings(factor=args.gap, slice_axis=axis, seed=SEED)
        summary = write_report(evaluate_scans([part], methods, settings), args.output)
    echo_summary(summary, args.output)
    for name, taken in minutes.items():
        print(f"{name:32} {taken:6.2f} minutes")


if __name__ == "__main__":
    main()
