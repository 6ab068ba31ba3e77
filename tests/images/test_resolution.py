"""The side of a pixel in µm, from everything that files say of it."""

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL.TiffImagePlugin import IFDRational

from medgen.errors import ReadError
from medgen.images.resolution import told_um

PIXELS = Pillow.fromarray(np.zeros((4, 5, 3), np.uint8))
X, Y, UNIT, DESCRIPTION = 282, 283, 296, 270
QUARTER_CM = IFDRational(40000, 1)  # pixels per cm, at 0.25 µm
QUARTER_INCH = IFDRational(101600, 1)


def read(path):
    with Pillow.open(path) as picture:
        return told_um(picture)


def tiff(path, tags):
    PIXELS.save(path, tiffinfo=tags)
    return read(path)


OME = '<OME><Image><Pixels PhysicalSizeX="{}" {} PhysicalSizeY="0.25"/></Image></OME>'
IMAGEJ = "ImageJ=1.53\nunit={}\nloop=false\n"
FOUR = {X: IFDRational(4), Y: IFDRational(4), UNIT: 1}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({X: QUARTER_CM, Y: QUARTER_CM, UNIT: 3}, 0.25),
        ({X: QUARTER_INCH, Y: QUARTER_INCH, UNIT: 2}, 0.25),
        # A rational whose parts are far from 1.
        ({X: IFDRational(4294967295, 107374), Y: IFDRational(4294967295, 107374), UNIT: 3}, 0.25),
        ({X: QUARTER_CM, Y: QUARTER_CM, UNIT: 1}, None),
        ({X: IFDRational(0, 0), Y: IFDRational(0, 0), UNIT: 3}, None),
        ({X: IFDRational(0, 1), Y: IFDRational(0, 1), UNIT: 3}, None),
        ({X: IFDRational(72, 1), Y: IFDRational(72, 1), UNIT: 2}, None),  # of a screen
        ({}, None),
        ({DESCRIPTION: "Aperio Image Library|AppMag = 20|MPP = 0.4990|Left = 2"}, 0.499),
        ({DESCRIPTION: "a|MPP = 0.499", X: QUARTER_CM, Y: QUARTER_CM, UNIT: 3}, 0.499),
        ({DESCRIPTION: IMAGEJ.format("micron"), **FOUR}, 0.25),
        ({DESCRIPTION: IMAGEJ.format(r"\u00B5m"), **FOUR}, 0.25),
        ({DESCRIPTION: IMAGEJ.format("pixel"), **FOUR}, None),
        ({DESCRIPTION: OME.format("0.25", "")}, 0.25),
        ({DESCRIPTION: OME.format("250", 'PhysicalSizeXUnit="nm"')}, 0.25),
        ({DESCRIPTION: OME.format("a", "")}, None),
    ],
)  # fmt: skip
def test_what_tiff_tells(tmp_path, tags, expected):
    found = tiff(tmp_path / "a.tif", tags)
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-3))


def test_a_resolution_of_no_unit_is_in_inches(tmp_path):
    """By TIFF 6.0, though most readers say there is none."""
    path = tmp_path / "a.tif"
    PIXELS.save(path, tiffinfo={X: QUARTER_INCH, Y: QUARTER_INCH, UNIT: 2})
    with Pillow.open(path) as picture:
        del picture.tag_v2[UNIT]
        assert told_um(picture) == pytest.approx(0.25)


def test_what_png_and_jpeg_tell(tmp_path):
    PIXELS.save(tmp_path / "a.png", dpi=(50800, 50800))
    assert read(tmp_path / "a.png") == pytest.approx(0.5, rel=1e-4)
    PIXELS.save(tmp_path / "a.jpg", dpi=(50800, 50800))
    assert read(tmp_path / "a.jpg") == pytest.approx(0.5, rel=1e-4)
    for name, options in (("b.png", {}), ("b.jpg", {}), ("c.jpg", {"dpi": (300, 300)})):
        PIXELS.save(tmp_path / name, **options)
        assert read(tmp_path / name) is None


def test_pixels_that_are_not_square_are_refused(tmp_path):
    tags = {X: QUARTER_CM, Y: IFDRational(20000, 1), UNIT: 3}
    with pytest.raises(ReadError, match=r"a\.tif has pixels of 0\.25 x 0\.5 µm; resample"):
        tiff(tmp_path / "a.tif", tags)


@pytest.mark.parametrize("unit", ["µm", "μm"])
def test_a_unit_in_utf_8(tmp_path, unit):
    import tifffile

    text = OME.format("0.25", f'PhysicalSizeXUnit="{unit}"').encode()
    options = {"photometric": "rgb", "metadata": None, "description": text}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5, 3), np.uint8), **options)
    assert read(tmp_path / "a.tif") == 0.25
