"""Several fillings of the same gaps, and how sure their model is of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from medgen.interpolation.engine import (
    FinerStack,
    Interpolator,
    Progress,
    require_finite,
    require_suited,
    stack_slices,
)
from medgen.interpolation.plan import SlicePlan
from medgen.volumes.nifti_fields import of_another_quantity
from medgen.volumes.volume import Volume

# Names of the maps: standard deviation, entropy, and the ends of a 90 % interval.
UNCERTAINTY = ("std", "entropy", "low", "high")


@dataclass(frozen=True, eq=False)
class Filling:
    """One synthetic slice, as often as it was drawn.

    Args:
        images: `(samples, rows, cols)` in physical units, of the stack's dtype.
        uncertainty: by name in `UNCERTAINTY`, `(rows, cols)` in physical units, entropy in bits;
            None if not asked for.
    """

    images: np.ndarray
    uncertainty: Mapping[str, np.ndarray] | None = None


class SamplingInterpolator(Interpolator, Protocol):
    """An interpolator that draws its slices, so that it could draw others."""

    def fill_several(
        self,
        stack: Volume,
        positions: np.ndarray,
        progress: Progress,
        *,
        samples: int,
        uncertainty: bool,
    ) -> Iterator[Filling]:
        """Do what `fill` does, `samples` times.

        Args:
            stack: see `Interpolator.fill`.
            positions: likewise.
            progress: likewise.
            samples: how many; the first is what `fill` gives, the k-th what it gives with the seed
                k - 1 higher.
            uncertainty: whether to measure it.

        Raises:
            BundleError: the model cannot tell its uncertainty.
        """
        ...


@dataclass(frozen=True, eq=False)
class Samples:
    """Finer scans that differ in what was drawn.

    Args:
        volumes: as `interpolate_volume` gives them.
        uncertainty: by name in `UNCERTAINTY`, float32 on the same grid, in physical units (HU for
            CT; float64 where the scan needs it) and bits; empty if not asked for. In acquired
            voxels, and where background or padding stays, deviation and entropy are 0 and both ends
            of the interval the voxel's value.
    """

    volumes: tuple[Volume, ...]
    uncertainty: Mapping[str, Volume] = field(default_factory=dict)


def insert_samples(
    volume: Volume,
    interpolator: SamplingInterpolator,
    plan: SlicePlan,
    *,
    samples: int = 1,
    uncertainty: bool = False,
    progress: Progress | None = None,
) -> Samples:
    """Do what `insert_slices` does several times, in one run, and measure the uncertainty.

    Args:
        volume: see `interpolate_volume`.
        interpolator: where the synthetic slices come from.
        plan: made by `plan_slices` for this scan.
        samples: number of fillings.
        uncertainty: whether to measure it; see `sampling.uncertainty.Uncertainty` for what it is.
        progress: see `interpolate_volume`.

    Raises:
        IntensityError: see `interpolate_volume`.
        BundleError: the model cannot tell its uncertainty, or the scan is a label map.
    """
    require_suited(interpolator, volume)
    stack, outside = stack_slices(volume, plan.axis)
    finer = [FinerStack(volume, plan, outside) for _ in range(samples)]
    maps = {}
    if uncertainty:
        value = replace(
            volume,
            array=volume.physical(),
            slope=1.0,
            intercept=0.0,
            metadata=of_another_quantity(volume.metadata),
        )
        nothing = replace(value, array=np.broadcast_to(np.float32(0), volume.shape))
        maps = {
            name: FinerStack(of, plan, outside)
            for name, of in zip(UNCERTAINTY, (nothing, nothing, value, value), strict=True)
        }
    slices = interpolator.fill_several(
        stack,
        plan.positions[plan.synthetic],
        progress or (lambda done, total: None),
        samples=samples,
        uncertainty=uncertainty,
    )
    for target, filling in zip(np.flatnonzero(plan.synthetic), slices, strict=True):
        for sample, image in zip(finer, filling.images, strict=True):
            require_finite(image, interpolator.name, target)
            sample.insert(target, image)
        for name, map_ in maps.items():
            require_finite(filling.uncertainty[name], interpolator.name, target)
            map_.insert(target, filling.uncertainty[name])
    return Samples(
        tuple(sample.volume() for sample in finer),
        {name: map_.volume() for name, map_ in maps.items()},
    )
