"""Time and memory of `medgen interpolate` on a 512 x 512 x 50 CT, by a model and by linear.

    python benchmarks/interpolation.py [--model ct-pixelminer] [--scan SCAN]

Every run is a process of its own, from start to written file. Without a scan a phantom is used; of
a scan, the first 50 slices along its slice axis.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import Volume, read_volume, write_volume

SLICES = 50


def first_slices(scan: Path) -> Volume:
    volume = read_volume(scan)
    axis = volume.geometry.slice_axis
    array = np.take(volume.array, range(min(SLICES, volume.shape[axis])), axis)
    geometry = volume.geometry.resliced(axis, array.shape[axis], volume.spacing[axis])
    return volume.with_array(array, geometry)


class Usage(NamedTuple):
    """What a command took: seconds by the clock and of all cores, and its peak memory in GiB."""

    seconds: float
    cpu_seconds: float
    memory: float


def measured(*words: object) -> Usage:
    """What a `medgen` command takes."""
    code = "from medgen.cli import main; main()"
    start = time.perf_counter()
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", code, *map(str, words)],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"medgen {' '.join(map(str, words))} failed")
    seconds = time.perf_counter() - start
    return Usage(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ct-pixelminer")
    parser.add_argument("--scan", type=Path)
    options = parser.parse_args()
    volume = (
        first_slices(options.scan)
        if options.scan
        else phantom_volume("ct", (512, 512, SLICES), (0.7, 0.7, 3.0), seed=0)
    )
    print(f"{' x '.join(map(str, volume.shape))} voxels, factor 2", flush=True)
    with tempfile.TemporaryDirectory() as work:
        scan = Path(work) / "scan.nii"
        write_volume(volume, scan)
        for name in ("linear", options.model):
            command = ("interpolate", scan, "-o", Path(work) / "out.nii", "--overwrite")
            usage = measured(*command, "--model", name)
            print(f"{name:24s} {usage.seconds:8.1f} s {usage.memory:6.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
