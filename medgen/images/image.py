"""RGB images from PNG, JPEG and TIFF files, slides with several levels among the latter."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps
from skimage.transform import resize

from medgen.errors import MedgenError, ReadError
from medgen.images.resolution import SQUARE, told_um
from medgen.volumes.walk import walk

FORMATS = ("PNG", "JPEG", "TIFF")
# Of slides: Aperio, Hamamatsu, 3DHISTECH, Leica, Ventana and Sakura.
SLIDES = (".svs", ".ndpi", ".vms", ".vmu", ".mrxs", ".scn", ".bif", ".svslide")
# Those of Aperio are read whole where they are small; of others Pillow would take a thumbnail.
TIFF_SLIDE = ".svs"
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", *SLIDES)
OPAQUE = 255

# TIFF 6.0, by number.
BITS_PER_SAMPLE, TILE_WIDTH = 258, 322


@dataclass(frozen=True)
class Image:
    """A colour image.

    Args:
        array: `(rows, cols, 3)` uint8, red, green and blue as the file has them; a colour profile
            is not applied.
        um_per_pixel: side of a pixel, None where nobody told.
    """

    array: np.ndarray = field(repr=False)
    um_per_pixel: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.array.shape[0], self.array.shape[1]


def read_image(
    path: Path, *, um_per_pixel: float | None = None, scale_um: float | None = None
) -> Image:
    """Read a PNG, JPEG or TIFF of 8-bit RGB.

    Palettes become the colours they stand for, an opaque alpha channel goes, and the orientation
    that a camera noted is applied. Of a slide with several levels the coarsest is read that is fine
    enough, or the finest if no scale is asked for.

    Args:
        path: the file.
        um_per_pixel: side of a pixel, where the file does not tell.
        scale_um: side of a pixel that the image is brought to, by averaging; None for its own.

    Raises:
        ReadError: no such file, another format, damaged, of another kind of pixels, of several
            images, a slide, too large, or not to be brought to the scale.
    """
    if not path.is_file():
        raise ReadError(f"{path} does not exist or is no file; check the path.")
    if (suffix := path.suffix.lower()) in SLIDES and suffix != TIFF_SLIDE:
        raise ReadError(
            f"{path} is a slide, and whole images are read here; export the parts you need as TIFF."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            with Pillow.open(path, formats=FORMATS) as picture:
                found = told_um(picture) or um_per_pixel
                if scale_um is not None:
                    found = _choose_level(picture, path, found, scale_um)
                elif getattr(picture, "n_frames", 1) > 1:
                    _levels(picture, path)
                image = Image(_rgb(picture, path), found)
    except MedgenError:
        raise
    except Pillow.UnidentifiedImageError as error:
        raise ReadError(
            f"{path} is no PNG, JPEG or TIFF image, or compressed in a way that medgen does not "
            "read, such as JPEG 2000; export it as PNG or TIFF."
        ) from error
    except (Pillow.DecompressionBombWarning, Pillow.DecompressionBombError) as error:
        raise ReadError(
            f"{path} has more than {Pillow.MAX_IMAGE_PIXELS:,} pixels, too many to be read at "
            "once; export the parts you need as TIFF."
        ) from error
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise ReadError(
            f"{path} is damaged or cut short ({error or type(error).__name__}); copy it again."
        ) from error
    return image if scale_um is None else scaled(image, scale_um)


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Files as they are given, and all images below folders, sorted.

    Raises:
        ReadError: a path does not exist, or there is no image in any of them.
    """
    given = list(paths)
    found: set[Path] = set()
    for path in given:
        if not path.exists():
            raise ReadError(f"{path} does not exist; check the path.")
        if path.is_dir():
            found |= {file for file in walk(path) if file.suffix.lower() in SUFFIXES}
        else:
            found.add(path)
    if not found:
        raise ReadError(
            f"No image in {', '.join(map(str, given))}; give files, or folders with files ending "
            f"in {', '.join(SUFFIXES)}."
        )
    return sorted(found)


def _levels(picture: Pillow.Image, path: Path) -> dict[int, int]:
    """Width of each level of a slide by its frame, the finest first; picture is at the finest.

    Levels are tiled and have one shape; thumbnail, label and photograph of a slide are not.
    """
    width, height = picture.size
    levels = {0: width}
    for frame in range(1, getattr(picture, "n_frames", 1)):
        picture.seek(frame)
        if picture.size == (width, height):
            raise ReadError(f"{path} holds several images of one size; export them one by one.")
        alike = abs(picture.size[0] * height / (picture.size[1] * width) - 1) < SQUARE
        if alike and picture.size[0] < width and TILE_WIDTH in _tags(picture):
            levels[frame] = picture.size[0]
    picture.seek(0)
    return levels


def _choose_level(picture: Pillow.Image, path: Path, um: float | None, scale_um: float) -> float:
    """Go to the level to read, and return the side of its pixels in µm."""
    if um is None:
        raise ReadError(
            f"{path} does not tell how large its pixels are, and images of {scale_um:g} µm per "
            "pixel are asked for; say it with --um-per-pixel."
        )
    if um > scale_um * (1 + SQUARE):
        raise ReadError(
            f"{path} has pixels of {um:g} µm and images of {scale_um:g} µm per pixel are asked "
            "for; give it at a higher magnification."
        )
    levels = _levels(picture, path)
    sides = {frame: um * levels[0] / width for frame, width in levels.items()}
    fine_enough = {frame: s for frame, s in sides.items() if s <= scale_um * (1 + SQUARE)}
    frame = max(fine_enough, key=lambda frame: fine_enough[frame])
    picture.seek(frame)
    return sides[frame]


def scaled(image: Image, scale_um: float) -> Image:
    """The image at `scale_um`, which is not finer than its own, as told."""
    assert image.um_per_pixel is not None  # as its level was chosen by it
    share = image.um_per_pixel / scale_um
    if abs(share - 1) <= SQUARE:
        return image
    shape = tuple(max(1, round(side * share)) for side in image.shape)
    array = resize(image.array, shape, order=1, anti_aliasing=True, preserve_range=True)
    return Image(np.rint(array).astype(np.uint8), scale_um)


def _rgb(picture: Pillow.Image, path: Path) -> np.ndarray:
    """Pixels `(rows, cols, 3)` uint8 of an opened image."""
    bits = _bits(picture)
    if bits > 8:
        raise ReadError(
            f"{path} has {bits} bits a value and images of 8 are read; convert it, so that black "
            "and white stay where they are."
        )
    picture.load()
    if isinstance(turned := ImageOps.exif_transpose(picture), Pillow.Image):
        picture = turned
    if picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    elif picture.mode == "YCbCr":
        picture = picture.convert("RGB")
    if picture.mode == "RGBA":
        array = np.array(picture)
        if (array[..., 3] != OPAQUE).any():
            raise ReadError(f"{path} has transparent pixels; flatten it onto its background.")
        return array[..., :3].copy()
    if picture.mode != "RGB":
        names = {"CMYK": "CMYK", "L": "grey", "1": "black and white", "LA": "grey"}
        raise ReadError(
            f"{path} is {names.get(picture.mode, picture.mode)} and images of red, green and blue "
            "are read; convert it to RGB."
        )
    return np.array(picture)


def _bits(picture: Pillow.Image) -> int:
    """Bits a value; Pillow opens 16-bit RGB as if it were of 8."""
    if BITS_PER_SAMPLE in _tags(picture):
        return int(np.max(np.array(_tags(picture)[BITS_PER_SAMPLE])))
    raw = str(getattr(picture, "tile", ""))  # how the bytes of the file become pixels
    return 16 if ";16" in raw or picture.mode[0] in "IF" else 8


def _tags(picture: Pillow.Image) -> dict[int, object]:
    """Of a TIFF; empty for other formats."""
    tags: dict[int, object] = getattr(picture, "tag_v2", {})
    return tags
