"""Analytic phantoms: a torso in CT and a head in MR whose intensity is known at any point in mm.

Nothing is drawn on a grid, so slices that a scan lacks can be had exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medgen.errors import GeometryError
from medgen.phantoms.anatomy import Head, Torso
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume

# What the body of usual size fills: width, depth and the height shown, in mm.
BODY_MM = {"ct": (365.0, 265.0, 320.0), "mr": (185.0, 225.0, 185.0)}
BODIES: dict[str, type[Torso | Head]] = {"ct": Torso, "mr": Head}
STORED_RANGE = {"ct": (-1024, 3071), "mr": (0, 32767)}


def phantom_volume(
    modality: str, shape: tuple[int, int, int], spacing: tuple[float, float, float], seed: int
) -> Volume:
    """Sample a phantom on a grid centred on it, axes along R, A and S.

    The same phantom on a finer grid (`Geometry.refine`) has the same values at shared positions.

    Args:
        modality: `ct` (int16, HU) or `mr` (int16, >= 0, arbitrary units, T1-like).
        shape: voxels along each axis.
        spacing: mm along each axis; with the shape it decides the phantom's size.
        seed: of the anatomy and the noise.

    Raises:
        GeometryError: a side without voxels or a spacing that is not positive.

    Example:
        >>> scan = phantom_volume("ct", (16, 12, 5), (20.0, 18.0, 30.0), seed=1)
        >>> scan.shape, scan.modality
        ((16, 12, 5), 'ct')
    """
    if not min(spacing) > 0:
        raise GeometryError(f"The spacing must be above 0 mm along each axis, got {spacing}.")
    # Sides are rounded to 1e-9 mm: the same place reached in steps of 3 or of 3 / 7 mm.
    width, depth, height = (
        round(max(n - 1, 1) * s, 9) for n, s in zip(shape, spacing, strict=True)
    )
    origin = tuple(-(n - 1) * s / 2 for n, s in zip(shape, spacing, strict=True))
    geometry = Geometry.from_spacing(shape, spacing, origin)
    phantom = Phantom(modality, (width, depth, height), seed)
    x, y, z = (
        np.round(o + np.arange(n) * s, 9) for o, n, s in zip(origin, shape, spacing, strict=True)
    )
    array = np.empty(shape, np.int16)
    for k, level in enumerate(z):
        image = phantom.intensity(x[:, None], y[None, :], level)
        array[:, :, k] = np.clip(np.rint(image), *STORED_RANGE[modality])
    return Volume(array, geometry, modality=modality)


@dataclass(frozen=True)
class Phantom:
    """One body: anatomy, texture and noise as functions of position.

    Across, the body fills the field of view; along z it is scaled by the same factor, or stretched
    where the field of view is higher than the body.

    Args:
        modality: `ct`: torso with lungs, heart, liver, spine, ribs, trees of vessels; `mr`: head
            with skull, folded cortex, white matter, ventricles, deep nuclei, arteries.
        extent_mm: width, depth and height of the field of view.
        seed: of sizes, places, vessels, texture and noise.

    Example:
        >>> phantom = Phantom("ct", (400.0, 320.0, 300.0), seed=1)
        >>> middle, corner = phantom.intensity(np.array([0.0, 199.0]), np.array([0.0, 159.0]), 0.0)
        >>> bool(middle > -200), bool(corner < -900)  # tissue, and the air around, in HU
        (True, True)
    """

    modality: str
    extent_mm: tuple[float, float, float]
    seed: int = 0

    def __post_init__(self) -> None:
        if self.modality not in BODY_MM:
            raise ValueError(f"modality must be one of {tuple(BODY_MM)}, got {self.modality!r}")

    @cached_property
    def body(self) -> Torso | Head:
        """The anatomy in lengths of a body of usual size."""
        rng = np.random.default_rng(self.seed)
        return BODIES[self.modality](rng)

    def intensity(
        self, x_mm: np.ndarray | float, y_mm: np.ndarray | float, z_mm: np.ndarray | float
    ) -> np.ndarray:
        """Intensity at points in RAS mm from the phantom's centre.

        Args:
            x_mm: right; these three broadcast against each other.
            y_mm: anterior.
            z_mm: superior.

        Returns:
            float64 HU (`ct`) or arbitrary units (`mr`) in the broadcast shape, before rounding.
        """
        ratios = np.divide(self.extent_mm, BODY_MM[self.modality])
        across = ratios[:2].min()
        x, y, z = (np.asarray(p, np.float64) for p in (x_mm, y_mm, z_mm))
        return self.body.intensity((x / across, y / across, z / max(across, ratios[2])))
