"""What makes voxels finer, classical methods and trained models alike, and what it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medgen.errors import BundleError
from medgen.interpolation.contract import Progress
from medgen.tiling import Box
from medgen.volumes.volume import Volume

# Names of the maps: standard deviation, and the ends of a 90 % interval.
UNCERTAINTY = ("std", "low", "high")


@dataclass(frozen=True, eq=False)
class Part:
    """Some voxels of the finer scan.

    Args:
        box: where they lie, in coarse voxels.
        values: `(factor d, factor h, factor w)` for a box of `(d, h, w)`, `(d, factor h, factor w)`
            in-plane; in physical units.
        uncertainty: by name in `UNCERTAINTY`, each like `values`; None if not asked for.
    """

    box: Box
    values: np.ndarray
    uncertainty: Mapping[str, np.ndarray] | None = None


class SuperResolver:
    """Anything that can make voxels finer: the base of classical methods and of trained models."""

    if TYPE_CHECKING:

        @property
        def name(self) -> str:
            """How users know it."""

        @property
        def tells_uncertainty(self) -> bool:
            """Whether it can measure how sure it is of a voxel."""

        @property
        def only_factor(self) -> int | None:
            """The one factor that it knows; None where any will do."""

        @property
        def only_in_plane(self) -> bool:
            """Whether it can make pixels finer, but no slices."""

        @property
        def copies(self) -> int:
            """Upper bound of the float32 copies of the coarse scan that `refine` holds."""

    else:
        tells_uncertainty = False
        only_factor = None
        only_in_plane = False
        copies = 2

    def bytes_needed(self, rows: int, cols: int) -> int:
        """Upper bound of what `refine` takes for coarse slices of a size, beside copies of them."""
        return 0

    def refine(
        self,
        stack: Volume,
        factor: int,
        progress: Progress,
        *,
        in_plane: bool = False,
        uncertainty: bool = False,
    ) -> Iterator[Part]:
        """Yield parts that make up the finer scan, each once, without seams.

        Args:
            stack: `(n, rows, cols)` in physical units as `interpolation.insert.stack_slices` gives
                it: slices first, all voxels finite, padding replaced.
            factor: voxels made of one along each axis; theirs fill its space, so that the finer
                grid is `Geometry.subdivide`'s.
            progress: to be called with (work done, work in all).
            in_plane: whether rows and columns alone are made finer, and slices stay as thick.
            uncertainty: whether to measure it; only if it `tells_uncertainty`.
        """
        raise NotImplementedError

    def require(self, factor: int, *, in_plane: bool = False, uncertainty: bool = False) -> None:
        """Refuse what `refine` cannot give.

        Raises:
            BundleError: another factor than the model's, slices of a model that knows pixels alone,
                or an uncertainty it does not know.
        """
        if self.only_in_plane and not in_plane:
            raise BundleError(
                f"{self.name} makes pixels finer, and no slices; add --in-plane, or name another "
                "model."
            )
        if self.only_factor not in (None, factor):
            raise BundleError(
                f"{self.name} makes {self.only_factor} voxels of one along each axis, got a factor "
                f"of {factor}; leave --factor out, or name another model."
            )
        if uncertainty and not self.tells_uncertainty:
            raise BundleError(
                f"{self.name} cannot tell the uncertainty of voxels; leave it out, or name a "
                "trained model that can."
            )
