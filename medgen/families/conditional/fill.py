"""Slices from a conditional two-stage model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from medgen.families.conditional.sampler import CodeSampler
from medgen.families.pixelminer.fill import LevelInterpolator


@dataclass(frozen=True, eq=False)
class ConditionalInterpolator(LevelInterpolator):
    """Draws the codes of missing slices and decodes them, or gives the prediction.

    Args:
        bundle: a conditional two-stage model.
        seed: see `LevelInterpolator`; but for codes whose uniform number lies within float32
            rounding of the next code's, and what these lead to.
        temperature: see `categorical_draw` and `LevelInterpolator`.
        decode: see `LevelInterpolator`.
        top_k: see `categorical_draw`.
        top_p: see `categorical_draw`.

    Raises:
        BundleError: `decode` unknown.
        MedgenError: temperature, top_k or top_p out of range.
    """

    top_k: int | None = None
    top_p: float | None = None
    tells_uncertainty: ClassVar = True

    def make_sampler(self) -> CodeSampler:
        """See `LevelInterpolator.make_sampler`."""
        return CodeSampler(
            self.bundle.nets["vqvae"],
            self.bundle.nets["prior"],
            self.drawn_at,
            self.top_k,
            self.top_p,
            self.decode,
        )

    @property
    def context(self) -> int:
        """See `LevelInterpolator.context`."""
        return self.bundle.nets["vqvae"].context
