"""MetaImage against SimpleITK, against what was written, and where SimpleITK makes voxels up."""

import gzip
import zlib

import numpy as np
import pytest
from text_scans import AFFINE, META, VOXELS, require_as_itk_reads, save

from medgen.errors import ReadError
from medgen.volumes import read_volume

BYTES = VOXELS.tobytes(order="F")
PACKED = zlib.compress(BYTES)


@pytest.mark.parametrize("data", [PACKED, gzip.compress(BYTES)], ids=["zlib", "gzip"])
@pytest.mark.parametrize("size", [None, 0, 1, 17, len(PACKED) - 1, len(PACKED) + 1, 10**9, -1])
@pytest.mark.parametrize("local", [True, False])
def test_the_stream_counts_not_the_size_the_header_gives(tmp_path, data, size, local):
    """Of such a file SimpleITK gives whatever memory held, or part of the voxels."""
    path = tmp_path / ("a.mha" if local else "a.mhd")
    save(
        path, META, data if local else b"", CompressedData="True",
        CompressedDataSize=None if size is None else str(size),
        ElementDataFile="LOCAL" if local else "a.zraw",
    )  # fmt: skip
    if not local:
        (tmp_path / "a.zraw").write_bytes(data)
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.array, VOXELS)
    np.testing.assert_allclose(scan.geometry.affine, AFFINE, atol=1e-12)


def test_a_stream_of_another_length_than_the_scan(tmp_path):
    path = save(tmp_path / "a.mha", META, zlib.compress(BYTES[:-2]), CompressedData="True")
    with pytest.raises(ReadError, match=r"needs 240 bytes of voxels but a\.mha holds 238"):
        read_volume(path)
    save(path, META, zlib.compress(BYTES + b"12345"), CompressedData="True")
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.array, VOXELS)
    assert scan.metadata["notes"] == (
        "5 bytes behind the voxels that the header tells of are left out.",
    )


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("size", ["-1", "6"])
def test_bytes_before_the_voxels(tmp_path, local, size):
    data = b"before" + BYTES
    path = tmp_path / ("a.mha" if local else "a.mhd")
    if local and size == "6":  # counts from the start of the file
        bare = len(save(path, META, b"", HeaderSize="1234").read_bytes())
        size = str(bare + 6).rjust(4, "0")
    save(path, META, data if local else b"", HeaderSize=size,
         ElementDataFile="LOCAL" if local else "a.raw")  # fmt: skip
    (tmp_path / "a.raw").write_bytes(data)
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.array, VOXELS)
    require_as_itk_reads(scan, path)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("MET_CHAR", "i1"), ("MET_UCHAR", "u1"), ("MET_SHORT", "i2"), ("MET_USHORT", "u2"),
        ("MET_INT", "i4"), ("MET_UINT", "u4"), ("MET_LONG", "i4"), ("MET_ULONG", "u4"),
        ("MET_LONG_LONG", "i8"), ("MET_ULONG_LONG", "u8"), ("MET_FLOAT", "f4"),
        ("MET_DOUBLE", "f8"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("big", [False, True])
def test_types_in_either_order(tmp_path, name, code, big):
    array = (VOXELS % 100).astype(code)
    stored = array.astype(array.dtype.newbyteorder(">" if big else "<"))
    path = save(tmp_path / "a.mha", META, stored, ElementType=name, BinaryDataByteOrderMSB=str(big))
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.array, array)
    require_as_itk_reads(scan, path)


@pytest.mark.parametrize(
    "changed",
    [
        {"ObjectType": None},
        {"BinaryData": None},
        {"BinaryData": "1", "CompressedData": "F"},
        {"BinaryDataByteOrderMSB": None},
        {"BinaryDataByteOrderMSB": None, "ElementByteOrderMSB": "false"},
        {"Offset": None, "Position": "10 20 30"},
        {"Offset": None, "Origin": "10 20 30"},
        {"Position": "10 20 30"},
        {"TransformMatrix": None, "Rotation": "1 0 0 0 0 -1 0 1 0"},
        {"TransformMatrix": None, "Orientation": "1 0 0 0 0 -1 0 1 0"},
        {"ElementSpacing": None, "ElementSize": "2 3 5"},
        {"ElementSize": "1 1 1"},
        {"CenterOfRotation": "5 6 7"},
        {"AnatomicalOrientation": "RAI", "Modality": "MET_MOD_CT", "ID": "7", "Comment": "x" * 300},
        {"TransformMatrix": "1.0 0 -0 0.0 0 -1e0 0 1 0"},
    ],
)
def test_fields_that_mean_the_same(tmp_path, changed):
    path = save(tmp_path / "a.mha", META, **changed)
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.array, VOXELS)
    np.testing.assert_allclose(scan.geometry.affine, AFFINE, atol=1e-12)
    assert "notes" not in scan.metadata
    require_as_itk_reads(scan, path)


def test_missing_place_is_the_origin(tmp_path):
    path = save(tmp_path / "a.mha", META, Offset=None)
    scan = read_volume(path)
    np.testing.assert_array_equal(scan.geometry.affine[:3, 3], 0)
    require_as_itk_reads(scan, path)


def test_function_to_intensities_is_left_alone_and_named(tmp_path):
    path = save(
        tmp_path / "a.mha", META, ElementToIntensityFunctionSlope="2",
        ElementToIntensityFunctionOffset="-5",
    )  # fmt: skip
    scan = read_volume(path)
    require_as_itk_reads(scan, path)
    assert "(times 2 plus -5) is not applied" in scan.metadata["notes"][0]


def test_volumes_of_a_metaimage(tmp_path):
    both = np.stack([VOXELS, VOXELS + 1], axis=-1)
    path = save(
        tmp_path / "a.mha", META, both, NDims="4", DimSize="4 5 6 2", ElementSpacing="2 3 5 1",
        Offset="10 20 30 0", TransformMatrix="1 0 0 0 0 0 -1 0 0 1 0 0 0 0 0 1",
    )  # fmt: skip
    with pytest.raises(ReadError, match="2 volumes"):
        read_volume(path)
    scan = read_volume(path, volume=1)
    np.testing.assert_array_equal(scan.array, VOXELS + 1)
    np.testing.assert_allclose(scan.geometry.affine, AFFINE, atol=1e-12)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ElementSpacing": None}, "no voxel size in mm"),
        ({"ElementSpacing": "2 0 5"}, "no voxel size in mm"),
        ({"DistanceUnits": "um"}, "DistanceUnits: um"),
        ({"BinaryData": "False"}, "as text"),
        ({"DimSize": "4 5 7"}, "needs 280 bytes of voxels but a.mha holds 240"),
        ({"ElementNumberOfChannels": "3", "DimSize": "4 5 2"}, "3 values a voxel"),
        ({"NDims": "2", "DimSize": "4 30", "ElementSpacing": "2 3", "Offset": "0 0",
          "TransformMatrix": "1 0 0 1"}, "has 2 axes"),
        ({"DimSize": None}, "not a readable MetaImage file"),
        ({"ElementType": "MET_NONSENSE"}, "not a readable MetaImage file"),
        ({"ElementType": "MET_FLOAT_ARRAY"}, "its ElementType is MET_FLOAT_ARRAY"),
        ({"ElementType": None}, "ElementType or ElementDataFile is missing"),
        ({"ObjectType": "Tube"}, "its ObjectType is Tube"),
        ({"Position": "10 20 31"}, "different Offset and Position"),
        ({"Rotation": "1 0 0 0 1 0 0 0 1"}, "different TransformMatrix and Rotation"),
        ({"ElementByteOrderMSB": "True"}, "different BinaryDataByteOrderMSB and ElementByteOrder"),
        ({"CompressedData": "perhaps"}, "odd CompressedData: 'perhaps'"),
        ({"HeaderSize": "5"}, "its HeaderSize is 5"),
        ({"HeaderSize": "-2"}, "its HeaderSize is -2"),
        ({"CompressedData": "True", "HeaderSize": "-1"}, "its HeaderSize is -1"),
    ],
)  # fmt: skip
def test_refused_metaimage(tmp_path, changed, words):
    with pytest.raises(ReadError, match=words):
        read_volume(save(tmp_path / "a.mha", META, **changed))


def test_metaimage_without_orientation_says_what_is_assumed(tmp_path):
    scan = read_volume(save(tmp_path / "a.mha", META, TransformMatrix=None))
    assert scan.geometry.orientation == "LPS"
    assert "no orientation" in scan.metadata["notes"][0]


def test_every_metaimage_among_the_real_scans(shared_data):
    paths = sorted([*shared_data.rglob("*.mha"), *shared_data.rglob("*.mhd")])
    assert len(paths) >= 2
    for path in paths:
        require_as_itk_reads(read_volume(path), path)
