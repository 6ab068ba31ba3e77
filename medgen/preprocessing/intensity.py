"""Physical units (HU, MR units) ⇄ the integer levels and the unit range that nets see."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from medgen.errors import IntensityError
from medgen.volumes.volume import Volume

# Percentiles of a whole MR volume between which its levels lie.
MR_PERCENTILES = (0.5, 99.9)
MOST_LEVELS = 65536


@dataclass(frozen=True)
class Scale:
    """Levels `0 … levels - 1` spread evenly over `low … high` in physical units.

    A physical value that is one of the levels comes back exactly; CT over −1024…1023 HU with 2048
    levels loses nothing but what lies outside.
    """

    low: float
    high: float
    levels: int

    @property
    def step(self) -> float:
        """Physical units per level."""
        return (self.high - self.low) / (self.levels - 1)

    def quantise(self, physical: np.ndarray) -> np.ndarray:
        """Nearest level of each value, int32, limited to the first and last level."""
        levels = np.rint((np.asarray(physical, np.float64) - self.low) / self.step)
        return np.clip(levels, 0, self.levels - 1).astype(np.int32)

    def dequantise(self, levels: np.ndarray) -> np.ndarray:
        """Physical value of each level, float32."""
        return (self.low + np.asarray(levels, np.float64) * self.step).astype(np.float32)

    def to_unit(self, physical: np.ndarray) -> np.ndarray:
        """`low … high` ⇒ −0.5…0.5, limited to that range, float32."""
        unit = (np.asarray(physical, np.float32) - self.low) / (self.high - self.low) - 0.5
        return np.clip(unit, -0.5, 0.5).astype(np.float32)

    def from_unit(self, unit: np.ndarray) -> np.ndarray:
        """−0.5…0.5 ⇒ physical units, limited to `low … high`, float32."""
        unit = np.clip(np.asarray(unit, np.float32), -0.5, 0.5)
        return (unit + np.float32(0.5)) * np.float32(self.high - self.low) + np.float32(self.low)


@dataclass(frozen=True)
class IntensityRule:
    """How a model maps the intensities of any scan of its modality; saved with the model.

    CT has one `Scale` for all scans, in HU. MR has no absolute units: each volume (never each slice
    or batch) is scaled between two of its own percentiles, `MR_PERCENTILES`.

    Args:
        modality: `ct` or `mr`.
        levels: number of levels, 2 to 65536.
        low_hu: HU of level 0 (CT only).
        high_hu: HU of the last level (CT only).
    """

    modality: str
    levels: int = 2048
    low_hu: float = -1024.0
    high_hu: float = 1023.0

    def __post_init__(self) -> None:
        if self.modality not in ("ct", "mr"):
            raise IntensityError(f"A model is for ct or mr, got {self.modality!r}.")
        whole = type(self.levels) is int and 2 <= self.levels <= MOST_LEVELS
        if not whole or not -math.inf < self.low_hu < self.high_hu < math.inf:
            raise IntensityError(
                f"Levels must be from 2 to {MOST_LEVELS} and low_hu below high_hu, got "
                f"{self.levels}, {self.low_hu}, {self.high_hu}."
            )

    def scale_for(self, physical: np.ndarray) -> Scale:
        """The scale for one scan, from its voxels in physical units (any shape).

        Raises:
            IntensityError: voxels that are not finite.
        """
        if not np.isfinite(physical).all():
            raise IntensityError(
                f"The scan has {np.count_nonzero(~np.isfinite(physical))} NaN or infinite voxels; "
                "replace them before going on."
            )
        if self.modality == "ct":
            return Scale(self.low_hu, self.high_hu, self.levels)
        low, high = (float(value) for value in np.percentile(physical, MR_PERCENTILES))
        # A constant scan has no contrast to scale; any range that holds its value will do.
        return Scale(low, high if high > low else low + 1 + abs(low), self.levels)

    def require_modality(self, volume: Volume) -> None:
        """Raise `IntensityError` if `volume` is known to be of the other modality."""
        if volume.modality not in (self.modality, "unknown"):
            raise IntensityError(
                f"This model was trained on {self.modality.upper()} and the scan looks like "
                f"{volume.modality.upper()}; choose a model for {volume.modality.upper()}."
            )

    def to_json(self) -> dict[str, object]:
        """Plain values, as `IntensityRule(**values)` takes them."""
        return asdict(self)
