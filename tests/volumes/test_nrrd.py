"""NRRD against SimpleITK, against what was written, and what SimpleITK does not survive."""

import bz2
import gzip

import numpy as np
import pytest
import SimpleITK as sitk
from text_scans import AFFINE, NRRD, VOXELS, require_as_itk_reads, save

from medgen.errors import GeometryError, ReadError
from medgen.volumes import read_volume

BYTES = VOXELS.tobytes(order="F")
TEXT = "\n".join(map(str, VOXELS.ravel(order="F"))).encode()
ENCODED = {
    "raw": BYTES,
    "gzip": gzip.compress(BYTES),
    "gz": gzip.compress(BYTES),
    "bzip2": bz2.compress(BYTES),
    "bz2": bz2.compress(BYTES),
    "text": TEXT,
    "ascii": TEXT + b"\n",
    "hex": BYTES.hex(" ").encode(),
}
FOUR = {"dimension": "4", "space_directions": "(2,0,0) (0,0,-3) (0,5,0) none"}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("detached", [False, True])
def test_encodings(tmp_path, encoding, detached):
    data = ENCODED[encoding]
    path = tmp_path / ("a.nhdr" if detached else "a.nrrd")
    if detached:
        save(path, NRRD, b"", encoding=encoding, data_file="a voxels")
        (tmp_path / "a voxels").write_bytes(data)
    else:
        save(path, NRRD, data, encoding=encoding)
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.array, VOXELS)
    np.testing.assert_allclose(scan.geometry.affine, AFFINE, atol=1e-12)
    assert "notes" not in scan.metadata
    if encoding not in ("bzip2", "bz2"):  # which SimpleITK is built without
        require_as_itk_reads(scan, path)


@pytest.mark.parametrize(
    ("encoding", "skips", "before"),
    [
        ("raw", {"line_skip": "2"}, b"a line\nanother\n"),
        ("raw", {"byte_skip": "7"}, b"seven \n"),
        ("raw", {"line_skip": "1", "byte_skip": "3"}, b"a line\nxyz"),
        ("raw", {"byte_skip": "-1"}, b"as many as there are"),
        ("ascii", {"line_skip": "1", "byte_skip": "4"}, b"a line\n12x "),
        ("gzip", {"line_skip": "1"}, b"a line\n"),
    ],
)
@pytest.mark.parametrize("detached", [False, True])
def test_skips(tmp_path, encoding, skips, before, detached):
    path = tmp_path / ("a.nhdr" if detached else "a.nrrd")
    data = before + ENCODED[encoding]
    if detached:
        save(path, NRRD, b"", encoding=encoding, data_file="a.raw", **skips)
        (tmp_path / "a.raw").write_bytes(data)
    else:
        save(path, NRRD, data, encoding=encoding, **skips)
    require_as_itk_reads(read_volume(path), path)
    np.testing.assert_array_equal(read_volume(path).array, VOXELS)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("bzip2", bz2.compress)])
def test_bytes_are_skipped_after_decompression(tmp_path, encoding, pack):
    path = save(
        tmp_path / "a.nrrd", NRRD, b"a line\n" + pack(b"seven.." + BYTES),
        encoding=encoding, line_skip="1", byte_skip="7",
    )  # fmt: skip
    np.testing.assert_array_equal(read_volume(path).array, VOXELS)
    if encoding == "gzip":
        require_as_itk_reads(read_volume(path), path)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("signed char", "i1"), ("uint8", "u1"), ("short", "i2"), ("signed short int", "i2"),
        ("unsigned  short", "u2"), ("int", "i4"), ("uint32_t", "u4"), ("long long", "i8"),
        ("unsigned long long int", "u8"), ("float", "f4"), ("double", "f8"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", ["little", "big"])
def test_types_in_either_order(tmp_path, name, code, order):
    array = (VOXELS % 100).astype(code)
    stored = array.astype(array.dtype.newbyteorder("<" if order == "little" else ">"))
    path = save(tmp_path / "a.nrrd", NRRD, stored, type=name, endian=order)
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.array, array)
    assert scan.array.dtype == array.dtype
    assert scan.array.dtype.isnative
    if "  " not in name:
        require_as_itk_reads(scan, path)


def test_order_of_bytes_matters_to_hexadecimal_too(tmp_path):
    data = VOXELS.astype(">i2").tobytes(order="F").hex().encode()
    path = save(tmp_path / "a.nrrd", NRRD, data, encoding="hex", endian="big")
    np.testing.assert_array_equal(read_volume(path).array, VOXELS)
    require_as_itk_reads(read_volume(path), path)


@pytest.mark.parametrize(
    "changed",
    [
        {"kinds": None},
        {"kinds": "space space space"},
        {"centers": "cell node ???"},
        {"thicknesses": "NaN nan 4.5"},
        {"spacings": "nan nan nan"},
        {"axis_mins": "nan nan nan"},
        {"units": '"" "" ""', "space_units": '"mm" "mm" "mm"'},
        {"measurement_frame": "(0,1,0) (1,0,0) (0,0,-1)"},
        {"space_directions": "( 2 , 0 , 0 ) ( 0,0,-3 ) (0e0,5.0,-0)"},
        {"content": "a scan: of # something", "old_min": "-1", "sample_units": "HU"},
    ],
)
def test_other_fields_move_no_voxel(tmp_path, changed):
    path = save(tmp_path / "a.nrrd", NRRD, **changed)
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.array, VOXELS)
    np.testing.assert_allclose(scan.geometry.affine, AFFINE, atol=1e-12)
    if "spacings" not in changed:  # SimpleITK takes no NaN there
        require_as_itk_reads(scan, path)


def test_labels_of_any_length_end_no_process(tmp_path):
    """SimpleITK's parser writes past its buffer on these."""
    for length in (300, 700, 5000, 100_000):
        path = save(tmp_path / "a.nrrd", NRRD, labels='"' + "x" * length + '" "y" "z"')
        np.testing.assert_array_equal(read_volume(path).array, VOXELS)


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("right-anterior-superior", (-1, -1, 1)),
        ("RAS", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
        ("LPS", (1, 1, 1)),
    ],
)
def test_nrrd_spaces(tmp_path, space, signs):
    scan = read_volume(save(tmp_path / "a.nrrd", NRRD, space=space))
    np.testing.assert_allclose(scan.geometry.affine, np.diag([*signs, 1]) @ AFFINE, atol=1e-12)


def test_volumes_of_an_nrrd_list(tmp_path):
    both = np.stack([VOXELS, VOXELS + 1], axis=-1)
    path = save(
        tmp_path / "a.nrrd", NRRD, both, dimension="4", sizes="4 5 6 2",
        kinds="domain domain domain list", space_directions="(2,0,0) (0,0,-3) (0,5,0) none",
    )  # fmt: skip
    with pytest.raises(ReadError, match="2 volumes; choose one with --volume N, N from 0 to 1"):
        read_volume(path)
    for n in range(2):
        scan = read_volume(path, volume=n)
        np.testing.assert_array_equal(scan.array, VOXELS + n)
        np.testing.assert_allclose(scan.geometry.affine, AFFINE, atol=1e-12)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"space": None}, r"does not place its voxels.*space: missing"),
        ({"space": "scanner-xyz"}, "space: scanner-xyz"),
        ({"space_directions": None}, "save it with space left-posterior-superior"),
        ({"space_origin": None}, "save it with space left-posterior-superior"),
        ({"space_units": '"um" "um" "um"'}, "save it with mm"),
        ({"encoding": "zrl"}, "encoding zrl; save it with encoding raw or gzip"),
        ({"encoding": None}, "encoding missing"),
        ({"endian": None}, "its endian is 'missing'"),
        ({"type": "block"}, "its type is 'block'"),
        ({"type": None}, "its type is 'missing'"),
        ({"sizes": None}, "does not tell sizes"),
        ({"spacings": "2 3 5"}, "both spacings and a space direction"),
        ({"axis_mins": "nan 3 nan"}, "both axismins and a space direction"),
        ({"units": '"" "um" ""'}, "both units and a space direction"),
        ({"byte_skip": "-2"}, "its byte skip -2"),
        ({"encoding": "gzip", "byte_skip": "-1"}, "its byte skip -1"),
        ({"line_skip": "-1"}, "its line skip is -1"),
        ({"line_skip": "9" * 18}, "no 999999999999999999 lines before the voxels"),
        ({"space_directions": "(2,0,0) none (0,5,0)"}, "2 axes in space"),
        ({"dimension": "4", "sizes": "2 2 5 6", "space_directions": "none (2,0,0) (0,0,-3) (0,5,0)",
          "kinds": "complex domain domain domain"}, "complex voxels"),
        ({"dimension": "4", "sizes": "2 2 5 6", "space_directions": "none (2,0,0) (0,0,-3) (0,5,0)",
          "kinds": None}, r"2 values a voxel \(along an axis of kind \?\?\?"),
        ({"dimension": "5", "sizes": "2 5 6 2 1", "kinds": "domain domain domain list list",
          "space_directions": "(2,0,0) (0,0,-3) (0,5,0) none (1,1,1)"}, "4 axes in space"),
        ({"kinds": "RGB-color domain domain", "space_directions": "none (0,0,-3) (0,5,0)",
          "sizes": "3 5 8", "space": "LPS"}, "axes"),
        ({"sizes": "4 5 7"}, "needs 280 bytes of voxels but a.nrrd holds 240"),
        ({"sizes": "4 5"}, "not a readable NRRD file"),
    ],
)  # fmt: skip
def test_refused_nrrd(tmp_path, changed, words):
    with pytest.raises(ReadError, match=words):
        read_volume(save(tmp_path / "a.nrrd", NRRD, **changed))


@pytest.mark.parametrize("first", [b"NRRD0004X", b"NRRD", b"nrrd0004", b""])
def test_first_line_that_is_not_of_the_format(tmp_path, first):
    path = save(tmp_path / "a.nrrd", NRRD)
    path.write_bytes(path.read_bytes().replace(b"NRRD0004", first, 1))
    with pytest.raises(ReadError, match="its first line is not NRRD's"):
        read_volume(path)


def test_line_ends_of_windows(tmp_path):
    path = save(tmp_path / "a.nrrd", NRRD, b"")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + BYTES)
    np.testing.assert_array_equal(read_volume(path).array, VOXELS)
    require_as_itk_reads(read_volume(path), path)


def test_degenerate_directions(tmp_path):
    path = save(tmp_path / "a.nrrd", NRRD, space_directions="(2,0,0) (0,3,0) (0,3.001,0)")
    with pytest.raises((GeometryError, ReadError)):
        read_volume(path)


def test_colour_and_complex_voxels(tmp_path):
    rgb = sitk.Image([4, 5, 6], sitk.sitkVectorUInt8, 3)
    complex_valued = sitk.Image([4, 5, 6], sitk.sitkComplexFloat32)
    sitk.WriteImage(rgb, str(tmp_path / "rgb.nrrd"))
    sitk.WriteImage(complex_valued, str(tmp_path / "complex.nrrd"))
    with pytest.raises(ReadError, match="3 values a voxel"):
        read_volume(tmp_path / "rgb.nrrd")
    with pytest.raises(ReadError, match="complex"):
        read_volume(tmp_path / "complex.nrrd")


@pytest.mark.parametrize("kind", ["list", "time"])
@pytest.mark.parametrize("none", ["none", "(nan,nan,nan)"])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_volumes_along_any_axis(tmp_path, kind, none, place):
    both = np.stack([VOXELS, VOXELS + 1, VOXELS - 7], axis=place)
    vectors, kinds = ["(2,0,0)", "(0,0,-3)", "(0,5,0)"], ["domain"] * 3
    vectors.insert(place, none)
    kinds.insert(place, kind)
    path = save(
        tmp_path / "a.nrrd", NRRD, both, dimension="4", sizes=" ".join(map(str, both.shape)),
        kinds=" ".join(kinds), space_directions=" ".join(vectors),
    )  # fmt: skip
    with pytest.raises(ReadError, match="3 volumes; choose one"):
        read_volume(path)
    for n, step in enumerate((0, 1, -7)):
        scan = read_volume(path, volume=n)
        np.testing.assert_array_equal(scan.array, VOXELS + step)
        np.testing.assert_allclose(scan.geometry.affine, AFFINE, atol=1e-12)


def test_axis_of_one_value_is_no_hindrance(tmp_path):
    path = save(tmp_path / "a.nrrd", NRRD, sizes="4 5 6 1", kinds=None, **FOUR)
    np.testing.assert_array_equal(read_volume(path).array, VOXELS)


def test_every_nrrd_among_the_real_scans(shared_data):
    paths = sorted([*shared_data.rglob("*.nrrd"), *shared_data.rglob("*.nhdr")])
    assert len(paths) >= 4
    for path in paths:
        require_as_itk_reads(read_volume(path), path)
