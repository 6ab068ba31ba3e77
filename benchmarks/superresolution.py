"""Time and memory of `medgen superresolve` on 64 x 64 x 64 voxels, by a model and by Lanczos.

    python benchmarks/superresolution.py [--model mr-espcn-x4] [--factor 4]

Every run is a process of its own, from start to written file.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from interpolation import measured  # beside this file

from medgen.phantoms.phantom import phantom_volume
from medgen.volumes import write_volume

SIDE = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mr-espcn-x4")
    parser.add_argument("--factor", type=int, default=4)
    options = parser.parse_args()
    print(f"{SIDE} voxels a side to {SIDE * options.factor}", flush=True)
    with tempfile.TemporaryDirectory() as work:
        scan = Path(work) / "scan.nii"
        write_volume(phantom_volume("mr", (SIDE,) * 3, (3.0,) * 3, seed=0), scan)
        for name in ("lanczos", options.model):
            command = ("superresolve", scan, "-o", Path(work) / "out.nii", "--overwrite")
            usage = measured(*command, "--model", name, "--factor", options.factor)
            print(
                f"{name:24s} {usage.seconds:8.1f} s, {usage.cpu_seconds:.1f} s of all cores, "
                f"{usage.memory:.2f} GiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
