"""Whole-slide images: tiles of their tissue, at a magnification that is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.filters import gaussian, threshold_otsu
from skimage.transform import resize

from medgen.errors import ReadError
from medgen.images.image import SLIDES, Image, read_image, scaled
from medgen.images.resolution import SQUARE

if TYPE_CHECKING:
    from openslide import OpenSlide

# Side of a tile in pixels, and the least share of it that is tissue.
TILE, TISSUE = 512, 0.25
# Longest side of the image that tissue is found in, and the blur in it that closes gaps between
# fibres; what is less saturated than the noise of glass is no tissue.
LOW_POWER, BLUR, LEAST_SATURATION = 2048, 2.0, 0.05
RGBA_BYTES = 4


def read_parts(
    path: Path,
    *,
    um_per_pixel: float | None = None,
    scale_um: float | None = None,
    most: int | None = None,
) -> Iterator[tuple[str, Image]]:
    """An image as `read_image` reads it, or the tissue of a slide as `tissue_tiles` does.

    Pyramids in plain TIFF files are images like others.

    Yields:
        What to call a part, behind the name of the file, which is nothing for an image; the part.

    Raises:
        ReadError: see both.
    """
    if path.suffix.lower() not in SLIDES:
        yield "", read_image(path, um_per_pixel=um_per_pixel, scale_um=scale_um)
        return
    for tile in tissue_tiles(path, um_per_pixel=um_per_pixel, scale_um=scale_um, most=most):
        yield "_x{}_y{}".format(*tile.place), tile.image


@dataclass(frozen=True)
class SlideTile:
    """A part of a slide.

    Args:
        place: column and row of its upper left pixel in the finest level.
        image: `TILE` pixels a side.
    """

    place: tuple[int, int]
    image: Image


def tissue_tiles(
    path: Path,
    *,
    um_per_pixel: float | None = None,
    scale_um: float | None = None,
    most: int | None = None,
) -> Iterator[SlideTile]:
    """Read the tissue of a slide in tiles beside each other, each once, row by row.

    Tissue is what is more saturated than Otsu's threshold at low power: in the thumbnail of the
    file, or its coarsest level. Tiles come from the coarsest level that is fine enough, of which
    they decode no part twice. Where nothing was scanned stands white.

    Args:
        path: the file.
        um_per_pixel: side of a pixel of its finest level, where it does not tell.
        scale_um: side of a pixel of the tiles; None for the slide's own.
        most: tiles; of more that hold tissue some are chosen, spread over all.

    Raises:
        ReadError: no such file, no slide, damaged, nobody tells the side of its pixels, coarser
            than the scale, or without a tile of tissue.
    """
    slide = _opened(path)
    try:
        own = _um(slide, path) or um_per_pixel
        if own is None:
            raise ReadError(
                f"{path} does not tell how large its pixels are; say it with --um-per-pixel."
            )
        scale = scale_um or own
        if own > scale * (1 + SQUARE):
            raise ReadError(
                f"{path} has pixels of {own:g} µm and images of {scale:g} µm per pixel are asked "
                "for; give it at a higher magnification."
            )
        level = slide.get_best_level_for_downsample(scale / own * (1 + SQUARE))
        shrunk = slide.level_downsamples[level]
        if abs(own * shrunk / scale - 1) <= SQUARE:
            scale = own * shrunk  # as the level is taken as it is
        places = _chosen(slide, path, scale / own, most)
        yield from _tiles(slide, level, own * shrunk, scale, places)
    except ReadError:
        raise
    except Exception as error:  # OpenSlide raises its own kind for damaged parts
        raise ReadError(
            f"{path} is damaged or cut short ({error or type(error).__name__}); copy it again."
        ) from error
    finally:
        slide.close()


def _opened(path: Path) -> OpenSlide:
    try:
        import openslide
    except ModuleNotFoundError as error:
        raise ReadError(
            f"{path} is a slide, which OpenSlide reads; install it with: pip install "
            "'medgen[histology]'."
        ) from error
    if not path.is_file():
        raise ReadError(f"{path} does not exist or is no file; check the path.")
    try:
        return openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        raise ReadError(
            f"{path} is damaged, or no slide that OpenSlide reads ({error}); copy it again, or "
            "export it as TIFF."
        ) from error


def _um(slide: OpenSlide, path: Path) -> float | None:
    """Side of a pixel of the finest level that the file tells."""
    across, down = (float(slide.properties.get(f"openslide.mpp-{axis}", 0)) for axis in "xy")
    if not (across > 0 and down > 0):
        return None
    if abs(across / down - 1) > SQUARE:
        raise ReadError(
            f"{path} has pixels of {across:g} x {down:g} µm; resample it to square ones."
        )
    return across


def _chosen(slide: OpenSlide, path: Path, times: float, most: int | None) -> list[tuple[int, int]]:
    """Columns and rows, in tiles, of those that hold tissue."""
    width, height = slide.dimensions
    across, down = (int(side / (TILE * times)) for side in (width, height))
    held = []
    if across and down:
        tissue = _tissue(slide)
        rows, cols = tissue.shape
        step_x, step_y = TILE * times * cols / width, TILE * times * rows / height
        held = [
            (x, y)
            for y in range(down)
            for x in range(across)
            if _part(tissue, y * step_y, x * step_x, step_y, step_x).mean() >= TISSUE
        ]
    if not held:
        raise ReadError(
            f"{path} has no {TILE} x {TILE} pixels with tissue at this magnification; ask for a "
            "higher one, or give another slide."
        )
    if most is not None and len(held) > most:
        held = [held[k] for k in np.linspace(0, len(held) - 1, most).round().astype(int)]
    return held


def _part(mask: np.ndarray, top: float, left: float, rows: float, cols: float) -> np.ndarray:
    """At least one pixel."""
    spans = ((top, rows), (left, cols))
    place = tuple(slice(int(a), max(int(a) + 1, round(a + length))) for a, length in spans)
    return mask[place]


def _tissue(slide: OpenSlide) -> np.ndarray:
    """Where a slide is stained, `(rows, cols)` at low power."""
    width, height = slide.dimensions
    picture = slide.associated_images.get("thumbnail")
    if picture is None or abs(picture.width * height / (picture.height * width) - 1) > 0.02:
        level = slide.level_count - 1
        picture = slide.read_region((0, 0), level, slide.level_dimensions[level])
    rgb = _on_white(picture).astype(np.float32)
    share = LOW_POWER / max(rgb.shape)
    if share < 1:
        shape = [max(1, round(side * share)) for side in rgb.shape[:2]]
        rgb = resize(rgb, shape, order=1, anti_aliasing=True, preserve_range=True)
    highest = rgb.max(-1)
    saturation = gaussian((highest - rgb.min(-1)) / np.maximum(highest, 1), BLUR)
    stained: np.ndarray = saturation > max(float(threshold_otsu(saturation)), LEAST_SATURATION)
    return stained


def _tiles(
    slide: OpenSlide, level: int, um: float, scale: float, places: list[tuple[int, int]]
) -> Iterator[SlideTile]:
    """Tiles at `scale` from a level whose pixels have a side of `um`."""
    side = round(TILE * scale / um)
    step = TILE * scale / um * slide.level_downsamples[level]
    _remember(slide, level, side)
    for x, y in places:
        place = round(x * step), round(y * step)
        array = _on_white(slide.read_region(place, level, (side, side)))
        yield SlideTile(place, scaled(Image(array, um), scale))


def _remember(slide: OpenSlide, level: int, side: int) -> None:
    """Keep a row of tiles decoded, as the next one begins in the midst of blocks of the file."""
    import openslide

    height = int(slide.properties.get(f"openslide.level[{level}].tile-height", side))
    width = slide.level_dimensions[level][0]
    slide.set_cache(openslide.OpenSlideCache(RGBA_BYTES * width * (side + 2 * height)))


def _on_white(picture: Any) -> np.ndarray:
    """`(rows, cols, 3)` uint8 of what OpenSlide gives, with white where it has nothing."""
    values = np.array(picture)
    if values.shape[-1] == 3:
        return values
    return np.where(values[..., 3:] > 0, values[..., :3], np.uint8(255))
