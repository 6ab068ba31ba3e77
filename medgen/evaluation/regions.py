"""Where texture is measured if the user gives no mask: the lungs of a chest CT, else the body."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import (
    binary_fill_holes,
    distance_transform_edt,
    find_objects,
    gaussian_filter,
)
from skimage.filters import threshold_triangle
from skimage.measure import label
from skimage.morphology import isotropic_closing
from skimage.segmentation import clear_border

from medgen.errors import EvaluationError
from medgen.intensities.modality import CT
from medgen.intensities.padding import find_outside
from medgen.volumes import Volume

# Vessels and nodules at the lung's edge up to twice this wide belong to the lung.
CLOSING_MM = 5.0
# Couch and tubes thinner than twice this do not belong to the body.
OPENING_MM = 3.0
LUNG_PART_ML = 10.0
# Air in the bowel: purer than any lung tissue deeper than this, and less than a lung holds.
GAS_BELOW_HU, GAS_DEPTH_MM, GAS_BELOW_ML = -945, 3.0, 1000.0
# Lungs below this share of the body are the rim of an abdominal scan.
CHEST_SHARE = 0.1
# The enlarged region is this share of each side.
ENLARGED = 1 / 5


@dataclass(frozen=True, eq=False)
class Region:
    """A region of interest: `lungs`, `body` or the name of a mask, and its voxels, `(i, j, k)`."""

    name: str
    mask: np.ndarray = field(repr=False)


def region_for(volume: Volume) -> Region:
    """The lungs of a CT of the chest, the body of any other scan.

    A CT shows the chest if lungs make up at least a tenth of the body.

    Raises:
        EvaluationError: there is no body.
    """
    body = body_mask(volume)
    if not body.any():
        raise EvaluationError(
            "The region of interest is empty, for no body stands out from the scan's background; "
            "give a region with --mask FILE."
        )
    if volume.kind.shows_lungs:
        lungs = lung_mask(volume)
        if lungs.sum() >= CHEST_SHARE * body.sum():
            return Region("lungs", lungs)
    return Region("body", body)


def lung_mask(volume: Volume) -> np.ndarray:
    """Lungs with their vessels and large airways in a CT, bool `(i, j, k)`; all false if none.

    Thresholded at -320 HU and completed by binary morphology, as the PixelMiner paper does: of the
    air, what touches the border of its axial slice is outside of the body, and what is smaller than
    10 ml is no lung; then a closing by a disk of 5 mm in each axial slice takes in the vessels.
    Added to that recipe: parts below 1 l whose interior is all but pure air are gas in the bowel.

    Args:
        volume: CT of any orientation.
    """
    hu, spacing, axis = _axial(volume)
    air = np.array([clear_border(image) for image in hu < CT.body_above])
    parts = label(air, connectivity=1)
    ml = np.bincount(parts.ravel()) * np.prod(spacing) / 1000
    lungs = np.zeros_like(air)
    for part, box in enumerate(find_objects(parts), start=1):
        inside = parts[box] == part
        if ml[part] >= GAS_BELOW_ML or (
            ml[part] >= LUNG_PART_ML and not _is_gas(hu[box], inside, spacing)
        ):
            lungs[box] |= inside
    for image in lungs:
        image[...] = _closed(image, spacing[1:])
    return np.moveaxis(lungs, 0, axis)


def body_mask(volume: Volume) -> np.ndarray:
    """The body with all it contains, bool `(i, j, k)`; all false if nothing stands out.

    Above -320 HU in CT; otherwise above the threshold of the triangle method, which cuts at the
    foot of the background's peak. An opening by a disk of 3 mm in each axial slice detaches the
    couch; the largest connected part is the body, and its holes in each slice are filled.
    """
    values, spacing, axis = _axial(volume)
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return np.zeros(volume.shape, bool)
    threshold = volume.kind.body_above
    if threshold is None:
        # A few bright vessels must not make the bins of the histogram wide.
        threshold = threshold_triangle(np.minimum(finite, np.percentile(finite, 99)))
    body = np.array([_opened(image, spacing[1:]) for image in values > threshold])
    parts = label(body, connectivity=1)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    body = (parts == sizes.argmax()) & body
    for image in body:
        image[...] = binary_fill_holes(image)
    return np.moveaxis(body, 0, axis)


def enlarged_region(image: np.ndarray, region: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, height and width of the fifth of each side with the most detail in the region.

    Detail is the absolute difference of the image from its Gaussian mean (sigma 2 pixels).

    Args:
        image: `(rows, cols)`.
        region: bool, same shape.
    """
    image = np.asarray(image, np.float64)
    height, width = (max(8, round(side * ENLARGED)) for side in image.shape)
    detail = np.abs(image - gaussian_filter(image, 2.0)) * region
    # Sums over every window, from a table of sums over all pixels above and to the left.
    table = np.pad(detail.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = table[height:, width:] - table[:-height, width:] - table[height:, :-width]
    sums += table[:-height, :-width]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return int(top), int(left), height, width


def _axial(volume: Volume) -> tuple[np.ndarray, np.ndarray, int]:
    """Physical values with the axial slices first, the spacing in that order, and their axis.

    Padding is air, whatever its value.
    """
    axis = next(axis for axis, end in enumerate(volume.geometry.orientation) if end in "SI")
    order = [axis, *(other for other in range(3) if other != axis)]
    values = np.moveaxis(volume.to_physical(), axis, 0)
    outside = find_outside(values, volume.kind, declared=volume.metadata.get("padding_value"))
    values[outside.padding] = volume.kind.air
    return values, np.take(volume.spacing, order), axis


def _is_gas(hu: np.ndarray, inside: np.ndarray, spacing: np.ndarray) -> bool:
    depth = distance_transform_edt(np.pad(inside, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    core = hu[depth > GAS_DEPTH_MM]
    return core.size > 0 and np.median(core) < GAS_BELOW_HU


def _opened(image: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """`image` without what is thinner than 6 mm; its border does not count as an edge."""
    if image.all():
        return image
    core = distance_transform_edt(image, sampling=spacing) > OPENING_MM
    if not core.any():
        return core
    return distance_transform_edt(~core, sampling=spacing) <= OPENING_MM


def _closed(image: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """`image` with gaps and notches below 10 mm closed, working on its own box and some room."""
    if not image.any():
        return image
    closed = image.copy()
    (rows, cols) = find_objects(image.astype(np.uint8))[0]
    room = [(int(np.ceil(CLOSING_MM / side)) + 1,) * 2 for side in spacing]
    padded = isotropic_closing(np.pad(image[rows, cols], room), CLOSING_MM, spacing=spacing)
    closed[rows, cols] = padded[room[0][0] : -room[0][1], room[1][0] : -room[1][1]]
    return closed
