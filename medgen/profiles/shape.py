"""Slice profiles: how much of its surroundings along the slice axis a slice shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import erf

Shape = Literal["box", "gaussian"]
SHAPES: tuple[Shape, ...] = ("box", "gaussian")
# Full width at half maximum of a Gaussian over its standard deviation.
FWHM = float(np.sqrt(8 * np.log(2)))
# Beyond so many standard deviations a Gaussian is 0.
REACH = 4.0


@dataclass(frozen=True)
class SliceProfile:
    """Sensitivity of a slice along its axis.

    Args:
        shape: `box`, or `gaussian`.
        thickness_mm: full width at half maximum, 0 or more.
    """

    shape: Shape
    thickness_mm: float

    @property
    def deviation_mm(self) -> float:
        """Standard deviation of the profile."""
        return self.thickness_mm / (np.sqrt(12) if self.shape == "box" else FWHM)

    def weights(self, spacing_mm: float) -> np.ndarray:
        """Weights of thin slices `spacing_mm` apart in one of this profile.

        Returns:
            `(2 * m + 1,)`, summing to 1, for the thin slices `-m … m` around its centre; each has
            the integral of the profile over its own width, so that thickness 0 gives `[1]`.
        """
        half = self.thickness_mm / 2
        reach = half if self.shape == "box" else REACH * self.deviation_mm
        count = int(np.ceil(max(0.0, reach / spacing_mm - 0.5)))
        ends = (np.arange(-count, count + 2) - 0.5) * spacing_mm
        weights = np.diff(self._cumulative(ends))
        return weights / weights.sum()

    def _cumulative(self, z: np.ndarray) -> np.ndarray:
        """Integral of the profile up to `z` mm."""
        if self.thickness_mm == 0:
            return (z > 0).astype(float)
        if self.shape == "box":
            return np.clip(z / self.thickness_mm + 0.5, 0, 1)
        return (1 + erf(z / (np.sqrt(2) * self.deviation_mm))) / 2
