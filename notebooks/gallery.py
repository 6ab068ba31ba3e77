"""Draws coronal.png, the README's picture, and with scans of your own the gallery: `make gallery`.

    python notebooks/gallery.py [--data FOLDER] [--output FOLDER]

Every second slice is removed and put back by each method; coronal planes show what that does, as
there slices are lines. coronal.png is of the real MR that nibabel's package carries. With --data, a
picture of each of `SCENES` is written to the output whose scan lies in the folder.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import nibabel
import numpy as np

from medgen.interpolation import interpolate_volume, interpolator_named
from medgen.interpolation.insert import insert
from medgen.interpolation.plan import plan_slices
from medgen.volumes import Volume, read_volume

HERE = Path(__file__).parent
AXIS = 2  # of the slices; rows are axis 1
BAND = 24  # rows to either side of the plane that methods are shown, which is what they need


@dataclass(frozen=True)
class Scene:
    """A plane of a scan.

    Args:
        name: of the picture.
        file: of the scan.
        title: what it shows.
        credit: where the scan is from, and its licence.
        model: what fills in its slices.
        row: of the plane, as a share of the rows.
        window: lowest and highest value that are told apart; None for the scan's own.
        thin: every which slice is the truth, so that gaps are as wide as in the evaluations.
        volume: of a 4-D file.
    """

    name: str
    file: str
    title: str
    credit: str
    model: str
    row: float = 0.5
    window: tuple[float, float] | None = None
    thin: int = 1
    volume: int | None = None


EXAMPLE = Scene(
    "coronal", "example4d.nii.gz", "MR (EPI)", "nibabel's example, MIT", "mr-pixelminer", volume=0
)
SCENES = (
    Scene(
        "ct_lung", "ct_chest_riderpilot_0117.nii.gz", "CT, lung",
        "RIDER, TCIA, CC BY 3.0", "ct-pixelminer", 0.45, (-1000, 200), thin=3,
    ),
    Scene(
        "ct_abdomen", "ct_abdomen_lidc_0028.nii.gz", "CT, abdomen",
        "LIDC-IDRI, TCIA, CC BY 3.0", "ct-pixelminer", 0.45, (-160, 240),
    ),
    Scene(
        "ct_bone_kernel", "ct_chest_lidc_0350.nii.gz", "CT, BONE kernel",
        "LIDC-IDRI, TCIA, CC BY 3.0", "ct-pixelminer", 0.45, (-1000, 200), thin=2,
    ),
    Scene(
        "mr_t1", "mr_t1ce_vsseg_001.nii.gz", "MR, T1 with contrast",
        "Vestibular-Schwannoma-SEG, TCIA, CC BY 4.0", "mr-pixelminer",
    ),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--output", type=Path, default=HERE.parent / "gallery")
    given = parser.parse_args()
    places = [(EXAMPLE, Path(nibabel.__file__).parent / "tests" / "data", HERE)]
    if given.data is not None:
        given.output.mkdir(exist_ok=True)
        places = [(scene, given.data, given.output) for scene in SCENES]
    for scene, folder, output in places:
        if (folder / scene.file).exists():
            draw(scene, folder / scene.file, output / f"{scene.name}.png")
            print(f"{output / scene.name}.png: {scene.title}; {scene.credit}")


def draw(scene: Scene, path: Path, picture: Path) -> None:
    """Draw the plane of a scene as it is and as each method fills it in."""
    truth = band(read_volume(path, volume=scene.volume), scene)
    panels = {"truth": truth, **filled(thinned(truth, 2), scene.model)}
    spacing, values = truth.geometry.spacing, truth.to_physical()
    low, high = scene.window or (0, np.percentile(values, 99.7))
    shown = np.flatnonzero((values > low + 0.1 * (high - low)).any(axis=(1, 2)))
    columns = slice(shown[0], shown[-1] + 1)  # from the first to the last that show anything
    width, height = len(shown) * spacing[0], truth.shape[AXIS] * spacing[AXIS]
    figure, axes = plt.subplots(
        3, 2, figsize=(10, 15 * height / width + 1.2), dpi=80, layout="constrained"
    )
    for axis, (title, volume) in zip(axes.flat, panels.items(), strict=True):
        deviation = title.endswith("deviation")
        plane = volume.to_physical()[columns, volume.shape[1] // 2]
        limits = (0, np.percentile(plane, 99.5)) if deviation else (low, high)
        axis.imshow(
            plane[::-1].T if volume.geometry.orientation[0] == "R" else plane.T,
            cmap="magma" if deviation else "gray",
            vmin=limits[0],
            vmax=limits[1],
            aspect=spacing[AXIS] / spacing[0],
            origin="lower",
            interpolation="nearest",
        )
        axis.set_title(title)
        axis.axis("off")
    gap = 2 * spacing[AXIS]
    figure.suptitle(f"{scene.title}, acquired slices {gap:.3g} mm apart ({scene.credit})")
    figure.savefig(picture, metadata={"Software": None})
    plt.close(figure)


def band(volume: Volume, scene: Scene) -> Volume:
    """Rows around the plane, and the slices that are the truth: an odd number."""
    row = round(scene.row * volume.shape[1])
    rows = slice(max(0, row - BAND), row + BAND + 1)
    array = volume.array[:, rows]
    geometry = volume.geometry.resliced(1, array.shape[1], volume.spacing[1])
    volume = thinned(volume.with_array(array, geometry), scene.thin)
    odd = (volume.shape[AXIS] - 1) // 2 * 2 + 1
    geometry = volume.geometry.resliced(AXIS, odd, volume.spacing[AXIS])
    return volume.with_array(volume.array[:, :, :odd], geometry)


def thinned(volume: Volume, step: int) -> Volume:
    """Every `step`-th slice."""
    array = volume.array[:, :, ::step]
    spacing = step * volume.spacing[AXIS]
    return volume.with_array(array, volume.geometry.resliced(AXIS, array.shape[AXIS], spacing))


def filled(thick: Volume, model: str) -> dict[str, Volume]:
    """By title: what each method makes of a scan, and how sure the model is."""

    def by(name: str, **options: str) -> Volume:
        return interpolate_volume(
            thick, interpolator_named(name, **options), factor=2, slice_axis=AXIS
        )

    plan = plan_slices(thick.geometry, factor=2, slice_axis=AXIS)
    drawn = insert(thick, interpolator_named(model), plan, uncertainty=True)
    return {
        "linear": by("linear"),
        "windowed sinc": by("sinc"),
        "medgen, mean": by(model, decode="mean"),
        "medgen, drawn": drawn.volumes[0],
        "medgen, standard deviation": drawn.uncertainty["std"],
    }


if __name__ == "__main__":
    main()
