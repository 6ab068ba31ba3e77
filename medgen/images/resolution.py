"""How large the pixels of an image are, as far as its file tells; nothing is guessed."""

from __future__ import annotations

import math
import re

from PIL import Image as Pillow

from medgen.errors import ReadError

# µm per pixel that a microscope may have. Files from elsewhere tell of print: 72 dots per inch are
# 353 µm.
MICROSCOPY_UM = (0.02, 20.0)
# Two sides that differ by less are one.
SQUARE = 0.01

# TIFF 6.0, by number.
DESCRIPTION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 270, 282, 283, 296
INCH, CENTIMETRE = 2, 3
UNIT_UM = {INCH: 25400.0, CENTIMETRE: 10000.0}
# As OME-TIFF and ImageJ name them, the latter with an escape for µ.
NAMED_UM = {
    "nm": 1e-3,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "\\u00b5m": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "mm": 1e3,
    "cm": 1e4,
}

Sides = tuple[float, float]


def told_um(image: Pillow.Image) -> float | None:
    """Side of a pixel in µm that an opened PNG, JPEG or TIFF tells; None where it tells none.

    Of a TIFF, in this order: the `MPP` of Aperio, `PhysicalSizeX` of OME-TIFF, ImageJ's `unit`, and
    pixels per centimetre or inch (TIFF 6.0: the latter where no unit stands). A resolution without
    a unit tells nothing, and neither does one that no microscope has, such as 72 dots per inch.

    Raises:
        ReadError: pixels are not square.
    """
    tags = getattr(image, "tag_v2", None)
    sides = _of_dpi(image.info.get("dpi")) if tags is None else _of_tiff(tags)
    if sides is None:
        return None
    low, high = MICROSCOPY_UM
    if not all(math.isfinite(side) and low <= side <= high for side in sides):
        return None
    across, down = sides
    if abs(across / down - 1) > SQUARE:
        raise ReadError(
            f"{getattr(image, 'filename', 'The image')} has pixels of {across:g} x {down:g} µm; "
            "resample it to square ones."
        )
    return across


def _of_dpi(dpi: object) -> Sides | None:
    """From dots per inch, which Pillow makes of what PNG and JPEG files hold with a unit."""
    if not isinstance(dpi, tuple):
        return None
    return _over(UNIT_UM[INCH], float(dpi[0]), float(dpi[1]))


def _of_tiff(tags: object) -> Sides | None:
    get = tags.get  # type: ignore[attr-defined]  # Pillow's own mapping
    description = _text(get(DESCRIPTION, ""))
    across = float(get(X_RESOLUTION, 0) or 0)
    down = float(get(Y_RESOLUTION, across) or 0)
    if found := re.search(r"\bMPP\s*=\s*([\d.]+)", description):
        return (float(found[1]),) * 2
    if found := re.search(r'\bPhysicalSizeX="([^"]+)"', description):
        return _of_ome(description)
    if description.startswith("ImageJ="):
        unit = re.search(r"^unit=(\S+)", description, re.MULTILINE)
        if unit and unit[1].lower() in NAMED_UM:
            return _over(NAMED_UM[unit[1].lower()], across, down)
    unit_um = UNIT_UM.get(get(RESOLUTION_UNIT, INCH))
    return None if unit_um is None else _over(unit_um, across, down)


def _text(tag: object) -> str:
    """A text of a TIFF, where OME and others have UTF-8 though Pillow takes it for Latin-1."""
    try:
        return str(tag).encode("latin-1").decode()
    except UnicodeError:
        return str(tag)


def _of_ome(description: str) -> Sides | None:
    sides = []
    for name in ("PhysicalSizeX", "PhysicalSizeY"):
        size = re.search(rf'\b{name}="([^"]+)"', description)
        unit = re.search(rf'\b{name}Unit="([^"]+)"', description)
        unit_um = NAMED_UM.get(unit[1].lower() if unit else "µm")
        try:
            sides.append(float(size[1]) * unit_um)  # type: ignore[index, operator]
        except (TypeError, ValueError):  # one is missing, or no number
            return None
    return sides[0], sides[1]


def _over(unit_um: float, across: float, down: float) -> Sides | None:
    """Sides of pixels of which so many make a unit; none where the rationals hold no number."""
    if not (across > 0 and down > 0):
        return None
    return unit_um / across, unit_um / down
