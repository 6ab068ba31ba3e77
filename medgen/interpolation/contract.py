"""What fills in slices, classical methods and trained models alike, and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from medgen.errors import BundleError
from medgen.volumes.volume import Volume

# Stands for a temperature: slices are drawn and given the texture of their neighbours.
AUTO: Final = "auto"
Temperature = float | Literal["auto"]
# Names of the maps: standard deviation, entropy, and the ends of a 90 % interval.
UNCERTAINTY = ("std", "entropy", "low", "high")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Filling:
    """One synthetic slice, as often as it was drawn.

    Args:
        images: `(samples, rows, cols)` in physical units, of the stack's dtype, finite.
        uncertainty: by name in `UNCERTAINTY`, `(rows, cols)` in physical units, entropy in bits;
            None if not asked for.
    """

    images: np.ndarray
    uncertainty: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class Learnt:
    """What came of learning from the slices that were to be filled in.

    Args:
        method: name of what filled them in then.
        sentence: for the user.
        facts: for the provenance, in plain values.
    """

    method: str
    sentence: str
    facts: Mapping[str, object]


class Interpolator:
    """Anything that can fill in slices: the base of classical methods and of trained models.

    What a model needs beyond the scan (seed, temperature) it gets when it is made, so that all are
    treated alike. What it tells of itself is only read: a class may have it, or work it out.
    """

    if TYPE_CHECKING:

        @property
        def name(self) -> str:
            """How users know it."""

        @property
        def draws(self) -> bool:
            """Whether it draws slices at random, and so could draw others."""

        @property
        def tells_uncertainty(self) -> bool:
            """Whether it can measure how sure it is of a voxel."""

        @property
        def temperature(self) -> Temperature | None:
            """Of its sampling; None where there is none."""

        @property
        def bytes_per_voxel(self) -> int:
            """Upper bound of what `fill` takes for a voxel of a float32 stack, beside the stack."""

        @property
        def bytes_per_pixel(self) -> int:
            """Likewise for each pixel of the slices in one gap."""

        @property
        def learnt(self) -> Learnt | None:
            """Of the slices that it was given last; None where it learns nothing."""

    else:
        draws = tells_uncertainty = False
        temperature = learnt = None
        bytes_per_voxel = 10  # levels or codes of the stack, and finding the scale
        bytes_per_pixel = 0

    def fill(
        self,
        stack: Volume,
        positions: np.ndarray,
        progress: Progress,
        *,
        samples: int = 1,
        uncertainty: bool = False,
    ) -> Iterator[Filling]:
        """Yield what belongs at each of `positions`, in their order.

        Slices may be computed in any order and any number at once before the first is yielded, and
        an array that was yielded may be written to when the next one is asked for.

        Args:
            stack: the acquired slices along axis 0, `(n, rows, cols)` float32 in physical units
                (HU for CT) without slope or intercept, all finite, padding replaced (see
                `insert.stack_slices`), float64 where the scan needs it (`Volume.physical_dtype`);
                of a label map, its labels numbered from 0. Its geometry gives spacing and
                orientation of slices, rows and columns.
            positions: `(m,)` float64 ascending, in units of acquired slices, `0 < p < n - 1`, none
                an integer.
            progress: to be called with (slices done, slices in all).
            samples: how often to draw each slice; the k-th draw is what a seed k - 1 higher gives
                alone. At most 1 unless it `draws`.
            uncertainty: whether to measure it; only if it `tells_uncertainty`.
        """
        raise NotImplementedError

    def prediction(self) -> Interpolator | None:
        """The same model's best guess of a slice, without chance; None where it makes none.

        It is quick beside drawing.
        """
        return None

    def require(self, *, samples: int, uncertainty: bool) -> None:
        """Refuse what `fill` cannot give.

        Raises:
            BundleError: several samples of what does not vary, or an uncertainty it does not know.
        """
        if (samples > 1 or uncertainty) and not (self.draws or self.tells_uncertainty):
            raise BundleError(
                f"{self.name} draws nothing at random, so it has neither samples nor an "
                "uncertainty; leave them out or name a trained model."
            )
        if uncertainty and not self.tells_uncertainty:
            raise BundleError(
                f"{self.name} cannot tell the uncertainty of pixels; leave it out, or name "
                "another model."
            )
        if samples > 1 and not self.draws:
            raise BundleError(
                f"The mean of {self.name} does not vary; ask for one sample, or decode samples."
            )


class Deterministic(Interpolator):
    """The base of methods that have one slice for every place and no doubt of it."""

    def slices(
        self, stack: Volume, positions: np.ndarray, progress: Progress
    ) -> Iterator[np.ndarray]:
        """Yield the slice at each of `positions`, `(rows, cols)`; see `Interpolator.fill`."""
        raise NotImplementedError

    def fill(
        self,
        stack: Volume,
        positions: np.ndarray,
        progress: Progress,
        *,
        samples: int = 1,
        uncertainty: bool = False,
    ) -> Iterator[Filling]:
        """Yield a `Filling` of each slice; see `Interpolator.fill`."""
        self.require(samples=samples, uncertainty=uncertainty)
        for image in self.slices(stack, positions, progress):
            yield Filling(image[None])


@dataclass(frozen=True, eq=False)
class Around(Interpolator):
    """The base of interpolators that have another one do the work.

    Args:
        interpolator: the one within, whose attributes these are, too.
    """

    interpolator: Interpolator

    name = property(attrgetter("interpolator.name"))
    draws = property(attrgetter("interpolator.draws"))
    tells_uncertainty = property(attrgetter("interpolator.tells_uncertainty"))
    temperature = property(attrgetter("interpolator.temperature"))
    bytes_per_voxel = property(attrgetter("interpolator.bytes_per_voxel"))
    bytes_per_pixel = property(attrgetter("interpolator.bytes_per_pixel"))
