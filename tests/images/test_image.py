"""Images as arrays: what is read, what is converted without loss, and what is refused."""

import numpy as np
import pytest
from PIL import Image as Pillow
from skimage.io import imsave

from medgen.errors import ReadError
from medgen.images.image import find_images, read_image

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
FEW = (RGB // 128) * 255  # eight colours


def save(path, array=RGB, mode=None, **options):
    picture = Pillow.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def with_alpha(value):
    return np.dstack([RGB, np.full(RGB.shape[:2], value, np.uint8)])


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_pixels_come_as_they_are(tmp_path, name):
    image = read_image(save(tmp_path / name))
    np.testing.assert_array_equal(image.array, RGB)
    assert (image.array.dtype, image.shape, image.um_per_pixel) == (np.uint8, (6, 9), None)
    assert read_image(tmp_path / name, um_per_pixel=0.5).um_per_pixel == 0.5


def test_a_jpeg_is_read(tmp_path):
    smooth = np.full((16, 24, 3), (200, 120, 180), np.uint8)
    image = read_image(save(tmp_path / "a.jpg", smooth, quality=95))
    np.testing.assert_allclose(image.array, smooth, atol=3)


def test_what_loses_nothing_is_converted(tmp_path):
    palette = Pillow.fromarray(FEW).quantize(8)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png").array, FEW)
    opaque = read_image(save(tmp_path / "opaque.png", with_alpha(255)))
    np.testing.assert_array_equal(opaque.array, RGB)


def test_a_camera_that_lay_on_its_side(tmp_path):
    exif = Pillow.Exif()
    exif[274] = 6  # turn by 90 degrees clockwise to view
    image = read_image(save(tmp_path / "a.png", exif=exif))
    np.testing.assert_array_equal(image.array, np.rot90(RGB, -1))


def deep_rgb(path):
    imsave(path, RGB.astype(np.uint16) * 257, check_contrast=False)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.tif", deep_rgb, "has 16 bits a value and images of 8 are read; convert it"),
        ("a.png", lambda p: save(p, RGB[..., 0].astype(np.uint16)), "has 16 bits a value"),
        ("a.jpg", lambda p: save(p, mode="CMYK"), "is CMYK and images of red, green and blue"),
        ("a.png", lambda p: save(p, RGB[..., 0]), "is grey and images of red, green and blue"),
        ("a.png", lambda p: save(p, with_alpha(128)), "has transparent pixels; flatten it"),
        ("a.nii", lambda p: p.write_bytes(bytes(400)), "is no PNG, JPEG or TIFF image"),
        ("a.png", lambda p: p.write_bytes(b""), "is no PNG, JPEG or TIFF image"),
        ("a.bmp", save, "is no PNG, JPEG or TIFF image"),
        ("folder", lambda p: p.mkdir(), "does not exist or is no file"),
    ],
)
def test_what_is_refused(tmp_path, name, make, message):
    path = tmp_path / name
    make(path)
    with pytest.raises(ReadError, match=message) as error:
        read_image(path)
    assert str(error.value).count("\n") == 0
    assert str(path) in str(error.value)


def test_a_png_of_16_bits_is_not_cut_to_8(tmp_path):
    """Pillow would, without a word."""
    import struct
    import zlib

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data
            + struct.pack(">I", zlib.crc32(kind + data))
        )  # fmt: skip

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in RGB.astype(np.uint16) * 257)
    header = struct.pack(">IIBBBBB", RGB.shape[1], RGB.shape[0], 16, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(ReadError, match="has 16 bits a value"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_a_file_cut_short_is_refused(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = save(tmp_path / name, noise)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ReadError, match=r"is damaged or cut short|is no PNG, JPEG or TIFF"):
        read_image(path)


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 40)
    with pytest.raises(ReadError, match="more than 40 pixels"):
        read_image(save(tmp_path / "a.png"))


# === Scale and levels ===

ROWS, COLS = np.mgrid[:96, :128]
RAMP = np.stack([ROWS, COLS, 200 - ROWS], -1).astype(np.uint8)


def test_an_image_is_brought_to_a_scale_about_its_own_frame(tmp_path):
    image = read_image(save(tmp_path / "a.png", RAMP), um_per_pixel=0.25, scale_um=0.5)
    assert (image.shape, image.um_per_pixel) == ((48, 64), 0.5)
    # A pixel is the mean of four, whose middle lies half a pixel from the first of them.
    middle = RAMP.astype(float).reshape(48, 2, 64, 2, 3).mean((1, 3))
    np.testing.assert_allclose(image.array[4:-4, 4:-4], middle[4:-4, 4:-4], atol=1)
    same = read_image(tmp_path / "a.png", um_per_pixel=0.25, scale_um=0.2505)
    np.testing.assert_array_equal(same.array, RAMP)


def test_what_cannot_be_brought_to_a_scale_is_refused(tmp_path):
    path = save(tmp_path / "a.png", RAMP)
    with pytest.raises(ReadError, match="does not tell how large its pixels are"):
        read_image(path, scale_um=0.5)
    with pytest.raises(ReadError, match=r"pixels of 0\.5 µm and images of 0\.25 µm per pixel"):
        read_image(path, um_per_pixel=0.5, scale_um=0.25)


@pytest.fixture
def slide(tmp_path):
    """Levels of 1, 1/2 and 1/4, marked by their colour, with a thumbnail and a label between."""
    import tifffile

    path = tmp_path / "slide.tif"
    levels = [np.full((96 >> k, 128 >> k, 3), 50 * (k + 1), np.uint8) for k in range(3)]
    with tifffile.TiffWriter(path) as file:
        options = {"photometric": "rgb", "metadata": None}
        um = {"resolution": (40000, 40000), "resolutionunit": 3}
        file.write(levels[0], tile=(16, 16), **um, **options)
        file.write(np.full((24, 32, 3), 250, np.uint8), **options)
        file.write(levels[1], tile=(16, 16), **options)
        file.write(levels[2], tile=(16, 16), **options)
        file.write(np.full((30, 20, 3), 250, np.uint8), tile=(16, 16), **options)
    return path


@pytest.mark.parametrize(
    ("scale_um", "shape", "colour"),
    [
        (None, (96, 128), 50),
        (0.25, (96, 128), 50),
        (0.5, (48, 64), 100),
        (0.75, (32, 43), 100),
        (1.0, (24, 32), 150),
        (2.0, (12, 16), 150),
    ],
)
def test_the_coarsest_level_is_read_that_is_fine_enough(slide, scale_um, shape, colour):
    image = read_image(slide, scale_um=scale_um)
    assert image.shape == shape
    assert image.um_per_pixel == pytest.approx(scale_um or 0.25)
    assert (image.array == colour).all()


def test_a_stack_of_images_is_refused(tmp_path):
    first, second = Pillow.fromarray(RGB), Pillow.fromarray(255 - RGB)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    with pytest.raises(ReadError, match="holds several images of one size"):
        read_image(tmp_path / "a.tif")


# === Finding ===


def test_images_are_found_below_folders(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/1.PNG", "a.jpg", "scan.nii.gz"):
        (tmp_path / name).touch()
    assert find_images([tmp_path]) == [tmp_path / "a.jpg", tmp_path / "b" / "1.PNG"]
    assert find_images([tmp_path / "scan.nii.gz"]) == [tmp_path / "scan.nii.gz"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReadError, match="No image in"):
        find_images([tmp_path / "empty"])
    with pytest.raises(ReadError, match="missing does not exist"):
        find_images([tmp_path / "missing"])


def test_the_thumbnail_of_a_slide_is_no_image(tmp_path):
    Pillow.fromarray(FEW).save(tmp_path / "slide.mrxs", "JPEG")
    with pytest.raises(ReadError, match=r"slide\.mrxs is a slide, and whole images"):
        read_image(tmp_path / "slide.mrxs")


def test_a_slide_of_another_maker(shared_data):
    path = shared_data / "histology" / "wsi" / "cmu_1_small_region.svs"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    image = read_image(path)
    assert (image.shape, image.um_per_pixel) == ((2967, 2220), 0.499)
    # Eosin and glass: red is brightest, green darkest; swapped or unconverted colours are not so.
    red, green, blue = image.array.reshape(-1, 3).mean(0)
    assert red > blue > green
