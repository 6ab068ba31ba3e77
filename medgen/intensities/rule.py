"""How a model maps the intensities of any scan of its modality; saved with the model."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from medgen.errors import IntensityError
from medgen.intensities.guess import UNTOLD, Guess
from medgen.intensities.modality import MODALITIES, UNKNOWN, Modality
from medgen.intensities.scale import Scale

# Percentiles of a whole MR volume between which its levels lie.
MR_PERCENTILES = (0.5, 99.9)
MOST_LEVELS = 65536


@dataclass(frozen=True)
class IntensityRule:
    """How a model maps the intensities of any scan of its modality; saved with the model.

    CT has one `Scale` for all scans, in HU; so have images, in 8 bits. MR has no absolute units:
    each volume (never each slice or batch) is scaled between two of its own percentiles,
    `MR_PERCENTILES`.

    Args:
        modality: `ct`, `mr` or `he`.
        levels: number of levels, 2 to 65536.
        low_hu: HU of level 0, or 0 of images (not MR).
        high_hu: HU of the last level, or 255 of images (not MR).
    """

    modality: str
    levels: int = 2048
    low_hu: float = -1024.0
    high_hu: float = 1023.0

    def __post_init__(self) -> None:
        learnt = [kind.name for kind in MODALITIES.values() if kind.is_learnt]
        if self.modality not in learnt:
            raise IntensityError(
                f"A model is for {', '.join(learnt[:-1])} or {learnt[-1]}, got {self.modality!r}."
            )
        whole = type(self.levels) is int and 2 <= self.levels <= MOST_LEVELS
        if not whole or not -math.inf < self.low_hu < self.high_hu < math.inf:
            raise IntensityError(
                f"Levels must be from 2 to {MOST_LEVELS} and low_hu below high_hu, got "
                f"{self.levels}, {self.low_hu}, {self.high_hu}."
            )

    @property
    def kind(self) -> Modality:
        """What there is to know of the model's kind of scan."""
        return MODALITIES[self.modality]

    @property
    def level_width(self) -> float:
        """Width of a level in HU, or in per cent of a scan's range where that has no units."""
        span = self.high_hu - self.low_hu if self.kind.absolute else 100
        return span / (self.levels - 1)

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
        if self.kind.absolute:
            return Scale(self.low_hu, self.high_hu, self.levels)
        low, high = (float(value) for value in np.percentile(physical, MR_PERCENTILES))
        # A constant scan has no contrast to scale; any range that holds its value will do.
        return Scale(low, high if high > low else low + 1 + abs(low), self.levels)

    def require(self, modality: str, guess: Guess = UNTOLD) -> None:
        """Refuse a scan of another modality than the model's.

        Args:
            modality: the scan's.
            guess: why that is thought.

        Raises:
            IntensityError: it is another, or nobody knows which.
        """
        if modality == UNKNOWN.name:
            raise IntensityError(guess.question)
        if modality != self.modality:
            other = MODALITIES[modality]
            choose = f"choose a model for {other.title}, or " if other.is_learnt else ""
            raise IntensityError(
                f"This model was trained on {self.kind.title} and the scan looks like "
                f"{other.title}: {guess.words}; {choose}add --modality {self.modality} if it is "
                f"{self.kind.title}."
            )

    def to_json(self) -> dict[str, object]:
        """Plain values, as `IntensityRule(**values)` takes them."""
        return asdict(self)
