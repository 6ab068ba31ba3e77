"""Draws neighbours.png, the README's picture: one removed slice and what each method puts there.

    python notebooks/neighbours.py [BUNDLE]

The scan is the real MR that nibabel's package carries; no model was trained on it.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from nibabel.testing import data_path

from medgen.interpolation import interpolate_volume, interpolator_named
from medgen.volumes import read_volume

HERE = Path(__file__).parent
AXIS, REMOVED = 2, 13


def main() -> None:
    model = sys.argv[1] if len(sys.argv) > 1 else "mr-pixelminer"
    truth = read_volume(Path(data_path) / "example4d.nii.gz", volume=0)
    kept = truth.array[:, :, ::2]
    thick = truth.with_array(
        kept, truth.geometry.resliced(AXIS, kept.shape[AXIS], 2 * truth.spacing[AXIS])
    )

    def written(name: str, **options: str) -> np.ndarray:
        interpolator = interpolator_named(name, **options)
        finer = interpolate_volume(thick, interpolator, factor=2, slice_axis=AXIS)
        return finer.array[:, :, REMOVED]

    panels = {
        "acquired, before": truth.array[:, :, REMOVED - 1],
        "removed (the truth)": truth.array[:, :, REMOVED],
        "acquired, after": truth.array[:, :, REMOVED + 1],
        "two-stage": written("mr-two-stage"),
        "linear": written("linear"),
        "windowed sinc": written("sinc"),
        "PixelMiner, mean": written(model, decode="mean"),
        "PixelMiner, drawn": written(model),
    }
    figure, axes = plt.subplots(2, 4, figsize=(12, 5), dpi=80, layout="constrained")
    high = truth.array.max() * 0.7
    for axis, (title, image) in zip(axes.flat, panels.items(), strict=True):
        axis.imshow(image.T, cmap="gray", vmin=0, vmax=high, origin="lower")
        axis.set_title(title)
        axis.axis("off")
    figure.savefig(HERE / "neighbours.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
