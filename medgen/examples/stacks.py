"""Volumes as stacks of slices in the unit range, split into what trains and what validates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import nibabel as nib
import numpy as np
from skimage.transform import resize

from medgen.errors import TrainingError
from medgen.intensities.rule import IntensityRule
from medgen.volumes.geometry import Geometry
from medgen.volumes.volume import Volume

# With at least this many scans whole scans are set aside for validation, with fewer a slab of each.
SCANS_FOR_SPLIT_BY_SCAN = 6
VALIDATION_FRACTION = 0.15
# Other axes of a scan make slices where pixels would be at most so many times as long as wide.
MOST_ANISOTROPIC = 3.0
# ... and slices at least so many pixels wide and high.
SMALLEST_TURNED = 64


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of one scan, and the spacing of each axis.

    `unit` is `(n, rows, cols)` in −0.5…0.5, `(n, rows, cols, c)` where `channels` names several.
    """

    name: str
    unit: np.ndarray = field(repr=False)
    spacing_mm: tuple[float, float, float]
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slab:
    """Consecutive slices `start … stop - 1` of one stack."""

    stack: Stack
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def turned(slab: Slab) -> list[Slab]:
    """The same voxels as slices along the other two axes, where these are fit to train on.

    Slices along another axis lie as near to each other as pixels do, so that they show what is
    between slices much farther apart; their own pixels must not be too far from square.
    """
    unit = slab.stack.unit[slab.start : slab.stop]
    slabs = []
    for axis in (1, 2):
        spacing = list(slab.stack.spacing_mm)
        distance = spacing.pop(axis)
        down, across = spacing
        image = np.moveaxis(unit, axis, 0)
        square = max(spacing) <= MOST_ANISOTROPIC * min(spacing)
        if square and min(image.shape[1:]) >= SMALLEST_TURNED:
            stack = Stack(f"{slab.stack.name} along axis {axis}", image, (distance, down, across))
            slabs.append(Slab(stack, 0, len(image)))
    return slabs


def lines(slab: Slab) -> list[Slab]:
    """Every slice of a slab as a stack of its rows and as one of its columns, each 1 pixel thick.

    A row of pixels is then what lies between others, as a slice is in a scan.
    """
    slices, rows, columns = slab.stack.spacing_mm
    return [
        Slab(Stack(f"{slab.stack.name}, {of} of slice {k}", image[:, None], spacing), 0, len(image))
        for k in range(slab.start, slab.stop)
        for of, image, spacing in (
            ("rows", slab.stack.unit[k], (rows, slices, columns)),
            ("columns", slab.stack.unit[k].T, (columns, slices, rows)),
        )
    ]


def stack_of(volume: Volume, rule: IntensityRule, name: str, image_size: int | None) -> Stack:
    """Bring a scan to the slices a model sees.

    Args:
        volume: any scan.
        rule: the model's intensities.
        name: what to call the scan in reports.
        image_size: see `families.vqvae.recipe.VQVAERecipe`.
    """
    if image_size is not None:
        volume = axial_square(volume, image_size)
    axis = 2 if image_size is not None else volume.geometry.slice_axis
    unit = np.moveaxis(to_unit(volume, rule), axis, 0)
    spacing = list(volume.spacing)
    distance = spacing.pop(axis)
    down, across = spacing
    return Stack(name, unit, (distance, down, across), volume.channels)


def to_unit(volume: Volume, rule: IntensityRule) -> np.ndarray:
    """Voxels in −0.5…0.5, float32 of the array's shape; each channel on a scale of its own."""
    physical = volume.to_physical()
    if not volume.channels:
        return rule.scale_for(physical).to_unit(physical)
    channels = np.moveaxis(physical, -1, 0)
    return np.stack([rule.scale_for(values).to_unit(values) for values in channels], axis=-1)


def axial_square(volume: Volume, size: int) -> Volume:
    """Axial slices (axis 2, nearest to RAS) of `size` x `size` pixels over the whole field of view.

    The shorter side of the field is first extended to a square with the lowest value; pixels are
    then averaged down (anti-aliased, linear). The centre of the field stays where it was.

    Raises:
        GeometryError: several channels.
    """
    volume.require_one_channel("A model of one image size")
    to_ras = nib.orientations.io_orientation(volume.geometry.affine)
    array = nib.orientations.apply_orientation(volume.to_physical(), to_ras)
    affine = volume.geometry.affine @ nib.orientations.inv_ornt_aff(to_ras, volume.shape)

    spacing = np.linalg.norm(affine[:3, :2], axis=0)
    field_mm = float((spacing * array.shape[:2]).max())
    widths = [round(field_mm / s) - n for s, n in zip(spacing, array.shape[:2], strict=True)]
    pads = [(w // 2, w - w // 2) for w in widths] + [(0, 0)]
    array = np.pad(array, pads, constant_values=array.min())
    squared = array.shape[:2]
    array = resize(array, (size, size, array.shape[2]), order=1, anti_aliasing=True)

    # Index of a new pixel's centre in the old grid: (i + ½) n/size − ½ − padding.
    scale = np.array([n / size for n in squared] + [1.0])
    shift = (scale - 1) / 2 - np.array([pads[0][0], pads[1][0], 0])
    affine = affine @ nib.affines.from_matvec(np.diag(scale), shift)
    return Volume(array.astype(np.float32), Geometry(array.shape, affine), modality=volume.modality)


def split(stacks: Sequence[Stack], *, guard_mm: float, seed: int) -> tuple[list[Slab], list[Slab]]:
    """Slabs to train on and slabs to validate on, never from adjacent slices.

    With `SCANS_FOR_SPLIT_BY_SCAN` stacks or more, `VALIDATION_FRACTION` of them is set aside whole;
    with fewer, each gives a slab of that share of its slices, with `guard_mm` on either side left
    unused; a stack too short for that trains whole.

    Raises:
        TrainingError: nothing is left to train or to validate on.
    """
    rng = np.random.default_rng([seed, 0x5B11])
    if len(stacks) >= SCANS_FOR_SPLIT_BY_SCAN:
        aside = rng.permutation(len(stacks))[: max(1, round(VALIDATION_FRACTION * len(stacks)))]
        whole = [Slab(stack, 0, len(stack.unit)) for stack in stacks]
        return (
            [slab for i, slab in enumerate(whole) if i not in aside],
            [slab for i, slab in enumerate(whole) if i in aside],
        )
    training, validation = [], []
    for stack in stacks:
        n = len(stack.unit)
        size = max(3, round(VALIDATION_FRACTION * n))
        guard = int(np.ceil(guard_mm / stack.spacing_mm[0]))
        if n < 2 * size + guard:
            training.append(Slab(stack, 0, n))
            continue
        pieces: list[Slab] = []
        while not pieces:  # a short stack may have nothing beyond the guards of a middle slab
            start = int(rng.integers(0, n - size + 1))
            around = [(0, start - guard), (start + size + guard, n)]
            pieces = [Slab(stack, a, b) for a, b in around if b > a]
        training += pieces
        validation.append(Slab(stack, start, start + size))
    if not training or not validation:
        raise TrainingError(
            "There are too few slices to set some aside for validation; give more or longer scans, "
            "or name a scan with --validation."
        )
    return training, validation
