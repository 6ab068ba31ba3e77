"""A volume in, a finer volume out: the slices between acquired ones come from any interpolator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from medgen.errors import BundleError, IntensityError
from medgen.intensities.guess import UNTOLD
from medgen.intensities.padding import Outside, find_outside
from medgen.interpolation.contract import UNCERTAINTY, Filling, Interpolator, Progress
from medgen.interpolation.plan import SlicePlan, plan_slices
from medgen.volumes.geometry import Geometry
from medgen.volumes.nifti_fields import in_finer_scan, of_another_quantity
from medgen.volumes.volume import Volume, joined_channels

# What may be asked for the slices of a label map: numbers between two labels name others.
FOR_LABELS = ("shape", "nearest")


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


def interpolate_volume(
    volume: Volume,
    interpolator: Interpolator,
    *,
    factor: int | None = None,
    spacing_mm: float | None = None,
    slice_axis: int | None = None,
    progress: Progress | None = None,
) -> Volume:
    """Insert synthetic slices between neighbours along one axis.

    Acquired slices leave as they came, bit for bit, wherever a wanted position coincides with one;
    with a factor that is `out[::factor]` along the axis. Synthetic slices are rounded to the stored
    dtype and limited to its range.

    A background of one exact value that fills the surroundings of the patient stays as it is in a
    synthetic voxel when both acquired neighbours hold it. Padding, where nothing was measured, is
    never averaged with tissue: the interpolator sees the nearest measured slice in its place, and a
    synthetic voxel is padding where the nearer neighbour is (half-way: where both are). See
    `medgen.intensities.padding` for how both are told.

    Synthetic slices of a label map hold labels of their neighbours, exactly as these store them.

    Args:
        volume: the scan; at least 2 slices along the axis, no NaN or infinite voxel. Of several
            channels each is filled in by itself.
        interpolator: where the synthetic slices come from.
        factor: int >= 2. New spacing = old spacing / `factor`; `(n - 1) * factor + 1` slices.
        spacing_mm: new distance between slices, below the old one; the first slice stays, the last
            one is the last multiple of it within the scan. Give this or `factor`.
        slice_axis: 0, 1 or 2; by default `volume.geometry.slice_axis`.
        progress: called with (synthetic slices done, synthetic slices in all).

    Returns:
        Volume with more slices along the axis; stored dtype, scaling, origin and directions kept.

    Raises:
        GeometryError: not exactly one of `factor` and `spacing_mm`, or one that does not fit.
        IntensityError: the scan, or what the interpolator makes of it, has NaN or infinite voxels,
            or a label map holds fractions.
        BundleError: the interpolator is not for label maps, and the scan is one.

    Example:
        >>> from medgen.interpolation import interpolator_named
        >>> from medgen.phantoms.phantom import phantom_volume
        >>> scan = phantom_volume("ct", (16, 16, 5), (20.0, 20.0, 40.0), seed=0)
        >>> interpolate_volume(scan, interpolator_named("linear"), factor=2).shape
        (16, 16, 9)
    """
    plan = plan_slices(volume.geometry, factor=factor, spacing_mm=spacing_mm, slice_axis=slice_axis)
    return insert(volume, interpolator, plan, progress=progress).volumes[0]


def insert(
    volume: Volume,
    interpolator: Interpolator,
    plan: SlicePlan,
    *,
    samples: int = 1,
    uncertainty: bool = False,
    progress: Progress | None = None,
) -> Samples:
    """Do what `interpolate_volume` does, to a plan made by `plan_slices` for this scan.

    Args:
        volume: see `interpolate_volume`.
        interpolator: where the synthetic slices come from.
        plan: what slices there will be.
        samples: how many finer scans to draw.
        uncertainty: whether to measure it; see `sampling.uncertainty.Uncertainty` for what it is.
        progress: see `interpolate_volume`.

    Raises:
        IntensityError: see `interpolate_volume`.
        BundleError: likewise, or the interpolator has no other samples, or no uncertainty.

    Example:
        >>> from medgen.interpolation import interpolator_named
        >>> from medgen.interpolation.plan import plan_slices
        >>> from medgen.phantoms.phantom import phantom_volume
        >>> scan = phantom_volume("mr", (12, 10, 4), (15.0, 15.0, 30.0), seed=1)
        >>> plan = plan_slices(scan.geometry, spacing_mm=10.0)
        >>> samples = insert(scan, interpolator_named("linear"), plan)
        >>> [finer.shape for finer in samples.volumes]
        [(12, 10, 10)]
    """
    progress = progress or (lambda done, total: None)
    interpolator.require(samples=samples, uncertainty=uncertainty)
    require_suited(interpolator, volume)
    if volume.channels:
        return _insert_channels(volume, interpolator, plan, progress, samples, uncertainty)
    fill = partial(interpolator.fill, positions=plan.positions[plan.synthetic], progress=progress)
    targets = np.flatnonzero(plan.synthetic).tolist()
    if volume.kind.is_categorical:
        return Samples((_insert_labels(volume, fill, plan, targets),))
    stack, outside = stack_slices(volume, plan.axis)
    finer = [FinerStack(volume, plan, outside) for _ in range(samples)]
    maps = _maps(volume, plan, outside) if uncertainty else {}
    fillings = fill(stack, samples=samples, uncertainty=uncertainty)
    for target, filling in zip(targets, fillings, strict=True):
        for sample, image in zip(finer, filling.images, strict=True):
            _require_finite(image, interpolator.name, target)
            sample.insert(target, image)
        measured = filling.uncertainty or {}
        for name, map_ in maps.items():
            _require_finite(measured[name], interpolator.name, target)
            map_.insert(target, measured[name])
    return Samples(
        tuple(sample.volume() for sample in finer),
        {name: map_.volume() for name, map_ in maps.items()},
    )


def _insert_channels(
    volume: Volume,
    interpolator: Interpolator,
    plan: SlicePlan,
    progress: Progress,
    samples: int,
    uncertainty: bool,
) -> Samples:
    count = len(volume.channels)
    by_channel = []
    for c, channel in enumerate(volume.split_channels()):

        def told(done: int, total: int, c: int = c) -> None:
            progress(c * total + done, count * total)

        by_channel.append(
            insert(
                channel,
                interpolator,
                plan,
                samples=samples,
                uncertainty=uncertainty,
                progress=told,
            )
        )
    return Samples(
        tuple(
            joined_channels(volumes, volume.channels)
            for volumes in zip(*(finer.volumes for finer in by_channel), strict=True)
        ),
        {
            name: joined_channels(
                [finer.uncertainty[name] for finer in by_channel], volume.channels
            )
            for name in by_channel[0].uncertainty
        },
    )


def require_suited(interpolator: Interpolator, volume: Volume) -> None:
    """Raise `BundleError` if `volume` is a label map and the interpolator is not for these."""
    if volume.kind.is_categorical and interpolator.name not in FOR_LABELS:
        why = "" if volume.guess is UNTOLD else f": {volume.guess.words}"
        raise BundleError(
            f"{interpolator.name} makes new values, but the scan is a label map{why}; use "
            f"--model {' or '.join(FOR_LABELS)}, or say with --modality what else it is."
        )


def _insert_labels(
    volume: Volume,
    fill: Callable[[Volume], Iterator[Filling]],
    plan: SlicePlan,
    targets: Sequence[int],
) -> Volume:
    acquired = np.moveaxis(volume.array, plan.axis, 0)
    labels = np.unique(np.concatenate([np.unique(image) for image in acquired]))
    values = labels * np.float64(volume.slope) + volume.intercept
    odd = values[~np.isfinite(values) | (values != np.rint(values))]
    if odd.size:
        raise IntensityError(
            f"A label map holds whole numbers, got {odd[0]:g}; round them, or say with --modality "
            "what else the scan is."
        )
    numbers = np.empty(acquired.shape, np.float32)
    for image, stored in zip(numbers, acquired, strict=True):
        image[...] = np.searchsorted(labels, stored)
    array = np.empty(plan.geometry.shape, volume.array.dtype)
    out = np.moveaxis(array, plan.axis, 0)
    out[~plan.synthetic] = acquired[plan.nearest[~plan.synthetic]]
    for target, filling in zip(
        targets, fill(_slices_first(volume, numbers, plan.axis)), strict=True
    ):
        out[target] = labels[filling.images[0].astype(int)]
    return _finer(volume, array, plan)


def _maps(volume: Volume, plan: SlicePlan, outside: Outside) -> dict[str, FinerStack]:
    """Room for the maps of the uncertainty; an acquired voxel is certain."""
    value = replace(
        volume,
        array=volume.to_physical(),
        slope=1.0,
        intercept=0.0,
        metadata=of_another_quantity(volume.metadata),
    )
    nothing = replace(value, array=np.broadcast_to(np.float32(0), volume.shape))
    return {
        name: FinerStack(of, plan, outside)
        for name, of in zip(UNCERTAINTY, (nothing, nothing, value, value), strict=True)
    }


def _finer(volume: Volume, array: np.ndarray, plan: SlicePlan) -> Volume:
    """`volume` with the voxels of a plan, and the metadata that still holds."""
    metadata, _ = in_finer_scan(volume.metadata, plan.axis)
    return replace(volume.with_array(array, plan.geometry), metadata=metadata)


class FinerStack:
    """A volume on the grid of a plan, with its own slices in place and room for synthetic ones.

    Args:
        volume: the acquired slices.
        plan: for its grid.
        outside: of the acquired slices, see `stack_slices`.
    """

    def __init__(self, volume: Volume, plan: SlicePlan, outside: Outside):
        self._from, self._plan, self._outside = volume, plan, outside
        self._array = np.empty(plan.geometry.shape, volume.array.dtype)
        self._acquired, self._out = (
            np.moveaxis(values, plan.axis, 0) for values in (volume.array, self._array)
        )
        acquired = ~plan.synthetic
        self._out[acquired] = self._acquired[plan.nearest[acquired]]

    def insert(self, target: int, image: np.ndarray) -> None:
        """Put `image` `(rows, cols)`, in physical units, into slice `target`."""
        held, nearest = self._outside.held(self._plan.positions[target])
        image = self._from.to_stored(image)
        self._out[target] = np.where(held, self._acquired[nearest], image)

    def volume(self) -> Volume:
        """The finer volume, with the metadata that still holds (see `nifti_fields`)."""
        return _finer(self._from, self._array, self._plan)


def _require_finite(image: np.ndarray, who: str, target: int) -> None:
    """Raise `IntensityError` if `who` gave slice `target` NaN or infinite values."""
    if not np.isfinite(image).all():
        raise IntensityError(
            f"{who} gave NaN or infinite values in slice {target}; use another model."
        )


def stack_slices(volume: Volume, axis: int) -> tuple[Volume, Outside]:
    """What an interpolator is shown: slices first, physical units, padding replaced.

    In place of padding stands what the nearest slice has there that was measured, and air (-1024 HU
    in CT, 0 elsewhere) where none was; see `Outside.without_padding`.

    Args:
        volume: the scan.
        axis: the slice axis; the other two keep their order as rows and columns.

    Returns:
        stack: Volume `(n, rows, cols)` as `Interpolator.fill` takes it.
        outside: where the scan holds padding and background.

    Raises:
        IntensityError: a voxel is NaN or infinite.
    """
    acquired = np.moveaxis(volume.array, axis, 0)
    values = np.empty(acquired.shape, volume.physical_dtype)
    broken = 0
    for image, stored in zip(values, acquired, strict=True):
        image[...] = volume.to_physical(stored)
        broken += image.size - np.count_nonzero(np.isfinite(image))
    if broken:
        raise IntensityError(
            f"Of {values.size} voxels {broken} are NaN or infinite; replace them by numbers first."
        )
    outside = find_outside(values, volume.kind, declared=volume.metadata.get("padding_value"))
    outside.without_padding(values, volume.kind.air)
    return _slices_first(volume, values, axis), outside


def _slices_first(volume: Volume, values: np.ndarray, axis: int) -> Volume:
    """A stack of `values` `(n, rows, cols)` with the geometry and all else of `volume`."""
    order = [axis, *(other for other in range(3) if other != axis)]
    geometry = Geometry(values.shape, volume.geometry.affine[:, [*order, 3]])
    return Volume(values, geometry, modality=volume.modality, metadata=volume.metadata)
