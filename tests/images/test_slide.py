"""Slides in tiles of their tissue: where it lies, how large its pixels are, each read once."""

import sys

import numpy as np
import pytest
from skimage.color import hed2rgb

from medgen.errors import ReadError
from medgen.images import slide
from medgen.images.image import find_images
from medgen.images.slide import read_parts, tissue_tiles

pytest.importorskip("openslide")
import tifffile  # medgen has it through scikit-image

ROWS, COLS = 320, 448
# Rows and columns of the tissue, on glass.
TISSUE = slice(64, 256), slice(128, 384)


def stained(*, with_tissue: bool = True) -> np.ndarray:
    """Tissue whose blue tells the column it is at, and noise as of glass around it."""
    rng = np.random.default_rng(0)
    picture = 238 + rng.integers(-2, 3, (ROWS, COLS, 3))
    rows, cols = (span.stop - span.start for span in TISSUE)
    hed = np.zeros((rows, cols, 3))
    hed[..., 1], hed[..., 0] = 0.1, np.linspace(0.02, 0.08, cols)
    if with_tissue:
        picture[TISSUE] = 255 * hed2rgb(hed)
    return picture.astype(np.uint8)


PICTURE = stained()


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(slide, "TILE", 32)

    def written(told="|MPP = 0.25", levels=2, name="a.svs", picture=PICTURE):
        with tifffile.TiffWriter(tmp_path / name) as file:
            for level in range(levels):
                step = 2**level
                file.write(
                    picture[::step, ::step],
                    tile=(64, 64),
                    photometric="rgb",
                    metadata=None,
                    description=f"Aperio Image Library v1\n{ROWS}x{COLS}{told}",
                )
        return tmp_path / name

    return written


@pytest.mark.parametrize("levels", [1, 2])
def test_tiles_hold_the_tissue_and_lie_where_they_say(write, levels):
    tiles = list(tissue_tiles(write(levels=levels)))
    places = {tile.place for tile in tiles}
    rows, cols = TISSUE
    inside = {
        (x, y) for y in range(rows.start, rows.stop, 32) for x in range(cols.start, cols.stop, 32)
    }
    assert inside <= places
    beside = {(x, y) for x, y in places if not (96 <= x <= 384 and 32 <= y <= 256)}
    assert not beside
    picture = PICTURE
    for tile in tiles:
        x, y = tile.place
        assert tile.image.um_per_pixel == 0.25
        np.testing.assert_array_equal(tile.image.array, picture[y : y + 32, x : x + 32])


@pytest.mark.parametrize(("scale_um", "level"), [(0.25, 0), (0.4, 0), (0.499, 1), (0.8, 1)])
def test_tiles_of_a_scale_come_from_the_level_just_fine_enough_each_part_once(
    write, monkeypatch, scale_um, level
):
    import openslide

    read, true = [], openslide.OpenSlide.read_region

    def read_region(self, place, level, size):
        read.append((place, level, size))
        return true(self, place, level, size)

    path = write()
    monkeypatch.setattr(openslide.OpenSlide, "read_region", read_region)
    tiles = list(tissue_tiles(path, scale_um=scale_um))
    picture = PICTURE.astype(float)
    for tile in tiles:
        assert tile.image.shape == (32, 32)
        assert tile.image.um_per_pixel == pytest.approx(scale_um, rel=0.01)
        x, y = tile.place
        side = round(32 * tile.image.um_per_pixel / 0.25)
        window = picture[y : y + side, x : x + side]
        np.testing.assert_allclose(tile.image.array.mean((0, 1)), window.mean((0, 1)), atol=2.5)
    low_power, *of_tiles = read
    assert low_power[1] == 1  # the coarsest
    assert len(of_tiles) == len(tiles) > 2
    seen = np.zeros((ROWS >> level, COLS >> level), int)
    for (x, y), at, (width, height) in of_tiles:
        assert at == level
        seen[y >> level : (y >> level) + height, x >> level : (x >> level) + width] += 1
    # Neighbours share a line at most, where a tile does not end with a pixel.
    assert np.mean(seen[seen > 0] > 1) < (0.05 if scale_um in (0.4, 0.8) else 1e-9)


def test_some_of_many_tiles_are_spread_over_the_tissue(write):
    every = [tile.place for tile in tissue_tiles(write())]
    some = [tile.place for tile in tissue_tiles(write(), most=5)]
    assert len(some) == 5
    assert (some[0], some[-1]) == (every[0], every[-1])
    assert some == [place for place in every if place in some]


def test_what_is_refused(write, tmp_path, monkeypatch):
    silent = write(told="")
    with pytest.raises(ReadError, match="does not tell how large its pixels are"):
        list(tissue_tiles(silent))
    assert next(tissue_tiles(silent, um_per_pixel=0.3)).image.um_per_pixel == 0.3
    with pytest.raises(ReadError, match=r"pixels of 0\.25 µm and images of 0\.1 µm"):
        list(tissue_tiles(write(), scale_um=0.1))
    with pytest.raises(ReadError, match="no 32 x 32 pixels with tissue"):
        list(tissue_tiles(write(), scale_um=5.0))
    with pytest.raises(ReadError, match="no 32 x 32 pixels with tissue"):
        list(tissue_tiles(write(picture=stained(with_tissue=False))))
    (tmp_path / "b.svs").write_bytes(b"no slide")
    with pytest.raises(ReadError, match="no slide that OpenSlide reads"):
        list(tissue_tiles(tmp_path / "b.svs"))
    with pytest.raises(ReadError, match="does not exist"):
        list(tissue_tiles(tmp_path / "c.svs"))
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(ReadError, match=r"pip install 'medgen\[histology\]'"):
        list(tissue_tiles(silent))


def test_what_was_not_scanned_is_white(write, monkeypatch):
    import openslide

    true = openslide.OpenSlide.read_region

    def read_region(self, place, level, size):
        region = true(self, place, level, size)
        if level == 0:
            region.paste((0, 0, 0, 0), (0, 0, 8, 32))
        return region

    monkeypatch.setattr(openslide.OpenSlide, "read_region", read_region)
    for tile in tissue_tiles(write()):
        assert (tile.image.array[:, :8] == 255).all()
        assert (tile.image.array[:, 8:] < 255).any()


def test_images_come_whole_and_slides_in_parts(write, tmp_path):
    path = write()
    tifffile.imwrite(tmp_path / "b.tif", PICTURE, photometric="rgb")
    assert find_images([tmp_path]) == [path, tmp_path / "b.tif"]
    ((name, image),) = read_parts(tmp_path / "b.tif")
    assert (name, image.shape) == ("", (ROWS, COLS))
    parts = dict(read_parts(path))
    assert parts["_x128_y64"].shape == (32, 32)


def test_slides_of_two_makers(shared_data):
    folder = shared_data / "histology" / "wsi"
    if not (folder / "tcga_cr_7395.svs").exists():
        pytest.skip("slides are not there")
    tiles = list(tissue_tiles(folder / "cmu_1_small_region.svs", scale_um=0.998))
    assert tiles[0].image.um_per_pixel == pytest.approx(0.998)
    red, green, blue = np.mean([tile.image.array for tile in tiles], axis=(0, 1, 2))
    assert red > blue > green
    # Compressed by JPEG 2000.
    (tile,) = tissue_tiles(folder / "tcga_cr_7395.svs", um_per_pixel=0.25, most=1)
    assert tile.image.array.std() > 10
