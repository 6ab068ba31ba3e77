"""Physical units (HU, MR units) ⇄ the integer levels and the unit range that nets see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike


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

    def dequantise(self, levels: np.ndarray, dtype: DTypeLike = np.float32) -> np.ndarray:
        """Physical value of each level."""
        return (self.low + np.asarray(levels, np.float64) * self.step).astype(dtype)

    def to_unit(self, physical: np.ndarray) -> np.ndarray:
        """`low … high` ⇒ −0.5…0.5, limited to that range, float32."""
        physical = np.asarray(physical)
        if physical.dtype != np.float64:
            physical = physical.astype(np.float32)
        unit = (physical - self.low) / (self.high - self.low) - 0.5
        return np.clip(unit, -0.5, 0.5).astype(np.float32)

    def from_unit(self, unit: np.ndarray, dtype: DTypeLike = np.float32) -> np.ndarray:
        """−0.5…0.5 ⇒ physical units, limited to `low … high`."""
        number: Callable[[float], Any] = np.dtype(dtype).type
        unit = np.clip(np.asarray(unit, dtype), -0.5, 0.5)
        return (unit + number(0.5)) * number(self.high - self.low) + number(self.low)
